// Reads an event stream of Sluice and does not give up. See client.d.ts for what
// each option means and what is promised.

const QUEUE = 1024; // events that wait for a for await before reading pauses
const BACKLOG = 1024; // blocks that the leading tab keeps for others
const SLICE_MS = 8; // of work, before the page gets its turn
const LONGEST_MS = 30_000;
const HELLO_MS = 500; // for the leading tab's answer

export const connect = (url, options) => new Stream(url, options);

// parser calls emit with each complete block of what it is fed (WHATWG HTML, 9.2.6).
// A block that is cut is none: its id does not count.
export function parser(emit) {
  let rest = "", block = {}, first = true;
  const line = (text) => {
    if (text === "") {
      if ("data" in block || "id" in block || "retry" in block) emit(block);
      block = {};
      return;
    }
    const colon = text.indexOf(":");
    if (colon === 0) return;
    const name = colon < 0 ? text : text.slice(0, colon);
    let value = colon < 0 ? "" : text.slice(colon + 1);
    if (value[0] === " ") value = value.slice(1);
    if (name === "data") block.data = "data" in block ? block.data + "\n" + value : value;
    else if (name === "event") block.type = value;
    else if (name === "id" && !value.includes("\0")) block.id = value;
    else if (name === "retry" && /^\d+$/.test(value)) block.retry = Number(value);
  };
  return (text) => {
    if (first && text) {
      if (text[0] === "\ufeff") text = text.slice(1);
      first = false;
    }
    rest += text;
    let at = 0;
    for (;;) {
      let end = at;
      while (end < rest.length && rest[end] !== "\n" && rest[end] !== "\r") end++;
      // A CR at the end may be the half of a CRLF.
      if (end === rest.length || (rest[end] === "\r" && end + 1 === rest.length)) break;
      line(rest.slice(at, end));
      at = end + (rest[end] === "\r" && rest[end + 1] === "\n" ? 2 : 1);
    }
    rest = rest.slice(at);
  };
}

const sleep = (ms, signal) =>
  new Promise((resolve) => {
    const done = () => (clearTimeout(timer), signal.removeEventListener("abort", done), resolve());
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });

// pause gives the page its turn; a timer would take a second in a hidden tab.
const pause = () =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => (port1.close(), resolve());
    port2.postMessage(0);
  });

// Ids of one log have the same beginning, and sort as their events do.
const sameLog = (a, b) => a.slice(0, 13) === b.slice(0, 13);

class Stream extends EventTarget {
  lastId = "";
  state = { state: "connecting" };
  #url;
  #options;
  #key;
  #abort = new AbortController();
  #attempt = null; // aborts the connection
  #wake = null;
  #retry = 1_000;
  #failures = 0;
  #heard = Date.now();
  #timer = 0;
  #queue = null; // of for await
  #taken = null; // resolves when the queue has room
  #waiting = []; // of those who iterate
  #channel = null;
  #tab = Math.random().toString(36).slice(2);
  #leads = false;
  #backlog = []; // what the leading tab has told
  #following = false; // has what the leading tab has
  #alone = false; // reads by itself, beside a tab that leads
  #caughtUp = false; // and need not any more

  constructor(url, options = {}) {
    super();
    const base = globalThis.location?.href;
    this.#url = new URL(url, base);
    for (const topic of options.topics ?? []) this.#url.searchParams.append("topic", topic);
    this.#options = { silence: 75_000, resume: true, share: true, ...options };
    const { resume, signal, lastEventId } = this.#options;
    this.#key = "sluice:" + (typeof resume === "string" ? resume : this.#url.href);
    this.lastId = lastEventId ?? ((resume !== false && this.#stored()) || "");
    signal?.addEventListener("abort", () => this.close(), { once: true });
    globalThis.addEventListener?.("online", this.#check);
    globalThis.document?.addEventListener("visibilitychange", this.#check);
    this.#timer = setInterval(this.#check, Math.min(5_000, this.#options.silence / 3));
    if (signal?.aborted) this.close();
    queueMicrotask(() => this.#begin()); // who listens from now on misses nothing
  }

  #begin() {
    const { share } = this.#options;
    if (this.#abort.signal.aborted) return;
    if (share !== false && globalThis.navigator?.locks && globalThis.BroadcastChannel) {
      const { from, last, since } = this.#options;
      this.#share(JSON.stringify(["sluice", typeof share === "string" ? share : "", this.#url.href, from, last, since]));
    } else this.#read();
  }

  close() { this.#stop({}); }

  [Symbol.asyncIterator]() {
    this.#queue ??= [];
    const done = { value: undefined, done: true };
    return {
      next: () => {
        if (this.#queue.length > 0) {
          const value = this.#queue.shift();
          if (this.#queue.length < QUEUE / 2) this.#taken?.();
          return Promise.resolve({ value, done: false });
        }
        if (this.#abort.signal.aborted) return Promise.resolve(done);
        return new Promise((resolve) => this.#waiting.push(resolve));
      },
      return: () => (this.close(), Promise.resolve(done)),
    };
  }

  #stored() {
    try { return sessionStorage.getItem(this.#key); } catch {} // there is none, or it is forbidden
  }

  #moved(id) {
    this.lastId = id;
    if (this.#options.resume === false) return;
    try { sessionStorage.setItem(this.#key, id); } catch {}
  }

  #tell(type, fields) { this.dispatchEvent(Object.assign(new Event(type), fields)); }

  #now(state, fields = {}) {
    this.state = { state, ...fields };
    this.#tell("state", this.state);
    if (this.#leads) this.#channel.postMessage({ state: this.state });
  }

  #stop(why) {
    if (this.#abort.signal.aborted) return;
    clearInterval(this.#timer);
    globalThis.removeEventListener?.("online", this.#check);
    globalThis.document?.removeEventListener("visibilitychange", this.#check);
    this.#now("closed", why);
    this.#abort.abort(); // gives the lock to another tab
    this.#attempt?.abort();
    this.#channel?.close();
    this.#taken?.();
    for (const resolve of this.#waiting.splice(0)) resolve({ value: undefined, done: true });
  }

  // A connection that died without a word looks open for ever: of a laptop that was
  // asleep, or behind a proxy that forgot it.
  #check = (event) => {
    if (event?.type === "online") this.#wake?.();
    if (Date.now() - this.#heard < this.#options.silence) return;
    this.#heard = Date.now();
    if (this.#attempt) this.#attempt.abort();
    else if (this.#channel && !this.#leads) this.#readAlone();
  };

  // take is a block, of our own connection or the leading tab's.
  #take(block) {
    this.#heard = Date.now();
    const { id, type = "message", data } = block;
    if (id) this.#moved(id);
    if (data === undefined) return;
    if (type === "heartbeat") return this.#tell(type, { data, id });
    if (type !== "system") return this.#event({ type, id, data });
    const system = JSON.parse(data);
    this.#tell(system.type, { system, id });
    if (system.type === "open" && system.resumed === "gap") this.#tell("gap", { system, id });
  }

  #event(event) {
    Object.defineProperty(event, "json", { value: () => JSON.parse(event.data) });
    const waiting = this.#waiting.shift();
    if (waiting) waiting({ value: event, done: false });
    else this.#queue?.push(event);
    this.dispatchEvent(Object.assign(new MessageEvent(event.type, { data: event.data, lastEventId: event.id }), { json: event.json }));
    this.#tell("*", { event });
    if (event.type === "end") this.#stop({ reason: "end" });
  }

  // read connects until there is nothing more to be had.
  async #read(alone = false) {
    const { signal } = this.#abort;
    for (;;) {
      const wait = await this.#once();
      if (signal.aborted || wait === undefined || (alone && (this.#leads || this.#caughtUp))) return;
      this.#now("waiting", wait);
      await Promise.race([sleep(wait.ms, signal), new Promise((resolve) => (this.#wake = resolve))]);
    }
  }

  // once is one connection. It gives how long to wait before the next one, and
  // nothing when there is to be none.
  async #once() {
    const attempt = (this.#attempt = new AbortController());
    let renewed = false;
    try {
      for (;;) {
        this.#now("connecting");
        const response = await fetch(this.#address(), { headers: await this.#headers(), cache: "no-store", credentials: this.#options.credentials ?? "same-origin", signal: attempt.signal });
        if (response.ok) return await this.#body(response, attempt);
        const refusal = await this.#refusal(response);
        if (response.status === 401 && typeof this.#options.token === "function" && !renewed) {
          renewed = true;
          continue;
        }
        if (response.status < 500 && response.status !== 408 && response.status !== 429) {
          this.#tell("refused", refusal);
          return this.#stop(refusal);
        }
        return { ...this.#backoff(refusal.retryAfter), ...refusal };
      }
    } catch (error) {
      return { ...this.#backoff(0), reason: attempt.signal.aborted ? "silent" : String(error?.message ?? error) };
    } finally {
      if (this.#attempt === attempt) this.#attempt = null;
    }
  }

  #address() {
    const url = new URL(this.#url);
    if (this.lastId) url.searchParams.set("last_event_id", this.lastId);
    else for (const name of ["from", "last", "since"]) if (this.#options[name] !== undefined) url.searchParams.set(name, this.#options[name]);
    return url;
  }

  async #headers() {
    const { token } = this.#options;
    const text = typeof token === "function" ? await token() : token;
    return { Accept: "text/event-stream", ...(text && { Authorization: "Bearer " + text }) };
  }

  async #refusal(response) {
    const text = (await response.text()).slice(0, 300);
    const { status } = response;
    const retryAfter = 1000 * Number(response.headers.get("Retry-After")) || 0;
    let said = { message: text.trim() };
    try { said = JSON.parse(text); } catch {}
    return { status, retryAfter, code: said.error, reason: said.message };
  }

  // A quarter to all of the time, so that not all come back at once.
  #backoff(least) {
    const longest = Math.min(LONGEST_MS, Math.max(1_000, this.#retry) * 2 ** this.#failures++);
    return { ms: Math.max(least, longest * (0.25 + 0.75 * Math.random())) };
  }

  // body reads blocks until the connection ends.
  async #body(response, attempt) {
    let told = null; // why the server ends it
    const parse = parser((block) => {
      if (attempt.signal.aborted || this.#abort.signal.aborted || (this.#alone && this.#caughtUp)) return;
      if (block.retry !== undefined) this.#retry = block.retry;
      if (block.type === "system") {
        const { type, reason } = JSON.parse(block.data);
        if (type !== "open" && type !== "gap") told = { type, reason };
        else if (type === "open") this.#now("open");
      }
      if (told?.type !== "busy") this.#failures = 0;
      this.#lead(block);
    });
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let began = performance.now();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.#abort.signal.aborted) break;
      this.#heard = Date.now(); // a comment is a sign of life too
      parse(decoder.decode(value, { stream: true }));
      if (this.#alone && this.#caughtUp) return attempt.abort();
      if (this.#queue?.length >= QUEUE) await new Promise((resolve) => (this.#taken = resolve));
      if (performance.now() - began > SLICE_MS) {
        await pause();
        began = performance.now();
      }
    }
    if (told?.type === "expired") return { ms: 0, reason: told.reason };
    if (told) return { ms: this.#retry, reason: told.reason };
    return { ...this.#backoff(0), reason: "cut" };
  }

  // lead takes a block of our own connection, and gives it to the other tabs.
  #lead(block) {
    const prev = this.lastId;
    this.#take(block);
    if (!this.#leads) return;
    const entry = { prev, block };
    this.#backlog.push(entry);
    if (this.#backlog.length > 2 * BACKLOG) this.#backlog.splice(0, BACKLOG);
    this.#channel.postMessage({ entries: [entry] });
  }

  // Of all tabs with the same stream one reads, which holds a lock. The others take
  // what it broadcasts: each block with the id before it, so a tab sees whether it
  // lacks something. What it lacks it asks for, or reads by itself.
  #share(name) {
    const { signal } = this.#abort;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    navigator.locks
      .request(name, { signal }, async () => {
        this.#leads = true;
        this.#attempt?.abort();
        await this.#read();
        if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
      })
      .catch(() => {}); // the end of signal
    this.#hello();
  }

  async #hello() {
    this.#channel.postMessage({ hello: this.#tab, from: this.lastId });
    await sleep(HELLO_MS, this.#abort.signal);
    if (!this.#leads && !this.#following && !this.#abort.signal.aborted) this.#readAlone();
  }

  #readAlone() {
    if (this.#alone || this.#leads) return;
    this.#alone = true;
    this.#caughtUp = this.#following = false;
    this.#read(true).finally(() => (this.#alone = false));
  }

  #hear(message) {
    if (this.#abort.signal.aborted) return;
    if (message.hello !== undefined) {
      if (this.#leads) this.#answer(message);
    } else if (message.to !== undefined && message.to !== this.#tab) return;
    else if (message.state) {
      if (!this.#leads && !this.#alone && message.state.state !== "closed") {
        this.state = message.state;
        this.#tell("state", this.state);
      }
    } else if (!this.#leads) this.#follow(message);
  }

  // answer gives a tab what it lacks, if that is kept.
  #answer({ hello, from }) {
    const { from: start, last, since } = this.#options;
    const fresh = !from && start === undefined && last === undefined && since === undefined;
    const at = fresh || from === this.lastId ? this.#backlog.length : this.#backlog.findIndex(({ prev }) => prev === from);
    if (!this.lastId || at < 0) return;
    this.#channel.postMessage({ to: hello, position: fresh ? this.lastId : from, entries: this.#backlog.slice(at), live: this.state });
  }

  #follow({ position, entries, live }) {
    if (this.#queue?.length >= 2 * QUEUE) {
      this.#following = false;
      return this.#readAlone(); // at its own pace
    }
    if (position && !this.lastId) this.#moved(position);
    for (const { prev, block } of entries) {
      if (!this.#joins(prev)) {
        if (this.#following) {
          this.#following = false;
          this.#hello();
        }
        return;
      }
      this.#following = true;
      if (!block.id || block.id > this.lastId || !sameLog(block.id, this.lastId)) this.#take(block);
    }
    if (position || entries.length > 0) {
      this.#following = true;
      this.#heard = Date.now();
      if (this.#alone) this.#caughtUp = true;
    }
    if (live && !this.#alone) {
      this.state = live;
      this.#tell("state", live);
    }
  }

  // joins reports whether nothing lies between our position and what follows prev.
  #joins(prev) {
    return prev === this.lastId || (prev !== "" && this.lastId !== "" && sameLog(prev, this.lastId) && prev < this.lastId);
  }
}
