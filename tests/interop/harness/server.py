"""The broker under test: the built server on free loopback ports, or any other broker that already runs."""

import os
import signal
import socket
import time

from .processes import Background


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Millstream:
    """Started and killed at will; keeps its folder and its port over restarts."""

    is_ours = True

    def __init__(self, binary, folder, **settings):
        self.binary, self.folder, self.port = binary, folder, free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.http = None
        # What clients' suites expect of a broker: four partitions, and topics that come into being by themselves.
        self.settings = {"kafka.num_partitions": 4, "kafka.auto_create_topics": "true", "log.format": "text", **settings}
        self.process = None
        self.start()

    def start(self):
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        variables = {f"MILLSTREAM_{name.upper().replace('.', '__')}": str(v) for name, v in self.settings.items()}
        command = [
            self.binary, "serve", "--http-addr", "127.0.0.1:0", "--kafka-addr", self.bootstrap,
            "--data-dir", self.folder / "data", "--ready-file", ready,
        ]
        self.process = Background(command, self.folder / "server.log", env={**os.environ, **variables})
        deadline = time.monotonic() + 60
        while not (ready.exists() and ready.read_text().count("\n") >= 2):
            if self.process.ended() or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start:\n{self.process.text()[-2000:]}")
            time.sleep(0.05)
        self.http = ready.read_text().splitlines()[0]

    def kill(self):
        """SIGKILL: no handler, no flush, no farewell."""
        self.process.kill()

    def close(self):
        """The last words of a server that should have been alive, or of one that does not stop; else nothing."""
        if self.process.ended():
            return f"the server had ended with {self.process.child.returncode}: {self.process.text()[-1000:]}"
        self.process.child.send_signal(signal.SIGTERM)
        if not self.process.wait(40):
            self.kill()
            return "the server did not stop within 40 s"
        panics = [line for line in self.process.text().splitlines() if "panicked at" in line]
        return f"the server panicked: {panics[0]}" if panics else ""


class Foreign:
    """A broker that was there before, such as Apache Kafka for comparison."""

    is_ours = False

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def close(self):
        return ""
