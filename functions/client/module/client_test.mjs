// Run by client_test.go: the module in Node, against servers that say what a test
// wants. Tabs, reloads and a real edge are tested in Chromium (functions/cmd/edge).
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { connect, parser } from "./client.js";

const id = (n) => "01a21d18-f149-8000-8000-" + n.toString(16).padStart(12, "0");
const event = (n, type = "data") => `id: ${id(n)}\nevent: ${type}\ndata: {"n":${n}}\nretry: 10\n\n`;
const system = (n, fields) => `id: ${id(n)}\nevent: system\ndata: ${JSON.stringify(fields)}\nretry: 10\n\n`;
const open = (n, resumed = "none") => system(n, { type: "open", resumed });

// serve answers the k-th request by answers[k], a function, or the last one.
async function serve(t, ...answers) {
  const requests = [];
  const server = createServer((request, response) => {
    requests.push({ url: new URL(request.url, "http://x"), headers: request.headers });
    response.on("error", () => {});
    answers[Math.min(requests.length, answers.length) - 1](response, request);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => (server.closeAllConnections(), server.close()));
  return { url: `http://127.0.0.1:${server.address().port}/stream`, requests };
}

const stream = (...blocks) => (response) => {
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  response.write(blocks.join(""));
};
const ended = (...blocks) => (response) => {
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  response.end(blocks.join(""));
};
const refused = (status, headers = {}) => (response) => {
  response.writeHead(status, headers);
  response.end(JSON.stringify({ error: "some_code", message: "why" }));
};

function reading(t, url, options) {
  const s = connect(url, options);
  t.after(() => s.close());
  const seen = { ids: [], states: [], control: [] };
  s.addEventListener("*", ({ event }) => seen.ids.push(event.id));
  s.addEventListener("state", ({ state, reason }) => seen.states.push(reason ? `${state} ${reason}` : state));
  for (const type of ["gap", "busy", "drain", "expired", "refused"]) {
    s.addEventListener(type, (e) => seen.control.push(`${type} ${e.system?.reason ?? e.code}`));
  }
  return { s, seen };
}

async function until(condition) {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

test("a block is the same however its bytes are cut, and whatever ends its lines", () => {
  let seed = 1;
  const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
  for (let round = 0; round < 500; round++) {
    const want = [];
    let text = round % 2 ? "\ufeff" : "";
    for (let n = 0; n < 5; n++) {
      const end = () => ["\n", "\r", "\r\n"][random(3)];
      const lines = [`id: ${n}`, "event:data", ": a comment", `data: a${n}`, "data", "data:  b", "unknown: x", "retry: 5", "retry: x"];
      const same = end(); // CR LF of two ends would be one
      text += lines.join(same) + same + same;
      want.push({ id: `${n}`, type: "data", data: `a${n}\n\n b`, retry: 5 });
    }
    const got = [];
    const feed = parser((block) => got.push(block));
    for (let at = 0; at < text.length; ) {
      const next = at + 1 + random(20);
      feed(text.slice(at, next));
      at = next;
    }
    feed(": the half of a CRLF was held back\n");
    assert.deepEqual(got, want);
  }
});

test("a block that is cut is none, and its id no cursor, wherever the id stands", async (t) => {
  for (const cut of [`id: ${id(2)}\nevent: data\ndata: {"n":`, `data: {"n":2}\nid: ${id(2)}\n`]) {
    const { url, requests } = await serve(t, ended(open(0), event(1), cut), stream(open(1, "complete"), event(2)));
    const { seen } = reading(t, url);
    await until(() => seen.ids.length === 2);
    assert.deepEqual(seen.ids, [id(1), id(2)]);
    assert.equal(requests[1].url.searchParams.get("last_event_id"), id(1));
  }
});

test("what begins a stream counts until there is a cursor", async (t) => {
  const { url, requests } = await serve(t, ended(open(4, "complete"), event(5)), stream(open(5)));
  reading(t, url + "?x=1", { topics: ["a.>", "b"], from: "start" });
  await until(() => requests.length === 2);
  assert.deepEqual(requests.map((r) => r.url.search), ["?x=1&topic=a.%3E&topic=b&from=start", `?x=1&topic=a.%3E&topic=b&last_event_id=${id(5)}`]);
});

test("refusals that pass are waited for, as long as the server says", async (t) => {
  const { url, requests } = await serve(t, refused(503, { "Retry-After": "1" }), refused(429), stream(open(0), event(1)));
  const began = Date.now();
  const { seen } = reading(t, url);
  await until(() => seen.ids.length === 1);
  assert.ok(Date.now() - began >= 1000);
  assert.equal(requests.length, 3);
  assert.deepEqual(seen.states, ["connecting", "waiting why", "connecting", "waiting why", "connecting", "open"]);
});

test("a token is asked for before each connection, and once more after a 401", async (t) => {
  let n = 0;
  const { url, requests } = await serve(t, refused(401), ended(open(0), event(1), system(1, { type: "expired", reason: "token_expired" })), stream(open(1)));
  const { seen } = reading(t, url, { token: async () => `t${++n}` });
  await until(() => requests.length === 3);
  assert.deepEqual(requests.map((r) => r.headers.authorization), ["Bearer t1", "Bearer t2", "Bearer t3"]);
  assert.deepEqual(seen.control, ["expired token_expired"]);
  assert.equal(requests[2].url.searchParams.get("last_event_id"), id(1));
});

test("a refusal for good stops it, and is told", async (t) => {
  for (const [status, token, asked] of [[401, "t", 1], [401, () => "t", 2], [403, undefined, 1], [404, undefined, 1]]) {
    const { url, requests } = await serve(t, refused(status));
    const { s, seen } = reading(t, url, { token });
    await until(() => s.state.state === "closed");
    assert.equal(requests.length, asked);
    assert.deepEqual(seen.control, ["refused some_code"]);
    assert.equal(s.state.reason, "why");
  }
});

test("gap, drain and busy are told, and it goes on", async (t) => {
  const { url, requests } = await serve(
    t,
    ended(system(7, { type: "open", resumed: "gap", reason: "expired" }), event(8), system(9, { type: "gap", reason: "recreated" }), system(9, { type: "drain", reason: "shutdown" })),
    ended(system(9, { type: "busy", reason: "starting" })),
    stream(open(9)),
  );
  const { seen } = reading(t, url);
  await until(() => requests.length === 3);
  assert.deepEqual(seen.control, ["gap expired", "gap recreated", "drain shutdown", "busy starting"]);
  assert.equal(requests[2].url.searchParams.get("last_event_id"), id(9));
});

test("a connection that says nothing is dead; comments and heartbeats are signs of life", async (t) => {
  let beats;
  const alive = (response) => {
    stream(open(1))(response);
    beats = setInterval(() => response.write(":\n"), 20);
    response.on("close", () => clearInterval(beats));
  };
  const { url, requests } = await serve(t, stream(open(0), event(1)), alive);
  const { seen } = reading(t, url, { silence: 300 });
  await until(() => requests.length === 2);
  assert.ok(seen.states.includes("waiting silent"));
  await new Promise((resolve) => setTimeout(resolve, 700)); // longer than silence
  assert.equal(requests.length, 2);
  clearInterval(beats);
  await until(() => requests.length === 3);
});

test("an event of the type end ends it", async (t) => {
  const { url, requests } = await serve(t, ended(open(0), event(1), event(2, "end"), event(3)));
  const got = [];
  for await (const e of connect(url)) got.push([e.type, e.json().n]);
  assert.deepEqual(got, [["data", 1], ["end", 2]]);
  assert.equal(requests.length, 1);
});

test("for await reads no faster than it is asked, and misses nothing", async (t) => {
  const all = 200_000;
  let sent = 0;
  const { url } = await serve(t, async (response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write(open(0));
    while (sent < all) {
      let text = "";
      for (let n = 0; n < 100; n++) text += event(++sent);
      if (!response.write(text)) await once(response, "drain");
    }
    response.write(event(all + 1, "end"));
  });
  const s = connect(url);
  let n = 0;
  for await (const e of s) {
    if (++n === 10) {
      let before;
      do { // until nothing moves: what is on the way is in buffers of the system and of Node
        before = sent;
        await new Promise((resolve) => setTimeout(resolve, 200));
      } while (sent !== before);
      assert.ok(sent < all / 2, `${sent} were sent`);
    }
    assert.equal(e.id, id(n));
  }
  assert.equal(n, all + 1);
});

test("a page has its turns while many events come", async (t) => {
  const { url } = await serve(t, stream(open(0), ...Array.from({ length: 100_000 }, (_, n) => event(n + 1))));
  const { seen } = reading(t, url);
  let longest = 0, last = performance.now();
  const turns = setInterval(() => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }, 1);
  await until(() => seen.ids.length === 100_000);
  clearInterval(turns);
  assert.ok(longest < 1000, `${longest} ms`); // a busy machine; all of it takes longer
});

test("close and a signal end it", async (t) => {
  const { url } = await serve(t, stream(open(0), event(1)));
  const { s, seen } = reading(t, url);
  await until(() => seen.ids.length === 1);
  s.close();
  assert.equal(seen.states.at(-1), "closed");
  const abort = new AbortController();
  const { s: other } = reading(t, url, { signal: abort.signal });
  abort.abort();
  assert.equal(other.state.state, "closed");
  assert.deepEqual(await other[Symbol.asyncIterator]().next(), { value: undefined, done: true });
});

test("the README's lines do what it says", async (t) => {
  const readme = await readFile(new URL("../../../README.md", import.meta.url), "utf8");
  const [, lines] = readme.match(/<!-- client.js -->\n```js\n([\s\S]*?)```/);
  const { url, requests } = await serve(t, ended(system(1, { type: "open", resumed: "gap", message: "missing" }), event(2), event(3, "end")));
  const program = lines.replace('"/client.js"', JSON.stringify(new URL("client.js", import.meta.url).href)).replace('"/stream"', JSON.stringify(url));
  const node = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["ignore", "pipe", "pipe"] });
  const [out, warned] = await Promise.all([text(node.stdout), text(node.stderr)]);
  assert.equal(out, `${id(2)} { n: 2 }\n${id(3)} { n: 3 }\n`);
  assert.equal(warned, "missing\n");
  assert.equal(requests[0].url.searchParams.get("topic"), "order.>");
});
