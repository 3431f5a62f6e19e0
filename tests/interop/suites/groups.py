"""One consumer group with a member of every client: partitions are shared, records read, members come and go.

At rest each partition must belong to exactly one member. While members stay, each record is read once; over a
rebalance none may be lost. At the end the group's lag, as Kafka's own tool sees it, is nought.
"""

import json
import os
import re
import time

from harness import clients, processes, records
from harness.report import SKIP, Report, expect

PARTITIONS = 12
ROUND = 600
PATIENCE = 90


class Member:
    def __init__(self, bench, client, topic, group, *more):
        self.client, self.log = client, bench.folder / f"{group}-{client.name.split()[0]}-{time.monotonic_ns()}.log"
        address = bench.broker.http if client is clients.HTTP_MEMBER else bench.bootstrap
        self.process = client.start(address, "member", topic, group, *more, log=self.log)

    def lines(self):
        text = self.process.text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def assigned(self):
        return next((line["assigned"] for line in reversed(self.lines()) if "assigned" in line), [])

    def read(self):
        return [(line["partition"], line["offset"]) for line in self.lines() if "offset" in line]

    def check_alive(self):
        if self.process.ended():
            with open(f"{self.log}.err", encoding="utf-8", errors="replace") as errors:
                raise RuntimeError(f"{self.client.name} ended: {errors.read()[-600:]}")

    def leave(self):
        self.process.close_stdin()
        if not self.process.wait(30):
            self.process.kill()
            raise RuntimeError(f"{self.client.name} did not end within 30 s of its stdin")


class Group:
    def __init__(self, bench, name, more=()):
        self.bench, self.topic, self.name, self.more = bench, f"topic-{name}", name, more
        self.members, self.gone, self.sent = [], [], 0
        words = ["--create", "--topic", self.topic, "--partitions", str(PARTITIONS), "--bootstrap-server", bench.bootstrap]
        done = processes.run(clients.tool("kafka-topics", *words), 60)
        expect(done.code == 0, done.complaint())

    def join(self, client):
        self.members.append(Member(self.bench, client, self.topic, self.name, *self.more))

    def wait(self, what, holds):
        deadline = time.monotonic() + PATIENCE
        while not holds():
            for member in self.members:
                member.check_alive()
            if time.monotonic() > deadline:
                state = {m.client.name: m.assigned() for m in self.members}
                raise TimeoutError(f"{what}: not within {PATIENCE} s; {state}; {len(self.all_read())} of {self.sent} read")
            time.sleep(0.5)

    def settle(self):
        """Every partition has exactly one owner, and every member has some."""
        def settled():
            own = [m.assigned() for m in self.members]
            return all(own) and sorted(p for partitions in own for p in partitions) == list(range(PARTITIONS))

        self.wait("every partition has one owner", settled)

    def produce(self, n=ROUND):
        client = next(c for c in clients.CLIENTS if c.name == "confluent-kafka")
        lines = (records.line(i % PARTITIONS, None, f"{self.sent + i}".encode(), timestamp=i) for i in range(n))
        client.run(self.bench.bootstrap, "produce", self.topic, "none", stdin="".join(json.dumps(l) + "\n" for l in lines))
        self.sent += n

    def all_read(self):
        return [place for m in self.members + self.gone for place in m.read()]

    def read_all(self):
        self.wait("all records are read", lambda: len(set(self.all_read())) >= self.sent)
        return len(self.all_read()) - self.sent

    def close(self):
        for member in self.members:
            member.process.kill()


def run(bench, report: Report):
    chosen = clients.chosen(bench.options.only)
    bench.start()
    for client in chosen:
        if not client.keeps_reading:
            # It keeps its partitions and fetches nothing from them; the same with Apache Kafka 4.2.
            report.add(f"{client.name} in the mixed group", SKIP, "reads nothing after rebalances in quick succession, nor does it with Apache Kafka 4.2")
    chosen = [client for client in chosen if client.keeps_reading]
    # A name per run, for brokers that keep groups.
    mixed(bench, report, chosen, f"mixed-{os.getpid()}")
    if bench.broker.is_ours:
        with_http(bench, report, chosen, f"http-{os.getpid()}")
    java = [c for c in chosen if c.name == "java"]
    for client in java:
        server_side(bench, report, client, f"consumer-{os.getpid()}")


def mixed(bench, report, chosen, name):
    group = Group(bench, name)
    try:
        def one_by_one():
            for client in chosen:
                group.join(client)
                group.settle()
            return ", ".join(f"{m.client.name} {m.assigned()}" for m in group.members)

        def read_once():
            group.produce()
            twice = group.read_all()
            expect(twice == 0, f"{twice} records were read twice though nobody came or went")
            return f"{ROUND} records, each read once"

        def killed():
            group.members[0].process.kill()
            group.gone.append(group.members.pop(0))
            group.produce()
            group.settle()
            return f"{group.read_all()} of {group.sent} read twice"

        def leaves():
            leaving = group.members.pop(0)
            leaving.leave()
            group.gone.append(leaving)
            group.produce()
            group.settle()
            return f"{group.read_all()} of {group.sent} read twice"

        def comes_back():
            group.join(group.gone[0].client)
            group.settle()
            group.produce()
            return f"{group.read_all()} of {group.sent} read twice"

        def rests():
            for member in group.members:
                member.leave()
            lag, committed = position(bench, group.name)
            expect((lag, committed) == (0, group.sent), f"lag {lag}, committed {committed} of {group.sent}")

        names = ", ".join(c.name for c in chosen)
        steps = [
            (f"members join one by one: {names}", one_by_one), ("all records, each once", read_once),
            (f"{chosen[0].name} is killed", killed), ("another leaves", leaves), (f"{chosen[0].name} comes back", comes_back),
            ("all leave; the lag is 0", rests),
        ]
        for step, act in steps:
            if not report.check(step, act):
                break
    finally:
        group.close()


def with_http(bench, report, chosen, name):
    """Members over HTTP in one group with each of Kafka's clients."""
    for client in chosen:
        group = Group(bench, f"{name}-{client.name.split()[0]}")
        try:
            def act():
                for member in (clients.HTTP_MEMBER, client, clients.HTTP_MEMBER):
                    group.join(member)
                    group.settle()
                group.produce()
                twice = group.read_all()
                expect(twice == 0, f"{twice} records were read twice though nobody came or went")
                leaving = group.members.pop(0)
                leaving.leave()
                group.gone.append(leaving)
                group.settle()
                group.produce()
                twice = group.read_all()
                for member in group.members:
                    member.leave()
                lag, committed = position(bench, group.name)
                expect((lag, committed) == (0, group.sent), f"lag {lag}, committed {committed} of {group.sent}")
                return f"each partition had one owner; {twice} of {group.sent} read twice over a member's leaving"

            report.check(f"{client.name} and two members over HTTP in one group", act)
        finally:
            group.close()


def server_side(bench, report, client, name):
    """The new protocol (KIP-848), where the broker assigns."""
    group = Group(bench, name, more=["consumer"])
    try:
        def act():
            for _ in range(3):
                group.join(client)
                group.settle()
            group.produce()
            twice = group.read_all()
            expect(twice == 0, f"{twice} records were read twice though nobody came or went")
            leaving = group.members.pop()
            leaving.leave()
            group.gone.append(leaving)
            group.settle()
            group.produce()
            group.read_all()

        report.check(f"{client.name}: three members with group.protocol=consumer, one leaves", act)
    finally:
        group.close()


def position(bench, group):
    """Lag and committed offsets over all partitions, by Kafka's tool."""
    words = ["--bootstrap-server", bench.bootstrap, "--describe", "--group", group]
    done = processes.run(clients.tool("kafka-consumer-groups", *words), 90)
    rows = [re.split(r"\s+", line) for line in done.out.splitlines() if line.startswith(group)]
    expect(done.code == 0 and rows, done.complaint())
    return sum(int(row[5]) for row in rows), sum(int(row[3]) for row in rows)
