import { SSE } from "sse.js";

export default (url, kit) => {
  const options = {};
  if (kit.needs) {
    options.autoReconnect = true; // needs
    options.headers = { Accept: "text/event-stream" }; // needs
  }
  const source = new SSE(url, options);
  for (const type of ["data", "system", "heartbeat"]) source.addEventListener(type, (e) => kit.event(type, e.lastEventId, e.data));
  source.addEventListener("error", (e) => kit.error(e.responseCode));
  if (kit.needs) {
    source.addEventListener("error", (e) => { if (e.responseCode >= 400 && e.responseCode < 500) source.close(); }); // needs
  }
  source.addEventListener("readystatechange", (e) => {
    if (e.readyState === SSE.CLOSED && !source.autoReconnect) kit.closed("readyState");
  });
};
