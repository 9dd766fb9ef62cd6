import { EventSource } from "eventsource-4";

export default (url, kit) => kit.listen(new EventSource(url));
