"""The records that every client writes and every client must read back."""

import base64
import hashlib
import random
import time

PARTITIONS = 4
# A minute ago: old records would fall to retention while they are read.
BASE_TIME = int(time.time() - 60) * 1000
BIG = 900 * 1024


def packed(value):
    return None if value is None else base64.b64encode(value).decode()


def line(partition, key, value, headers=(), timestamp=0):
    return {
        "partition": partition, "key": packed(key), "value": packed(value),
        "headers": [[name, packed(v)] for name, v in headers], "timestamp": BASE_TIME + timestamp,
    }


def difficult(null_headers=True):
    """One of each kind that has broken a broker or a client before."""
    noise = random.Random(7).randbytes(BIG)
    return [
        line(0, b"plain", b"value", timestamp=1),
        line(0, None, b"no key", timestamp=2),
        line(0, b"", b"empty key", timestamp=3),
        line(0, b"tombstone", None, timestamp=4),
        line(0, b"empty value", b"", timestamp=5),
        line(1, b"headers", b"1", [("a", b"1"), ("b", b"2")], timestamp=6),
        line(1, b"duplicates", b"2", [("a", b"1"), ("b", b"2"), ("a", b"3")], timestamp=7),
        line(1, b"null header", b"3", [("none", None if null_headers else b""), ("some", b"x")], timestamp=8),
        line(1, b"empty header", b"4", [("empty", b"")], timestamp=9),
        line(1, b"tombstone with headers", None, [("why", b"because")], timestamp=10),
        line(2, b"noise", noise, timestamp=11),
        line(2, b"repetition", b"abcdefgh" * (BIG // 8), timestamp=12),
        line(3, "schl\u00fcssel \u2603".encode(), "\u00fcn\u00efc\u00f6de \U0001f680".encode(), timestamp=13),
        line(3, bytes(range(256)), bytes(reversed(range(256))) * 4, timestamp=14),
        line(3, b"back in time", b"x", timestamp=-5000),
        *(line(3, f"k{i}".encode(), f"v{i}".encode(), timestamp=20 + i) for i in range(50)),
    ]


def short(value):
    """A value of any length in a few characters, for comparing and for complaints."""
    if value is None or len(value) <= 64:
        return value
    return f"{len(value)}:{hashlib.sha256(value.encode()).hexdigest()[:16]}"


def canonical(record, headers_in_order=True, timestamps=True):
    """What must be equal on both sides."""
    headers = [(name, value) for name, value in record["headers"]]
    if not headers_in_order:
        headers.sort(key=lambda pair: pair[0])
    return (short(record["key"]), short(record["value"]), tuple(headers), record["timestamp"] if timestamps else None)


def by_partition(records):
    """Lists in the order of offsets, which must be strictly ascending; records that were sent have none."""
    partitions = {}
    for record in records:
        partitions.setdefault(record["partition"], []).append(record)
    for partition, own in partitions.items():
        offsets = [record.get("offset", i) for i, record in enumerate(own)]
        if any(a >= b for a, b in zip(offsets, offsets[1:])):
            raise ValueError(f"partition {partition}: offsets are not ascending: {offsets[:20]}")
    return partitions


def difference(sent, got, **how):
    """The first difference in words, or nothing."""
    try:
        sent, got = by_partition(sent), by_partition(got)
    except ValueError as disorder:
        return str(disorder)
    for partition in sorted(sent.keys() | got.keys()):
        ours, theirs = sent.get(partition, []), got.get(partition, [])
        for i, (a, b) in enumerate(zip(ours, theirs)):
            if canonical(a, **how) != canonical(b, **how):
                return f"partition {partition}, record {i}: sent {canonical(a, **how)}, got {canonical(b, **how)}"
        if len(ours) != len(theirs):
            return f"partition {partition}: sent {len(ours)} records, got {len(theirs)}"
    return ""
