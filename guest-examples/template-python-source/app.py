"""Brings a number with every poll. A real source fetches something instead, and its cursor says how far it has come."""

from typing import Optional

from millstream import output
from millstream_http import Polled, poll_each


def poll(cursor: Optional[str]) -> Polled:
    """Records and cursor are one commit: the next poll begins where this one ended, whatever happens."""
    number = int(cursor or 0)
    return Polled([output(number)], cursor=number + 1)


Source = poll_each(poll)
