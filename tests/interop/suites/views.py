"""Views, read by every client: one that drops nine records in ten, one that drops all of them, one that stops.

A view keeps its source's offsets, so what is dropped is a gap. Each client reads as a member of a group: it must see what is
kept at its offsets, must not hang where nothing is left, and its lag, as Kafka's own tool sees it, must come down to nought.
"""

import json
import pathlib
import time
import urllib.error
import urllib.request

from harness import clients, processes, records
from harness.report import SKIP, Report, expect
from suites.groups import Member, position

MODULE = pathlib.Path(__file__).resolve().parents[3] / "guest-examples" / "prebuilt" / "template.wasm"
PARTITIONS = 3
RECORDS = 3_000
KEPT = 10
PATIENCE = 180


def http(bench, method, path, body=None, kind="application/json"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"http://{bench.broker.http}{path}", data, {"content-type": kind}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"null")


def view(bench, name, source):
    http(bench, "PUT", f"/v1/deployments/{name}", {"kind": "view", "module": "template", "input": {"topics": [source]}})


def produce(bench, topic, values):
    """Value number i goes to partition i modulo their number; the offsets of each partition count from 0."""
    client = next(c for c in clients.CLIENTS if c.name == "confluent-kafka")
    lines = (records.line(i % PARTITIONS, None, value, timestamp=i) for i, value in enumerate(values))
    client.run(bench.bootstrap, "produce", topic, "none", stdin="".join(json.dumps(line) + "\n" for line in lines))


def run(bench, report: Report):
    chosen = clients.chosen(bench.options.only)
    bench.start()
    if not bench.broker.is_ours:
        return report.add("views", SKIP, "no other broker has them")
    http(bench, "PUT", "/v1/modules/template", MODULE.read_bytes(), "application/wasm")
    for topic in ("some", "beats", "poisoned"):
        http(bench, "PUT", f"/v1/topics/{topic}", {"partitions": PARTITIONS})
    # The guest drops heartbeats and puts the rest into upper case; what is empty it rejects.
    is_kept = lambda i: i // PARTITIONS % KEPT == 0
    produce(bench, "some", [b"v%d" % i if is_kept(i) else b"heartbeat" for i in range(RECORDS)])
    produce(bench, "beats", [b"heartbeat"] * RECORDS)
    produce(bench, "poisoned", [b"a"] * PARTITIONS + [b""] * PARTITIONS)
    for name, source in (("few", "some"), ("none", "beats"), ("stops", "poisoned")):
        view(bench, name, source)
    expected = sorted((i % PARTITIONS, i // PARTITIONS) for i in range(RECORDS) if is_kept(i))
    for client in chosen:
        report.check(f"{client.name}: one record in ten", lambda c=client: reads(bench, c, "few", expected))
        report.check(f"{client.name}: none at all", lambda c=client: reads(bench, c, "none", []))
    report.check("kafka-console-consumer reads a view", lambda: console(bench, "few", len(expected)))
    report.check("kafka-console-consumer says that a view stops", lambda: stops(bench))
    report.check("kafka-topics and kafka-configs describe a view, and change nothing of it", lambda: described(bench))


def reads(bench, client, topic, expected):
    """As a member of a group of its own, until nothing is left."""
    group = f"{topic}-{client.name.split()[0]}"
    member = Member(bench, client, topic, group)
    try:
        deadline = time.monotonic() + PATIENCE
        state = None
        while state != (expected, 0, RECORDS):
            member.check_alive()
            expect(time.monotonic() < deadline, f"not within {PATIENCE} s: {shown(state)}, expected {len(expected)} records")
            time.sleep(1)
            read = sorted(member.read())
            # Kafka's tool starts a JVM each time; it is asked at the end.
            state = (read, *seen_here(bench, group))
        member.leave()
        lag, committed = position(bench, group)
        expect((lag, committed) == (0, RECORDS), f"after it has left: lag {lag}, committed {committed}")
        return f"{len(expected)} records at their offsets, committed {committed}, lag 0"
    finally:
        member.process.kill()


def seen_here(bench, group):
    """Lag and committed offsets over all partitions; no lag while one of them has nothing committed."""
    try:
        offsets = http(bench, "GET", f"/v1/groups/{group}")["offsets"]
    except urllib.error.HTTPError:
        return None, 0
    lags = [at.get("lag") for at in offsets]
    lag = sum(lags) if len(lags) == PARTITIONS and None not in lags else None
    return lag, sum(at.get("committed") or 0 for at in offsets)


def shown(state):
    return "nothing" if state is None else f"{len(state[0])} records, lag {state[1]}, committed {state[2]}"


def console(bench, topic, n):
    words = ["--bootstrap-server", bench.bootstrap, "--topic", topic, "--from-beginning", "--max-messages", str(n)]
    done = processes.run(clients.tool("kafka-console-consumer", *words), PATIENCE)
    lines = done.out.split()
    expect(done.code == 0 and len(lines) == n and all(line.startswith("V") for line in lines), done.complaint())


def stops(bench):
    words = ["--bootstrap-server", bench.bootstrap, "--topic", "stops", "--from-beginning", "--timeout-ms", "60000"]
    done = processes.run(clients.tool("kafka-console-consumer", *words), PATIENCE)
    said = done.out + done.err
    expect(not done.timed_out and done.out.split().count("A") >= 1, done.complaint())
    expect("code 87" in said or "InvalidRecord" in said, said[-600:])
    return next((line.strip() for line in said.splitlines() if "87" in line), "")[:200]


def described(bench):
    def tool(name, *words, fails=False):
        done = processes.run(clients.tool(name, "--bootstrap-server", bench.bootstrap, *words), PATIENCE)
        said = done.out + done.err
        expect(not done.timed_out and (fails or done.code == 0), done.complaint())
        return said

    said = tool("kafka-topics", "--describe", "--topic", "few")
    expect(f"PartitionCount: {PARTITIONS}" in said, said)
    entity = ["--entity-type", "topics", "--entity-name", "few"]
    said = tool("kafka-configs", "--describe", "--all", *entity)
    expect("millstream.view=some through template@" in said, said)
    for words in (["kafka-topics", "--alter", "--topic", "few", "--partitions", "9"], ["kafka-topics", "--delete", "--topic", "few"],
                  ["kafka-configs", "--alter", *entity, "--add-config", "retention.ms=1000"]):
        said = tool(*words, fails=True)
        expect("view of topic" in said, said)
