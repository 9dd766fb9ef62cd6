import { createEventSource } from "eventsource-client";

export default (url, kit) => {
  createEventSource({
    url,
    onMessage: (m) => kit.event(m.event ?? "message", m.id, m.data),
    onScheduleReconnect: () => kit.error("reconnects"),
  });
};
