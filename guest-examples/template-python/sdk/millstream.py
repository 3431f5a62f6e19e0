"""Write code for Millstream as plain functions. A transform judges one record at a time, before it is stored:

    from millstream import Record, Verdict, drop, each_record, keep

    def judge(record: Record) -> Verdict:
        return drop if record.text() == "heartbeat" else keep

    Transform = each_record(judge)

The contract behind it is wit/millstream.wit. There is no network and no file; `print` writes to the deployment's log.
"""

import json
import traceback
from typing import Any, Callable, Iterable, Mapping, Optional, Union

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import config, log as lines, types

Verdict = types.Outcome
Value = Union[None, str, bytes, dict, list, int, float, bool]

#: Verdict: pass the record on as it is.
keep = types.Outcome_Keep()

#: Verdict: leave the record out.
drop = types.Outcome_Drop()

#: "as the record has it", where None means null
source = types.Content_Source()


def reject(reason: str) -> Verdict:
    """Verdict: refuse the record, with a reason for its producer."""
    return types.Outcome_Reject(str(reason))


def emit(*outputs: types.Output) -> Verdict:
    """Verdict: these records instead; see `output`."""
    return types.Outcome_Emit(list(outputs))


def output(
    value: Any = source,
    *,
    key: Any = source,
    headers: Union[None, Mapping[str, Value], Iterable[tuple[str, Value]]] = None,
    timestamp: Optional[int] = None,
    topic: Optional[str] = None,
) -> types.Output:
    """A record to emit; what is left out is as the source has it. A value is text, bytes, None (a tombstone), or
    anything else as JSON. `topic` is a route of the deployment."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    listed = None if pairs is None else [types.Header(name, _bytes(value)) for name, value in pairs]
    return types.Output(None, topic, _content(key), _content(value), timestamp, listed)


def param(name: str, otherwise: Optional[str] = None) -> Optional[str]:
    """A parameter of the deployment, or what stands in for it. Only while code runs, not while it is built."""
    found = config.get(name)
    return otherwise if found is None else found


def log(text: str, level: str = "info") -> None:
    """A line for the deployment's log: trace, debug, info, warn or error."""
    lines.write(lines.Level[level.upper()], text)


class Record:
    """A record as the code sees it."""

    __slots__ = ("topic", "partition", "offset", "timestamp", "key_bytes", "bytes", "_headers")

    def __init__(self, given: types.Input):
        message = given.message
        self.topic: int = given.topic  #: index of its topic among the deployment's inputs
        self.partition: int = given.partition
        self.offset: int = given.offset  #: before it is stored, its index in its batch
        self.timestamp: int = message.timestamp  #: milliseconds since 1970
        self.key_bytes: Optional[bytes] = message.key
        self.bytes: Optional[bytes] = message.value  #: None is a tombstone
        self._headers = message.headers

    @property
    def key(self) -> Optional[str]:
        """The key as text; None when there is none, or when it is no text."""
        return _text(self.key_bytes)

    def text(self) -> Optional[str]:
        """The value as text; None for a tombstone, and for what is no UTF-8."""
        return _text(self.bytes)

    def json(self, otherwise: Any = None) -> Any:
        """The value as JSON, or `otherwise` for a tombstone and for what is no JSON."""
        try:
            return otherwise if self.bytes is None else json.loads(self.bytes)
        except ValueError:
            return otherwise

    def header(self, name: str) -> Optional[str]:
        """The first header of this name as text; None when there is none."""
        return next((_text(header.value) for header in self._headers if header.name == name), None)

    @property
    def headers(self) -> list[tuple[str, Optional[bytes]]]:
        """All headers in their order."""
        return [(header.name, header.value) for header in self._headers]


def each_record(judge: Callable[[Record], Verdict], open: Callable[[], None] = lambda: None) -> type:
    """The transform that asks `judge` for a verdict on every record. `open` runs once per instance, before the first
    record: read parameters there. What it raises stops the deployment; what `judge` raises is a fault of that record."""

    class Transform(exports.Transform):
        def open(self) -> None:
            try:
                open()
            except Exception as error:
                raise Err(_words(error))

        def process(self, batch: list[types.Input]) -> list[Verdict]:
            verdicts = []
            for index, given in enumerate(batch):
                try:
                    verdicts.append(judge(Record(given)) or keep)
                except Exception as error:
                    raise Err(types.Error_At((index, _words(error))))
            return verdicts

    return Transform


def _text(found: Optional[bytes]) -> Optional[str]:
    try:
        return None if found is None else found.decode()
    except UnicodeDecodeError:
        return None


def _content(value: Any) -> types.Content:
    if value is source:
        return source
    found = _bytes(value)
    return types.Content_Null() if found is None else types.Content_Bytes(found)


def _bytes(value: Any) -> Optional[bytes]:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _words(error: Exception) -> str:
    return "".join(traceback.format_exception(error)).rstrip()
