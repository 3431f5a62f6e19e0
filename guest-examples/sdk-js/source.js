// A source brings records from outside; the server polls it:
//
//   import { request } from "../sdk/http.js";
//   import { pollEach } from "../sdk/source.js";
//
//   export const source = pollEach((cursor) => {
//     const items = request(`https://api.example.com/items?after=${cursor ?? 0}`).json();
//     return { records: items.map((value) => ({ value })), cursor: items.at(-1)?.id };
//   });
//
// package.json says so: "millstream": { "world": "http-source" }. The records of a poll and the cursor that it gives are one
// commit.

import { bytesOf, kind, opening, output, textOf, thrown, waited } from "./millstream.js";

/**
 * What a poll has brought.
 * @typedef {object} Polled
 * @property {import("./millstream.js").Fields[]} [records] such as { key: "a", value: 1 }
 * @property {unknown} [cursor] text, bytes, or anything else as JSON; without one it stays as it is
 * @property {boolean} [more] poll again at once instead of after the deployment's interval
 */

/**
 * The source that asks `poll` for what is new: nothing, or a Polled. It is handed the cursor of the last committed poll as
 * text, as bytes when it is none, or null when there was none. What it throws makes the server try again, as often as
 * `on_error` of the deployment says; `new Retry(…)`, for as long as it is thrown.
 * @param {(cursor: any) => Polled | undefined | void} poll
 * @param {() => void} [open] once per instance, before the first poll
 */
export const pollEach = (poll, open) => ({
  open: opening(open),
  /** @param {Uint8Array | null | undefined} cursor */
  poll: (cursor) =>
    thrown(() => {
      const found = waited(poll(textOf(cursor) ?? cursor ?? null)) ?? {};
      for (const name in found) {
        if (!FIELDS.includes(name)) throw new TypeError(`\`${name}\` is none of ${FIELDS.join(", ")}`);
      }
      const { records = [], cursor: next, more = false } = found;
      if (!Array.isArray(records)) throw new TypeError(`records have to be a list, not ${kind(records)}`);
      const outputs = records.map((fields) => output(fields));
      return { outputs, cursor: next === undefined || next === null ? null : bytesOf(next), more };
    }),
});

const FIELDS = ["records", "cursor", "more"];
