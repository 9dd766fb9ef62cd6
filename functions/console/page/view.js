// What the page shows. Text from the server only ever becomes a text node.

const $ = (id) => document.getElementById(id);
const encoder = new TextEncoder();
const NOTICES = 4; // kept on the page
const NAMES = 12; // types counted by name; the rest together
const RATE_SECONDS = 5;

function element(tag, className, text = "") {
  const e = document.createElement(tag);
  e.className = className;
  e.textContent = text;
  return e;
}

export const clock = (date) => date.toLocaleTimeString([], { hour12: false });
const shortId = (id) => (id.length > 12 ? "…" + id.slice(-12) : id);

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let n = 0;
  for (; bytes >= 1024 && n < units.length - 1; n++) bytes /= 1024;
  return `${n ? bytes.toFixed(1) : bytes} ${units[n]}`;
}

// Counters are the numbers of one connect; paint writes them to the page.
export class Counters {
  #n = { events: 0, heartbeats: 0, bytes: 0, reconnects: 0, gaps: 0 };
  #types = new Map();
  #history = []; // events at the end of each of the last seconds
  #clients = "–";

  event(type, data) {
    if (type === "heartbeat") this.#n.heartbeats++;
    else if (type !== "system") this.#n.events++;
    this.#n.bytes += encoder.encode(data).length;
    const name = this.#types.has(type) || this.#types.size < NAMES ? type : "others";
    this.#types.set(name, (this.#types.get(name) ?? 0) + 1);
  }
  reconnect() { this.#n.reconnects++; }
  gap() { this.#n.gaps++; }
  clients(n) { this.#clients = String(n); }

  second() {
    this.#history.push(this.#n.events);
    if (this.#history.length > RATE_SECONDS + 1) this.#history.shift();
  }

  paint(lastId) {
    const h = this.#history;
    const rate = h.length > 1 ? (h.at(-1) - h[0]) / (h.length - 1) : 0;
    for (const name of ["events", "heartbeats", "reconnects", "gaps"]) $(name).textContent = this.#n[name].toLocaleString();
    $("bytes").textContent = size(this.#n.bytes);
    $("rate").textContent = rate.toFixed(rate < 10 ? 1 : 0);
    $("clients").textContent = this.#clients;
    $("last-id").textContent = lastId || "–";
    $("by-type").replaceChildren(...[...this.#types].map(([name, n]) => {
      const chip = element("span", "chip", name + " ");
      chip.append(element("b", "", n.toLocaleString()));
      return chip;
    }));
    if (this.#types.size === 0) $("by-type").textContent = "–";
  }
}

// List is the live list: newest first, bounded, drawn at most once a frame, so
// a thousand events a second cost no more than what fits.
export class List {
  #waiting = [];
  #drawing = false;
  #paused = false;
  #missed = 0;
  keep = 200;

  add(line) {
    if (this.#paused) this.#missed++;
    this.#waiting.push(line);
    if (this.#waiting.length > this.keep) this.#waiting.splice(0, this.#waiting.length - this.keep);
    if (this.#paused) this.#label();
    else this.#schedule();
  }
  toggle() {
    this.#paused = !this.#paused;
    this.#missed = 0;
    this.#label();
    this.#schedule();
  }
  clear() {
    this.#waiting = [];
    $("list").replaceChildren();
    $("empty").hidden = false;
  }
  trim() {
    const list = $("list");
    while (list.childElementCount > this.keep) list.lastElementChild.remove();
  }

  #label() {
    const pause = $("pause");
    pause.setAttribute("aria-pressed", String(this.#paused));
    pause.textContent = this.#paused ? (this.#missed ? `Resume (${this.#missed})` : "Resume") : "Pause";
  }
  #schedule() {
    if (this.#drawing || this.#paused) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      if (this.#paused) return;
      const rows = this.#waiting.reverse().map(row);
      this.#waiting = [];
      if (rows.length) $("empty").hidden = true;
      $("list").prepend(...rows);
      this.trim();
    });
  }
}

function row({ type, data, id, topic, time }) {
  const li = element("li", "row");
  const head = element("div", "head");
  head.append(element("span", "type", type));
  if (topic) head.append(element("span", "topic", topic));
  const at = element("span", "meta", clock(time));
  const where = element("span", "meta mono", shortId(id));
  where.title = id;
  head.append(at, where);
  li.dataset.type = type;
  li.append(head, element("pre", "data", data));
  return li;
}

// notice shows what the edge or the connection has to say, newest first; what
// repeats replaces itself, so an outage does not push a gap off the page.
export function notice(kind, title, text) {
  const box = element("div", "notice");
  box.dataset.kind = kind;
  const head = element("p", "title", title);
  head.append(element("span", "meta", clock(new Date())));
  box.append(head, element("p", "", text));
  const all = $("notices");
  box.dataset.title = title;
  if (all.firstElementChild?.dataset.title === title) all.firstElementChild.remove();
  all.prepend(box);
  while (all.childElementCount > NOTICES) all.lastElementChild.remove();
}

export function state(name, text) {
  $("state").dataset.state = name;
  $("state").textContent = text;
  const on = name !== "closed" && name !== "stopped";
  $("connect").disabled = on;
  $("disconnect").disabled = !on;
}
