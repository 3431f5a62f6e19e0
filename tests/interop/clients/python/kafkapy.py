"""kafka-python behind the common command line."""

import sys

import adapter
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor

BOOTSTRAP = sys.argv[1]


def producer(**settings):
    return KafkaProducer(bootstrap_servers=BOOTSTRAP, linger_ms=5, **settings)


def send_all(sender, topic, records):
    sent = [
        sender.send(topic, r["value"], r["key"], r["headers"], r["partition"], r["timestamp"]) for r in records
    ]
    sender.flush(adapter.PATIENCE)
    for one in sent:
        one.get(adapter.PATIENCE)


def tell(m):
    adapter.tell(m.topic, m.partition, m.offset, m.key, m.value, m.headers, m.timestamp)


class Told(ConsumerRebalanceListener):
    def on_partitions_revoked(self, revoked):
        pass

    def on_partitions_assigned(self, assigned):
        adapter.tell_assigned([p.partition for p in assigned])


class KafkaPython:
    def produce(self, topic, codec, records):
        sender = producer(compression_type=None if codec == "none" else codec)
        send_all(sender, topic, records)
        sender.close()

    def consumer(self, **settings):
        return KafkaConsumer(bootstrap_servers=BOOTSTRAP, auto_offset_reset="earliest", **settings)

    def consume(self, missing, committed):
        isolation = "read_committed" if committed else "read_uncommitted"
        reader = self.consumer(isolation_level=isolation, enable_auto_commit=False)
        partitions = [TopicPartition(t, p) for t in missing.left for p in reader.partitions_for_topic(t)]
        reader.assign(partitions)
        reader.seek_to_beginning(*partitions)
        while missing:
            for batch in reader.poll(timeout_ms=500).values():
                for message in batch:
                    missing.seen(message.topic)
                    tell(message)
        reader.close()

    def member(self, topic, group, ended):
        reader = self.consumer(
            group_id=group, partition_assignment_strategy=[RangePartitionAssignor], session_timeout_ms=8000,
            heartbeat_interval_ms=1000, auto_commit_interval_ms=300,
        )
        reader.subscribe([topic], listener=Told())
        while not ended.is_set():
            for batch in reader.poll(timeout_ms=200).values():
                for message in batch:
                    tell(message)
            sys.stdout.flush()
        reader.close()

    def transact(self, transactional_id, topic, steps):
        sender = producer(transactional_id=transactional_id)
        sender.init_transactions()
        for records, commits in steps:
            sender.begin_transaction()
            send_all(sender, topic, records)
            sender.commit_transaction() if commits else sender.abort_transaction()
        sender.close()


adapter.run(KafkaPython())
