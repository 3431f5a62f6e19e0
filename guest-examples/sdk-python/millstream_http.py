"""Sinks, sources, and the requests that they send. A sink delivers records to the outside:

    from millstream import Record, Retry, reject
    from millstream_http import deliver_each, request

    def deliver(record: Record):
        answer = request("https://hooks.example.com", method="POST", body=record.bytes)
        if answer.status >= 500:
            raise Retry(f"the answer was {answer.status}")
        if not answer.ok:
            return reject(f"the answer was {answer.status}")

    Sink = deliver_each(deliver)

A source brings records from there:

    def poll(cursor):
        items = request(f"https://api.example.com/items?after={cursor or 0}").json()
        return Polled([output(item) for item in items], cursor=items[-1]["id"] if items else None)

    Source = poll_each(poll)

pyproject.toml says which: `world = "http-sink"` or `world = "http-source"`. Requests go to the hosts that the deployment grants
(`grants.http`). The server adds the secrets that are granted, and follows no redirects.
"""

import json
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Optional, Sequence, Union

from componentize_py_types import Err, Ok
from wit_world.imports import outgoing_handler, streams, wasi_http_types as http

from millstream import Open, Record, Retry, Verdict, _bytes, _checked, _fault, _kind, _Opening, _outputs, _prepare, _text, types

#: bytes that a stream is asked for, or given, at a time; of writing it takes no more
READ_BYTES = 1 << 16
WRITE_BYTES = 4096


class Response:
    """What came back, whatever its status."""

    __slots__ = ("status", "headers", "bytes")

    def __init__(self, status: int, headers: list[tuple[str, bytes]], bytes: bytes):
        self.status = status
        self.headers = headers  #: in their order, names in lower case
        self.bytes = bytes

    @property
    def ok(self) -> bool:
        """200 to 299"""
        return 200 <= self.status < 300

    def header(self, name: str) -> Optional[str]:
        """The first header of this name, given in lower case; None when there is none."""
        return next((_text(value) for own, value in self.headers if own == name), None)

    def text(self) -> Optional[str]:
        """The body as text; None for what is no UTF-8."""
        return _text(self.bytes)

    def json(self) -> Any:
        """The body as JSON; raises ValueError when it is none."""
        return json.loads(self.bytes)


def request(
    url: str,
    *,
    method: str = "GET",
    headers: Union[Mapping[str, str], Iterable[tuple[str, str]]] = (),
    body: Any = None,
    timeout: Optional[float] = None,
    response_max: int = 1 << 20,
) -> Response:
    """Sends a request and waits for the whole answer. The body is text, bytes, or anything else as JSON; `timeout` is in
    seconds until the answer has begun, the server has a bound of its own; `response_max` are bytes of the answer that are
    taken. When none comes it raises: Retry, or ValueError when it will not come later either, because the URL does not read
    or nobody granted it."""
    what = f"{method} {url}"
    data = _bytes(body)
    head = _head(what, method, url, headers, data)
    options = http.RequestOptions()
    if timeout is not None:
        options.set_first_byte_timeout(round(timeout * 1e9))
    outgoing = head.body()
    try:
        coming = outgoing_handler.handle(head, options)
    except Err as error:
        raise _failed(what, error.value) from None
    with coming:
        _write(outgoing, data or b"")
        with coming.subscribe() as ready:
            ready.block()
        answer = coming.get()
        if not isinstance(answer, Ok):
            raise ValueError(f"{what}: the answer was taken twice")
        if not isinstance(answer.value, Ok):
            raise _failed(what, answer.value.value)
        return _read(what, answer.value.value, response_max)


def _head(what: str, method: str, url: str, headers: Any, data: Optional[bytes]) -> http.OutgoingRequest:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("http", "https"):
        raise ValueError(f"`{url}` does not begin with http:// or https://")
    rest = rest.split("#")[0]
    end = min((rest.find(mark) for mark in "/?" if mark in rest), default=len(rest))
    authority, path = rest[:end], rest[end:]
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    fields = [(name, str(value).encode()) for name, value in pairs]
    if not any(name.lower() == "content-length" for name, _ in fields) and (data is not None or method != "GET"):
        fields.append(("content-length", str(len(data or b"")).encode()))
    try:
        head = http.OutgoingRequest(http.Fields.from_list(fields))
        known = getattr(http, f"Method_{method.capitalize()}", None)
        head.set_method(known() if known and method.isupper() else http.Method_Other(method))
        head.set_scheme(http.Scheme_Https() if scheme == "https" else http.Scheme_Http())
        head.set_authority(authority)
        head.set_path_with_query(path if path.startswith("/") else f"/{path}")
    except Err:
        raise ValueError(f"{what} is no request that can be sent") from None
    return head


def _write(body: http.OutgoingBody, data: bytes) -> None:
    """Whoever does not want all of the body answers instead of taking it."""
    try:
        with body.write() as stream:
            for at in range(0, len(data), WRITE_BYTES):
                stream.blocking_write_and_flush(data[at : at + WRITE_BYTES])
        http.OutgoingBody.finish(body, None)
    except Err:
        pass


def _read(what: str, response: http.IncomingResponse, most: int) -> Response:
    with response.headers() as head:
        headers = head.entries()
    body = response.consume()
    taken = bytearray()
    with body.stream() as stream:
        while True:
            try:
                taken += stream.blocking_read(READ_BYTES)
            except Err as error:
                if isinstance(error.value, streams.StreamError_Closed):
                    break
                raise Retry(f"{what}: the answer broke off: {error.value.value.to_debug_string()}") from None
            if len(taken) > most:
                raise Retry(f"{what}: the answer is longer than {most} bytes")
    return Response(response.status(), headers, bytes(taken))


_PERMANENT = {
    http.ErrorCode_HttpRequestDenied: "grants.http of the deployment does not cover it",
    http.ErrorCode_DestinationIpProhibited: "its address is of no public network, and grants.http does not say private",
    http.ErrorCode_HttpRequestMethodInvalid: "it is no request that may be sent",
    http.ErrorCode_HttpRequestUriInvalid: "it is no request that may be sent",
    http.ErrorCode_HttpRequestBodySize: "its body is too large",
}
_PASSING = {
    http.ErrorCode_ConnectionRefused: "the connection was refused",
    http.ErrorCode_ConnectionTimeout: "no connection in time",
    http.ErrorCode_HttpResponseTimeout: "no answer in time",
    http.ErrorCode_DnsError: "the name does not resolve",
    http.ErrorCode_DestinationNotFound: "the name does not resolve",
    http.ErrorCode_TlsCertificateError: "its certificate is not trusted",
}


def _failed(what: str, code: Any) -> Exception:
    if type(code) in _PERMANENT:
        return ValueError(f"{what}: {_PERMANENT[type(code)]}")
    return Retry(f"{what}: {_PASSING.get(type(code), type(code).__name__.removeprefix('ErrorCode_'))}")


def deliver_each(each: Callable[[Record], Optional[Verdict]], open: Open = None) -> type:
    """The sink that has `each` deliver a record; when it returns nothing, the record has arrived. What it raises, or
    `reject(…)`, is a fault of that record, about which `on_error` of the deployment decides; the others are handed over once
    more. Retry is for the whole batch: it comes again, later. A record may come again after a crash: at least once. `open`
    runs once per instance, before the first record."""
    _prepare(each)

    class Sink(_Opening):
        _open = open

        def deliver(self, batch: list[types.Input]) -> None:
            for index, given in enumerate(batch):
                try:
                    verdict = _checked(each(Record(given, index)))
                    if verdict is not None and not isinstance(verdict, types.Outcome_Reject):
                        raise TypeError("a sink gives nothing, or reject(reason)")
                except Exception as error:
                    raise _fault(error, index)
                if verdict is not None:
                    raise Err(types.Error_At((index, verdict.value)))

    return Sink


def deliver_batch(all: Callable[[list[Record]], None], open: Open = None) -> type:
    """The same for records together. What `all` raises makes the server try again with fewer records, until the one that fails
    stands alone; Retry, with the same ones, later."""
    _prepare(all)

    class Sink(_Opening):
        _open = open

        def deliver(self, batch: list[types.Input]) -> None:
            try:
                all([Record(given, index) for index, given in enumerate(batch)])
            except Exception as error:
                raise _fault(error)

    return Sink


class Polled(NamedTuple):
    """What a poll has brought."""

    #: what `output(…)` makes
    records: Sequence[types.Output] = ()
    #: text, bytes, or anything else as JSON; without one it stays as it is
    cursor: Any = None
    #: poll again at once instead of after the deployment's interval
    more: bool = False


def poll_each(poll: Callable[[Union[None, str, bytes]], Optional[Polled]], open: Open = None) -> type:
    """The source that asks `poll` for what is new: nothing, or Polled. It is handed the cursor of the last committed poll as
    text, as bytes when it is none, or None when there was none; records and cursor are one commit. What it raises makes the
    server try again, as often as `on_error` of the deployment says; Retry, for as long as it is raised. `open` runs once per
    instance, before the first poll."""
    from wit_world.exports import source as contract

    _prepare(poll)

    class Source(_Opening):
        _open = open

        def poll(self, cursor: Optional[bytes]) -> contract.Polled:
            try:
                text = _text(cursor)
                found = poll(cursor if text is None else text)
                if found is None:
                    found = Polled()
                if not isinstance(found, Polled):
                    raise TypeError(f"Polled(…) is expected, not {_kind(found)}")
                return contract.Polled(_outputs(found.records), _bytes(found.cursor), found.more)
            except Exception as error:
                raise _fault(error)

    return Source
