// Timers of a processor, which is called again when time has come so far:
//
//   import { emit, processEach } from "../sdk/millstream.js";
//   import { eventTime, timerEach } from "../sdk/timers.js";
//
//   export const processor = processEach((record) => eventTime.set(record.key, record.timestamp + 60_000));
//   export const onTimer = timerEach((timer) => emit({ key: timer.name, value: "a minute later" }));
//
// package.json says so: "millstream": { "world": "timed-processor" }. What is set and cancelled commits together with the
// outputs of the call, or not at all.

import { cancel, now, set } from "millstream:functions/timers@0.1.0";
import { at, bytesOf, checked, integer, isBytes, outputsOf, textOf, thrown } from "./millstream.js";

/** Bytes, or text as UTF-8; at most 1024 bytes. @typedef {string | Uint8Array} Name */

/** What moves timers on. */
class Clock {
  #clock;

  /** @param {"event-time" | "wall"} clock */
  constructor(clock) {
    this.#clock = clock;
  }

  /**
   * Sets the timer of this name, or moves it. It fires once, after the call in which this clock has reached `at`; at once
   * when it is there already.
   * @param {Name} name @param {number} at milliseconds since 1970
   */
  set(name, at) {
    if (!Number.isSafeInteger(at)) throw new TypeError(`a timer's time has to be whole milliseconds, not ${at}`);
    set(this.#clock, nameOf(name), integer(at));
  }

  /** One that is not set is no error. @param {Name} name */
  cancel(name) {
    cancel(this.#clock, nameOf(name));
  }

  /**
   * Milliseconds since 1970, fixed while a call lasts. Of `eventTime` it is the watermark: no record before it is expected any
   * more, except late ones; null before there is one.
   */
  now() {
    const found = now(this.#clock) ?? null;
    return found === null ? null : Number(found);
  }
}

/** Moved by the timestamps of the records, as the task's watermark. */
export const eventTime = new Clock("event-time");

/** The server's clock. */
export const wall = new Clock("wall");

/** A timer that is due. */
export class Timer {
  /** @param {Due} due */
  constructor(due) {
    /** What it went by: `eventTime` or `wall`. */
    this.clock = due.clock === "wall" ? wall : eventTime;
    /** As it was set. */
    this.nameBytes = due.name;
    /** As it was set, in milliseconds since 1970. */
    this.at = Number(due.at);
  }

  /** As it was set, as text; null when it is none. */
  get name() {
    return textOf(this.nameBytes);
  }
}

/**
 * What a processor exports as `onTimer`: asks `each` what a timer that is due leads to, which is `emit(…)` or nothing. An
 * output without a timestamp has the time of the last timer of the call. What `each` throws, or `reject(…)`, is a fault of
 * that timer; `on_error` of the deployment decides about it.
 * @param {(timer: Timer) => import("./millstream.js").Verdict | undefined | void} each
 */
export const timerEach = (each) => ({
  /** @param {Due[]} due */
  onTimer(due) {
    /** @type {Output[]} */
    const outputs = [];
    due.forEach((timer, index) => {
      at(index, () => {
        const verdict = checked(each(new Timer(timer)));
        if (verdict?.tag === "reject") throw verdict.val;
        if (verdict?.tag === "keep") throw new TypeError("keep is for records; a timer leads to emit(…) or to nothing");
        outputs.push(.../** @type {Output[]} */ (verdict?.val ?? []));
      });
    });
    return outputs;
  },
});

/**
 * The same for timers together, at most 256 of one clock, sorted by time: for whoever reads and writes many keys at once. What
 * `all` throws makes the server try again with fewer timers, until the one that fails stands alone.
 * @param {(timers: Timer[]) => Output[]} all gives what `output(…)` makes
 */
export const timerBatch = (all) => ({
  /** @param {Due[]} due */
  onTimer: (due) => thrown(() => outputsOf(all(due.map((timer) => new Timer(timer))))),
});

/** @param {Name} name */
function nameOf(name) {
  if (typeof name === "string" || isBytes(name)) return bytesOf(name);
  throw new TypeError(`a timer's name has to be text or bytes, not ${name}`);
}

/** @typedef {import("millstream:functions/types@0.1.0").Output} Output */
/** @typedef {import("millstream:functions/timers@0.1.0").Due} Due */
