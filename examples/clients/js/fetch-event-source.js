import { fetchEventSource } from "@microsoft/fetch-event-source";

const plain = (url, kit) => fetchEventSource(url, {
  openWhenHidden: true,
  onmessage: (m) => kit.event(m.event, m.id, m.data),
  onerror: (error) => kit.error(error),
});

// careful sends the id of the last event that it was given, comes back after a
// clean end, and stops where asking again is no use.
function careful(url, kit) {
  let last = "";
  return fetchEventSource(url, {
    openWhenHidden: true,
    onmessage: (m) => { last = m.id; kit.event(m.event, m.id, m.data); },
    fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, "last-event-id": last } }),
    onclose: () => { throw new Error("again"); },
    onopen: async ({ status }) => { if (status !== 200) throw Object.assign(new Error(status), { stop: status < 500 && status !== 429 }); },
    onerror: (error) => { kit.error(error); if (error.stop) throw error; },
  });
}

export default (url, kit) => (kit.needs ? careful : plain)(url, kit).then(() => kit.closed("resolved"), kit.closed);
