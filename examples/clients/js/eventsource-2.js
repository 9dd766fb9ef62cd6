import EventSource from "eventsource-2";

export default (url, kit) => {
  const headers = {};
  const source = kit.listen(new EventSource(url, { headers }));
  if (!kit.needs) return;
  for (const type of ["data", "system", "heartbeat"]) {
    source.addEventListener(type, (e) => { headers["Last-Event-ID"] = e.lastEventId; }); // needs
  }
};
