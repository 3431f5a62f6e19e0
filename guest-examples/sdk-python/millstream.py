"""Write code for Millstream as plain functions. A transform judges one record at a time, before it is stored:

    from millstream import Record, Verdict, drop, each_record, keep

    def judge(record: Record) -> Verdict:
        return drop if record.text() == "heartbeat" else keep

    Transform = each_record(judge)

A processor turns records into state and outputs, topic to topic:

    from millstream import Record, Store, Verdict, drop, emit, output, process_each

    counts = Store("counts")

    def count(record: Record) -> Verdict:
        if record.key_bytes is None:
            return drop
        seen = counts.json(record.key_bytes, 0) + 1
        counts.put(record.key_bytes, seen)
        return emit(output(seen))

    Processor = process_each(count)

With `world = "timed-processor"` in pyproject.toml it is called again when time has come so far:

    def judge(record: Record) -> None:
        event_time.set(record.key_bytes, record.timestamp + 60_000)

    Processor = process_each(judge)
    OnTimer = timer_each(lambda timer: emit(output("a minute later", key=timer.name)))

With `world = "answering-processor"` it answers questions about its stores:

    Query = answer_each(lambda request: counts.json(request.text(), 0))

Sinks and sources, and the requests that they send, are in millstream_http.py. The contract behind all of them is
wit/millstream.wit. There is no other network and no file; `print` writes to the deployment's log.
"""

import json
import linecache
import os
import re
import sys
import traceback
from typing import Any, Callable, Iterable, Mapping, Optional, Sequence, Union

from componentize_py_types import Err
from wit_world.imports import config, log as lines

try:
    from wit_world.imports import types
except ImportError:
    # beside those of wasi:http, which have the same name
    from wit_world.imports import millstream_functions_types as types

Verdict = types.Outcome
Value = Union[None, str, bytes, dict, list, int, float, bool]
Key = Union[str, bytes]

#: Verdict: pass the record on as it is.
keep = types.Outcome_Keep()

#: Verdict: leave the record out.
drop = types.Outcome_Drop()

#: "as the record has it", where None means null
source = types.Content_Source()


class Retry(Exception):
    """To be raised when all that is at hand is to come again, later."""


def reject(reason: str) -> Verdict:
    """Verdict: refuse the record, with a reason for its producer."""
    return types.Outcome_Reject(str(reason))


def emit(*outputs: types.Output) -> Verdict:
    """Verdict: these records instead; see `output`."""
    for made in outputs:
        if type(made) is not types.Output:
            raise TypeError(f"emit takes what output(…) makes, such as emit(output(value)), not {_kind(made)}")
    return types.Outcome_Emit(list(outputs))


def output(
    value: Any = source,
    *,
    key: Any = source,
    headers: Union[None, Mapping[str, Value], Iterable[tuple[str, Value]]] = None,
    timestamp: Optional[int] = None,
    topic: Optional[str] = None,
    record: Optional["Record"] = None,
) -> types.Output:
    """A record to emit; what is left out is as the source has it. A value is text, bytes, None (a tombstone), or
    anything else as JSON; `timestamp` is in milliseconds since 1970, `topic` a route of the deployment. `record` names the
    source to `process_batch`; elsewhere it is the record at hand."""
    if timestamp is not None and type(timestamp) is not int:
        raise TypeError(f"timestamp has to be whole milliseconds, not {_kind(timestamp)}")
    if topic is not None and not isinstance(topic, str):
        raise TypeError(f"topic has to be text, not {_kind(topic)}")
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    listed = None if pairs is None else [types.Header(name, _bytes(value)) for name, value in pairs]
    source = None if record is None else record.index
    return types.Output(source, topic, _content(key), _content(value), timestamp, listed)


def param(name: str, otherwise: Optional[str] = None) -> Optional[str]:
    """A parameter of the deployment, or what stands in for it. Only while code runs, not while it is built."""
    found = config.get(name)
    return otherwise if found is None else found


def log(text: str, level: str = "info") -> None:
    """A line for the deployment's log: trace, debug, info, warn or error."""
    lines.write(lines.Level[level.upper()], text)


class Record:
    """A record as the code sees it."""

    __slots__ = ("index", "topic", "partition", "offset", "timestamp", "key_bytes", "bytes", "_headers")

    def __init__(self, given: types.Input, index: int):
        message = given.message
        self.index = index  #: its place in the batch
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


class Store:
    """Keyed memory of a processor, by name; opened at its first use, so that it may stand at the top of a file. Keys are
    text or bytes, ordered bytewise; values are text, bytes, or anything else as JSON. What is put commits together with the
    outputs of the batch and its position, or not at all."""

    def __init__(self, name: str):
        self._name = name
        self._handle: Any = None

    def _open(self) -> Any:
        if self._handle is None:
            from wit_world.imports import state  # a transform's world has none

            self._handle = state.Store(self._name)
        return self._handle

    def get(self, key: Key) -> Optional[bytes]:
        return self._open().get(_key(key))

    def text(self, key: Key) -> Optional[str]:
        return _text(self.get(key))

    def json(self, key: Key, otherwise: Any = None) -> Any:
        """What was put as JSON, or `otherwise` when there is nothing."""
        found = self.get(key)
        return otherwise if found is None else json.loads(found)

    def put(self, key: Key, value: Value) -> None:
        if value is None:
            raise TypeError("None is no value; delete(key) takes one away")
        self._open().put(_key(key), _bytes(value))

    def delete(self, key: Key) -> None:
        self._open().delete(_key(key))

    def get_many(self, keys: Iterable[Key]) -> list[Optional[bytes]]:
        """One answer per key, in order."""
        return self._open().get_many([_key(key) for key in keys])

    def json_many(self, keys: Iterable[Key], otherwise: Any = None) -> list[Any]:
        """One answer per key, in order."""
        return [otherwise if found is None else json.loads(found) for found in self.get_many(keys)]

    def put_many(self, entries: Union[Mapping[Key, Value], Iterable[tuple[Key, Value]]]) -> None:
        """None deletes."""
        pairs = entries.items() if isinstance(entries, Mapping) else entries
        self._open().put_many([(_key(key), _bytes(value)) for key, value in pairs])

    def scan(self, start: Key = b"", end: Optional[Key] = None, limit: int = 1000) -> list[tuple[bytes, bytes]]:
        """Entries in the order of their keys, from `start` on, before `end`."""
        return self._open().scan(_key(start), None if end is None else _key(end), limit)


class Clock:
    """What moves timers on. What is set and cancelled commits together with the outputs of the call, or not at all. A name is
    text or bytes, at most 1024 bytes."""

    def __init__(self, name: str):
        self._name = name

    def set(self, name: Key, at: int) -> None:
        """Sets the timer of this name, or moves it. It fires once, after the call in which this clock has reached `at`
        (milliseconds since 1970); at once when it is there already."""
        if type(at) is not int:
            raise TypeError(f"a timer's time has to be whole milliseconds, not {_kind(at)}")
        timers = _timers()
        timers.set(timers.Clock[self._name], _key(name), at)

    def cancel(self, name: Key) -> None:
        """One that is not set is no error."""
        timers = _timers()
        timers.cancel(timers.Clock[self._name], _key(name))

    def now(self) -> Optional[int]:
        """Milliseconds since 1970, fixed while a call lasts. Of `event_time` it is the watermark: no record before it is
        expected any more, except late ones; None before there is one."""
        timers = _timers()
        return timers.now(timers.Clock[self._name])


#: moved by the timestamps of the records, as the task's watermark
event_time = Clock("EVENT_TIME")

#: the server's clock
wall = Clock("WALL")


class Timer:
    """A timer that is due."""

    __slots__ = ("clock", "name_bytes", "at")

    def __init__(self, due: Any):
        self.clock = wall if due.clock.name == "WALL" else event_time  #: what it went by
        self.name_bytes: bytes = due.name  #: as it was set
        self.at: int = due.at  #: as it was set, in milliseconds since 1970

    @property
    def name(self) -> Optional[str]:
        """As it was set, as text; None when it is none."""
        return _text(self.name_bytes)


def _timers() -> Any:
    try:
        from wit_world.imports import timers
    except ImportError:
        raise TypeError('timers need `world = "timed-processor"` in pyproject.toml') from None
    return timers


Open = Optional[Callable[[], None]]


def each_record(judge: Callable[[Record], Optional[Verdict]], open: Open = None) -> type:
    """The transform that asks `judge` for a verdict on every record; none is `keep`. `open` runs once per instance, before
    the first record: read parameters there. What it raises stops the deployment; what `judge` raises is a fault of that
    record."""
    _prepare(judge)

    class Transform(_Opening):
        _open = open

        def process(self, batch: list[types.Input]) -> list[Verdict]:
            verdicts = []
            for index, given in enumerate(batch):
                try:
                    verdicts.append(_checked(judge(Record(given, index))) or keep)
                except Exception as error:
                    raise _fault(error, index)
            return verdicts

    return Transform


def process_each(each: Callable[[Record], Optional[Verdict]], open: Open = None) -> type:
    """The processor that asks `each` what a record leads to: `emit(…)`, `keep` (the record itself), or nothing. What `each`
    raises is a fault of that record, and so is `reject(…)`; `on_error` of the deployment decides about it."""
    _prepare(each)

    class Processor(_Opening):
        _open = open

        def process(self, batch: list[types.Input]) -> list[types.Output]:
            outputs = []
            for index, given in enumerate(batch):
                try:
                    verdict = _checked(each(Record(given, index)))
                except Exception as error:
                    raise _fault(error, index)
                if isinstance(verdict, types.Outcome_Emit):
                    for made in verdict.value:
                        outputs.append(
                            types.Output(index, made.topic, made.key, made.value, made.timestamp, made.headers)
                        )
                elif verdict is keep:
                    outputs.append(types.Output(index, None, source, source, None, None))
                elif isinstance(verdict, types.Outcome_Reject):
                    raise Err(types.Error_At((index, verdict.value)))
            return outputs

    return Processor


def process_batch(all: Callable[[list[Record]], Sequence[types.Output]], open: Open = None) -> type:
    """The processor that takes its records together, for whoever reads and writes many keys at once; it gives what
    `output(…)` makes. What `all` raises makes the server try again with fewer records, until the one that fails stands
    alone."""
    _prepare(all)

    class Processor(_Opening):
        _open = open

        def process(self, batch: list[types.Input]) -> list[types.Output]:
            try:
                return _outputs(all([Record(given, index) for index, given in enumerate(batch)]))
            except Exception as error:
                raise _fault(error)

    return Processor


def timer_each(each: Callable[[Timer], Optional[Verdict]]) -> type:
    """What a processor names `OnTimer`: asks `each` what a timer that is due leads to, which is `emit(…)` or nothing. An output
    without a timestamp has the time of the last timer of the call. What `each` raises, or `reject(…)`, is a fault of that
    timer; `on_error` of the deployment decides about it."""
    _timers()
    _prepare(each)

    class OnTimer:
        def on_timer(self, due: list) -> list[types.Output]:
            outputs: list[types.Output] = []
            for index, given in enumerate(due):
                try:
                    verdict = _checked(each(Timer(given)))
                    if isinstance(verdict, types.Outcome_Keep):
                        raise TypeError("keep is for records; a timer leads to emit(…) or to nothing")
                except Exception as error:
                    raise _fault(error, index)
                if isinstance(verdict, types.Outcome_Emit):
                    outputs += verdict.value
                elif isinstance(verdict, types.Outcome_Reject):
                    raise Err(types.Error_At((index, verdict.value)))
            return outputs

    return OnTimer


def timer_batch(all: Callable[[list[Timer]], Sequence[types.Output]]) -> type:
    """The same for timers together, at most 256 of one clock, sorted by time, for whoever reads and writes many keys at once;
    it gives what `output(…)` makes. What `all` raises makes the server try again with fewer timers, until the one that fails
    stands alone."""
    _timers()
    _prepare(all)

    class OnTimer:
        def on_timer(self, due: list) -> list[types.Output]:
            try:
                return _outputs(all([Timer(given) for given in due]))
            except Exception as error:
                raise _fault(error)

    return OnTimer


def _outputs(made: Iterable[types.Output]) -> list[types.Output]:
    outputs = list(made)
    for one in outputs:
        if type(one) is not types.Output:
            raise TypeError(f"output(…) is expected, not {_kind(one)}")
    return outputs


class BadRequest(Exception):
    """To be raised when a request makes no sense."""


class NotFound(Exception):
    """To be raised when what a request asks for is not there."""


class Request:
    """The body of a request to a processor's `Query`."""

    __slots__ = ("bytes",)

    def __init__(self, bytes: bytes):
        self.bytes = bytes

    def text(self) -> str:
        """As text. Raises BadRequest for what is no UTF-8."""
        found = _text(self.bytes)
        if found is None:
            raise BadRequest("the request is no text")
        return found

    def json(self) -> Any:
        """As JSON. Raises BadRequest for what is none."""
        try:
            return json.loads(self.bytes)
        except ValueError:
            raise BadRequest("the request is no JSON") from None


def answer_each(answer: Callable[[Request], Value], open: Open = None) -> type:
    """What a processor names `Query`: `answer` gives text, bytes, or anything else as JSON. It is asked in instances of its
    own, also while records are processed, and sees the stores as they were committed at one moment, which it cannot change.
    What it raises, but for BadRequest and NotFound, is told as a failure. `open` runs once per instance; what it reads from a
    store is old later."""
    try:
        from wit_world.exports import query as contract
    except ImportError:
        raise TypeError('`Query` needs `world = "answering-processor"` in pyproject.toml') from None
    _prepare(answer)

    class Query(_Opening):
        _open = open

        def query(self, request: bytes) -> bytes:
            try:
                found = answer(Request(request))
                return b"null" if found is None else _bytes(found)
            except BadRequest as error:
                raise Err(contract.Error_BadRequest(str(error)))
            except NotFound as error:
                raise Err(contract.Error_NotFound(str(error)))
            except Exception as error:
                raise Err(contract.Error_Failed(_words(error)))

    return Query


class _Opening:
    _open: Open = None

    def open(self) -> None:
        # Memory is kept as it is when the module is built, with the seed of `random`: without this, all instances would draw
        # the same numbers.
        if "random" in sys.modules:
            sys.modules["random"].seed(os.urandom(16))
        try:
            code = type(self)._open
            if code is not None:
                code()
        except Exception as error:
            raise Err(_words(error))


def _prepare(code: Any) -> None:
    """While the module is built."""
    _remember_sources()
    CO_COROUTINE = 0x80  # of `inspect`, which is large
    flags = getattr(getattr(code, "__code__", None), "co_flags", 0)
    if flags & CO_COROUTINE:
        raise TypeError(f"`{code.__name__}` cannot be `async`: nothing here has to be waited for")


def _remember_sources() -> None:
    """A component holds no sources, so what tracebacks are to show of them is read while it is built."""
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None) or ""
        if _MOUNTED.match(name) and name not in _OWN and name not in linecache.cache:
            try:
                with open(name, encoding="utf-8") as file:
                    text = file.read()
            except (OSError, UnicodeDecodeError):
                continue
            # Without a time of change, so that nobody looks for the file.
            linecache.cache[name] = (len(text), None, text.splitlines(True), name)


#: The build mounts the project's folders by number.
_MOUNTED = re.compile(r"/\d+/")


def _checked(verdict: Any) -> Optional[Verdict]:
    if verdict is None or isinstance(verdict, _VERDICTS):
        return verdict
    raise TypeError(f"keep, drop, reject(reason) or emit(output(…)) is expected, not {_kind(verdict)}")


_VERDICTS = (types.Outcome_Keep, types.Outcome_Drop, types.Outcome_Emit, types.Outcome_Reject)


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
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _key(key: Key) -> bytes:
    if isinstance(key, str):
        return key.encode()
    if isinstance(key, bytes):
        return key
    raise TypeError(f"a key has to be str or bytes, not {_kind(key)}")


def _kind(value: Any) -> str:
    """What a value is, for messages."""
    shown = repr(value)
    return f"{type(value).__name__} {shown if len(shown) <= 40 else shown[:40] + '…'}"


def _fault(error: Exception, index: Optional[int] = None) -> Err:
    """What is raised of code's failure: of one record or timer, or of all that is at hand."""
    if isinstance(error, Retry):
        return Err(types.Error_Retry(str(error)))
    words = _words(error)
    return Err(types.Error_Fatal(words) if index is None else types.Error_At((index, words)))


#: files of this SDK
_OWN = (__file__, __file__.removesuffix(".py") + "_http.py")


def _words(error: Exception) -> str:
    """As Python shows it: the innermost calls, without those of the SDK."""
    shown = traceback.TracebackException.from_exception(error, limit=-20)
    shown.stack[:] = [frame for frame in shown.stack if frame.filename not in _OWN]
    for frame in shown.stack:
        frame.filename = _MOUNTED.sub("", frame.filename, count=1)
    return "".join(shown.format()).rstrip()
