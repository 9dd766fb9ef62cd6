// A native EventSource that does not give up. The browser reconnects by itself
// after a cut, but stops for good on any answer but 200 (WHATWG HTML, 9.2.3);
// this class then asks the server why, waits, and opens a new one that resumes
// after the last id it saw.

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;
const SILENCE_MS = 100_000; // three heartbeats of 30 s and some
const EXPLAIN_MS = 5_000;

// Where to start. A cursor replaces them once there is one.
const START_PARAMETERS = ["last_event_id", "since", "last"];

export class ResumingSource {
  lastId = "";
  #url;
  #types;
  #onevent;
  #onstate;
  #source = null;
  #timer = 0;
  #watch = 0;
  #failures = 0;
  #closed = false;
  #heard = 0; // when the last event came, by performance.now()
  #heartbeat = 0;
  #silence = SILENCE_MS;

  // url is the stream with its parameters; types are the event types to listen
  // to besides system and heartbeat. onevent gets each MessageEvent, onstate a
  // state and what is known about it:
  //   connecting, open, reconnecting (by the browser),
  //   waiting {ms, reason} (by this class), stopped {reason}, closed
  constructor(url, { types = ["data"], onevent, onstate }) {
    this.#url = new URL(url);
    this.#types = new Set([...types, "system", "heartbeat"]);
    this.#onevent = onevent;
    this.#onstate = onstate;
    this.#watch = setInterval(() => this.#checkSilence(), 5_000);
    addEventListener("online", this.#online);
    this.#open();
  }

  close() {
    this.#end();
    this.#onstate("closed", {});
  }

  #end() {
    this.#closed = true;
    clearInterval(this.#watch);
    clearTimeout(this.#timer);
    removeEventListener("online", this.#online);
    this.#source?.close();
  }

  #online = () => {
    if (this.#source === null) this.#open();
  };

  #open() {
    clearTimeout(this.#timer);
    this.#source?.close();
    const url = new URL(this.#url);
    if (this.lastId) {
      for (const name of START_PARAMETERS) url.searchParams.delete(name);
      url.searchParams.set("last_event_id", this.lastId);
    }
    const source = new EventSource(url);
    this.#source = source;
    this.#heard = performance.now();
    this.#onstate("connecting", {});
    for (const type of this.#types) source.addEventListener(type, (event) => this.#event(event));
    source.onopen = () => this.#onstate("open", {});
    source.onerror = () => {
      if (this.#closed || source !== this.#source) return;
      if (source.readyState === EventSource.CLOSED) this.#recreate(url);
      else this.#onstate("reconnecting", {});
    };
  }

  #event(event) {
    const now = performance.now();
    this.#heard = now;
    this.#failures = 0;
    if (event.lastEventId) this.lastId = event.lastEventId;
    if (event.type === "heartbeat") {
      // A server with rarer heartbeats is given its own measure.
      if (this.#heartbeat) this.#silence = Math.max(SILENCE_MS, 3 * (now - this.#heartbeat));
      this.#heartbeat = now;
    }
    this.#onevent(event);
  }

  // A connection that died without a word looks open for ever.
  #checkSilence() {
    if (this.#source === null || performance.now() - this.#heard < this.#silence) return;
    this.#onstate("reconnecting", {});
    this.#open();
  }

  async #recreate(url) {
    this.#source = null;
    const { final, reason, waitMs } = await explain(url);
    if (this.#closed || this.#source !== null) return;
    if (final) {
      this.#end();
      this.#onstate("stopped", { reason });
      return;
    }
    const backoff = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#failures++);
    const ms = Math.max(waitMs, backoff * (0.5 + Math.random() / 2));
    this.#onstate("waiting", { ms, reason });
    this.#timer = setTimeout(() => this.#open(), ms);
  }
}

// words are what a refusal's body has for people: the error of a JSON object,
// else the body itself.
function words(body) {
  try {
    const { error, message } = JSON.parse(body);
    return String(message ?? error ?? body);
  } catch {
    return body.trim();
  }
}

// explain asks once more with fetch, which unlike EventSource shows the answer.
async function explain(url) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), EXPLAIN_MS);
  try {
    const answer = await fetch(url, {
      headers: { Accept: "text/event-stream" },
      cache: "no-store",
      signal: abort.signal,
    });
    if (answer.ok) return { final: false, reason: "", waitMs: 0 };
    const wait = Number(answer.headers.get("Retry-After"));
    const text = words(await answer.text()).slice(0, 300);
    return {
      final: answer.status >= 400 && answer.status < 500 && answer.status !== 408 && answer.status !== 429,
      reason: `${answer.status} ${text}`.trim(),
      waitMs: wait > 0 ? wait * 1000 : 0,
    };
  } catch {
    return { final: false, reason: "the server does not answer", waitMs: 0 };
  } finally {
    clearTimeout(timer);
    abort.abort();
  }
}
