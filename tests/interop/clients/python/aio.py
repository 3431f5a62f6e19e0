"""aiokafka behind the common command line."""

import asyncio
import sys

import adapter
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

BOOTSTRAP = sys.argv[1]


def producer(**settings):
    return AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, **settings)


def consumer(*topics, **settings):
    return AIOKafkaConsumer(*topics, bootstrap_servers=BOOTSTRAP, auto_offset_reset="earliest", **settings)


async def send_all(sender, topic, records):
    sent = [
        await sender.send(topic, r["value"], r["key"], r["partition"], r["timestamp"], r["headers"]) for r in records
    ]
    await asyncio.gather(*sent)


def tell(m):
    adapter.tell(m.topic, m.partition, m.offset, m.key, m.value, m.headers, m.timestamp)


class Told(ConsumerRebalanceListener):
    def __init__(self, reader):
        self.reader = reader

    async def on_partitions_revoked(self, revoked):
        if revoked:
            await self.reader.commit()

    async def on_partitions_assigned(self, assigned):
        adapter.tell_assigned([p.partition for p in assigned])


async def produce(topic, codec, records):
    async with producer(compression_type=None if codec == "none" else codec) as sender:
        await send_all(sender, topic, records)


async def consume(missing, committed):
    isolation = "read_committed" if committed else "read_uncommitted"
    async with consumer(isolation_level=isolation, enable_auto_commit=False, fetch_max_wait_ms=200) as reader:
        partitions = []
        for topic in missing.left:
            # The first metadata asked for a topic may come before its partitions are known here.
            await reader._client.add_topic(topic)
            partitions += [TopicPartition(topic, p) for p in reader.partitions_for_topic(topic) or ()]
        reader.assign(partitions)
        await reader.seek_to_beginning(*partitions)
        while missing:
            for batch in (await reader.getmany(timeout_ms=500)).values():
                for message in batch:
                    missing.seen(message.topic)
                    tell(message)


async def member(topic, group, ended):
    reader = consumer(
        group_id=group, partition_assignment_strategy=[RangePartitionAssignor], session_timeout_ms=8000,
        heartbeat_interval_ms=1000, auto_commit_interval_ms=300,
    )
    reader.subscribe([topic], listener=Told(reader))
    async with reader:
        while not ended.is_set():
            for batch in (await reader.getmany(timeout_ms=200)).values():
                for message in batch:
                    tell(message)
            sys.stdout.flush()


async def transact(transactional_id, topic, steps):
    async with producer(transactional_id=transactional_id) as sender:
        for records, commits in steps:
            await sender.begin_transaction()
            await send_all(sender, topic, records)
            await (sender.commit_transaction() if commits else sender.abort_transaction())


async def copy(source, target, group, transactional_id, n):
    reader = consumer(source, group_id=group, enable_auto_commit=False, isolation_level="read_committed")
    missing = adapter.Missing([(source, n)])
    async with producer(transactional_id=transactional_id) as sender, reader:
        while missing:
            batches = await reader.getmany(timeout_ms=500, max_records=7)
            if not batches:
                continue
            async with sender.transaction():
                positions = {}
                for partition, batch in batches.items():
                    for message in batch:
                        await sender.send(target, message.value, message.key, message.partition)
                        missing.seen(source)
                    positions[partition] = batch[-1].offset + 1
                await sender.send_offsets_to_transaction(positions, group)


class Aio:
    def __getattr__(self, name):
        return lambda *args: asyncio.run(globals()[name](*args))


adapter.run(Aio())
