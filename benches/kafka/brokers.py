"""The brokers, one at a time, each a process of its own with a fresh data folder; what they use is read from /proc."""

import os
import pathlib
import shutil
import signal
import time

import wire
from harness import clients, processes
from harness.server import free_port

TICKS = os.sysconf("SC_CLK_TCK")

# As bin/kafka-server-start.sh of the distribution runs it.
KAFKA_JVM = ["-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
             "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true", "-Dlog4j2.level=WARN"]

# config/server.properties of the distribution, but for addresses and folders.
KAFKA_PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs={data}
num.partitions=1
num.recovery.threads.per.data.dir=2
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
group.initial.rebalance.delay.ms=0
"""


class Broker:
    """A started broker. `topic_settings` are given to every topic of a run."""

    topic_settings = {}

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.port = free_port()
        self.address = ("127.0.0.1", self.port)
        self.bootstrap = f"127.0.0.1:{self.port}"
        command, settings = self.prepare()
        began = time.monotonic()
        self.process = processes.Background(command, self.folder / "log", **settings)
        while not wire.is_up(self.address):
            if self.process.ended() or time.monotonic() > began + 120:
                raise RuntimeError(f"{type(self).__name__} did not start:\n{self.process.text()[-2000:]}")
            time.sleep(0.002)
        self.start_s = time.monotonic() - began

    def cpu_s(self):
        """User and system time of all its threads, those that have ended as well."""
        with open(f"/proc/{self.process.child.pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self):
        """Resident now and at most, in MiB."""
        with open(f"/proc/{self.process.child.pid}/status", encoding="ascii", errors="replace") as file:
            lines = dict(line.split(":", 1) for line in file)
        return tuple(int(lines[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))

    def close(self):
        self.process.child.send_signal(signal.SIGTERM)
        if not self.process.wait(60):
            self.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Millstream(Broker):
    def __init__(self, folder, binary, durability="fsync", memory=None):
        self.binary, self.memory_setting = binary, memory
        self.topic_settings = {"durability": durability}
        super().__init__(folder)

    def prepare(self):
        command = [self.binary, "serve", "--http-addr", "127.0.0.1:0", "--kafka-addr", self.bootstrap, "--data-dir",
                   self.folder / "data"]
        settings = {"MILLSTREAM_MEMORY": self.memory_setting} if self.memory_setting else {}
        return command, {"env": {**os.environ, **settings}}


class Kafka(Broker):
    """Its folder is formatted before the time to start is taken."""

    def __init__(self, folder, properties=""):
        self.properties = properties
        super().__init__(folder)

    def prepare(self):
        file = self.folder / "server.properties"
        data = self.folder / "data"
        text = KAFKA_PROPERTIES.format(port=self.port, controller=free_port(), data=data)
        file.write_text(text + self.properties)
        jars = f"{clients.kafka_jars()}/*"
        tool = ["java", "-cp", jars, "kafka.tools.StorageTool"]
        clients.must([*tool, "format", "--standalone", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", file], 60)
        return ["java", *KAFKA_JVM, "-cp", jars, "kafka.Kafka", file], {"cwd": self.folder}


def variants(binary):
    """Name, what stands in the tables, and how it is started in a folder."""
    return {
        "millstream": ("Millstream, fsync", lambda folder: Millstream(folder, binary)),
        "millstream-os": ("Millstream, `durability=os`", lambda folder: Millstream(folder, binary, "os")),
        "millstream-256": ("Millstream, fsync, `memory=256MiB`", lambda folder: Millstream(folder, binary, memory="256MiB")),
        "kafka": ("Kafka, default", Kafka),
        "kafka-flush": ("Kafka, `log.flush.interval.messages=1`", lambda folder: Kafka(folder, "log.flush.interval.messages=1\n")),
    }
