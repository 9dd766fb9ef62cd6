import ReconnectingEventSource from "reconnecting-eventsource";

export default (url, kit) => kit.listen(new ReconnectingEventSource(url));
