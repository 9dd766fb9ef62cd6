/** How to read a stream. */
export interface Options {
  /** Topic filters, such as "metric.>"; none is everything that is allowed. */
  topics?: string[];
  /** A token, or what gets one; it is asked for before each connection, and once more after a 401. */
  token?: string | (() => string | undefined | Promise<string | undefined>);
  /** Where to begin without a cursor: all that is kept. */
  from?: "start";
  /** Or the newest so many events in the server's memory. */
  last?: number;
  /** Or since a time (RFC 3339, Unix seconds), or for a duration such as "10m". */
  since?: string;
  /** The id to begin after; before what is kept over a reload. */
  lastEventId?: string;
  /** Keep the cursor over a reload, in sessionStorage (default: true), under a name of its own; false begins anew. */
  resume?: boolean | string;
  /** One connection for all tabs with the same URL, topics and beginning (default: true); a text keeps tabs with another one apart, such as those of another user. */
  share?: boolean | string;
  /** How long, in milliseconds, nothing may come before the connection is taken for dead (default: 75000); more than twice HEARTBEAT_INTERVAL. */
  silence?: number;
  /** As in fetch (default: "same-origin"). */
  credentials?: RequestCredentials;
  /** Ends the stream, as close does. */
  signal?: AbortSignal;
}

/** One event. Data is JSON as text; json() reads it. */
export interface StreamEvent {
  type: string;
  id: string;
  data: string;
  json(): unknown;
}

/** What a stream does: waiting has ms and reason, closed the reason (none after close()). */
export interface State {
  state: "connecting" | "open" | "waiting" | "closed";
  ms?: number;
  reason?: string;
  status?: number;
  code?: string;
}

/**
 * A stream that goes on until close(), an event of the type "end", or a refusal for
 * good. Every event comes once, in the order of the log, over cuts, restarts and
 * reloads, or a "gap" says what is missing.
 *
 * It fires a MessageEvent for each event under its type, and "*" with `event` for
 * every one. Of its own are: "open", "gap", "expired", "drain" and "busy" with
 * `system`, what the server says; "heartbeat"; "state" with the fields of State; and
 * "refused" with status, code and reason before it closes for good.
 *
 * `for await` gives the events too, and reads no faster than it is asked.
 */
export interface Stream extends EventTarget, AsyncIterable<StreamEvent> {
  /** The id after which it would go on. */
  readonly lastId: string;
  readonly state: State;
  close(): void;
}

export function connect(url: string | URL, options?: Options): Stream;

/** The parser alone: emit gets each complete block of the text that the result is fed. */
export function parser(emit: (block: { id?: string; type?: string; data?: string; retry?: number }) => void): (text: string) => void;
