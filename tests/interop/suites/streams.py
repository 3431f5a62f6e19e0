"""A Kafka Streams word count with exactly_once_v2 while the server is killed three times.

The output must hold, for each word, every count from 1 to its number in the input, once each and in order: a lost,
a doubled or a half-committed update breaks the sequence. The input is read back and folded, so that it is the
server's own records which are counted.
"""

import base64
import collections
import json
import os
import random
import time

from harness import clients, records
from harness.processes import Background
from harness.report import Report, expect

KILLS = 3
LINES = 6000
WORDS = [f"word{i}" for i in range(40)]


def run(bench, report: Report):
    java = next(c for c in clients.CLIENTS if c.name == "java")
    java.command("")
    broker = bench.start()
    source, target = f"lines-{os.getpid()}", f"counts-{os.getpid()}"

    def act():
        dice = random.Random(11)
        lines = [" ".join(dice.choices(WORDS, k=5)) for _ in range(LINES)]
        parts = [lines[i::KILLS + 1] for i in range(KILLS + 1)]
        write(java, bench, source, parts[0])
        counter = count(bench, source, target)
        try:
            kills = 0
            for part in parts[1:]:
                wait_for_some(java, bench, counter, target, 300 * (kills + 1))
                if broker.is_ours:
                    broker.kill()
                    time.sleep(dice.uniform(0.1, 2))
                    broker.start()
                    kills += 1
                write(java, bench, source, part)
            expected = fold(java.run(bench.bootstrap, "consume", source, str(LINES)))
            expect(sum(expected.values()) == LINES * 5, f"the input holds {sum(expected.values())} words of {LINES * 5}")
            updates = sum(expected.values())
            got = java.run(bench.bootstrap, "consume-committed", target, str(updates), seconds=400)
            compare(expected, got)
            return f"{LINES} lines, {updates} updates, {kills} kills"
        finally:
            counter.close_stdin()
            if not counter.wait(30):
                counter.kill()

    report.check("counts are a fold of the input", act)


def write(java, bench, topic, lines):
    made = (records.line(i % records.PARTITIONS, None, text.encode()) for i, text in enumerate(lines))
    java.run(bench.bootstrap, "produce", topic, "lz4", stdin="".join(json.dumps(line) + "\n" for line in made))


def count(bench, source, target):
    command = clients.java("WordCount", bench.bootstrap, source, target, bench.folder / "state")
    return Background(command, bench.folder / "word-count.log")


def wait_for_some(java, bench, counter, topic, n):
    """The application works: n updates are committed."""
    deadline = time.monotonic() + 120
    while True:
        expect(not counter.ended(), f"the application ended: {counter.text()[-800:]}")
        try:
            java.run(bench.bootstrap, "consume-committed", topic, str(n), seconds=60)
            return
        except RuntimeError as error:
            expect(time.monotonic() < deadline, f"{n} updates were not there: {error}; {counter.text()[-800:]}")


def fold(lines):
    totals = collections.Counter()
    for line in lines:
        totals.update(base64.b64decode(line["value"]).decode().split(" "))
    return totals


def compare(expected, got):
    seen = collections.defaultdict(list)
    for record in sorted(got, key=lambda r: (r["partition"], r["offset"])):
        seen[base64.b64decode(record["key"]).decode()].append(int(base64.b64decode(record["value"])))
    for word, total in expected.items():
        sequence = seen.get(word, [])
        if sequence != list(range(1, total + 1)):
            at = next((i for i, n in enumerate(sequence) if n != i + 1), len(sequence))
            raise AssertionError(f"{word}: {total} in the input; update {at + 1} of {len(sequence)} is {sequence[at:at + 3]}")
