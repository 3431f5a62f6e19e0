// A sink delivers records to the outside:
//
//   import { request } from "../sdk/http.js";
//   import { Retry, reject } from "../sdk/millstream.js";
//   import { deliverEach } from "../sdk/sink.js";
//
//   export const sink = deliverEach((record) => {
//     const answer = request("https://hooks.example.com", { method: "POST", body: record.bytes });
//     if (answer.status >= 500) throw new Retry(`the answer was ${answer.status}`);
//     if (!answer.ok) return reject(`the answer was ${answer.status}`);
//   });
//
// package.json says so: "millstream": { "world": "http-sink" }. A record may come again after a crash: at least once.

import { Record, at, checked, opening, thrown, waited } from "./millstream.js";

/**
 * The sink that has `each` deliver a record; when it returns nothing, the record has arrived. What it throws, or
 * `reject(…)`, is a fault of that record, about which `on_error` of the deployment decides; the others are handed over once
 * more. `new Retry(…)`, thrown, is for the whole batch: it comes again, later.
 * @param {(record: Record) => import("./millstream.js").Verdict | undefined | void} each
 * @param {() => void} [open] once per instance, before the first record
 */
export const deliverEach = (each, open) => ({
  open: opening(open),
  /** @param {Input[]} batch */
  deliver(batch) {
    batch.forEach((input, index) => {
      at(index, () => {
        const verdict = checked(each(new Record(input, index)));
        if (verdict?.tag === "reject") throw verdict.val;
        if (verdict) throw new TypeError("a sink gives nothing, or reject(reason)");
      });
    });
  },
});

/**
 * The same for records together. What `all` throws makes the server try again with fewer records, until the one that fails
 * stands alone; `new Retry(…)`, thrown, with the same ones, later.
 * @param {(records: Record[]) => void} all
 * @param {() => void} [open] once per instance, before the first record
 */
export const deliverBatch = (all, open) => ({
  open: opening(open),
  /** @param {Input[]} batch */
  deliver: (batch) => thrown(() => void waited(all(batch.map((input, index) => new Record(input, index))))),
});

/** @typedef {import("millstream:functions/types@0.1.0").Input} Input */
