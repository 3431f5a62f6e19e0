// Brings a number with every poll. A real source fetches something instead, and its cursor says how far it has come.

import { type Polled, pollEach } from "../sdk/source.js";

// Records and cursor are one commit: the next poll begins where this one ended, whatever happens.
function poll(cursor: string | null): Polled {
  const number = Number(cursor ?? 0);
  return { records: [{ value: number }], cursor: number + 1 };
}

export const source = pollEach(poll);
