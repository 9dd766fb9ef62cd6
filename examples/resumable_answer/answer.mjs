// A server that answers a question with a stream of invented words, as a model does,
// through an edge's /publish: so the answer is a topic of the log, and outlives this
// server, the edge, the reader's page and its network.
//
//   node answer.mjs [EDGE_URL]      PORT (8010) is where the page is
//
// A question has an id. Asked again with it, after this server was killed, it answers
// anew from the first word, with the same key: what is in the log already is stored
// once. A model's words differ from one time to the next: keep them as they come, and
// begin with those.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

const edge = process.argv[2] ?? "http://127.0.0.1:8000";
const perSecond = 50;
const words = "the answer is a topic of the log and each of its words is an event with an id that resumes".split(" ");

async function* tokens(id) {
  for (let n = 0; n < 200; n++) {
    await new Promise((resolve) => setTimeout(resolve, 1000 / perSecond));
    yield JSON.stringify({ id, n, word: words[n % words.length] }) + "\n";
  }
}

// publish sends a body to the topic, and again until the log has all of it.
async function publish(topic, key, headers, body) {
  for (;;) {
    try {
      const response = await fetch(`${edge}/publish?topic=${topic}`, { method: "POST", duplex: "half", headers: { "Idempotency-Key": key, ...headers }, body: body() });
      const account = JSON.parse((await response.text()).trim().split("\n").at(-1));
      if (response.ok && !account.error) return;
      console.error(account.message);
    } catch (error) {
      console.error(error.message);
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

const answering = new Set();

async function answer(id) {
  if (answering.has(id)) return;
  answering.add(id);
  const topic = `answer.${id}`;
  await publish(topic, id, { "Content-Type": "application/x-ndjson" }, () => ReadableStream.from(tokens(id)).pipeThrough(new TextEncoderStream()));
  await publish(topic, `${id}-end`, { "Content-Type": "application/json", "Event-Type": "end" }, () => "null");
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url, "http://localhost");
  const id = url.searchParams.get("id") ?? "";
  if (request.method === "POST" && url.pathname === "/ask" && /^[\w-]{1,40}$/.test(id)) {
    answer(id);
    response.end();
    return;
  }
  const page = await readFile(new URL("index.html", import.meta.url), "utf8");
  response.setHeader("Content-Type", "text/html; charset=utf-8").end(page.replaceAll("EDGE", edge));
});
server.listen(process.env.PORT ?? 8010, "127.0.0.1", () => console.log(`http://localhost:${server.address().port}/`));
