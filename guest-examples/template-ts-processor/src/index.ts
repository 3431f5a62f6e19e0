// Counts the records of each key; every record leads to the new count.

import { type Record, type Verdict, emit, processEach } from "../sdk/millstream.js";
import { Store } from "../sdk/state.js";

const counts = new Store("counts");

function count(record: Record): Verdict | undefined {
  const key = record.keyBytes;
  if (key === null) return undefined; // leads to nothing
  const seen: number = (counts.json(key) ?? 0) + 1;
  counts.put(key, seen);
  return emit({ value: seen });
}

export const processor = processEach(count);
