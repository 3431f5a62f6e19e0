"""Orders before they are stored: what is no order is refused, test orders are dropped, the rest gets its total."""

from millstream import Record, Verdict, drop, each_record, emit, keep, output, param, reject

currency = ""


def prepare() -> None:
    global currency
    currency = param("currency", "EUR")


def judge(record: Record) -> Verdict:
    if record.bytes is None:
        return keep  # a tombstone
    order = record.json()
    if not isinstance(order, dict) or not all(type(order.get(name)) is int for name in ("price", "quantity")):
        return reject("price (in cents) and quantity have to be whole numbers")
    if order.get("test") is True:
        return drop
    return emit(output({**order, "total": order["price"] * order["quantity"], "currency": currency}))


Transform = each_record(judge, prepare)
