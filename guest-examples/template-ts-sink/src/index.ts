// Posts the value of every record to a URL.

import { request } from "../sdk/http.js";
import { type Record, Retry, type Verdict, reject, required } from "../sdk/millstream.js";
import { deliverEach } from "../sdk/sink.js";

// When it returns nothing, the record has arrived. Records may come again after a crash: at least once.
function deliver(record: Record): Verdict | undefined {
  // Without an answer the whole batch comes again, later.
  const answer = request(required("url"), { method: "POST", body: record.bytes ?? "" });
  if (answer.status >= 500) throw new Retry(`the answer was ${answer.status}`);
  return answer.ok ? undefined : reject(`the answer was ${answer.status}`);
}

export const sink = deliverEach(deliver);
