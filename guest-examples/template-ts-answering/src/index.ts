// Counts the records of each key; every record leads to the new count. Whoever asks is told the count of a key.

import { type Record, type Verdict, emit, processEach } from "../sdk/millstream.js";
import { NotFound, type Request, answerEach } from "../sdk/query.js";
import { Store } from "../sdk/state.js";

const counts = new Store("counts");

function count(record: Record): Verdict | undefined {
  const key = record.keyBytes;
  if (key === null) return undefined; // leads to nothing
  const seen: number = (counts.json(key) ?? 0) + 1;
  counts.put(key, seen);
  return emit({ value: seen });
}

// Asked in instances of its own, also while records are processed: each question sees the state of one moment.
function countOf(request: Request): number {
  const count: number | undefined = counts.json(request.bytes);
  if (count === undefined) throw new NotFound("this key was never seen");
  return count;
}

export const processor = processEach(count);
export const query = answerEach(countOf);
