"""kcat behind the common command line. It sets no timestamps, and a record's headers are flags, so each record with
headers is a call of its own."""

import os
import subprocess
import sys

import adapter

BOOTSTRAP = sys.argv[1]
END, KEY = "<~end~>", "<~key~>"
# Lengths first, so that keys and values may hold any byte; -1 is null.
FORMAT = "%p %o %T %K %S %h\\n%k%s\\n"


def call(*words, stdin=b""):
    command = ["kcat", "-b", BOOTSTRAP, "-X", "broker.address.family=v4", *words]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=2 * adapter.PATIENCE)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.decode(errors='replace')[-500:]}")
    return done.stdout


def header_flags(headers):
    flags = []
    for name, value in headers:
        flags += ["-H", name if value is None else f"{name}={value.decode()}"]
    return flags


def parsed(topic, text):
    """The records of a consumer's output in FORMAT."""
    at = 0
    while at < len(text):
        line, at = text[at:text.index(b"\n", at)].decode(), text.index(b"\n", at) + 1
        partition, offset, timestamp, key_len, value_len, *rest = line.split(" ", 5)
        key, at = taken(text, at, int(key_len))
        value, at = taken(text, at, int(value_len))
        at += 1
        headers = []
        for header in filter(None, (rest or [""])[0].split(",")):
            name, _, content = header.partition("=")
            headers.append((name, None if content == "NULL" else content.encode()))
        adapter.tell(topic, int(partition), int(offset), key, value, headers, int(timestamp))


def taken(text, at, length):
    return (None, at) if length < 0 else (text[at:at + length], at + length)


class Kcat:
    def produce(self, topic, codec, records):
        for record in records:
            flags = ["-P", "-t", topic, "-p", str(record["partition"]), "-z", codec, "-D", END]
            flags += header_flags(record["headers"])
            text = b""
            if record["key"] is not None:
                flags += ["-K", KEY]
                text = record["key"] + KEY.encode()
            if record["value"] is None:
                flags.append("-Z")
            call(*flags, stdin=text + (record["value"] or b"") + END.encode())

    def consume(self, missing, committed):
        isolation = "read_committed" if committed else "read_uncommitted"
        for topic, n in missing.left.items():
            text = call("-C", "-q", "-t", topic, "-o", "beginning", "-c", str(n), "-f", FORMAT, "-X", f"isolation.level={isolation}")
            parsed(topic, text)

    def member(self, topic, group, ended):
        settings = ["session.timeout.ms=8000", "heartbeat.interval.ms=1000", "partition.assignment.strategy=range", "auto.commit.interval.ms=300", "auto.offset.reset=earliest"]
        flags = [flag for setting in settings for flag in ("-X", setting)]
        child = subprocess.Popen(
            ["kcat", "-b", BOOTSTRAP, "-u", "-G", group, "-X", "broker.address.family=v4", *flags, "-f", "%p %o %S %s\n", topic],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        os.set_blocking(child.stdout.fileno(), False)
        os.set_blocking(child.stderr.fileno(), False)
        out, err, assigned = b"", b"", []
        while not ended.wait(0.1):
            out += child.stdout.read() or b""
            err += child.stderr.read() or b""
            *lines, out = out.split(b"\n")
            for line in lines:
                partition, offset, _, value = line.split(b" ", 3)
                adapter.tell(topic, int(partition), int(offset), None, value, [], 0)
            *lines, err = err.split(b"\n")
            for line in map(bytes.decode, lines):
                # "% Group g rebalanced (memberid …): assigned: t [0], t [1]"
                if "rebalanced" in line:
                    verb, _, names = line.rpartition("): ")[2].partition(": ")
                    touched = [int(name[:-1]) for name in names.replace("[", " ").replace(",", " ").split() if name.endswith("]")]
                    assigned = touched if verb.endswith("assigned") else []
                    adapter.tell_assigned(assigned)
            if child.poll() is not None:
                sys.exit(f"kcat ended with {child.returncode}: {err.decode()}")
            sys.stdout.flush()
        child.terminate()
        child.wait(20)


adapter.run(Kcat())
