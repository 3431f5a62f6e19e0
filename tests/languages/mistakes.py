"""A transform that does with a record what its value asks for: what strangers do wrong, and what they are told is in run.py."""

import datetime
import random
import sys
import urllib.request

from millstream import drop, each_record, emit, keep, output, reject


def deeper(found):
    return found["member"]["of"]


def throws(text):
    raise ValueError(text)


def loops():
    while True:
        pass


def recurses():
    return recurses() + 1


def logs(*_):
    print("seen", {"a": 1}, [2])
    print("odd", file=sys.stderr)
    return keep


def takes_memory():
    everything = []
    while True:
        everything.append(bytes(1_000_000))


does = {
    "throws": lambda: throws("no such customer"),
    "reads undefined": lambda: deeper({}),
    "returns text": lambda: "HELLO",
    "emits text": lambda: emit("HELLO"),
    "emits a function": lambda: emit(output(lambda: 5)),
    "emits a date as timestamp": lambda: emit(output(timestamp=datetime.datetime(1970, 1, 1))),
    "emits to 5": lambda: emit(output(topic=5)),
    "emits to nowhere": lambda: emit(output(topic="nowhere")),
    "logs": logs,
    "loops": loops,
    "recurses": recurses,
    "emits much": lambda: emit(output(bytes(40_000_000))),
    "takes memory": takes_memory,
    "fetches": lambda: urllib.request.urlopen("http://127.0.0.1:9"),
    "tells the time": lambda: emit(output(datetime.date.today().year)),
    "draws": lambda: emit(output(random.random())),
    "rejects": lambda: reject("because"),
    "drops": lambda: drop,
}

Transform = each_record(lambda record: does[record.text()]())
