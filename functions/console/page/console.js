// The console: reads the form, connects, and hands what comes to the view.

import { ResumingSource } from "./source.js";
import { Counters, List, clock, notice, state } from "./view.js";

const $ = (id) => document.getElementById(id);
const words = (text) => text.split(/[\s,]+/).filter(Boolean);

const STARTS = {
  live: null,
  last: { parameter: "last", label: "How many", value: "20", placeholder: "20" },
  since: { parameter: "since", label: "Since", value: "5m", placeholder: "5m, or 2026-01-31T12:00:00Z" },
  resume: { parameter: "last_event_id", label: "Event id", value: "", placeholder: "last id seen" },
};

const list = new List();
let counters = new Counters();
let source = null;
let lastId = "";
let opened = false; // since the button was pressed

function streamURL() {
  const url = new URL("stream", document.baseURI);
  for (const topic of words($("topics").value)) url.searchParams.append("topic", topic);
  const start = STARTS[$("start").value];
  const from = $("from").value.trim();
  if (start && from) url.searchParams.set(start.parameter, from);
  if ($("envelope").checked) url.searchParams.set("format", "cloudevents");
  return url;
}

function connect() {
  counters = new Counters();
  opened = false;
  source = new ResumingSource(streamURL(), { types: words($("types").value), onevent, onstate });
}

function disconnect() {
  source?.close();
  source = null;
}

function onstate(name, { ms = 0, reason = "" }) {
  switch (name) {
    case "connecting": return state(name, "Connecting…");
    case "open":
      if (opened) counters.reconnect();
      opened = true;
      return state(name, "Live");
    case "reconnecting": return state(name, "Reconnecting…");
    case "closed": return state(name, "Disconnected");
    case "stopped":
      source = null;
      notice("bad", "Refused", reason);
      return state(name, "Refused");
    case "waiting":
      if (reason) notice("warn", "No connection", reason);
      return state(name, `Next try ${clock(new Date(Date.now() + ms))}`);
  }
}

function onevent(event) {
  lastId = event.lastEventId || lastId;
  counters.event(event.type, event.data);
  const line = { type: event.type, data: event.data, id: event.lastEventId, topic: "", time: new Date() };
  if (event.type === "heartbeat") counters.clients(parse(event.data).clients ?? "–");
  else if (event.type === "system") system(parse(event.data));
  else if ($("envelope").checked) unwrap(line);
  list.add(line);
}

function parse(text) {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

// unwrap shows the inside of a CloudEvents envelope.
function unwrap(line) {
  const envelope = parse(line.data);
  if (envelope.specversion !== "1.0") return;
  const time = new Date(envelope.time);
  if (!Number.isNaN(time.getTime())) line.time = time;
  line.topic = String(envelope.subject ?? "");
  const { data, data_base64: base64 } = envelope;
  line.data = base64 !== undefined ? `base64 ${base64}` : typeof data === "string" ? data : JSON.stringify(data);
}

// system tells what a block of the edge means for the one who watches.
function system(block) {
  const message = String(block.message ?? "");
  if (block.type === "gap" || block.resumed === "gap") {
    counters.gap();
    const first = block.first ? ` First event: ${block.first}.` : "";
    const requested = block.requested ? ` Asked for: ${block.requested}.` : "";
    return notice("bad", `Gap: ${block.reason ?? "unknown"}`, message + "." + requested + first);
  }
  switch (block.type) {
    case "open":
      return block.resumed === "complete" ? notice("good", "Resumed, nothing missing", message) : notice("info", "Connected", message);
    case "drain": return notice("warn", `Draining: ${block.reason ?? ""}`, message);
    case "busy": return notice("warn", "Busy", message);
    case "expired": return notice("bad", "Token expired", message);
    default: return notice("info", String(block.type ?? "System"), message);
  }
}

function showStart() {
  const start = STARTS[$("start").value];
  $("from-field").hidden = !start;
  if (!start) return;
  $("from-label").textContent = start.label;
  $("from").placeholder = start.placeholder;
  $("from").inputMode = start.parameter === "last" ? "numeric" : "text";
  $("from").value = start.parameter === "last_event_id" ? lastId : start.value;
}

$("options").addEventListener("submit", (event) => {
  event.preventDefault();
  disconnect();
  connect();
});
$("disconnect").addEventListener("click", () => {
  disconnect();
  if ($("start").value === "resume") showStart();
});
$("start").addEventListener("change", showStart);
$("pause").addEventListener("click", () => list.toggle());
$("clear").addEventListener("click", () => list.clear());
$("keep").addEventListener("change", () => {
  list.keep = Number($("keep").value);
  list.trim();
});
addEventListener("pagehide", disconnect);
setInterval(() => counters.second(), 1000);
setInterval(() => counters.paint(lastId), 250);
