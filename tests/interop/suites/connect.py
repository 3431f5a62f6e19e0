"""Kafka Connect standalone: a file goes into a topic, and out of it into another file."""

import os
import time

from harness import clients, processes
from harness.processes import Background
from harness.report import Report, expect
from harness.server import free_port

WORKER = """
bootstrap.servers={bootstrap}
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
offset.storage.file.filename={folder}/offsets
offset.flush.interval.ms=1000
listeners=http://127.0.0.1:{port}
plugin.discovery=only_scan
plugin.path={jars}
"""
SOURCE = """
name=source-{topic}
connector.class=org.apache.kafka.connect.file.FileStreamSourceConnector
tasks.max=1
file={folder}/in.txt
topic={topic}
"""
SINK = """
name=sink-{topic}
connector.class=org.apache.kafka.connect.file.FileStreamSinkConnector
tasks.max=1
file={folder}/out.txt
topics={topic}
"""


def run(bench, report: Report):
    jars = clients.kafka_jars()
    bench.start()
    folder, topic = bench.folder, f"connect-{os.getpid()}"
    # The connectors' jar alone, so that the scan for plugins is short.
    plugins = folder / "plugins" / "file"
    plugins.mkdir(parents=True)
    jar = next(jars.glob("connect-file-*.jar"))
    (plugins / jar.name).symlink_to(jar)
    # The file source counts characters where it seeks to bytes: other lines than ASCII are read twice after a restart.
    lines = [f"line {i}" for i in range(500)]

    def worker(*files):
        command = clients.tool("connect-standalone", *files, memory="512m")
        return Background(command, folder / "worker.log")

    def act():
        # One partition, so that lines keep their order.
        done = processes.run(clients.tool("kafka-topics", "--bootstrap-server", bench.bootstrap, "--create", "--partitions", "1", "--topic", topic), 90)
        expect(done.code == 0, done.complaint())
        names = {"bootstrap": bench.bootstrap, "folder": folder, "topic": topic, "jars": plugins.parent}
        for name, text in (("worker", WORKER), ("source", SOURCE), ("sink", SINK)):
            (folder / f"{name}.properties").write_text(text.format(port=free_port(), **names))
        files = [folder / f"{name}.properties" for name in ("worker", "source", "sink")]
        (folder / "in.txt").write_text("".join(f"{line}\n" for line in lines[:300]))
        first = worker(*files)
        try:
            arrives(folder, lines[:300], first)
            # Positions are written down once a second; what is read after that is read again.
            time.sleep(3)
        finally:
            first.kill(15)
        # The second worker goes on where the first has stopped, by the positions that were committed.
        with open(folder / "in.txt", "a", encoding="utf-8") as source:
            source.write("".join(f"{line}\n" for line in lines[300:]))
        second = worker(*files)
        try:
            again = arrives(folder, lines, second)
        finally:
            second.kill(15)
        return f"{len(lines)} lines, the worker restarted in between, {again} lines twice"

    report.check("file source to topic to file sink", act)


def arrives(folder, lines, worker):
    """All lines are in the sink's file, in order but for repetitions; how many repetitions there are."""
    deadline, got = time.monotonic() + 120, []
    while len(set(got)) < len(lines) and time.monotonic() < deadline:
        expect(not worker.ended(), f"the worker ended: {worker.text()[-800:]}")
        time.sleep(1)
        path = folder / "out.txt"
        got = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    expect(list(dict.fromkeys(got)) == lines, f"{len(set(got))} of {len(lines)} lines arrived; {worker.text()[-800:]}")
    return len(got) - len(lines)
