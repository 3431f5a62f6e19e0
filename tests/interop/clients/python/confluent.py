"""confluent-kafka (librdkafka) behind the common command line."""

import sys

import adapter
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

BOOTSTRAP = sys.argv[1]


def check(error):
    if error is not None:
        sys.exit(f"{error}")


def send(producer, topic, record, failures):
    producer.produce(
        topic, record["value"], record["key"], record["partition"], headers=record["headers"],
        timestamp=record["timestamp"], on_delivery=lambda error, _: error and failures.append(error),
    )


class Confluent:
    def produce(self, topic, codec, records):
        producer = Producer({"bootstrap.servers": BOOTSTRAP, "compression.type": codec, "linger.ms": 5})
        failures = []
        for record in records:
            send(producer, topic, record, failures)
        left = producer.flush(adapter.PATIENCE)
        if failures or left:
            sys.exit(f"{topic}: {left} not answered, failed: {failures[:3]}")

    def consumer(self, **settings):
        return Consumer({"bootstrap.servers": BOOTSTRAP, "auto.offset.reset": "earliest", **settings})

    def tell(self, m):
        adapter.tell(m.topic(), m.partition(), m.offset(), m.key(), m.value(), m.headers(), m.timestamp()[1])

    def consume(self, missing, committed):
        isolation = "read_committed" if committed else "read_uncommitted"
        consumer = self.consumer(**{"group.id": "unused", "enable.auto.commit": False, "isolation.level": isolation})
        topics = AdminClient({"bootstrap.servers": BOOTSTRAP}).list_topics(timeout=30).topics
        consumer.assign([TopicPartition(t, p, OFFSET_BEGINNING) for t in missing.left for p in topics[t].partitions])
        while missing:
            message = consumer.poll(0.5)
            if message is not None:
                check(message.error())
                missing.seen(message.topic())
                self.tell(message)
        consumer.close()

    def member(self, topic, group, ended):
        consumer = self.consumer(**{
            "group.id": group, "partition.assignment.strategy": "range", "session.timeout.ms": 8000,
            "heartbeat.interval.ms": 1000, "auto.commit.interval.ms": 300,
        })
        consumer.subscribe([topic])
        told = None
        while not ended.is_set():
            message = consumer.poll(0.2)
            now = [p.partition for p in consumer.assignment()]
            if now != told:
                adapter.tell_assigned(now)
                told = now
            if message is not None:
                check(message.error())
                self.tell(message)
                sys.stdout.flush()
        consumer.close()

    def transact(self, transactional_id, topic, steps):
        producer = Producer({"bootstrap.servers": BOOTSTRAP, "transactional.id": transactional_id})
        producer.init_transactions(adapter.PATIENCE)
        for records, commits in steps:
            producer.begin_transaction()
            failures = []
            for record in records:
                send(producer, topic, record, failures)
            producer.flush(adapter.PATIENCE)
            if failures:
                sys.exit(f"{failures[:3]}")
            producer.commit_transaction() if commits else producer.abort_transaction()

    def copy(self, source, target, group, transactional_id, n):
        consumer = self.consumer(**{"group.id": group, "enable.auto.commit": False, "isolation.level": "read_committed"})
        producer = Producer({"bootstrap.servers": BOOTSTRAP, "transactional.id": transactional_id})
        producer.init_transactions(adapter.PATIENCE)
        consumer.subscribe([source])
        missing = adapter.Missing([(source, n)])
        while missing:
            messages = consumer.consume(7, 0.5)
            if not messages:
                continue
            producer.begin_transaction()
            for message in messages:
                check(message.error())
                producer.produce(target, message.value(), message.key(), message.partition())
                missing.seen(source)
            positions = consumer.position(consumer.assignment())
            producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), adapter.PATIENCE)
            producer.commit_transaction(adapter.PATIENCE)
        consumer.close()


adapter.run(Confluent())
