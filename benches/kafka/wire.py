"""The three requests that the runs need themselves, over a plain socket, in versions that both brokers speak."""

import struct
import time

from harness.raw import METADATA, ask, text

CREATE_TOPICS, DELETE_TOPICS = 19, 20


def is_up(address):
    """Whether Metadata 4, of no topic, is answered with a broker to talk to."""
    try:
        answer = ask(address, METADATA, 4, struct.pack(">i?", 0, False), 2.0)
        return struct.unpack_from(">i", answer, 4)[0] > 0
    except OSError:
        return False


def create_topic(address, name, partitions, settings):
    configs = b"".join(text(key) + text(value) for key, value in settings.items())
    topic = text(name) + struct.pack(">ihi", partitions, 1, 0) + struct.pack(">i", len(settings)) + configs
    answer = ask(address, CREATE_TOPICS, 4, struct.pack(">i", 1) + topic + struct.pack(">i?", 30_000, False))
    refuse(answer, 8, name)
    # Kafka answers before the topic has its leaders.
    deadline = time.monotonic() + 30
    while not has_leaders(address, name, partitions):
        if time.monotonic() > deadline:
            raise RuntimeError(f"topic {name} has no leaders")
        time.sleep(0.02)


def has_leaders(address, name, partitions):
    answer = ask(address, METADATA, 4, struct.pack(">i", 1) + text(name) + b"\0")
    at = 4
    (brokers,) = struct.unpack_from(">i", answer, at)
    at += 4
    for _ in range(brokers):
        at = after_text(answer, at + 4) + 4
        at = after_text(answer, at)
    at = after_text(answer, at) + 4
    # One topic: its error, name, whether it is internal; then error, index and leader of each partition.
    (error,) = struct.unpack_from(">h", answer, at + 4)
    at = after_text(answer, at + 6) + 1
    (found,) = struct.unpack_from(">i", answer, at)
    at += 4
    led = 0
    for _ in range(found):
        code, _, leader = struct.unpack_from(">hii", answer, at)
        led += code == 0 and leader >= 0
        at += 10
        for _ in range(2):
            (replicas,) = struct.unpack_from(">i", answer, at)
            at += 4 + 4 * replicas
    return error == 0 and led == partitions


def after_text(answer, at):
    (length,) = struct.unpack_from(">h", answer, at)
    return at + 2 + max(length, 0)


def delete_topic(address, name):
    body = struct.pack(">i", 1) + text(name) + struct.pack(">i", 30_000)
    refuse(ask(address, DELETE_TOPICS, 3, body), 8, name)


def refuse(answer, at, name):
    """Raises when the error code behind the first topic's name, which begins at `at`, is one."""
    (code,) = struct.unpack_from(">h", answer, after_text(answer, at))
    if code:
        raise RuntimeError(f"topic {name}: error {code}")
