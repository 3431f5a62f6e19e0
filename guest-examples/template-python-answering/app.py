"""Counts the records of each key; every record leads to the new count. Whoever asks is told the count of a key."""

from millstream import NotFound, Record, Request, Store, Verdict, answer_each, drop, emit, output, process_each

counts = Store("counts")


def count(record: Record) -> Verdict:
    if record.key_bytes is None:
        return drop  # leads to nothing
    seen = counts.json(record.key_bytes, 0) + 1
    counts.put(record.key_bytes, seen)
    return emit(output(seen))


def count_of(request: Request) -> int:
    """Asked in instances of its own, also while records are processed: each question sees the state of one moment."""
    seen = counts.json(request.bytes)
    if seen is None:
        raise NotFound("this key was never seen")
    return seen


Processor = process_each(count)
Query = answer_each(count_of)
