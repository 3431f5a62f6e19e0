// Counts the records of each key; every record leads to the new count.

import { emit, processEach } from "../sdk/millstream.js";
import { Store } from "../sdk/state.js";

const counts = new Store("counts");

export const processor = processEach((record) => {
  if (record.keyBytes === null) return; // leads to nothing
  const count = (counts.json(record.keyBytes) ?? 0) + 1;
  counts.put(record.keyBytes, count);
  return emit({ value: count });
});
