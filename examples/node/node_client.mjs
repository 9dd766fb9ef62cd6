#!/usr/bin/env node
// Prints the events of a Sluice stream and resumes after a cut.
//
//   node node_client.mjs [URL] [TOPIC...]      needs: Node 20 or newer, npm ci
//   COUNT=10           stop after 10 events
//   LAST_EVENT_ID=...  begin after that event
//   TYPES=data,order   the event types to listen to; an EventSource hears no others
import { EventSource } from "eventsource";

const [base = "http://localhost:8000/stream", ...topics] = process.argv.slice(2);
const count = Number(process.env.COUNT ?? 0);
const types = (process.env.TYPES ?? "data").split(",");
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;

let lastId = process.env.LAST_EVENT_ID ?? "";
let events = 0;
let failures = 0;
let source;

function connect() {
  const url = new URL(base);
  for (const topic of topics) url.searchParams.append("topic", topic);
  if (lastId) url.searchParams.set("last_event_id", lastId);
  url.searchParams.set("busy", "inband");
  source = new EventSource(url);

  for (const type of types) source.addEventListener(type, onEvent);
  source.addEventListener("heartbeat", seen);
  source.addEventListener("system", (event) => {
    seen(event);
    const block = JSON.parse(event.data);
    if (block.type === "gap" || block.resumed === "gap") {
      console.error("GAP:", block.reason, block.message, "first:", block.first ?? "live");
    } else {
      console.error(`${block.type}: ${block.message}`);
    }
  });
  source.onerror = onError;
}

function seen(event) {
  lastId = event.lastEventId || lastId;
  failures = 0;
}

function onEvent(event) {
  seen(event);
  console.log(event.lastEventId, event.type, event.data);
  if (++events === count) process.exit(0);
}

// After a cut the EventSource reconnects by itself with its last id. After any
// answer but 200 it stops for good: then this opens a new one.
function onError(error) {
  if (source.readyState !== EventSource.CLOSED) return console.error("connection lost:", error.message ?? "end");
  const { code } = error;
  if (code >= 400 && code < 500 && code !== 408 && code !== 429) {
    console.error("refused:", code);
    process.exit(1);
  }
  const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures++) * (0.75 + Math.random() / 2);
  console.error("refused:", code, "next try in", Math.round(wait), "ms");
  setTimeout(connect, wait);
}

connect();
