"""Counts the records of each key; every record leads to the new count."""

from millstream import Record, Store, Verdict, drop, emit, output, process_each

counts = Store("counts")


def count(record: Record) -> Verdict:
    if record.key_bytes is None:
        return drop  # leads to nothing
    seen = counts.json(record.key_bytes, 0) + 1
    counts.put(record.key_bytes, seen)
    return emit(output(seen))


Processor = process_each(count)
