"""Counts the records of each key by the minute, by their timestamps. A minute's counts are told when it is over: when no
record of it is expected any more."""

from millstream import Record, Store, Timer, Verdict, emit, event_time, output, process_each, timer_each

MINUTE = 60_000
counts = Store("counts")


def count(record: Record) -> None:
    if record.key is None:
        return  # leads to nothing
    start = record.timestamp // MINUTE * MINUTE
    end = start + MINUTE
    watermark = event_time.now()
    if watermark is not None and end <= watermark:
        return  # this minute has been told
    name = f"{start}/{record.key}"
    seen = counts.json(name, 0)
    if seen == 0:
        event_time.set(name, end)
    counts.put(name, seen + 1)


def tell(timer: Timer) -> Verdict:
    """When a minute of a key is over. State, timers and outputs of a call are one commit."""
    seen = counts.json(timer.name)
    counts.delete(timer.name)
    start, key = timer.name.split("/", 1)
    return emit(output({"start": int(start), "count": seen}, key=key, timestamp=timer.at - 1))


Processor = process_each(count)
OnTimer = timer_each(tell)
