"""What no client would send: the server stays within its memory, answers or closes, and serves others meanwhile.

With --bootstrap another broker gets the same; of it only the answers are judged, not the memory.
"""

import contextlib
import random
import resource
import select
import socket
import statistics
import struct
import threading
import time

from harness import raw
from harness.report import Skipped, expect

MIB = 1 << 20
MEMORY = 256 * MIB
# What the server may be above its `memory`, which its makers promise.
ABOVE = 100 * MIB
IDLE = 5_000
# So many that Metadata of all topics is an answer of some size.
PARTITIONS = 200
# An answer that takes longer than this on a machine full of other work is no answer.
PATIENCE_S = 20
CORRUPT, INVALID_RECORD, TOO_LARGE = 2, 87, 10


def run(bench, report):
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    bench.start(memory=f"{MEMORY >> 20}MiB", **{"kafka.num_partitions": PARTITIONS})
    target = Target(bench)
    target.topic("bystander")
    target.topic("bombs")
    bystander = Bystander(target)
    bystander.start()
    checks = [
        ("another port's language: TLS, HTTP, SSH", other_languages),
        ("lengths that no request has, an API and versions that do not exist", bad_headers),
        ("Metadata of 21 bytes with 2^31 topics", huge_array),
        ("1,000 connections that send noise", noise),
        ("a batch of 61 bytes that claims 2^31 - 1 records", empty_batch),
        *((f"{name}: of {len(packed) >> 10} KiB, 8 at a time", lambda t, c=codec, p=packed: bomb(t, c, p))
          for name, codec, packed in bombs()),
        ("500 connections stop inside a request, 300 of them after the length of 100 MiB", half_open),
        ("100 connections that take no answers", deaf),
        (f"{IDLE:,} idle connections", idle),
        ("a request that goes on by a byte a second is given up", slow),
    ]
    for name, act in checks:
        report.check(name, lambda act=act: target.watched(bystander, act))
    report.check("the other client, all the while", bystander.verdict)


class Target:
    def __init__(self, bench):
        self.bench = bench
        host, _, port = bench.bootstrap.rpartition(":")
        self.address = (host, int(port))
        self.pid = bench.broker.process.child.pid if bench.broker.is_ours else None

    def topic(self, name):
        """By automatic creation, which Metadata does."""
        body = struct.pack(">i", 1) + raw.text(name) + b"\1"
        deadline = time.monotonic() + 30
        while True:
            raw.ask(self.address, raw.METADATA, 4, body)
            code, _ = raw.produced(raw.ask(self.address, raw.PRODUCE, 7, raw.produce(name, raw.batch(raw.record(b"first")))))
            if code == 0:
                return
            expect(time.monotonic() < deadline, f"topic {name} cannot be written to: error {code}")
            time.sleep(0.1)

    def resident(self):
        """Now and at most since `forget_peak`."""
        if not self.pid:
            return 0, 0
        with open(f"/proc/{self.pid}/status", encoding="ascii", errors="replace") as file:
            lines = dict(line.split(":", 1) for line in file)
        return tuple(int(lines[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))

    def forget_peak(self):
        if self.pid:
            with open(f"/proc/{self.pid}/clear_refs", "w", encoding="ascii") as file:
                file.write("5")

    def watched(self, bystander, act):
        """Memory before, at most and after, and how the other client fared meanwhile, as the note."""
        self.forget_peak()
        before, _ = self.resident()
        bystander.forget()
        note = act(self)
        after, peak = self.resident()
        bystander.verdict()
        if self.pid:
            note += f"; resident {before / MIB:.0f} MiB before, {peak / MIB:.0f} at most, {after / MIB:.0f} after"
        note += f"; {bystander.words()}"
        expect(peak <= MEMORY + ABOVE, f"{note}; {(MEMORY + ABOVE) / MIB:.0f} MiB are allowed")
        return note


class Bystander(threading.Thread):
    """A client that behaves: on one connection it writes a record and asks for metadata, over and over."""

    def __init__(self, target):
        super().__init__(daemon=True)
        self.target, self.trouble, self.took = target, None, []

    def run(self):
        try:
            with raw.connect(self.target.address, PATIENCE_S) as stream:
                while True:
                    began = time.monotonic()
                    data = raw.produce("bystander", raw.batch(raw.record(b"still here")))
                    stream.sendall(raw.framed(raw.header(raw.PRODUCE, 7) + data))
                    code, _ = raw.produced(raw.answer(stream)[4:])
                    expect(code == 0, f"error {code}")
                    stream.sendall(raw.framed(raw.header(raw.METADATA, 4) + struct.pack(">i", 1) + raw.text("bystander") + b"\0"))
                    raw.answer(stream)
                    self.took.append(time.monotonic() - began)
                    time.sleep(0.01)
        except Exception as error:  # told by the next verdict
            self.trouble = f"{type(error).__name__}: {error}"

    def forget(self):
        self.took = []

    def verdict(self):
        expect(self.trouble is None, f"the other client was disturbed: {self.trouble}")

    def words(self):
        took = sorted(self.took)
        if not took:
            return "the other client had no time for a round"
        return f"the other client's {len(took)} rounds: median {statistics.median(took) * 1000:.0f} ms, longest {took[-1] * 1000:.0f} ms"


def closed(stream, seconds=PATIENCE_S):
    """Reads until the end of the connection; an answer on the way is fine, staying open is not."""
    stream.settimeout(seconds)
    try:
        while stream.recv(65_536):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        expect(False, "the connection stays open")


def sends_and_is_closed(target, payload):
    with raw.connect(target.address) as stream:
        with contextlib.suppress(ConnectionError):
            stream.sendall(payload)
        closed(stream)


def other_languages(target):
    hello = bytes.fromhex("16030100d8010000d40303") + bytes(range(205))
    for payload in (hello, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n"):
        sends_and_is_closed(target, payload)
    return "each is closed"


def bad_headers(target):
    for length in (-1, -(1 << 31), (1 << 31) - 1, 101 * MIB, 0, 7):
        sends_and_is_closed(target, struct.pack(">i", length) + bytes(64))
    for api, version in ((999, 0), (-1, 0), (raw.METADATA, 99), (raw.METADATA, -1)):
        sends_and_is_closed(target, raw.framed(raw.header(api, version)))
    return "each is closed"


def huge_array(target):
    body = struct.pack(">hhih", raw.METADATA, 12, 1, -1) + b"\0" + b"\xff\xff\xff\xff\x07" + b"\1\1\0\0\0"
    sends_and_is_closed(target, raw.framed(body))
    return f"{len(body)} bytes, closed"


def noise(target):
    """Half of them begin with a length that is right."""
    seed = random.randrange(1 << 32)
    source = random.Random(seed)
    streams = []
    for n in range(1_000):
        payload = source.randbytes(source.randrange(8, 2_000))
        if n % 2:
            # An API that exists, so that its body is looked at.
            payload = raw.framed(struct.pack(">hhi", source.randrange(0, 70), source.randrange(0, 14), n) + payload)
        stream = raw.connect(target.address)
        with contextlib.suppress(ConnectionError):
            stream.sendall(payload)
            stream.shutdown(socket.SHUT_WR)
        streams.append(stream)
    for stream in streams:
        with stream:
            closed(stream, 60)
    return f"seed {seed}, each is closed"


def empty_batch(target):
    data = raw.batch(b"", count=(1 << 31) - 1)
    expect(len(data) == 61, f"{len(data)} bytes")
    code, _ = raw.produced(raw.ask(target.address, raw.PRODUCE, 7, raw.produce("bombs", data)))
    expect(code in (CORRUPT, INVALID_RECORD), f"error {code}")
    return f"error {code}"


def bombs():
    """Name, codec and bytes, each as large as a topic allows where it can be."""
    return [
        ("gzip bomb, 900 MiB", "gzip", raw.gzip_bomb(900)),
        ("snappy bomb, 20 MiB", "snappy", raw.snappy_bomb(20)),
        ("snappy that claims 4 GiB", "snappy", raw.snappy_claim()),
        ("snappy bomb in Java's framing, 20 MiB", "snappy", raw.xerial_bomb(20)),
        ("lz4 bomb, 240 MiB", "lz4", raw.lz4_bomb(240)),
        ("zstd bomb, 31 GiB", "zstd", raw.zstd_bomb(31 << 10)),
    ]


def bomb(target, codec, packed):
    request = raw.framed(raw.header(raw.PRODUCE, 7) + raw.produce("bombs", raw.batch(packed, codec)))
    streams = [raw.connect(target.address, 120) for _ in range(8)]
    for stream in streams:
        stream.sendall(request)
    codes = []
    for stream in streams:
        with stream:
            codes.append(raw.produced(raw.answer(stream)[4:])[0])
    expect(all(code in (CORRUPT, INVALID_RECORD, TOO_LARGE) for code in codes), f"errors {codes}")
    return f"error {codes[0]}"


def half_open(target):
    request = raw.framed(raw.header(raw.METADATA, 4) + struct.pack(">i", -1) + b"\0")
    produce = struct.pack(">i", 100 * MIB) + raw.header(raw.PRODUCE, 7)
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(raw.connect(target.address)) for _ in range(500)]
        for n, stream in enumerate(streams):
            begun = [request[:2], request[:11], produce, produce + bytes(8_000), produce + bytes(15_000)][n % 5]
            stream.sendall(begun)
        # They are let in beside all others, and their halves have been read when a later one has been answered.
        for _ in range(20):
            raw.ask(target.address, raw.METADATA, 4, struct.pack(">i", -1) + b"\0", PATIENCE_S)
        target_now, _ = target.resident()
        for stream in streams[:2]:
            stream.sendall(request[2:] if stream is streams[0] else request[11:])
            stream.settimeout(PATIENCE_S)
            raw.answer(stream)
    return f"two that go on are answered, {target_now / MIB:.0f} MiB with all open"


def deaf(target):
    """Each asks for all topics 2,000 times, which is 40 MB of answers, and reads nothing: the server stops to answer, and
    after half a minute ends the connection."""
    request = raw.framed(raw.header(raw.METADATA, 4) + struct.pack(">i", -1) + b"\0") * 2_000
    with contextlib.ExitStack() as stack:
        waiting = select.poll()
        for _ in range(100):
            stream = stack.enter_context(socket.socket())
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            stream.connect(target.address)
            stream.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                stream.send(request)
            # Not for reading: its end is told by itself.
            waiting.register(stream, 0)
        raw.ask(target.address, raw.METADATA, 4, struct.pack(">i", -1) + b"\0", PATIENCE_S)
        left, began = 100, time.monotonic()
        while left and time.monotonic() - began < 90:
            for number, _ in waiting.poll(500):
                waiting.unregister(number)
                left -= 1
        took = time.monotonic() - began
    if target.pid:
        expect(left == 0, f"{left} of them are still open after {took:.0f} s")
    return f"{100 - left} of them are closed after {took:.0f} s"


def idle(target):
    spare = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200
    if spare < IDLE:
        raise Skipped(f"only {spare} files may be open here (ulimit -n)")
    before, _ = target.resident()
    request = raw.framed(raw.header(raw.API_VERSIONS, 2))
    with contextlib.ExitStack() as stack:
        for _ in range(IDLE):
            stream = stack.enter_context(raw.connect(target.address))
            stream.sendall(request)
            raw.answer(stream)
        now, _ = target.resident()
        raw.ask(target.address, raw.METADATA, 4, struct.pack(">i", -1) + b"\0", PATIENCE_S)
    if target.pid:
        expect(now - before < IDLE * 16 * 1024, f"{(now - before) / IDLE:.0f} bytes a connection")
    return f"{(now - before) / IDLE / 1024:.1f} KiB a connection"


def slow(target):
    """The server gives a small request a minute."""
    request = raw.framed(raw.header(raw.METADATA, 4) + struct.pack(">i", -1) + b"\0" + bytes(500))
    began = time.monotonic()
    with raw.connect(target.address) as stream:
        stream.settimeout(1)
        for byte in request:
            try:
                stream.sendall(bytes([byte]))
                if not stream.recv(1):
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        took = time.monotonic() - began
    if target.pid:
        expect(50 < took < 120, f"closed after {took:.0f} s")
    return f"closed after {took:.0f} s"
