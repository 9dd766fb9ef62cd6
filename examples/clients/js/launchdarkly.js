import launchdarkly from "launchdarkly-eventsource";

export default (url, kit) => {
  const options = {};
  if (kit.needs) {
    options.readTimeoutMillis = 100_000; // needs
  }
  const source = new launchdarkly.EventSource(url, options);
  for (const type of ["data", "system", "heartbeat"]) source.addEventListener(type, (e) => kit.event(type, e.lastEventId, e.data));
  source.addEventListener("error", (e) => kit.error(e.status ?? e.message));
  source.addEventListener("closed", () => kit.closed("closed"));
};
