import { EventSource } from "eventsource-3";

export default (url, kit) => kit.listen(new EventSource(url));
