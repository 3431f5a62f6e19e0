"""librdkafka's own tests, one process each, in quick mode; the sources come with the crate of the Rust client.

expected/librdkafka.tsv says of each number what Apache Kafka 4.2 did on one node, and names those which are no
measure of the server: what Kafka passes must pass, and what it refuses only for its replication factor.
"""

import json
import os
import pathlib
import re
import shutil
import time

from harness import clients, processes
from harness.report import FAIL, PASS, SKIP, Report

EXPECTED = pathlib.Path(__file__).resolve().parent.parent / "expected" / "librdkafka.tsv"
LIMIT = 120
# The numbers of a broker without access control and TLS, in ranges; gaps are numbers that were never given.
NUMBERS = ("1-8 11-22 26 29-42 44-46 48 50-56 59-63 65 67 69-70 73 81-86 89-93 98-99 102-103 112-114 118 122 127 "
           "129-130 132 137 140")


def library():
    """The folder of librdkafka with its tests built."""
    project = clients.rust_project()

    def make(place):
        done = processes.run(["cargo", "metadata", "--format-version", "1", "--manifest-path", project / "Cargo.toml"], 300)
        packages = json.loads(done.out)["packages"]
        manifest = next(p["manifest_path"] for p in packages if p["name"] == "rdkafka-sys")
        shutil.rmtree(place / "source", ignore_errors=True)
        shutil.copytree(pathlib.Path(manifest).parent / "librdkafka", place / "source")
        # The registry's copy has lost the executable bits.
        for script in [place / "source" / "configure", place / "source" / "lds-gen.py", *(place / "source" / "mklove").rglob("*")]:
            if script.is_file():
                script.chmod(0o755)
        clients.must(["./configure", "--disable-curl"], 600, cwd=place / "source")
        clients.must(["make", "-j2", "libs"], 1800, cwd=place / "source")
        clients.must(["make", "-j2", "-C", "tests", "build"], 1800, cwd=place / "source")

    return clients.made("librdkafka", [clients.SOURCES / "rust" / "Cargo.toml"], make) / "source"


def numbers(tests):
    """The numbers of the list that exist as files, or those that are asked for."""
    if tests:
        return tests
    wanted = set()
    for word in NUMBERS.split():
        low, _, high = word.partition("-")
        wanted.update(range(int(low), int(high or low) + 1))
    return [f"{n:04}" for n in sorted(wanted)]


def expected():
    rows = (line.split("\t") for line in EXPECTED.read_text(encoding="utf-8").splitlines() if line and line[0] != "#")
    return {number: (state, reason) for number, state, reason in rows}


def run(bench, report: Report):
    source = library()
    scripts = clients.kafka_scripts()
    known = expected()
    bench.start(**{"kafka.accept_replication_factor": "true"})
    conf = bench.folder / "test.conf"
    conf.write_text(f"bootstrap.servers={bench.bootstrap}\nbroker.address.family=v4\n")
    environment = {
        **os.environ, "RDKAFKA_TEST_CONF": str(conf), "LD_LIBRARY_PATH": f"{source}/src:{source}/src-cpp",
        "TEST_KAFKA_VERSION": "4.2.0", "KAFKA_PATH": str(scripts), "BROKERS": bench.bootstrap, "CI": "true",
    }
    files = {path.name[:4] for path in (source / "tests").glob("[0-9][0-9][0-9][0-9]-*.c*")}
    for number in numbers(bench.options.tests):
        if number in files:
            one(bench, report, source, environment, number, *known.get(number, ("pass", "")))


def one(bench, report, source, environment, number, theirs, reason):
    began = time.monotonic()
    flags = ["-p1", "-L", "-K", "-E", "-Q"] + (["-P"] if number == "0090" else [])
    command = [*clients.NICE, "./test-runner", *flags]
    done = processes.run(command, LIMIT, cwd=source / "tests", env={**environment, "TESTS": number})
    state, note = verdict(number, done)
    took = time.monotonic() - began
    (bench.folder / f"{number}.log").write_text(done.out + done.err, encoding="utf-8")
    beside = f"Kafka 4.2: {theirs}" + (f" ({reason})" if reason else "")
    report.add(number, state, f"{beside}. {note}" if note else beside, took, must_pass=theirs in ("pass", "replicas"))


def verdict(number, done):
    text = re.sub(r"\x1b\[[0-9;]*m", "", done.out + done.err)
    # A number may have several rows: what needs no broker is skipped beside what has run.
    rows = re.findall(rf"\|\s*{number}\S*\s*\|\s*(PASSED|FAILED|SKIPPED)", text)
    row = next((result for result in ("FAILED", "PASSED", "SKIPPED") if result in rows), None)
    if row == "PASSED" and done.code == 0:
        return PASS, ""
    if row == "SKIPPED":
        return SKIP, first(text, r"(?:SKIP|skip)[^\n]*")
    if not row and not done.timed_out and done.code == 0:
        return SKIP, "runs without a broker only"
    if done.timed_out:
        return FAIL, f"not done within {LIMIT} s: {text.strip().splitlines()[-1][:200] if text.strip() else ''}"
    return FAIL, first(text, r"(?:TEST FAILURE[\s\S]{0,400}|Assertion[^\n]*|assert[^\n]*)") or f"exit {done.code}"


def first(text, pattern):
    found = re.search(pattern, text)
    return " ".join(found[0].split())[:300] if found else ""
