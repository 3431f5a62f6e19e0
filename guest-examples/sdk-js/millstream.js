// Write code for Millstream as plain functions. A transform judges one record at a time, before it is stored:
//
//   import { drop, eachRecord, keep } from "../sdk/millstream.js";
//
//   export const transform = eachRecord((record) => (record.text() === "heartbeat" ? drop : keep));
//
// A processor turns records into state and outputs, topic to topic; its stores are in sdk/state.js, its timers in
// sdk/timers.js:
//
//   import { emit, processEach } from "../sdk/millstream.js";
//
//   export const processor = processEach((record) => emit({ value: { seen: record.json() } }));
//
// Queries over its stores are in sdk/query.js. A sink delivers records to the outside, a source brings them from there:
// sdk/sink.js, sdk/source.js and, for their requests, sdk/http.js.
//
// The contract behind all of them is wit/millstream.wit. There is no other network and no file, and nothing to wait for: no
// function here may be `async`.

import { get } from "millstream:functions/config@0.1.0";
import { write } from "millstream:functions/log@0.1.0";

/**
 * A key, a value of a record, or that of a header: text, bytes, null, or anything else as JSON.
 * @typedef {unknown} Value
 */

/**
 * What is emitted; what is left out is as the record has it.
 * @typedef {object} Fields
 * @property {Value} [key]
 * @property {Value} [value] null is a tombstone
 * @property {{ [name: string]: Value } | Array<[string, Value]>} [headers]
 * @property {number} [timestamp] milliseconds since 1970
 * @property {string} [topic] a route of the deployment
 */

/** What code says of a record; made by `keep`, `drop`, `reject` and `emit`. */
export class Verdict {
  /** @param {string} tag @param {unknown} [val] */
  constructor(tag, val) {
    this.tag = tag;
    this.val = val;
  }
}

/** Verdict: pass the record on as it is. */
export const keep = new Verdict("keep");

/** Verdict: leave the record out. */
export const drop = new Verdict("drop");

/** Verdict: refuse the record, with a reason for its producer. @param {string} reason */
export const reject = (reason) => new Verdict("reject", String(reason));

/** Verdict: these records instead. @param {Fields[]} outputs */
export const emit = (...outputs) => new Verdict("emit", outputs.map((fields) => output(fields)));

/** To be thrown when all that is at hand is to come again, later. */
export class Retry extends Error {}

/**
 * The transform that asks `judge` for a verdict on every record; none is `keep`. `open` runs once per instance, before the
 * first record: read parameters there. What it throws stops the deployment; what `judge` throws is a fault of that record.
 * @param {(record: Record) => Verdict | undefined | void} judge
 * @param {() => void} [open]
 */
export const eachRecord = (judge, open) => ({
  open: opening(open),
  /** @param {Input[]} batch */
  process: (batch) =>
    batch.map((input, index) => at(index, () => checked(judge(new Record(input, index))) ?? keep)),
});

/**
 * The processor that asks `each` what a record leads to: `emit(…)`, `keep` (the record itself), or nothing. What `each`
 * throws is a fault of that record, and so is `reject(…)`; `on_error` of the deployment decides about it.
 * @param {(record: Record) => Verdict | undefined | void} each
 * @param {() => void} [open] once per instance, before the first record
 */
export const processEach = (each, open) => ({
  open: opening(open),
  /** @param {Input[]} batch */
  process(batch) {
    /** @type {Output[]} */
    const outputs = [];
    batch.forEach((input, index) => {
      at(index, () => {
        const verdict = checked(each(new Record(input, index)));
        if (verdict?.tag === "reject") throw verdict.val;
        if (verdict === keep) outputs.push(output({}, index));
        else for (const made of /** @type {Output[]} */ (verdict?.val ?? [])) outputs.push({ ...made, source: index });
      });
    });
    return outputs;
  },
});

/**
 * The processor that takes its records together, for whoever reads and writes many keys at once. What `all` throws makes
 * the server try again with fewer records, until the one that fails stands alone.
 * @param {(records: Record[]) => Output[]} all gives what `output(…)` makes
 * @param {() => void} [open] once per instance, before the first record
 */
export const processBatch = (all, open) => ({
  open: opening(open),
  /** @param {Input[]} batch */
  process: (batch) => thrown(() => outputsOf(all(batch.map((input, index) => new Record(input, index))))),
});

/**
 * An output for `processBatch`, and for `timerBatch` of sdk/timers.js.
 * @param {Fields} fields
 * @param {Record | number} [record] it comes from; what is left out is taken from there
 * @returns {Output}
 */
export function output(fields, record) {
  if (typeof fields !== "object" || fields === null) {
    throw new TypeError(`an object such as { value: "text" } is expected, not ${kind(fields)}`);
  }
  for (const name in fields) {
    if (!FIELDS.includes(name)) throw new TypeError(`\`${name}\` is none of ${FIELDS.join(", ")}`);
  }
  const { key, value, headers, timestamp, topic } = fields;
  if (timestamp !== undefined && !Number.isSafeInteger(timestamp)) {
    throw new TypeError(`timestamp has to be whole milliseconds, not ${kind(timestamp)}`);
  }
  if (topic !== undefined && typeof topic !== "string") throw new TypeError(`topic has to be text, not ${kind(topic)}`);
  return {
    source: record instanceof Record ? record.index : record ?? null,
    topic: topic ?? null,
    key: content(key),
    value: content(value),
    timestamp: timestamp === undefined ? null : integer(timestamp),
    headers: listed(headers),
  };
}

const FIELDS = ["key", "value", "headers", "timestamp", "topic"];

/**
 * A parameter of the deployment as text, or what stands in for it. Only while code runs, not while it is built.
 * @template [T=null]
 * @param {string} name
 * @param {T} [otherwise]
 * @returns {string | T}
 */
export const param = (name, otherwise) => get(name) ?? otherwise ?? /** @type {T} */ (null);

/**
 * A parameter that the deployment has to give, as text; throws when it does not.
 * @param {string} name
 * @returns {string}
 */
export function required(name) {
  const value = param(name);
  if (value === null) throw new Error(`parameter \`${name}\` is missing`);
  return value;
}

/** Lines for the deployment's log, by level; `console` is the same. */
export const log = {
  trace: writer("trace"),
  debug: writer("debug"),
  info: writer("info"),
  warn: writer("warn"),
  error: writer("error"),
};

/** @param {"trace" | "debug" | "info" | "warn" | "error"} level */
function writer(level) {
  /** @param {unknown[]} parts */
  return (...parts) => write(level, parts.map(words).join(" "));
}

/** A record as the code sees it. */
export class Record {
  /** @type {Input} */
  #input;

  /** @param {Input} input @param {number} index */
  constructor(input, index) {
    this.#input = input;
    /** Its place in the batch. */
    this.index = index;
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
    return Number(this.#input.offset);
  }

  /** Milliseconds since 1970. */
  get timestamp() {
    return Number(this.#input.message.timestamp);
  }

  /** The key as text; null when there is none, or when it is no text. */
  get key() {
    return textOf(this.#input.message.key);
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
    return textOf(this.#input.message.value);
  }

  /**
   * The value as JSON; undefined for a tombstone, and for what is no JSON.
   * @returns {any}
   */
  json() {
    const text = this.text();
    if (text === null) return undefined;
    try {
      return JSON.parse(text);
    } catch {
      return undefined;
    }
  }

  /**
   * The first header of this name as text; null when it has no value or is no text; undefined when there is none.
   * @param {string} name
   */
  header(name) {
    const found = this.#input.message.headers.find((header) => header.name === name);
    return found === undefined ? undefined : textOf(found.value);
  }

  /** All headers, as [name, bytes or null]. @returns {Array<[string, Uint8Array | null]>} */
  get headers() {
    return this.#input.message.headers.map(({ name, value }) => [name, value ?? null]);
  }
}

/** Text of bytes; null for null, and for what is no UTF-8. @param {Uint8Array | null | undefined} bytes */
export function textOf(bytes) {
  return bytes === null || bytes === undefined ? null : decode(bytes);
}

/**
 * Whether it is bytes: StarlingMonkey hands over some whose class is not that of this code.
 * @param {any} value @returns {value is Uint8Array}
 */
export function isBytes(value) {
  return value instanceof Uint8Array || value?.[Symbol.toStringTag] === "Uint8Array";
}

/** Bytes of text, of bytes, or of anything else as JSON. @param {unknown} value @returns {Uint8Array} */
export function bytesOf(value) {
  if (typeof value === "string") return encode(value);
  if (isBytes(value)) return value;
  const json = JSON.stringify(value);
  if (json === undefined) throw new TypeError(`${kind(value)} cannot be written as JSON`);
  return encode(json);
}

/** @param {Value} value @returns {import("millstream:functions/types@0.1.0").Content} */
function content(value) {
  if (value === undefined) return { tag: "source" };
  if (value === null) return { tag: "null" };
  return { tag: "bytes", val: bytesOf(value) };
}

/** @param {Fields["headers"]} headers */
function listed(headers) {
  if (headers === undefined) return null;
  if (typeof headers !== "object") throw new TypeError(`headers have to be an object or a list, not ${kind(headers)}`);
  const pairs = Array.isArray(headers) ? headers : Object.entries(headers);
  return pairs.map(([name, value]) => ({ name: String(name), value: value === null ? null : bytesOf(value) }));
}

// --- for the other files of the SDK

/** What a batch leads to. @param {unknown} outputs @returns {Output[]} */
export function outputsOf(outputs) {
  if (!Array.isArray(outputs)) throw new TypeError(`a list of output(…) is expected, not ${kind(outputs)}`);
  for (const made of outputs) {
    if (!("key" in Object(made) && "source" in made)) throw new TypeError(`output(…) is expected, not ${kind(made)}`);
  }
  return outputs;
}

/** Runs code for a batch, whose fault as a whole it is what it throws. @template T @param {() => T} code */
export function thrown(code) {
  try {
    return code();
  } catch (error) {
    throw fault(error) ?? { tag: "fatal", val: words(error) };
  }
}

/**
 * Runs code for one record or timer, whose fault it is what it throws.
 * @template T @param {number} index @param {() => T} code
 */
export function at(index, code) {
  try {
    return code();
  } catch (error) {
    throw fault(error) ?? { tag: "at", val: [index, words(error)] };
  }
}

/** @param {unknown} error */
const fault = (error) => (error instanceof Retry ? { tag: "retry", val: error.message } : undefined);

/** @param {(() => void) | undefined} open */
export function opening(open = () => {}) {
  return () => {
    try {
      reseed();
      waited(open());
    } catch (error) {
      throw words(error);
    }
  };
}

/** What code gives, which may be no promise. @template T @param {T} answer @returns {T} */
export function waited(answer) {
  if (!(answer instanceof Promise)) return answer;
  throw new TypeError("a function that Millstream calls cannot be `async`: nothing here has to be waited for");
}

/** @param {unknown} verdict @returns {Verdict | undefined} */
export function checked(verdict) {
  if (verdict instanceof Verdict) return verdict;
  if (verdict === undefined || verdict === null) return undefined;
  waited(verdict);
  throw new TypeError(`keep, drop, reject(reason) or emit({ … }) is expected, not ${kind(verdict)}`);
}

/** What a value is, for messages. @param {unknown} value */
export function kind(value) {
  if (typeof value === "string") return `the text ${JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)}`;
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return `an object with ${Object.keys(value).slice(0, 5).join(", ") || "nothing in it"}`;
  return typeof value === "function" ? "a function" : String(value);
}

/** What is thrown or logged, as text. @param {unknown} part @returns {string} */
export function words(part) {
  if (typeof part === "string") return part;
  if (part instanceof Error) return [String(part), ...frames(part.stack ?? "")].join("\n");
  try {
    return JSON.stringify(part) ?? String(part);
  } catch {
    return String(part);
  }
}

/** How many lines of a stack are of use. */
const FRAMES_MAX = 12;

/**
 * The calls of a stack that are the user's, at their places in the sources. `millstream module build` has left a table
 * beside the code: from which line of the bundle on the lines are those of which file, beginning at which line.
 * @param {string} stack of QuickJS (`    at f (file:1:2)`) or SpiderMonkey (`f@file:1:2`)
 */
function frames(stack) {
  const table = globalThis.millstreamPositions;
  if (!table) return stack.trimEnd().split("\n");
  const found = [];
  for (const line of stack.split("\n")) {
    const [, name = "", text = ""] = /^(?:\s+at )?(.*?)(?:\s*\(|@|\s)[^\s(@]*\.js:(\d+):\d+\)?$/.exec(line) ?? [];
    const run = table.lines.findLast(([first]) => first <= Number(text));
    const file = run && table.files[run[1]];
    if (!file || OWN.test(file)) continue;
    found.push(`    at ${name || "<anonymous>"} (${file}:${Number(text) - run[0] + run[2]})`);
  }
  const more = found.length - FRAMES_MAX;
  return more > 0 ? [...found.slice(0, FRAMES_MAX), `    … ${more} more`] : found;
}

/** Files of this SDK. */
const OWN = /(^|\/)sdk(-js)?\/\w+\.js$/;

// --- what differs between the engines: QuickJS has no TextEncoder and no TextDecoder, SpiderMonkey takes 64-bit
// integers as BigInt only.

const starlingmonkey = typeof TextDecoder === "function";
const decoder = starlingmonkey ? new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }) : null;
const encoder = starlingmonkey ? new TextEncoder() : null;
/** @type {(value: number) => number | bigint} */
export const integer = starlingmonkey ? BigInt : (value) => value;

// A loop over bytes takes ten times as long as these built-in functions, which between them do the same.
const beyondAscii = /[\x80-\xff]/;
const beyondLatin = /[^\x00-\x7f]/;

/** @param {Uint8Array} bytes */
function decode(bytes) {
  try {
    if (decoder) return decoder.decode(bytes);
    const latin = atob(bytes.toBase64());
    return beyondAscii.test(latin) ? decodeURIComponent(escape(latin)) : latin;
  } catch {
    return null;
  }
}

/** @param {string} text */
function encode(text) {
  if (encoder) return encoder.encode(text);
  const latin = beyondLatin.test(text) ? unescape(encodeURIComponent(text.toWellFormed())) : text;
  return Uint8Array.fromBase64(btoa(latin));
}

/**
 * An engine's memory is kept as it is when the module is built, with the seed of Math.random: without this, all instances
 * of QuickJS would draw the same numbers.
 */
function reseed() {
  if (starlingmonkey) return;
  // splitmix32
  let state = (Date.now() ^ (performance.now() * 1e6)) >>> 0;
  Math.random = () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}

globalThis.console = /** @type {any} */ ({ ...log, log: log.info });
// They would wait for ever, or abort without a word: nobody runs an event loop here.
for (const name of ["fetch", "setTimeout", "setInterval"]) Reflect.deleteProperty(globalThis, name);

/** @typedef {import("millstream:functions/types@0.1.0").Input} Input */
/** @typedef {import("millstream:functions/types@0.1.0").Output} Output */
