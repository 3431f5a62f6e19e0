"""Fetches the clients through their registries into a cache folder outside the clone, builds the adapters there, and
knows how to call them."""

import hashlib
import json
import os
import pathlib
import shutil
import sys

from .processes import Background, run

SOURCES = pathlib.Path(__file__).resolve().parent.parent / "clients"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "millstream" / "interop"
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
# JVMs start twice as fast when they do not compile for the long run.
JAVA = ["java", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dlog4j2.level=WARN"]
# Everything that is measured shares the machine with the server, which goes first.
NICE = ["nice", "-n", "10"]

PYTHON_PACKAGES = [
    "confluent-kafka==2.16.1", "aiokafka==0.14.0", "kafka-python==3.0.7",
    # codecs of the two that are written in Python
    "cramjam==2.14.0", "crc32c==2.9.post0", "lz4==4.4.5", "python-snappy==0.7.3", "zstandard==0.25.0",
    # kafka-python's own tests
    "pytest==9.2.0", "pytest-timeout==2.4.0", "pytest-mock==3.17.0", "py==1.11.0",
]

# Debian packages of the tools, by the command that shows they are there.
TOOLS = {
    "javac": "openjdk-17-jdk-headless", "mvn": "maven", "kcat": "kcat", "node": "nodejs", "npm": "npm",
    "go": "golang-go", "cargo": "cargo", "make": "make", "gcc": "gcc",
}


class Missing(Exception):
    """A client cannot be had; the text says what to do."""


def need(*commands):
    absent = [TOOLS[c] for c in commands if not shutil.which(c)]
    if not absent:
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        print(f"  installing {' '.join(absent)} with apt-get", flush=True)
        run(["apt-get", "update", "-qq"], 300)
        run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *absent], 1200,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    still = [c for c in commands if not shutil.which(c)]
    if still:
        raise Missing(f"{', '.join(still)} not installed; on Debian: apt-get install {' '.join(TOOLS[c] for c in still)}")


def must(command, seconds, **settings):
    done = run([*NICE, *command], seconds, **settings)
    if done.code:
        raise Missing(f"{' '.join(map(str, command))}: {done.complaint(1500)}")
    return done.out


def made(folder, sources, make):
    """`folder` in the cache holds what `make` builds of `sources`; it is built anew when a source has changed."""
    texts = [path.read_bytes() if isinstance(path, pathlib.Path) else path.encode() for path in sources]
    stamp = hashlib.sha256(b"\0".join(texts)).hexdigest()
    place = CACHE / folder
    if (place / "stamp").exists() and (place / "stamp").read_text() == stamp:
        return place
    print(f"  preparing {folder} in {place}", flush=True)
    place.mkdir(parents=True, exist_ok=True)
    make(place)
    (place / "stamp").write_text(stamp)
    return place


def kafka_jars():
    need("javac", "mvn")

    def make(place):
        shutil.rmtree(place / "libs", ignore_errors=True)
        shutil.copy(SOURCES / "java" / "pom.xml", place)
        must(["mvn", "-q", "-B", "-f", place / "pom.xml", "dependency:copy-dependencies", "-DincludeScope=runtime",
              f"-DoutputDirectory={place / 'libs'}"], 1200)

    return made("kafka", [SOURCES / "java" / "pom.xml"], make) / "libs"


def java_classes():
    jars = kafka_jars()
    sources = sorted((SOURCES / "java").glob("*.java"))

    def make(place):
        must(["javac", "-cp", f"{jars}/*", "-d", place / "classes", *sources], 300)

    return made("java", sources, make) / "classes"


def java(main, *words):
    return [*NICE, *JAVA, "-cp", f"{java_classes()}:{kafka_jars()}/*", main, *words]


def python_environment():
    def make(place):
        must([sys.executable, "-m", "venv", "--clear", place], 120)
        must([place / "bin" / "pip", "install", "-q", "--disable-pip-version-check", *PYTHON_PACKAGES], 1200)

    return made("python", PYTHON_PACKAGES, make) / "bin" / "python"


def python_adapter(name):
    return [python_environment(), SOURCES / "python" / name]


def kcat_adapter():
    need("kcat")
    return [sys.executable, SOURCES / "python" / "kcat.py"]


def node_adapter():
    need("node", "npm")

    def make(place):
        shutil.copy(SOURCES / "javascript" / "package.json", place)
        must(["npm", "install", "--no-audit", "--no-fund", "--prefix", place], 900)

    place = made("javascript", [SOURCES / "javascript" / "package.json"], make)
    # The codecs for it are old and warn about interfaces of Node that they use.
    node = ["env", f"NODE_PATH={place / 'node_modules'}", "node", "--no-deprecation"]
    return [*node, SOURCES / "javascript" / "adapter.js"]


def rust_project():
    need("cargo", "gcc", "make")
    sources = [SOURCES / "rust" / "Cargo.toml", SOURCES / "rust" / "src" / "main.rs"]

    def make(place):
        shutil.copytree(SOURCES / "rust", place, dirs_exist_ok=True)
        environment = {k: v for k, v in os.environ.items() if k not in ("CARGO_TARGET_DIR", "RUSTFLAGS")}
        must(["cargo", "build", "--manifest-path", place / "Cargo.toml"], 1800, env=environment)

    return made("rust", sources, make)


def go_adapter():
    need("go")
    sources = sorted((SOURCES / "go").iterdir())

    def make(place):
        shutil.copytree(SOURCES / "go", place, dirs_exist_ok=True)
        must(["go", "build", "-o", "adapter", "."], 900, cwd=place)

    return [made("go", sources, make) / "adapter"]


class Client:
    """One client library behind the common command line."""

    def __init__(self, name, version, command, codecs=CODECS, commands=(), **traits):
        self.name, self.version, self.codecs = name, version, codecs
        self._command, self.commands = command, {"produce", "consume", "consume-committed", "member", *commands}
        # False: the client's own interface cannot carry this, whatever the broker does.
        self.header_order = traits.get("header_order", True)
        self.sets_timestamps = traits.get("sets_timestamps", True)
        self.writes_null_headers = traits.get("writes_null_headers", True)
        self.keeps_reading = traits.get("keeps_reading", True)

    def command(self, bootstrap, *words):
        return [*NICE, *self._command(), bootstrap, *words]

    def run(self, bootstrap, *words, stdin="", seconds=180):
        """Lines of JSON that it printed; raises when it failed."""
        done = run(self.command(bootstrap, *words), seconds, stdin)
        if done.code:
            raise RuntimeError(f"{self.name} {words[0]}: {done.complaint()}")
        return [json.loads(text) for text in done.out.splitlines()]

    def start(self, bootstrap, *words, log):
        errors = open(f"{log}.err", "ab")
        return Background(self.command(bootstrap, *words), log, stderr=errors)


CLIENTS = [
    Client("java", "4.2.0", lambda: java("Interop"), commands=("transact", "copy")),
    Client("kcat", "Debian's", kcat_adapter, sets_timestamps=False),
    Client("confluent-kafka", "2.16.1", lambda: python_adapter("confluent.py"), commands=("transact", "copy")),
    Client("aiokafka", "0.14.0", lambda: python_adapter("aio.py"), commands=("transact", "copy")),
    Client("kafka-python", "3.0.7", lambda: python_adapter("kafkapy.py"), commands=("transact",),
           writes_null_headers=False, keeps_reading=False),
    Client("kafkajs", "2.2.4", node_adapter, commands=("transact",), header_order=False, writes_null_headers=False),
    Client("rdkafka (Rust)", "0.39", lambda: [rust_project() / "target" / "debug" / "millstream-interop"], commands=("transact", "copy")),
    Client("franz-go", "1.22.3", go_adapter, commands=("transact", "copy")),
]


# Members of groups over HTTP, beside Kafka's clients; it can do nothing else, and talks to another door.
HTTP_MEMBER = Client("http", "this server's", lambda: [sys.executable, SOURCES / "python" / "http_member.py"])


def chosen(only):
    """All clients, or those whose names are given; each made ready."""
    clients = [c for c in CLIENTS if not only or c.name.split()[0] in only]
    for client in clients:
        client.command("")
    return clients


def tool(name, *words, memory="256m"):
    """A command-line tool of Kafka by the name of its script."""
    return [*NICE, *JAVA, f"-Xmx{memory}", "-cp", f"{kafka_jars()}/*", KAFKA_TOOLS[name], *words]


_TOOLS = "org.apache.kafka.tools"
KAFKA_TOOLS = {
    "kafka-topics": f"{_TOOLS}.TopicCommand",
    "kafka-console-producer": f"{_TOOLS}.ConsoleProducer",
    "kafka-console-consumer": f"{_TOOLS}.consumer.ConsoleConsumer",
    "kafka-consumer-groups": f"{_TOOLS}.consumer.group.ConsumerGroupCommand",
    "kafka-groups": f"{_TOOLS}.GroupsCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-get-offsets": f"{_TOOLS}.GetOffsetShell",
    "kafka-delete-records": f"{_TOOLS}.DeleteRecordsCommand",
    "kafka-transactions": f"{_TOOLS}.TransactionsCommand",
    "kafka-producer-perf-test": f"{_TOOLS}.ProducerPerformance",
    "kafka-consumer-perf-test": f"{_TOOLS}.ConsumerPerformance",
    "kafka-verifiable-producer": f"{_TOOLS}.VerifiableProducer",
    "kafka-verifiable-consumer": f"{_TOOLS}.VerifiableConsumer",
    "kafka-broker-api-versions": f"{_TOOLS}.BrokerApiVersionsCommand",
    "kafka-log-dirs": f"{_TOOLS}.LogDirsCommand",
    "kafka-e2e-latency": f"{_TOOLS}.EndToEndLatency",
    "kafka-cluster": f"{_TOOLS}.ClusterTool",
    "connect-standalone": "org.apache.kafka.connect.cli.ConnectStandalone",
}


def kafka_scripts():
    """A folder with `bin/kafka-….sh`, for suites of others that call them."""
    def make(place):
        (place / "bin").mkdir(exist_ok=True)
        for name in KAFKA_TOOLS:
            script = place / "bin" / f"{name}.sh"
            command = " ".join(f"'{word}'" for word in tool(name))
            script.write_text(f"#!/bin/sh\nexec {command} \"$@\"\n")
            script.chmod(0o755)
        # What librdkafka's tests compile and run in Java.
        run_class = place / "bin" / "kafka-run-class.sh"
        run_class.write_text(f"#!/bin/sh\nexec {' '.join(JAVA)} -cp \"$CLASSPATH:{kafka_jars()}/*\" \"$@\"\n")
        run_class.chmod(0o755)
        (place / "libs").unlink(missing_ok=True)
        (place / "libs").symlink_to(kafka_jars())

    return made("scripts", [json.dumps(KAFKA_TOOLS), str(kafka_jars()), "libs"], make)
