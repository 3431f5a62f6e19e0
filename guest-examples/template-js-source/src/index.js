// Brings a number with every poll. A real source fetches something instead, and its cursor says how far it has come.

import { pollEach } from "../sdk/source.js";

// Records and cursor are one commit: the next poll begins where this one ended, whatever happens.
export const source = pollEach((cursor) => {
  const number = Number(cursor ?? 0);
  return { records: [{ value: number }], cursor: number + 1 };
});
