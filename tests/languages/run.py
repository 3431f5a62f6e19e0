#!/usr/bin/env python3
"""Every language as a new user meets it: from an empty folder to a transform that runs, then the examples' golden tests.

    tests/languages/run.py --server target/debug/millstream [--only rust,js,python] [--records 20000]

Needs the languages' own tools (cargo with wasm32-unknown-unknown, npm, python3) and their registries. What is measured
is printed as a table: for judging a change it has to be a quiet machine's.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUESTS = ROOT / "guest-examples"
#: language, kind, an example with golden tests
CASES = [
    ("rust", "transform", None),
    ("rust", "processor", None),
    ("js", "transform", "js-transform"),
    ("python", "transform", "py-transform"),
]


class Tool:
    """The command line against one server."""

    def __init__(self, program: str, url: str):
        self.program, self.url = program, url

    def run(self, *args: str, cwd: pathlib.Path, stdin: bytes = b"", fails: bool = False) -> str:
        command = [self.program, "--url", self.url, "--timeout", "900s", *args]
        done = subprocess.run(command, cwd=cwd, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if (done.returncode != 0) != fails:
            raise SystemExit(f"{' '.join(args)}: exit code {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}")
        return done.stdout.decode()

    def get(self, path: str):
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)


class Server:
    """A server of its own, on free ports."""

    def __init__(self, program: str, folder: pathlib.Path):
        ready = folder / "ready"
        command = [program, "serve", "--data-dir", str(folder / "data"), "--http-addr", "127.0.0.1:0", "--kafka-addr", "off"]
        self.log = (folder / "server.log").open("wb")
        self.child = subprocess.Popen([*command, "--ready-file", str(ready)], stdout=self.log, stderr=self.log)
        until = time.monotonic() + 120
        while not ready.exists():
            if self.child.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the server does not start: see {self.log.name}")
            time.sleep(0.05)
        self.url = f"http://{ready.read_text().splitlines()[0]}"

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        self.child.wait(60)
        self.log.close()


def orders(count: int) -> bytes:
    """Lines of records with about 100 bytes of JSON each."""
    line = '{"key":"u-%d","value":{"user":"user-%d","item":"item-%d","price":%d,"quantity":3,"page":"/shop/item","agent":"x"}}\n'
    return "".join(line % (n % 1000, n % 1000, n % 77, 100 + n % 900) for n in range(count)).encode()


def rate(tool: Tool, spec: dict, records: int, folder: pathlib.Path) -> float:
    """Records a second through a deployment, until the last has been processed."""
    name, topic = spec["name"], spec["input"]["topics"][0]
    lines = orders(records)
    tool.run("produce", topic, "--ndjson", cwd=folder, stdin=lines[: lines.index(b"\n") + 1])
    before = tool.get(f"/v1/deployments/{name}")["totals"]["records_in"]
    began = time.monotonic()
    tool.run("produce", topic, "--ndjson", cwd=folder, stdin=lines)
    until = time.monotonic() + 300
    while tool.get(f"/v1/deployments/{name}")["totals"]["records_in"] < before + records:
        if time.monotonic() > until:
            raise SystemExit(f"{name} has not processed {records} records in 5 minutes")
        time.sleep(0.02)
    return records / (time.monotonic() - began)


def case(tool: Tool, language: str, kind: str, example: str | None, records: int, folder: pathlib.Path) -> list[str]:
    name = f"my-{language}-{kind}"
    began = time.monotonic()
    tool.run("module", "new", name, "--lang", language, "--kind", kind, cwd=folder)
    project = folder / name
    tool.run("dev", "--once", cwd=project)
    topic = "events"
    tool.run("produce", topic, "--format", "text", "-k", "a", cwd=project, stdin=b"hello\n")
    first = time.monotonic() - began
    out = {"transform": topic, "processor": f"{name}-counts"}[kind]
    wanted = {"transform": "HELLO", "processor": "1"}[kind]
    until = time.monotonic() + 60
    while wanted not in (seen := tool.run("consume", out, "--format", "text", "-o", "%v\n", cwd=project)).split():
        if time.monotonic() > until:
            raise SystemExit(f"{name}: {wanted} is expected in {out}, found {seen!r}")
        time.sleep(0.1)

    began = time.monotonic()
    built = json.loads(tool.run("module", "build", "-o", "json", cwd=project))
    build = time.monotonic() - began
    tool.run("module", "test", cwd=project)
    # A test that cannot fail proves nothing.
    golden = next((project / "tests").glob("*.out.ndjson"))
    golden.write_text(golden.read_text() + '{"value":"one more"}\n')
    tool.run("module", "test", cwd=project, fails=True)
    tool.run("module", "test", "--update", cwd=project)
    tool.run("module", "test", cwd=project)

    module = tool.get(f"/v1/modules/{name}/versions/latest")
    deployed = name
    if example:
        copy = folder / example
        shutil.copytree(GUESTS / example, copy, ignore=shutil.ignore_patterns("build", "node_modules", ".venv"))
        for tools in ("node_modules", ".venv"):
            if (project / tools).exists():
                (copy / tools).symlink_to(project / tools)
        tool.run("module", "test", cwd=copy)
        tool.run("dev", "--once", cwd=copy)
        deployed = "totals"
    spec = tool.get(f"/v1/deployments/{deployed}")["spec"] | {"name": deployed}
    speed = rate(tool, spec, records, folder)
    tool.run("deployment", "delete", deployed, "--yes", cwd=folder)
    if example:
        tool.run("deployment", "delete", name, "--yes", cwd=folder)
    return [
        f"{language} {kind}",
        f"{built['bytes'] / 1e6:.2f} MB",
        f"{first:.1f} s",
        f"{build:.1f} s",
        f"{module['compile_ms'] / 1000:.2f} s",
        f"{speed:,.0f}",
    ]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--server", required=True, help="the millstream binary")
    arguments.add_argument("--only", default="", help="languages, with commas between")
    arguments.add_argument("--records", type=int, default=20_000)
    arguments = arguments.parse_args()
    only = [language for language in arguments.only.split(",") if language]

    program = os.path.abspath(arguments.server)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="millstream-languages-"))
    server = Server(program, folder)
    try:
        rows = [["", "component", "first record", "build", "compile CPU", "records/s"]]
        for language, kind, example in CASES:
            if only and language not in only:
                continue
            rows.append(case(Tool(program, server.url), language, kind, example, arguments.records, folder))
            print("  ".join(rows[-1]), file=sys.stderr, flush=True)
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
