// Write code for Millstream as plain functions. A transform judges one record at a time, before it is stored:
//
//   import { drop, eachRecord, emit, keep, reject } from "../sdk/millstream.js";
//
//   export const transform = eachRecord((record) => (record.text() === "heartbeat" ? drop : keep));
//
// The contract behind it is wit/millstream.wit. There is no network, no file, no clock and no randomness.

import { get } from "millstream:functions/config@0.1.0";
import { write } from "millstream:functions/log@0.1.0";

/** Verdict: pass the record on as it is. */
export const keep = { tag: "keep" };

/** Verdict: leave the record out. */
export const drop = { tag: "drop" };

/** Verdict: refuse the record, with a reason for its producer. */
export const reject = (reason) => ({ tag: "reject", val: String(reason) });

/**
 * Verdict: these records instead. Each is an object of `key`, `value`, `headers`, `timestamp` and `topic` (a route of
 * the deployment); what is left out is as the record has it. A value is text, bytes (Uint8Array), null (a tombstone), or
 * anything else as JSON. Headers are an object or a list of [name, value].
 */
export const emit = (...outputs) => ({ tag: "emit", val: outputs.map(output) });

/**
 * The transform that asks `judge` for a verdict on every record. `open` runs once per instance, before the first record:
 * read parameters there. What it throws stops the deployment; what `judge` throws is a fault of that record.
 */
export const eachRecord = (judge, open = () => {}) => ({
  open() {
    try {
      open();
    } catch (error) {
      throw words(error);
    }
  },
  process(batch) {
    const verdicts = new Array(batch.length);
    for (let index = 0; index < batch.length; index += 1) {
      try {
        verdicts[index] = judge(new Record(batch[index])) ?? keep;
      } catch (error) {
        throw { tag: "at", val: [index, words(error)] };
      }
    }
    return verdicts;
  },
});

/** A parameter of the deployment as text, or what stands in for it. Only while code runs, not while it is built. */
export const param = (name, otherwise = null) => get(name) ?? otherwise;

/** Lines for the deployment's log, by level; `console.log` is the same. */
export const log = Object.fromEntries(
  ["trace", "debug", "info", "warn", "error"].map((level) => [
    level,
    (...parts) => write(level, parts.map(words).join(" ")),
  ]),
);
globalThis.console = { ...log, log: log.info };

/** A record as the code sees it. */
export class Record {
  #input;

  constructor(input) {
    this.#input = input;
  }

  /** Index of its topic among the deployment's inputs. */
  get topic() {
    return this.#input.topic;
  }

  get partition() {
    return this.#input.partition;
  }

  /** Before it is stored, its index in its batch. */
  get offset() {
    return this.#input.offset;
  }

  /** Milliseconds since 1970. */
  get timestamp() {
    return this.#input.message.timestamp;
  }

  /** The key as text; null when there is none, or when it is no text. */
  get key() {
    return decode(this.#input.message.key);
  }

  /** The key as bytes, or null. */
  get keyBytes() {
    return this.#input.message.key ?? null;
  }

  /** The value as bytes; null is a tombstone. */
  get bytes() {
    return this.#input.message.value ?? null;
  }

  /** The value as text; null for a tombstone, and for what is no UTF-8. */
  text() {
    return decode(this.#input.message.value);
  }

  /** The value as JSON; undefined for a tombstone, and for what is no JSON. */
  json() {
    const text = this.text();
    if (text === null) return undefined;
    try {
      return JSON.parse(text);
    } catch {
      return undefined;
    }
  }

  /** The first header of this name as text; null when it has no value or is no text; undefined when there is none. */
  header(name) {
    const found = this.#input.message.headers.find((header) => header.name === name);
    return found === undefined ? undefined : decode(found.value);
  }

  /** All headers, as [name, bytes or null]. */
  get headers() {
    return this.#input.message.headers.map(({ name, value }) => [name, value ?? null]);
  }
}

function output({ key, value, headers, timestamp = null, topic = null }) {
  return { source: null, topic, key: content(key), value: content(value), timestamp, headers: listed(headers) };
}

function content(value) {
  if (value === undefined) return { tag: "source" };
  if (value === null) return { tag: "null" };
  return { tag: "bytes", val: bytesOf(value) };
}

function listed(headers) {
  if (headers === undefined) return null;
  const pairs = Array.isArray(headers) ? headers : Object.entries(headers);
  return pairs.map(([name, value]) => ({ name, value: value === null ? null : bytesOf(value) }));
}

function bytesOf(value) {
  if (value instanceof Uint8Array) return value;
  return encode(typeof value === "string" ? value : JSON.stringify(value));
}

// QuickJS has no TextEncoder and no TextDecoder, and a loop over bytes takes ten times as long as these built-in
// functions, which between them do the same.
const beyondAscii = /[\x80-\xff]/;
const beyondLatin = /[^\x00-\x7f]/;

function decode(bytes) {
  if (bytes === null || bytes === undefined) return null;
  const latin = atob(bytes.toBase64());
  if (!beyondAscii.test(latin)) return latin;
  try {
    return decodeURIComponent(escape(latin));
  } catch {
    return null;
  }
}

function encode(text) {
  const latin = beyondLatin.test(text) ? unescape(encodeURIComponent(text.toWellFormed())) : text;
  return Uint8Array.fromBase64(btoa(latin));
}

function words(part) {
  if (typeof part === "string") return part;
  if (part instanceof Error) return part.stack ? `${part}\n${part.stack.trimEnd()}` : String(part);
  return JSON.stringify(part) ?? String(part);
}
