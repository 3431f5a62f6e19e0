#!/usr/bin/env python3
"""Millstream and Apache Kafka 4.2 side by side: the same clients, one broker at a time, rounds in turn, medians.

    benches/kafka/run.py --server PATH              the whole, under 25 minutes on two cores
    benches/kafka/run.py --server PATH --quick      a few cells once: shows that it runs
    benches/kafka/run.py --server PATH --only millstream,kafka --cells 100/1/none --no-latency

Needs Linux, Java 17, Maven, Cargo and gcc; what it runs is fetched as by `make interop`. Data lies in TMPDIR, which must be
on a real disk. Writes RESULTS.md and RESULTS.json into --results (target/bench-kafka).
"""

import argparse
import dataclasses
import json
import os
import pathlib
import platform
import shutil
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "tests" / "interop")]

import brokers  # noqa: E402
import tables  # noqa: E402
import wire  # noqa: E402
from loads import Failed, Programs  # noqa: E402

RATES = [1_000, 10_000]
LATENCY_BYTES = 100


@dataclasses.dataclass(frozen=True)
class Cell:
    bytes: int
    partitions: int
    codec: str
    records: int

    @property
    def name(self):
        return f"{self.bytes}/{self.partitions}/{self.codec}"


def cells(scale):
    """All of {100 B, 1 KiB} x {1, 12 partitions} x {none, lz4}; so many records that a run takes 2 to 4 s."""
    records = {100: 3_000_000, 1024: 600_000}
    return [
        Cell(size, partitions, codec, int(records[size] * scale))
        for size in (100, 1024) for partitions in (1, 12) for codec in ("none", "lz4")
    ]


# Where memory is scarce, and where Kafka's own clients are the load.
FEW = ("100/1/none", "1024/12/none")


class Session:
    def __init__(self, options):
        self.options = options
        self.programs = Programs()
        self.samples, self.latencies, self.processes, self.failures = [], [], [], []
        self.topics = 0

    def round(self, number, name, start, folder):
        broker = start(folder)
        try:
            self.warm_up(broker)
            for cell in cells(self.options.scale):
                if self.wanted(name, cell):
                    self.cell(number, name, broker, "rdkafka", cell)
            # Half as many, for a JVM takes its time to begin.
            for cell in cells(self.options.scale / 2):
                if cell.name in FEW and name != "millstream-256" and self.wanted(name, cell):
                    self.cell(number, name, broker, "java", cell)
            loaded = broker.memory(), broker.cpu_s()
            if self.options.latency and name != "millstream-256":
                self.latency(number, name, broker)
            (now, peak), cpu = loaded
            self.processes.append({"broker": name, "round": number, "start_s": broker.start_s, "rss_end_mib": now,
                                   "rss_peak_mib": peak, "cpu_s": cpu})
        finally:
            broker.close()

    def wanted(self, name, cell):
        if self.options.cells:
            return cell.name in self.options.cells
        return cell.name in FEW if name == "millstream-256" or self.options.quick else True

    def topic(self, broker, partitions):
        self.topics += 1
        name = f"bench-{self.topics}"
        wire.create_topic(broker.address, name, partitions, broker.topic_settings)
        return name

    def warm_up(self, broker):
        """A JVM is given the time to compile; both get their first segments and files."""
        for cell in (Cell(100, 12, "none", int(2_000_000 * self.options.scale)), Cell(1024, 1, "lz4", int(200_000 * self.options.scale))):
            topic = self.topic(broker, cell.partitions)
            self.programs.rdkafka_produce(broker.bootstrap, topic, cell)
            self.programs.rdkafka_consume(broker.bootstrap, topic, cell)
            wire.delete_topic(broker.address, topic)

    def cell(self, number, name, broker, tool, cell):
        topic = self.topic(broker, cell.partitions)
        operations = ["produce", "consume", "consume again"] if tool == "rdkafka" else ["produce", "consume"]
        for operation in operations:
            act = getattr(self.programs, f"{tool}_{operation.split()[0]}")
            before = broker.cpu_s()
            key = {"broker": name, "round": number, "tool": tool, "operation": operation, "cell": cell.name}
            try:
                seen = act(broker.bootstrap, topic, cell)
            except Failed as failure:
                self.failures.append(f"{name}, {tool} {operation} {cell.name}: {failure}")
                print(f"  FAILED {self.failures[-1]}", flush=True)
                break
            cpu = broker.cpu_s() - before
            self.samples.append({**key, **seen, "server_cpu_s": cpu})
            print(f"  {tool:8}{operation:14}{cell.name:14}{seen['records_s']:12,.0f}/s  server {cpu:5.2f} s, client "
                  f"{seen['client_cpu_s']:5.2f} s, in {seen['seconds']:5.2f} s", flush=True)
        wire.delete_topic(broker.address, topic)

    def latency(self, number, name, broker):
        seconds, warm_up = (2, 1) if self.options.quick else (6, 2)
        for rate in RATES:
            topic = self.topic(broker, 1)
            before = broker.cpu_s()
            try:
                seen = self.programs.open_loop(broker.bootstrap, topic, rate, seconds, warm_up, LATENCY_BYTES)
            except Failed as failure:
                self.failures.append(f"{name}, latency at {rate}/s: {failure}")
                print(f"  FAILED {self.failures[-1]}", flush=True)
                continue
            seen["server_cores"] = (broker.cpu_s() - before) / (seconds + warm_up)
            self.latencies.append({"broker": name, "round": number, "rate": rate, **seen})
            print(f"  end to end, {rate}/s: p50 {seen['p50_ms']:.2f}, p99 {seen['p99_ms']:.2f}, p99.9 {seen['p999_ms']:.2f} ms; "
                  f"sent up to {seen['sent_late_max_ms']:.2f} ms late", flush=True)
            wire.delete_topic(broker.address, topic)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=pathlib.Path, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", type=lambda text: text.split(","), help="of the brokers only these")
    parser.add_argument("--cells", type=lambda text: set(text.split(",")), help="only these, as BYTES/PARTITIONS/CODEC")
    parser.add_argument("--no-latency", dest="latency", action="store_false")
    parser.add_argument("--results", type=pathlib.Path, default=pathlib.Path("target/bench-kafka"))
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.scale = 0.3 if options.quick else 1
    options.server = options.server.resolve()
    return options


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    options = arguments()
    session = Session(options)
    variants = brokers.variants(options.server)
    if options.only:
        variants = {name: variants[name] for name in options.only}
    folder = pathlib.Path(tempfile.mkdtemp(prefix="millstream-bench-"))
    began = time.monotonic()
    try:
        for number in range(1, options.rounds + 1):
            for name, (title, start) in variants.items():
                print(f"round {number}, {title}", flush=True)
                session.round(number, name, start, folder / name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    took = time.monotonic() - began

    results = {
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "load_at_end": os.getloadavg()},
        "quick": options.quick, "rounds": options.rounds, "took_s": took, "samples": session.samples,
        "latencies": session.latencies, "processes": session.processes, "failures": session.failures,
    }
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "RESULTS.json").write_text(json.dumps(results, indent=1))
    text = tables.markdown(results, {name: title for name, (title, _) in variants.items()})
    (options.results / "RESULTS.md").write_text(text)
    print(f"\n{text}\n{options.results}/RESULTS.md and .json; {took:.0f} s")
    sys.exit(1 if session.failures else 0)


if __name__ == "__main__":
    main()
