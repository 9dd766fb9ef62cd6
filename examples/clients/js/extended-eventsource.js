import { EventSource } from "extended-eventsource";

export default (url, kit) => {
  let last = "";
  const options = { disableLogger: true };
  if (kit.needs) {
    options.fetch = (request) => { request.headers.set("Last-Event-ID", last); return fetch(request); }; // needs
  }
  const source = kit.listen(new EventSource(url, options));
  for (const type of ["data", "system", "heartbeat"]) {
    source.addEventListener(type, (e) => { last = e.lastEventId; }); // needs
  }
};
