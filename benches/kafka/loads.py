"""The load: librdkafka's rdkafka_performance, Kafka's own perf tools, and latency.c beside this file. Each is run as its
makers run it; the only settings are those that the cells name."""

import json
import os
import pathlib
import re
import resource
import time

from harness import clients, processes
from suites import librdkafka

LATENCY = pathlib.Path(__file__).resolve().parent / "latency.c"
# No run takes that long unless something is wrong.
LIMIT_S = 90
# librdkafka sends after so many milliseconds, which is its default; Kafka's producer has the same since 4.0.
LINGER = "5"


class Failed(Exception):
    """A run that did not come to its figures; the text says what the client said."""


class Programs:
    """Fetched and built in the cache of the interop suites."""

    def __init__(self, cpus=None):
        self.source = librdkafka.library()
        self.performance = self.source / "examples" / "rdkafka_performance"
        self.cpus = cpus
        if not self.performance.exists():
            clients.must(["make", "-C", self.source / "examples", "rdkafka_performance"], 600)
        self.latency = clients.made("latency", [LATENCY], self._compile) / "latency"
        self.environment = {**os.environ, "LD_LIBRARY_PATH": str(self.source / "src")}

    def _compile(self, place):
        library = self.source / "src"
        clients.must(["gcc", "-O2", "-Wall", f"-I{library}", "-o", place / "latency", LATENCY, f"-L{library}", "-lrdkafka",
                      "-lpthread"], 120)

    def _run(self, command):
        """Its output, the seconds from start to end, and its CPU seconds."""
        before, began = children_cpu_s(), time.monotonic()
        done = processes.run(command, LIMIT_S, env=self.environment)
        took, cpu = time.monotonic() - began, children_cpu_s() - before
        if done.code:
            raise Failed(f"{pathlib.Path(command[0]).name}: {done.complaint()}")
        return done.out, took, cpu

    def rdkafka_produce(self, bootstrap, topic, cell):
        command = [self.performance, "-P", "-t", topic, "-b", bootstrap, "-s", cell.bytes, "-c", cell.records, "-a", "-1",
                   "-z", cell.codec, "-X", f"linger.ms={LINGER}", "-i", "100000"]
        out, _, cpu = self._run(command)
        found = re.findall(r"(\d+) messages produced \(\d+ bytes\), (\d+) delivered \(offset -?\d+, (\d+) failed\) in (\d+)ms", out)
        if not found:
            raise Failed(f"rdkafka_performance -P: {out[-300:]}")
        _, delivered, failed, milliseconds = map(int, found[-1])
        if failed or delivered != cell.records:
            raise Failed(f"rdkafka_performance -P: {delivered} delivered, {failed} failed, of {cell.records}")
        return sample(delivered, milliseconds / 1000, cpu)

    def rdkafka_consume(self, bootstrap, topic, cell):
        partitions = [word for p in range(cell.partitions) for word in ("-p", p)]
        command = [self.performance, "-C", "-t", topic, "-b", bootstrap, "-o", "beginning", "-c", cell.records,
                   *partitions, "-i", "100000"]
        out, _, cpu = self._run(command)
        found = re.findall(r"(\d+) messages \(\d+ bytes\) consumed in (\d+)ms", out)
        if not found:
            raise Failed(f"rdkafka_performance -C: {out[-300:]}")
        records, milliseconds = map(int, found[-1])
        return sample(records, milliseconds / 1000, cpu)

    def java_produce(self, bootstrap, topic, cell):
        words = ["--bootstrap-server", bootstrap, "--topic", topic, "--num-records", cell.records, "--record-size", cell.bytes,
                 "--throughput", "-1", "--command-property", "acks=all", f"compression.type={cell.codec}",
                 f"linger.ms={LINGER}"]
        out, _, cpu = self._run(java("kafka-producer-perf-test", words))
        found = re.findall(r"(\d+) records sent, ([\d.]+) records/sec", out)
        if not found or int(found[-1][0]) != cell.records:
            raise Failed(f"kafka-producer-perf-test: {out[-300:]}")
        return sample(cell.records, cell.records / float(found[-1][1]), cpu)

    def java_consume(self, bootstrap, topic, cell):
        words = ["--bootstrap-server", bootstrap, "--topic", topic, "--num-records", cell.records, "--hide-header"]
        out, _, cpu = self._run(java("kafka-consumer-perf-test", words))
        fields = out.strip().splitlines()[-1].split(", ") if out.strip() else []
        if len(fields) != 10:
            raise Failed(f"kafka-consumer-perf-test: {out[-300:]}")
        # Time spent on joining the group is no reading.
        return sample(int(fields[4]), int(fields[7]) / 1000, cpu)

    def open_loop(self, bootstrap, topic, rate, seconds, warm_up, size):
        out, _, _ = self._run([self.latency, bootstrap, topic, 1, rate, seconds, warm_up, size])
        return json.loads(out)


def java(name, words):
    """A perf tool, as its script runs it: with the compiler for the long run, and the memory it asks for."""
    jars = f"{clients.kafka_jars()}/*"
    return ["java", "-Xmx512M", "-Dlog4j2.level=WARN", "-cp", jars, clients.KAFKA_TOOLS[name], *words]


def sample(records, seconds, client_cpu_s):
    return {"records": records, "seconds": seconds, "records_s": records / max(seconds, 0.001), "client_cpu_s": client_cpu_s}


def children_cpu_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
