// Counts the records of each key; every record leads to the new count. Whoever asks is told the count of a key.

import { emit, processEach } from "../sdk/millstream.js";
import { NotFound, answerEach } from "../sdk/query.js";
import { Store } from "../sdk/state.js";

const counts = new Store("counts");

export const processor = processEach((record) => {
  if (record.keyBytes === null) return; // leads to nothing
  const count = (counts.json(record.keyBytes) ?? 0) + 1;
  counts.put(record.keyBytes, count);
  return emit({ value: count });
});

// Asked in instances of its own, also while records are processed: each question sees the state of one moment.
export const query = answerEach((request) => {
  const count = counts.json(request.bytes);
  if (count === undefined) throw new NotFound("this key was never seen");
  return count;
});
