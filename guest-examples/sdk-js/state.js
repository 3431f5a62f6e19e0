// Keyed memory of a processor:
//
//   import { Store } from "../sdk/state.js";
//
//   const counts = new Store("counts");
//   const count = (counts.json(record.key) ?? 0) + 1;
//   counts.put(record.key, count);
//
// What is put commits together with the outputs of the batch and its position, or not at all.

import { Store as Handle } from "millstream:functions/state@0.1.0";
import { bytesOf, isBytes, textOf } from "./millstream.js";

/** Bytes, or text as UTF-8. @typedef {string | Uint8Array} Key */

/** A named store of the deployment. Keys are ordered bytewise. */
export class Store {
  #name;
  /** @type {Handle | undefined} */
  #handle;

  /** Opened at its first use, so that it may stand at the top of a file. @param {string} name */
  constructor(name) {
    this.#name = name;
  }

  get #open() {
    return (this.#handle ??= new Handle(this.#name));
  }

  /** Bytes, or null. @param {Key} key */
  get(key) {
    return this.#open.get(keyOf(key)) ?? null;
  }

  /** Text; null when there is none, and for what is no UTF-8. @param {Key} key */
  text(key) {
    return textOf(this.get(key));
  }

  /** What was put as JSON; undefined when there is nothing. @param {Key} key @returns {any} */
  json(key) {
    return parsed(this.get(key));
  }

  /** One answer per key, in order: bytes, or null. @param {Key[]} keys */
  getMany(keys) {
    return this.#open.getMany(keys.map(keyOf)).map((found) => found ?? null);
  }

  /** One answer per key, in order: what was put as JSON, or undefined. @param {Key[]} keys @returns {any[]} */
  jsonMany(keys) {
    return this.#open.getMany(keys.map(keyOf)).map(parsed);
  }

  /** Text, bytes, or anything else as JSON. @param {Key} key @param {unknown} value */
  put(key, value) {
    this.#open.put(keyOf(key), bytesOf(value));
  }

  /** @param {Key} key */
  delete(key) {
    this.#open.delete(keyOf(key));
  }

  /** null deletes. @param {Iterable<readonly [Key, unknown]>} entries */
  putMany(entries) {
    this.#open.putMany(Array.from(entries, ([key, value]) => [keyOf(key), value === null ? null : bytesOf(value)]));
  }

  /**
   * Entries in the order of their keys, as [bytes, bytes].
   * @param {{ start?: Key, end?: Key, limit?: number }} [range] from `start` on, before `end`
   */
  scan({ start = "", end, limit = 1000 } = {}) {
    return this.#open.scan(keyOf(start), end === undefined ? null : keyOf(end), limit);
  }
}

/** @param {Uint8Array | null | undefined} found */
function parsed(found) {
  const text = textOf(found);
  return text === null ? undefined : JSON.parse(text);
}

/** @param {Key} key */
function keyOf(key) {
  if (typeof key === "string" || isBytes(key)) return bytesOf(key);
  throw new TypeError(`a key has to be text or bytes, not ${key}`);
}
