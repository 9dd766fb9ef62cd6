// What the adapters share, in Node and in the browser. An adapter is a module
// whose default export opens its client:
//
//   export default (url, kit) => kit.listen(new EventSource(url));
//
// kit.needs is whether to add what the client needs with Sluice. The lines that
// add it end in "// needs": the table of README.md shows them as they are.
const TYPES = ["data", "system", "heartbeat"];

// kit turns what a client does into lines for say.
export function kit(say, needs) {
  const event = (type, id, data) => say({ event: type, id: id ?? "", data });
  return {
    needs,
    event,
    error: (error) => say({ error: String(error?.message ?? error) }),
    // closed is told when the client has given up.
    closed: (why) => say({ closed: String(why?.message ?? why ?? "") }),
    // listen hears all of an EventSource, or of what looks like one.
    listen(source) {
      for (const type of TYPES) source.addEventListener(type, (e) => event(type, e.lastEventId, e.data));
      source.addEventListener("error", (e) => queueMicrotask(() => { // some close only after they have told
        say(source.readyState === 2 ? { closed: "readyState" } : { error: String(e.message ?? "") });
      }));
      return source;
    },
  };
}
