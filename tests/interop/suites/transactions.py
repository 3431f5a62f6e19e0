"""Transactions of every client, read by every client under both isolation levels; copies with offsets inside.

Each producing client makes the same five transactions. read_committed must show exactly the committed records in
order, read_uncommitted all of them: that the aborted ones are seen there shows that the check bites.
"""

import json
import os
import time

from harness import clients, records
from harness.report import Report, expect
from suites.groups import position

RUN = os.getpid()
PLAN = ["commit", "abort", "commit", "abort", "commit"]
PER_TRANSACTION = 12


def transactions(name):
    """Every partition ends with a committed record, so that a leaked aborted one is in front of it."""
    made = []
    for i, end in enumerate(PLAN):
        lines = [records.line(n % records.PARTITIONS, f"{name}".encode(), f"{i} {end} {n}".encode(), timestamp=i * 100 + n) for n in range(PER_TRANSACTION)]
        made.append({"end": end, "records": lines})
    return made


def run(bench, report: Report):
    chosen = clients.chosen(bench.options.only)
    bench.start()
    written = []
    for client in chosen:
        if "transact" not in client.commands:
            continue
        topic, plan = f"transactions-{RUN}-{client.name.split()[0]}", transactions(client.name)

        def act(client=client, topic=topic, plan=plan):
            stdin = "".join(json.dumps(t) + "\n" for t in plan)
            client.run(bench.bootstrap, "transact", f"id-{topic}", topic, stdin=stdin)

        if report.check(f"{client.name} commits, aborts, commits, aborts, commits", act):
            written.append((topic, plan, client))
    for consumer in chosen:
        reads(bench, report, consumer, written)
    for client in chosen:
        if "copy" in client.commands:
            copies(bench, report, client)
    if any(c.name == "java" for c in chosen):
        fences(bench, report)


def reads(bench, report, consumer, written):
    for command in ("consume-committed", "consume"):
        def act(command=command):
            expected = {}
            for topic, plan, _ in written:
                seen = [t for t in plan if t["end"] == "commit" or command == "consume"]
                expected[topic] = [record for t in seen for record in t["records"]]
            words = [word for topic, lines in expected.items() for word in (topic, str(len(lines)))]
            got = consumer.run(bench.bootstrap, command, *words)
            for topic, plan, producer in written:
                own = [record for record in got if record["topic"] == topic]
                wrong = records.difference(expected[topic], own, timestamps=producer.sets_timestamps)
                expect(not wrong, f"of {producer.name}: {wrong}")

        level = "read_committed" if command == "consume-committed" else "read_uncommitted"
        report.check(f"{consumer.name} reads {level} what {len(written)} clients wrote", act)


def copies(bench, report, client):
    """Consume, transform, produce: the copies are there once, and the group stands at the end of the source."""
    def act():
        name = f"{RUN}-{client.name.split()[0]}"
        source, target, n = f"source-{name}", f"target-{name}", 100
        lines = [records.line(i % records.PARTITIONS, f"k{i}".encode(), f"v{i}".encode(), timestamp=i) for i in range(n)]
        stdin = "".join(json.dumps(line) + "\n" for line in lines)
        writer = next(c for c in clients.CLIENTS if c.name == "confluent-kafka")
        writer.run(bench.bootstrap, "produce", source, "none", stdin=stdin)
        client.run(bench.bootstrap, "copy", source, target, f"copier-{name}", f"copier-{name}", str(n))
        got = writer.run(bench.bootstrap, "consume-committed", target, str(n))
        wrong = records.difference(lines, got, timestamps=False)
        expect(not wrong, wrong)
        lag, committed = position(bench, f"copier-{name}")
        expect((lag, committed) == (0, n), f"the group has lag {lag} and committed {committed} of {n}")

    report.check(f"{client.name} copies 100 records with its offsets in the transactions", act)


def fences(bench, report):
    """A second producer of the same transactional id shuts the first out, and its open transaction is aborted."""
    def act():
        client = next(c for c in clients.CLIENTS if c.name == "java")
        topic = f"fenced-{RUN}"
        first = client.start(bench.bootstrap, "transact", f"id-{topic}", topic, log=bench.folder / "fenced.log")

        def tell(end, n):
            line = {"end": end, "records": [records.line(0, None, f"first {n}".encode())]}
            first.child.stdin.write(json.dumps(line).encode() + b"\n")
            first.child.stdin.flush()

        tell("commit", 0)
        wait_for(lambda: is_there(client, bench, topic))
        second = json.dumps({"end": "commit", "records": [records.line(0, None, b"second")]})
        client.run(bench.bootstrap, "transact", f"id-{topic}", topic, stdin=second + "\n")
        tell("commit", 1)
        first.close_stdin()
        expect(first.wait(60), "the fenced producer did not end")
        with open(bench.folder / "fenced.log.err", encoding="utf-8") as errors:
            said = errors.read()
        expect(first.child.returncode != 0 and ("ProducerFenced" in said or "InvalidProducerEpoch" in said), f"the fenced producer said: {said[-500:]}")
        got = client.run(bench.bootstrap, "consume-committed", topic, "2")
        values = [record["value"] for record in got]
        expect(values == [records.packed(b"first 0"), records.packed(b"second")], f"{values}")

    report.check("java: a second producer of the same id fences the first", act)


def is_there(client, bench, topic):
    """The first committed record; before it is written there may be no topic to read."""
    try:
        return len(client.run(bench.bootstrap, "consume-committed", topic, "1")) == 1
    except RuntimeError:
        return False


def wait_for(holds, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds():
        expect(time.monotonic() < deadline, "waited for a minute in vain")
        time.sleep(0.5)
