// Counts the records of each key by the minute, by their timestamps. A minute's counts are told when it is over: when no
// record of it is expected any more.

import { emit, processEach } from "../sdk/millstream.js";
import { Store } from "../sdk/state.js";
import { eventTime, timerEach } from "../sdk/timers.js";

const MINUTE = 60_000;
const counts = new Store("counts");

export const processor = processEach((record) => {
  if (record.key === null) return; // leads to nothing
  const start = Math.floor(record.timestamp / MINUTE) * MINUTE;
  const end = start + MINUTE;
  if (end <= (eventTime.now() ?? -Infinity)) return; // this minute has been told
  const name = `${start}/${record.key}`;
  const count = counts.json(name) ?? 0;
  if (count === 0) eventTime.set(name, end);
  counts.put(name, count + 1);
});

// When a minute of a key is over. State, timers and outputs of a call are one commit.
export const onTimer = timerEach((timer) => {
  const count = counts.json(timer.name);
  counts.delete(timer.name);
  const [start, ...key] = timer.name.split("/");
  return emit({ key: key.join("/"), value: { start: Number(start), count }, timestamp: timer.at - 1 });
});
