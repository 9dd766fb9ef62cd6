import "event-source-polyfill"; // sets EventSourcePolyfill

export default (url, kit) => kit.listen(new globalThis.EventSourcePolyfill(url));
