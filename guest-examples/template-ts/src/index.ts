// Refuses empty records, drops heartbeats, and puts the rest into upper case.

import { type Record, type Verdict, drop, eachRecord, emit, keep, reject } from "../sdk/millstream.js";

function upper(record: Record): Verdict {
  const text = record.text();
  if (text === null) return keep; // a tombstone, or not text
  if (text === "") return reject("the value is empty");
  if (text === "heartbeat") return drop;
  return emit({ value: text.toUpperCase() });
}

export const transform = eachRecord(upper);
