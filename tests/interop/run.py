#!/usr/bin/env python3
"""Runs real Kafka clients and tools against a started server; see docs/INTEROP.md.

    tests/interop/run.py [SUITE …] --server PATH          the built server, on free loopback ports
    tests/interop/run.py [SUITE …] --bootstrap HOST:PORT  another broker that runs already, for comparison

Options: --only java,kcat,…   of the clients only these
         --tests 0012,0103    of librdkafka's tests only these
         --results FILE       also write the tables there, as Markdown
"""

import argparse
import contextlib
import importlib
import os
import pathlib
import shutil
import signal
import sys
import tempfile

# The clone stays clean, for the adapters too.
sys.dont_write_bytecode = True
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness.clients import Missing  # noqa: E402
from harness.report import FAIL, Report  # noqa: E402
from harness.server import Foreign, Millstream  # noqa: E402

SUITES = ["intro", "matrix", "groups", "transactions", "streams", "connect", "views", "librdkafka", "kafka-python", "hostile"]


class Bench:
    """What a suite gets: a fresh broker, a folder for its files, and the options of the run."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.broker = None

    def start(self, **settings):
        if self.options.bootstrap:
            self.broker = Foreign(self.options.bootstrap)
        else:
            self.broker = Millstream(self.options.server, self.folder, **settings)
        return self.broker

    @property
    def bootstrap(self):
        return self.broker.bootstrap


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(SUITES))
    broker = parser.add_mutually_exclusive_group(required=True)
    broker.add_argument("--server", type=pathlib.Path)
    broker.add_argument("--bootstrap")
    parser.add_argument("--only", type=lambda text: set(text.split(",")), default=set())
    parser.add_argument("--tests", type=lambda text: text.split(","), default=[])
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("--keep", action="store_true", help="keep the folder with data and logs")
    options = parser.parse_args()
    unknown = [name for name in options.suites if name not in SUITES]
    if unknown:
        parser.error(f"no suite called {unknown[0]}; there are {', '.join(SUITES)}")
    return options


def run_suite(name, options):
    suite = importlib.import_module(f"suites.{name.replace('-', '_')}")
    print(f"{name}: {suite.__doc__.splitlines()[0]}", flush=True)
    report = Report(name)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"millstream-interop-{name}-"))
    bench = Bench(options, folder)
    try:
        suite.run(bench, report)
    except Missing as missing:
        report.add("clients", FAIL, str(missing))
    except Exception as error:  # the other suites still run
        report.add("suite", FAIL, f"{type(error).__name__}: {error}")
    finally:
        if bench.broker:
            last_words = bench.broker.close()
            if last_words:
                report.add("server", FAIL, last_words)
    if options.keep or report.failed():
        print(f"  data and logs are kept in {folder}")
    else:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
    print(f"{name}: {report.summary()}\n", flush=True)
    return report


def main():
    sys.stdout.reconfigure(line_buffering=True)
    # Ended from outside, it still ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    options = arguments()
    reports = [run_suite(name, options) for name in options.suites or SUITES]
    tables = "\n".join(report.markdown() for report in reports)
    if options.results:
        options.results.write_text(tables)
    failed = [(report.title, cell) for report in reports for cell in report.failed()]
    for title, cell in failed:
        print(f"failed: {title}: {cell.name}: {cell.note[:200]}")
    passed = sum(report.count("pass") for report in reports)
    skipped = sum(report.count("skip") for report in reports)
    print(f"{passed} passed, {len(failed)} failed, {skipped} skipped")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
