import { EventSourcePlus } from "event-source-plus";

export default (url, kit) => {
  new EventSourcePlus(url).listen({
    onMessage: (m) => kit.event(m.event, m.id, m.data),
    onRequestError: ({ error }) => kit.error(error),
    onResponseError: ({ error }) => kit.error(error),
  });
};
