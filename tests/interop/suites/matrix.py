"""Every client reads what every client wrote, in every codec.

A cell is a producer, a codec and a consumer. Each producer writes the same difficult records once per codec; each
consumer reads all those topics in one go, and every partition is compared record by record: keys, values, headers,
timestamps, order.
"""

import json
import os

from harness import clients, records
from harness.report import FAIL, PASS, Report


# Another broker keeps its topics from one run to the next.
RUN = f"{os.getpid()}"


def topic_of(producer, codec):
    return f"matrix-{RUN}-{producer.name.split()[0]}-{codec}"


def run(bench, report: Report):
    chosen = clients.chosen(bench.options.only)
    bench.start()
    topics = write(bench, report, chosen)
    for consumer in chosen:
        read(bench, report, consumer, topics)


def sent_by(producer):
    return records.difficult(producer.writes_null_headers)


def write(bench, report, producers):
    """The topics that could be written, each with its producer and codec."""
    written = []
    for producer in producers:
        stdin = "".join(json.dumps(record) + "\n" for record in sent_by(producer))
        own = [(topic_of(producer, codec), codec) for codec in producer.codecs]
        words = [word for pair in own for word in pair]

        def act(producer=producer, words=words, stdin=stdin):
            producer.run(bench.bootstrap, "produce", *words, stdin=stdin, seconds=300)

        if report.check(f"{producer.name} {producer.version} writes {', '.join(producer.codecs)}", act):
            written += [(topic, producer, codec) for topic, codec in own]
    return written


def read(bench, report, consumer, topics):
    words = [word for topic, producer, _ in topics for word in (topic, str(len(sent_by(producer))))]
    try:
        got = consumer.run(bench.bootstrap, "consume", *words, seconds=600)
    except Exception as error:  # one cell, whatever went wrong
        report.add(f"{consumer.name} reads", FAIL, f"{error}")
        return
    by_topic = {}
    for record in got:
        by_topic.setdefault(record["topic"], []).append(record)
    good = {}
    for topic, producer, codec in topics:
        wrong = records.difference(
            sent_by(producer), by_topic.get(topic, []),
            headers_in_order=producer.header_order and consumer.header_order,
            timestamps=producer.sets_timestamps,
        )
        if wrong:
            report.add(f"{producer.name} -> {consumer.name}, {codec}", FAIL, wrong)
        else:
            good.setdefault(producer.name, []).append(codec)
    for name, codecs in good.items():
        report.add(f"{name} -> {consumer.name}", PASS, ", ".join(codecs))
