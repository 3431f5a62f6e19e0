"""Posts the value of every record to a URL."""

from typing import Optional

from millstream import Record, Retry, Verdict, param, reject
from millstream_http import deliver_each, request


def deliver(record: Record) -> Optional[Verdict]:
    """When it returns nothing, the record has arrived. Records may come again after a crash: at least once."""
    # Without an answer the whole batch comes again, later.
    answer = request(param("url"), method="POST", body=record.bytes or b"")
    if answer.status >= 500:
        raise Retry(f"the answer was {answer.status}")
    if not answer.ok:
        return reject(f"the answer was {answer.status}")


Sink = deliver_each(deliver)
