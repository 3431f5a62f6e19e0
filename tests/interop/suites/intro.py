"""The commands of Kafka's introductions as they are written there, then the other command-line tools.

Each tool's own words are what is checked: a zero exit alone proves little.
"""

import json
import os
import re
import time

from harness import clients, processes
from harness.processes import Background
from harness.report import Report, Skipped, expect

TOPIC = f"test-{os.getpid()}"
PATIENCE = 90


def run_tool(bench, name, *words, stdin="", seconds=PATIENCE, server="--bootstrap-server", fails=False):
    words = [server, bench.bootstrap, *words] if server else words
    done = processes.run(clients.tool(name, *words), seconds, stdin)
    expect(fails or (done.code == 0 and not done.timed_out), f"{name}: {done.complaint()}")
    expect(not fails or done.code != 0 or "rror" in done.out + done.err, f"{name} should have failed: {done.out}")
    return done.out + done.err


def run_suite(bench, report: Report):
    def tool(name, *words, **how):
        return run_tool(bench, name, *words, **how)

    def create():
        out = tool("kafka-topics", "--create", "--replication-factor", "1", "--partitions", "3", "--topic", TOPIC)
        expect(f"Created topic {TOPIC}" in out, out)

    def produce():
        tool("kafka-console-producer", "--topic", TOPIC, stdin="This is a message\nThis is another message\n")

    def consume():
        out = tool("kafka-console-consumer", "--topic", TOPIC, "--from-beginning", "--max-messages", "2")
        expect({"This is a message", "This is another message"} <= set(out.splitlines()), out)

    def list_and_describe():
        expect(TOPIC in tool("kafka-topics", "--list").split(), "the topic is not listed")
        out = tool("kafka-topics", "--describe", "--topic", TOPIC)
        expect("PartitionCount: 3" in out and "ReplicationFactor: 1" in out, out)
        expect(out.count("Leader: ") == 3 and "Leader: none" not in out, out)

    def replicas():
        if not bench.broker.is_ours:
            raise Skipped("the setting is Millstream's")
        out = tool("kafka-topics", "--create", "--replication-factor", "2", "--partitions", "1", "--topic", "two", fails=True)
        expect("kafka.accept_replication_factor" in out, out)

    def more_partitions():
        tool("kafka-topics", "--alter", "--topic", TOPIC, "--partitions", "5")
        out = tool("kafka-topics", "--describe", "--topic", TOPIC)
        expect("PartitionCount: 5" in out, out)

    def group_reads():
        out = tool("kafka-console-consumer", "--topic", TOPIC, "--group", "readers", "--from-beginning", "--max-messages", "2")
        expect("This is a message" in out, out)

    def group_described():
        out = tool("kafka-consumer-groups", "--describe", "--group", "readers")
        rows = [line.split() for line in out.splitlines() if line.startswith("readers")]
        read = sum(int(row[3]) for row in rows if row[3].isdigit())
        lag = sum(int(row[5]) for row in rows if row[5].isdigit())
        expect(rows and (read, lag) == (2, 0), out)
        expect("readers" in tool("kafka-consumer-groups", "--list").split(), "not listed")
        out = tool("kafka-consumer-groups", "--describe", "--group", "readers", "--state")
        expect("Empty" in out, out)

    def group_reset():
        reset = ["--group", "readers", "--topic", TOPIC, "--reset-offsets", "--to-earliest"]
        dry = tool("kafka-consumer-groups", *reset, "--dry-run")
        expect("NEW-OFFSET" in dry, dry)
        tool("kafka-consumer-groups", *reset, "--execute")
        out = tool("kafka-consumer-groups", "--describe", "--group", "readers")
        lag = sum(int(line.split()[5]) for line in out.splitlines() if line.startswith("readers"))
        expect(lag == 2, out)

    def group_deleted():
        tool("kafka-consumer-groups", "--group", "readers", "--topic", TOPIC, "--delete-offsets")
        # Without offsets the group may be gone already, as with Kafka.
        tool("kafka-console-consumer", "--topic", TOPIC, "--group", "second", "--from-beginning", "--max-messages", "1")
        out = tool("kafka-consumer-groups", "--delete", "--group", "second")
        expect("successful" in out, out)
        expect("second" not in tool("kafka-consumer-groups", "--list").split(), "still listed")

    def groups_tool():
        tool("kafka-console-consumer", "--topic", TOPIC, "--group", "third", "--from-beginning", "--max-messages", "1")
        out = tool("kafka-groups", "--list")
        expect(re.search(r"third\s+Classic", out, re.I), out)

    def new_protocol():
        out = tool("kafka-console-consumer", "--topic", TOPIC, "--group", "new", "--consumer-property", "group.protocol=consumer",
                   "--consumer-property", "auto.offset.reset=earliest", "--max-messages", "2")
        expect("This is a message" in out, out)
        out = tool("kafka-groups", "--list")
        expect(re.search(r"new\s+Consumer", out, re.I), out)

    def configs():
        entity = ["--entity-type", "topics", "--entity-name", TOPIC]
        tool("kafka-configs", "--alter", *entity, "--add-config", "retention.ms=3600000,max.message.bytes=2000000")
        out = tool("kafka-configs", "--describe", *entity)
        expect("retention.ms=3600000" in out and "max.message.bytes=2000000" in out, out)
        expect("DYNAMIC_TOPIC_CONFIG:retention.ms=3600000" in out, out)
        tool("kafka-configs", "--alter", *entity, "--delete-config", "max.message.bytes")
        out = tool("kafka-configs", "--describe", *entity)
        expect("max.message.bytes=2000000" not in out, out)
        out = tool("kafka-configs", "--describe", "--all", *entity)
        expect("cleanup.policy=delete" in out and "DEFAULT_CONFIG" in out, out)

    def broker_configs():
        out = tool("kafka-configs", "--describe", "--all", "--entity-type", "brokers", "--entity-name", node(bench))
        expect("num.partitions=4" in out, out)

    def get_offsets():
        out = tool("kafka-get-offsets", "--topic", TOPIC)
        rows = [line.split(":") for line in out.splitlines() if line.startswith(TOPIC)]
        expect(len(rows) == 5 and sum(int(row[2]) for row in rows) == 2, out)
        expect(all(line.endswith(":0") for line in tool("kafka-get-offsets", "--topic", TOPIC, "--time", "earliest").splitlines()), out)
        later = tool("kafka-get-offsets", "--topic", TOPIC, "--time", str(int(time.time() * 1000) + 3_600_000))
        expect("Exception" not in later, later)
        out = tool("kafka-get-offsets", "--topic", TOPIC, "--time", "max-timestamp")
        expect(f"{TOPIC}:" in out and "Exception" not in out, out)

    def delete_records():
        topic = f"{TOPIC}-delete"
        tool("kafka-topics", "--create", "--partitions", "1", "--topic", topic)
        tool("kafka-console-producer", "--topic", topic, stdin="".join(f"m{i}\n" for i in range(10)))
        plan = bench.folder / "delete.json"
        plan.write_text(json.dumps({"version": 1, "partitions": [{"topic": topic, "partition": 0, "offset": 4}]}))
        out = tool("kafka-delete-records", "--offset-json-file", plan)
        expect("low_watermark: 4" in out, out)
        out = tool("kafka-console-consumer", "--topic", topic, "--from-beginning", "--max-messages", "6")
        expect([line for line in out.splitlines() if line.startswith("m")] == [f"m{i}" for i in range(4, 10)], out)

    def verifiable():
        topic, n = f"{TOPIC}-verifiable", 5000
        out = tool("kafka-verifiable-producer", "--topic", topic, "--max-messages", str(n), "--acks", "-1")
        sent = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        acked = {m["value"] for m in sent if m["name"] == "producer_send_success"}
        expect(len(acked) == n, f"{len(acked)} of {n} acknowledged")
        for protocol in ("classic", "consumer"):
            got = verifiable_reads(bench, topic, protocol, n)
            expect(got == n, f"{protocol}: {got} of {n} records read")
        return f"{n} written and read by both group protocols"

    def transactions():
        out = tool("kafka-transactions", "list")
        expect("TransactionalId" in out, out)
        client = next(c for c in clients.CLIENTS if c.name == "java")
        stdin = json.dumps({"end": "commit", "records": [{"partition": 0, "key": None, "value": "eA==", "headers": [], "timestamp": int(time.time() * 1000)}]})
        client.run(bench.bootstrap, "transact", "tool-test", TOPIC, stdin=stdin + "\n")
        out = tool("kafka-transactions", "list")
        expect("tool-test" in out, out)
        out = tool("kafka-transactions", "describe", "--transactional-id", "tool-test")
        expect("CompleteCommit" in out, out)
        out = tool("kafka-transactions", "describe-producers", "--topic", TOPIC, "--partition", "0")
        expect("ProducerId" in out and re.search(r"^\d", out, re.M), out)
        out = tool("kafka-transactions", "find-hanging", "--broker-id", node(bench))
        expect("rror" not in out, out)

    def performance():
        topic = f"{TOPIC}-perf"
        out = tool("kafka-producer-perf-test", "--topic", topic, "--num-records", "50000", "--record-size", "100", "--throughput", "-1")
        expect("50000 records sent" in out, out)
        out = tool("kafka-consumer-perf-test", "--topic", topic, "--messages", "50000", "--timeout", "30000")
        rows = [line.split(", ") for line in out.splitlines() if line.count(", ") >= 6 and line[0].isdigit()]
        expect(rows and int(rows[-1][4]) >= 50000, out)

    def end_to_end():
        out = tool("kafka-e2e-latency", "--topic", f"{TOPIC}-e2e", "--num-records", "200", "--producer-acks", "all", "--record-size", "100")
        expect("Percentiles" in out, out)

    def cluster():
        out = tool("kafka-cluster", "cluster-id", "--bootstrap-server", bench.bootstrap, server=None)
        expect("Cluster ID: " in out, out)
        out = tool("kafka-broker-api-versions")
        expect("Produce(0)" in out and "Fetch(1)" in out, out)

    def log_dirs():
        out = tool("kafka-log-dirs", "--describe", "--topic-list", TOPIC)
        expect(f'"{TOPIC}-0"' in out, out)

    def delete_topic():
        tool("kafka-topics", "--delete", "--topic", TOPIC)
        expect(TOPIC not in tool("kafka-topics", "--list").split(), "still listed")

    checks = [
        ("kafka-topics --create --replication-factor 1 --partitions 3 --topic test", create),
        ("kafka-console-producer --topic test", produce),
        ("kafka-console-consumer --topic test --from-beginning", consume),
        ("kafka-topics --list, --describe", list_and_describe),
        ("kafka-topics --create --replication-factor 2 names the setting that accepts it", replicas),
        ("kafka-topics --alter --partitions", more_partitions),
        ("kafka-console-consumer --group", group_reads),
        ("kafka-consumer-groups --list, --describe, --state", group_described),
        ("kafka-consumer-groups --reset-offsets", group_reset),
        ("kafka-consumer-groups --delete-offsets, --delete", group_deleted),
        ("kafka-groups --list", groups_tool),
        ("kafka-console-consumer with group.protocol=consumer", new_protocol),
        ("kafka-configs of a topic: add, describe, delete, --all", configs),
        ("kafka-configs of the broker", broker_configs),
        ("kafka-get-offsets: latest, earliest, by time, max-timestamp", get_offsets),
        ("kafka-delete-records", delete_records),
        ("kafka-verifiable-producer, kafka-verifiable-consumer", verifiable),
        ("kafka-transactions: list, describe, describe-producers, find-hanging", transactions),
        ("kafka-producer-perf-test, kafka-consumer-perf-test", performance),
        ("kafka-e2e-latency", end_to_end),
        ("kafka-cluster cluster-id, kafka-broker-api-versions", cluster),
        ("kafka-log-dirs", log_dirs),
        ("kafka-topics --delete", delete_topic),
    ]
    for name, act in checks:
        report.check(name, act)


def node(bench):
    """The id of the one broker, as text."""
    out = run_tool(bench, "kafka-broker-api-versions")
    return re.search(r"\(id: (\d+)", out)[1]


def verifiable_reads(bench, topic, protocol, n):
    """How many different records a verifiable consumer has read within the limit."""
    command = clients.tool("kafka-verifiable-consumer", "--bootstrap-server", bench.bootstrap, "--topic", topic,
                           "--group-id", f"verifiable-{protocol}", "--reset-policy", "earliest",
                           "--group-protocol", protocol, "--verbose")
    consumer = Background(command, bench.folder / f"verifiable-{protocol}.log")
    deadline, seen = time.monotonic() + PATIENCE, set()
    while len(seen) < n and time.monotonic() < deadline and not consumer.ended():
        time.sleep(1)
        lines = [line for line in consumer.text().splitlines() if '"record_data"' in line and line.endswith("}")]
        seen = {(r["partition"], r["offset"]) for r in map(json.loads, lines)}
    consumer.kill(15)
    return len(seen)


def with_replicas(bench, report):
    """The setting that the refusal names, switched on."""
    bench.broker.close()
    bench.start(**{"kafka.accept_replication_factor": "true"})

    def act():
        out = run_tool(bench, "kafka-topics", "--create", "--replication-factor", "2", "--partitions", "1", "--topic", "two")
        expect("Created topic two" in out, out)
        out = run_tool(bench, "kafka-topics", "--describe", "--topic", "two")
        expect("ReplicationFactor: 2" in out or "ReplicationFactor: 1" in out, out)

    report.check("kafka-topics --create --replication-factor 2 with kafka.accept_replication_factor", act)


def run(bench, report):
    clients.kafka_jars()
    bench.start()
    run_suite(bench, report)
    if bench.broker.is_ours:
        with_replicas(bench, report)
