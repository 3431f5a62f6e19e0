"""kafka-python's own integration tests of producer, consumer and admin client.

expected/kafka-python.tsv names the tests that Apache Kafka 4.2 does not pass on one node either; all others must pass.
"""

import os
import pathlib
import shutil
import tarfile
import time
import xml.etree.ElementTree

from harness import clients, processes
from harness.report import FAIL, PASS, SKIP, Report

EXPECTED = pathlib.Path(__file__).resolve().parent.parent / "expected" / "kafka-python.tsv"
SERVICE = pathlib.Path(clients.__file__).parent / "kafka_python_service.py"
VERSION = "3.0.7"
FILES = ["test_producer_integration.py", "test_consumer_integration.py", "test_admin_integration.py"]


def sources():
    """The folder of the source distribution, which has the tests that the installed package has not."""
    python = clients.python_environment()

    def make(place):
        clients.must([python, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "kafka-python", "-d", place,
                      f"kafka-python=={VERSION}"], 300)
        shutil.rmtree(place / "source", ignore_errors=True)
        with tarfile.open(next(place.glob("kafka_python-*.tar.gz"))) as archive:
            archive.extractall(place / "unpacked", filter="data")
        (place / "unpacked" / f"kafka_python-{VERSION}").rename(place / "source")
        # Without it the package of helpers loses against Python's own package `test`.
        (place / "source" / "test" / "__init__.py").touch()
        shutil.copy(SERVICE, place / "source" / "test" / "service.py")

    return clients.made("kafka-python", [VERSION, SERVICE], make) / "source"


def expected():
    rows = (line.split("\t") for line in EXPECTED.read_text(encoding="utf-8").splitlines() if line and line[0] != "#")
    return {name: (state, reason) for name, state, reason in rows}


def run(bench, report: Report):
    source, python = sources(), clients.python_environment()
    # Its tests expect an advertised address that was set.
    bench.start(**{"kafka.accept_replication_factor": "true", "kafka.advertised": "127.0.0.1"})
    root = bench.folder / "root"
    root.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(source), "KAFKA_ROOT": str(root), "KAFKA_URI": f"kafka://{bench.bootstrap}", "KAFKA_VERSION": "4.2.0"}
    known = expected()
    for name in FILES:
        results = bench.folder / f"{name}.xml"
        command = [*clients.NICE, python, "-m", "pytest", "-q", "-o", "log_level=ERROR", "-o", "addopts=", "-p", "no:cacheprovider",
                   "--timeout=60", f"--junitxml={results}", f"test/integration/{name}"]
        began = time.monotonic()
        done = processes.run(command, 1500, cwd=source, env=environment)
        if not results.exists():
            report.add(name, FAIL, done.complaint(), time.monotonic() - began)
            continue
        for case in xml.etree.ElementTree.parse(results).iter("testcase"):
            one(report, name, case, known)


def one(report, file, case, known):
    name = f"{file.removesuffix('_integration.py').removeprefix('test_')}: {case.get('name')}"
    theirs, reason = known.get(name, ("pass", ""))
    bad = case.find("failure") if case.find("failure") is not None else case.find("error")
    skipped = case.find("skipped")
    note = "" if theirs == "pass" else f"Kafka 4.2: {theirs} ({reason})."
    if bad is not None:
        report.add(name, FAIL, f"{note} {bad.get('message', '')[:300]}", float(case.get("time")), must_pass=theirs == "pass")
    elif skipped is not None:
        report.add(name, SKIP, skipped.get("message", ""))
    else:
        report.add(name, PASS, note, float(case.get("time")))
