// Posts the value of every record to a URL.

import { request } from "../sdk/http.js";
import { Retry, reject, required } from "../sdk/millstream.js";
import { deliverEach } from "../sdk/sink.js";

// When it returns nothing, the record has arrived. Records may come again after a crash: at least once.
export const sink = deliverEach((record) => {
  // Without an answer the whole batch comes again, later.
  const answer = request(required("url"), { method: "POST", body: record.bytes ?? "" });
  if (answer.status >= 500) throw new Retry(`the answer was ${answer.status}`);
  if (!answer.ok) return reject(`the answer was ${answer.status}`);
});
