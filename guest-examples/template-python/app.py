"""Refuses empty records, drops heartbeats, and puts the rest into upper case."""

from millstream import Record, Verdict, drop, each_record, emit, keep, output, reject


def upper(record: Record) -> Verdict:
    text = record.text()
    if text is None:
        return keep  # a tombstone, or not text
    if text == "":
        return reject("the value is empty")
    if text == "heartbeat":
        return drop
    return emit(output(text.upper()))


Transform = each_record(upper)
