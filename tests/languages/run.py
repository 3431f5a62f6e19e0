#!/usr/bin/env python3
"""Every language as a new user meets it: from an empty folder to code that runs, then the examples' golden tests, then what
strangers do wrong and what they are told.

    tests/languages/run.py --server target/debug/millstream [--only rust,js,ts,starlingmonkey,python,c,go] [--records 20000]

Needs the languages' own tools (cargo with wasm32-unknown-unknown, npm, python3, a clang with wasi-libc or Zig, go) and
their registries. What is measured
is printed as a table: for judging a change it has to be a quiet machine's. `new`, `dev` and `record` are the three commands
of the README; together they are the time from an empty folder to the first record that the code has made. `records/s` is through the
server, `CPU/record` in the engine alone.
"""

import argparse
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUESTS = ROOT / "guest-examples"
MISTAKES = pathlib.Path(__file__).resolve().parent
#: language, kind, an example with golden tests
CASES = [
    ("rust", "transform", None),
    ("rust", "processor", None),
    ("rust", "timed-processor", None),
    ("rust", "answering-processor", None),
    ("rust", "sink", None),
    ("rust", "source", None),
    ("js", "transform", "js-transform"),
    ("js", "processor", None),
    ("js", "timed-processor", None),
    ("js", "answering-processor", None),
    ("js", "sink", None),
    ("js", "source", None),
    ("ts", "transform", None),
    ("ts", "processor", None),
    ("ts", "timed-processor", None),
    ("ts", "answering-processor", None),
    ("ts", "sink", None),
    ("ts", "source", None),
    ("starlingmonkey", "transform", None),
    ("starlingmonkey", "timed-processor", None),
    ("starlingmonkey", "sink", None),
    ("python", "transform", "py-transform"),
    ("python", "processor", None),
    ("python", "timed-processor", None),
    ("python", "answering-processor", None),
    ("python", "sink", None),
    ("python", "source", None),
    ("c", "transform", "c-transform"),
    ("c", "processor", None),
    ("c", "timed-processor", None),
    ("c", "answering-processor", None),
    ("go", "transform", "go-transform"),
    ("go", "processor", None),
    ("go", "timed-processor", None),
    ("go", "answering-processor", None),
]
#: packages that package.json does not name
STARLINGMONKEY = ["@bytecodealliance/componentize-js@0.23.0", "@bytecodealliance/preview2-shim@0.17.4"]

#: What mistakes.js does at a record with this value, and what is told of it.
TOLD_BY_JAVASCRIPT = {
    "throws": ["Error: no such customer", "at throws (src/index.js:9)"],
    "reads undefined": ["TypeError", "at deeper (src/index.js:5)"],
    "throws text": ["just text"],
    "returns text": ['emit({ … }) is expected, not the text "HELLO"'],
    "returns a promise": ["cannot be `async`"],
    "emits text": ['an object such as { value: "text" } is expected, not the text "HELLO"', "(src/index.js:17)"],
    "emits its value": ["`price` is none of key, value, headers, timestamp, topic"],
    "emits a function": ["a function cannot be written as JSON", "(src/index.js:19)"],
    "emits a date as timestamp": ["timestamp has to be whole milliseconds"],
    "emits to 5": ["topic has to be text, not 5"],
    "emits to nowhere": ["an output names the route `nowhere`"],
    "logs": ['"seen {\\"a\\":1} [2]"', '"odd"'],
    "loops": ["cpu_limit", "`limits.cpu` of the deployment raises it"],
    "recurses": ["recursion"],
    "emits much": ["`limits.memory` of the deployment raises it"],
    "takes memory": ["out of memory", "(src/index.js:35)"],
    "fetches": ["fetch is not defined", "(src/index.js:37)"],
    "waits": ["setTimeout is not defined"],
    "tells the time": ['"value": 20'],
    "draws": ['"value": 0.'],
    "rejects": ["because"],
    "drops": ['"verdict": "drop"'],
}
#: What mistakes.py does at a record with this value, and what is told of it.
TOLD_BY_PYTHON = {
    "throws": ["ValueError: no such customer", 'File \\"app.py\\", line 16, in throws', "raise ValueError(text)"],
    "reads undefined": ["KeyError: 'member'", 'return found[\\"member\\"][\\"of\\"]'],
    "returns text": ["emit(output(…)) is expected, not str 'HELLO'"],
    "emits text": ["emit takes what output(…) makes, such as emit(output(value)), not str 'HELLO'"],
    "emits a function": ["Object of type function is not JSON serializable", 'File \\"app.py\\", line 45'],
    "emits a date as timestamp": ["timestamp has to be whole milliseconds, not datetime"],
    "emits to 5": ["topic has to be text, not int 5"],
    "emits to nowhere": ["an output names the route `nowhere`"],
    "logs": ["\"seen {'a': 1} [2]\"", '"odd"'],
    "loops": ["cpu_limit", "`limits.cpu` of the deployment raises it"],
    "recurses": ["RecursionError: maximum recursion depth exceeded"],
    "emits much": ["`limits.memory` of the deployment raises it"],
    "takes memory": ["MemoryError", "in takes_memory"],
    "fetches": ["in urlopen"],
    "tells the time": ['"value": 20'],
    "draws": ['"value": 0.'],
    "rejects": ["because"],
    "drops": ['"verdict": "drop"'],
}
#: What mistakes.c does at a record with this value, and what is told of it.
TOLD_BY_C = {
    "fails": ["no such customer"],
    "divides": ["divide by zero", "ms_transform"],
    "writes anywhere": ["outside of its memory", "ms_transform"],
    "aborts": ["abort"],
    "emits to 5": ["5"],
    "logs": ['"seen 12"', '"odd"'],
    "loops": ["cpu_limit", "`limits.cpu` of the deployment raises it"],
    "takes memory": ["out of memory"],
    "opens": ["there is no such file"],
    "tells the time": ['"value": 20'],
    "rejects": ["because"],
    "drops": ['"verdict": "drop"'],
}
#: What mistakes.go does at a record with this value, and what is told of it.
TOLD_BY_GO = {
    "panics": ["no such customer", "at main.judge (wrong-go/main.go:29)"],
    "reads beyond": ["index out of range [12] with length 3", "at main.reads"],
    "reads nil": ["nil pointer dereference", "at main.judge"],
    "fails": ["no such item"],
    "emits to nowhere": ["the deployment has no route `nowhere`"],
    "logs": ['"seen 12"', '"odd"'],
    "loops": ["cpu_limit", "`limits.cpu` of the deployment raises it"],
    "recurses": ["stack"],
    "takes memory": ["out of memory"],
    "waits for nobody": ["deadlock"],
    "starts another": ["from another"],
    "sleeps": ['"value": true'],
    "tells the time": ['"value": 20'],
    "fetches": ["dial tcp"],
    "opens": ["/etc/passwd"],
    "rejects": ["because"],
    "drops": ['"verdict": "drop"'],
}
#: Sources that do not build, and what is told of them.
UNBUILT = {
    "js": [
        ("export const transform = ;\n", ['Unexpected ";"', "src/index.js:1:25"]),
        ("export const transforms = {};\n", ["exports transforms, but the world `inline-transform` asks for `transform`"]),
        ('import "nothing-there";\n', ['Could not resolve "nothing-there"', "npm install NAME"]),
        ('import { readFileSync } from "fs";\nreadFileSync("a");\n', ["no Node.js around the code"]),
        ('\nthrow new Error("too early");\nexport const transform = 1;\n', ["Error: too early", "src/index.js:2"]),
        ("export const transform = 1, onTimer = 2;\n", ["exports onTimer", '"timed-processor"']),
        ("export const transform = 1, query = 2;\n", ["exports query", '"answering-processor"']),
    ],
    "ts": [
        ("export const transform: number = 'text';\n", ["src/index.ts", "TS2322", "types do not fit"]),
        ("export const transform: = 1;\n", ["src/index.ts:1:2"]),
    ],
    "python": [
        ("def judge(record:\n    return 1\n", ["SyntaxError", "app.py"]),
        ("import nothing_there\n", ["No module named 'nothing_there'"]),
        ("raise RuntimeError('too early')\n", ["RuntimeError: too early"]),
        ("Transforms = 1\n", ["Transform"]),
        ("from millstream import *\nOnTimer = timer_each(print)\n", ['world = "timed-processor"', "app.py"]),
        ("from millstream import *\nQuery = answer_each(print)\n", ['world = "answering-processor"', "app.py"]),
        ("from millstream import *\nasync def judge(record): pass\nTransform = each_record(judge)\n", ["cannot be `async`"]),
    ],
    "c": [
        ("ms_verdict ms_transform(\n", ["src/transform.c:1"]),
        ('#include "millstream.h"\n', ["ms_transform"]),
    ],
    "go": [
        ("package main\nfunc main() { return 1 }\n", ["main.go:2"]),
        ("package main\nfunc main() {}\n", ["offers nothing that the server calls", "transform.Each"]),
    ],
}
#: where the code of a template is, by language
CODE = {"js": "src/index.js", "ts": "src/index.ts", "python": "app.py", "c": "src/transform.c", "go": "main.go"}
TOLD = {"js": TOLD_BY_JAVASCRIPT, "python": TOLD_BY_PYTHON, "c": TOLD_BY_C, "go": TOLD_BY_GO}


class Tool:
    """The command line against one server."""

    def __init__(self, program: str, url: str):
        self.program, self.url = program, url

    def run(self, *args: str, cwd: pathlib.Path, stdin: bytes = b"", fails: bool = False) -> str:
        """What it prints; if it has to fail, what it says to that too."""
        code, out, told = self.ended(*args, cwd=cwd, stdin=stdin)
        if (code != 0) != fails:
            raise SystemExit(f"{' '.join(args)}: exit code {code}\n{out}{told}")
        return out + told if fails else out

    def ended(self, *args: str, cwd: pathlib.Path, stdin: bytes = b"") -> tuple[int, str, str]:
        command = [self.program, "--url", self.url, *args]
        done = subprocess.run(command, cwd=cwd, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

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


class Outside:
    """Whom sinks deliver to, on a free port: it has too much to do at first, and takes no record that says `bad`."""

    def __init__(self):
        taken = self.taken = []
        busy = [True]

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status = 503 if busy else 400 if body == b"bad" else 204
                busy.clear()
                if status == 204:
                    taken.append(body.decode())
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def until(happened, what: str):
    """Waits for something that is to happen within a minute."""
    end = time.monotonic() + 60
    while not (seen := happened())[0]:
        if time.monotonic() > end:
            raise SystemExit(f"{what} is expected, found {seen[1]!r}")
        time.sleep(0.02)


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


def alone(tool: Tool, records: int, project: pathlib.Path) -> float:
    """CPU time of a record in the engine alone, in microseconds, as `module test` calls the code."""
    given = project / "tests" / "speed.in.ndjson"
    given.write_bytes(orders(records))
    told = json.loads(tool.run("module", "test", "--only", "speed", "--update", "-o", "json", cwd=project))
    for file in (project / "tests").glob("speed.*"):
        file.unlink()
    return told["cpu_us"] / records


def begin(tool: Tool, language: str, kind: str, folder: pathlib.Path) -> pathlib.Path:
    """The folder of a new module."""
    name = f"my-{language}-{kind}"
    written_in = {"starlingmonkey": "js"}.get(language, language)
    tool.run("module", "new", name, "--lang", written_in, "--kind", kind, cwd=folder)
    if language == "starlingmonkey":
        file = folder / name / "package.json"
        package = json.loads(file.read_text())
        package["millstream"]["engine"] = "starlingmonkey"
        del package["devDependencies"]["componentize-qjs"]
        package["devDependencies"] |= dict(name.rsplit("@", 1) for name in STARLINGMONKEY)
        file.write_text(json.dumps(package))
    return folder / name


def delivered(tool: Tool, project: pathlib.Path):
    """Deploys a sink, produces records, and waits until those have arrived that can."""
    outside = Outside()
    try:
        spec = project / "deploy.yaml"
        text = spec.read_text().replace("127.0.0.1:9000", outside.place)
        spec.write_text(text.replace("max_retries: 1000", "policy: skip, max_retries: 3"))
        tool.run("dev", "--once", cwd=project)
        tool.run("produce", "events", "--format", "text", cwd=project, stdin=b"hello\nbad\nworld\n")
        until(lambda: ({"hello", "world"} <= set(outside.taken), outside.taken), "the delivery of hello and world")
        status = lambda: tool.get(f"/v1/deployments/{project.name}")["totals"]
        until(lambda: (status()["skipped"] == 1, status()), "the loss of one record")
        # Nobody is there any more: that is no fault of the record.
        outside.stop()
        tool.run("produce", "events", "--format", "text", cwd=project, stdin=b"later\n")
        logs = lambda: tool.run("deployment", "logs", project.name, cwd=project)
        told = lambda: json.dumps(tool.get(f"/v1/deployments/{project.name}")) + logs()
        until(lambda: ("the connection was refused" in told(), told()), "word of the connection that is refused")
    finally:
        outside.stop()


def first_record(tool: Tool, kind: str, project: pathlib.Path):
    """Produces a record and waits for what the code has made of it."""
    topic, name = "events", project.name
    if kind == "timed-processor":
        # The second record ends the minute of the first.
        start = int(time.time()) // 60 * 60_000 - 120_000
        lines = [json.dumps({"key": "a", "value": "hello", "timestamp": at}) for at in (start, start + 70_000)]
        tool.run("produce", topic, "--ndjson", cwd=project, stdin="\n".join(lines).encode())
        wanted = json.dumps({"start": start, "count": 1}, separators=(",", ":"))
    elif kind == "source":
        wanted = "1"
    else:
        tool.run("produce", topic, "--format", "text", "-k", "a", cwd=project, stdin=b"hello\n")
        wanted = {"transform": "HELLO"}.get(kind, "1")
    out = {"transform": topic, "source": f"{name}-events"}.get(kind, f"{name}-counts")
    seen = lambda: tool.run("consume", out, "--format", "text", "-o", "%v\n", cwd=project).split()
    until(lambda: (wanted in seen(), seen()), f"{name}: {wanted} in {out}")
    if kind == "answering-processor":
        answer = tool.run("state", "query", name, "a", cwd=project).strip()
        refused = tool.run("state", "query", name, "nobody", cwd=project, fails=True)
        if answer != "1" or "never seen" not in refused:
            raise SystemExit(f"{name}: 1 and a refusal are expected, found {answer!r} and {refused!r}")


def golden(tool: Tool, project: pathlib.Path):
    spec = project / "deploy.yaml"
    spec.write_text(re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:9000", spec.read_text()))
    tool.run("module", "test", cwd=project)
    # A test that cannot fail proves nothing.
    expected = next((project / "tests").glob("*.out.ndjson"))
    expected.write_text(expected.read_text() + '{"value":"one more"}\n')
    tool.run("module", "test", cwd=project, fails=True)
    tool.run("module", "test", "--update", cwd=project)
    tool.run("module", "test", cwd=project)


def tools_of(project: pathlib.Path, other: pathlib.Path):
    """Lets another project use what was installed into the first."""
    for tools in ("node_modules", ".venv"):
        if (project / tools).exists():
            (other / tools).symlink_to(project / tools)


def case(tool: Tool, language: str, kind: str, example: str | None, records: int, folder: pathlib.Path) -> list[str]:
    began = time.monotonic()
    project = begin(tool, language, kind, folder)
    new = time.monotonic()
    if kind != "sink":
        tool.run("dev", "--once", cwd=project)
    dev = time.monotonic()
    delivered(tool, project) if kind == "sink" else first_record(tool, kind, project)
    record = time.monotonic()

    built = json.loads(tool.run("module", "build", "-o", "json", cwd=project))
    golden(tool, project)

    name = deployed = project.name
    measured = project
    module = tool.get(f"/v1/modules/{name}/versions/latest")
    if example:
        copy = folder / example
        shutil.copytree(GUESTS / example, copy, ignore=shutil.ignore_patterns("build", "node_modules", ".venv"))
        tools_of(project, copy)
        tool.run("module", "test", cwd=copy)
        tool.run("dev", "--once", cwd=copy)
        deployed, measured = "totals", copy
    spec = tool.get(f"/v1/deployments/{deployed}")["spec"] | {"name": deployed}
    speed = cpu = ""
    if kind not in ("sink", "source"):
        speed = f"{rate(tool, spec, records, folder):,.0f}"
        cpu = f"{alone(tool, records, measured):.1f} us"
    tool.run("deployment", "delete", deployed, "--yes", cwd=folder)
    if example:
        tool.run("deployment", "delete", name, "--yes", cwd=folder)
    # The next case begins with its own first record.
    if kind != "source":
        tool.run("topic", "delete", "events", "--yes", cwd=folder)
    return [
        f"{language} {kind}",
        f"{new - began:.1f} s",
        f"{dev - new:.1f} s",
        f"{record - dev:.1f} s",
        f"{built['bytes'] / 1e6:.2f} MB",
        f"{built['build_ms'] / 1000:.1f} s",
        f"{module['compile_ms'] / 1000:.2f} s",
        speed,
        cpu,
    ]


def mistakes(tool: Tool, language: str, installed: pathlib.Path, folder: pathlib.Path):
    """What strangers do wrong. Every message has to say what a developer of that language understands."""
    name = f"wrong-{language}"
    tool.run("module", "new", name, "--lang", language, cwd=folder)
    project = folder / name
    tools_of(installed, project)
    code = project / CODE[language]
    missing = []

    def expect(what: str, told: str, wanted: list[str]):
        # A message with quotes stands escaped in the answer.
        seen = told + told.replace('\\"', '"')
        missing.extend(f"{language}, {what}: {want!r} is not in\n{told}" for want in wanted if want not in seen)

    for source, wanted in UNBUILT[language]:
        code.write_text(source)
        expect(source, tool.run("module", "build", cwd=project, fails=True), wanted)
    cases = TOLD.get(language, {})
    if cases:
        shutil.copy(MISTAKES / f"mistakes{code.suffix}", code)
        tool.run("module", "push", cwd=project)
    for value, wanted in cases.items():
        record = json.dumps({"value_text": value}).encode()
        _, out, told = tool.ended("module", "run", name, "-o", "json", cwd=project, stdin=record)
        expect(value, out + told, wanted)
    if missing:
        raise SystemExit("\n\n".join(missing))


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
        tool = Tool(program, server.url)
        rows = [["", "new", "dev", "record", "component", "build", "compile CPU", "records/s", "CPU/record"]]
        for language, kind, example in CASES:
            if only and language not in only:
                continue
            rows.append(case(tool, language, kind, example, arguments.records, folder))
            print("  ".join(rows[-1]), file=sys.stderr, flush=True)
        for language in UNBUILT:
            if not only or language in only:
                mistakes(tool, language, folder / f"my-{language}-transform", folder)
                print(f"{language}: mistakes are told as they should be", file=sys.stderr, flush=True)
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
