"""What the Python adapters share: the command line, stdin and stdout. See tests/interop/README.md.

An adapter hands `run` an object with the methods it supports: produce, consume, member, transact, copy.
"""

import base64
import json
import sys
import threading
import time

PATIENCE = 60.0


def unpacked(text):
    return None if text is None else base64.b64decode(text)


def packed(value):
    return None if value is None else base64.b64encode(bytes(value)).decode()


def record_of(line):
    """A line of stdin with keys and values as bytes."""
    line["key"] = unpacked(line["key"])
    line["value"] = unpacked(line["value"])
    line["headers"] = [(name, unpacked(value)) for name, value in line["headers"]]
    return line


def tell(topic, partition, offset, key, value, headers, timestamp):
    line = {
        "topic": topic, "partition": partition, "offset": offset, "key": packed(key), "value": packed(value),
        "headers": [[name, packed(v)] for name, v in headers or []], "timestamp": timestamp,
    }
    sys.stdout.write(json.dumps(line) + "\n")


def tell_assigned(partitions):
    sys.stdout.write(json.dumps({"assigned": sorted(partitions)}) + "\n")
    sys.stdout.flush()


def pairs(words):
    return list(zip(words[::2], words[1::2]))


class Missing:
    """Counts down what is still to be read from each topic; gives up after a minute without a record."""

    def __init__(self, topics):
        self.left = dict(topics)
        self.deadline = time.monotonic() + PATIENCE

    def __bool__(self):
        left = any(n > 0 for n in self.left.values())
        if left and time.monotonic() > self.deadline:
            sys.stdout.flush()
            sys.exit(f"not there after a minute: {self.left}")
        return left

    def seen(self, topic):
        self.left[topic] -= 1
        self.deadline = time.monotonic() + PATIENCE


def stdin_closed():
    """An event that is set when stdin ends."""
    ended = threading.Event()

    def wait():
        while sys.stdin.readline():
            pass
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    return ended


def run(client):
    command, words = sys.argv[2], sys.argv[3:]
    if command == "produce":
        records = [record_of(json.loads(line)) for line in sys.stdin]
        for topic, codec in pairs(words):
            client.produce(topic, codec, records)
    elif command in ("consume", "consume-committed"):
        topics = [(topic, int(n)) for topic, n in pairs(words)]
        client.consume(Missing(topics), command == "consume-committed")
    elif command == "member":
        client.member(words[0], words[1], stdin_closed())
    elif command == "transact":
        transactions = (json.loads(line) for line in sys.stdin)
        steps = (([record_of(r) for r in t["records"]], t["end"] == "commit") for t in transactions)
        client.transact(words[0], words[1], steps)
    elif command == "copy":
        client.copy(words[0], words[1], words[2], words[3], int(words[4]))
    else:
        sys.exit(f"no such command: {command}")
    sys.stdout.flush()
