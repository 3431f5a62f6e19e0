// Orders before they are stored: what is no order is refused, test orders are dropped, the rest gets its total.

import { drop, eachRecord, emit, keep, param, reject } from "../sdk/millstream.js";

let currency;

const judge = (record) => {
  if (record.bytes === null) return keep; // a tombstone
  const order = record.json();
  if (!Number.isInteger(order?.price) || !Number.isInteger(order?.quantity)) {
    return reject("price (in cents) and quantity have to be whole numbers");
  }
  if (order.test === true) return drop;
  return emit({ value: { ...order, total: order.price * order.quantity, currency } });
};

export const transform = eachRecord(judge, () => {
  currency = param("currency", "EUR");
});
