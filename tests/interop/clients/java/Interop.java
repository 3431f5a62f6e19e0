// The Java client behind the command line that all adapters share; see tests/interop/README.md.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedOutputStream;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class Interop {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Duration PATIENCE = Duration.ofSeconds(60);
    private static final PrintStream OUT = new PrintStream(new BufferedOutputStream(System.out, 1 << 20), false, StandardCharsets.UTF_8);
    private static final BufferedReader IN = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    private static String bootstrap;

    public static void main(String[] args) throws Exception {
        // Logs go to stdout by themselves, which is for records alone.
        System.setOut(System.err);
        bootstrap = args[0];
        switch (args[1]) {
            case "produce" -> produce(rest(args));
            case "consume" -> consume(rest(args), "read_uncommitted");
            case "consume-committed" -> consume(rest(args), "read_committed");
            case "member" -> member(args[2], args[3], args.length > 4 ? args[4] : "classic");
            case "transact" -> transact(args[2], args[3]);
            case "copy" -> copy(args[2], args[3], args[4], args[5], Integer.parseInt(args[6]));
            default -> throw new IllegalArgumentException(args[1]);
        }
        OUT.flush();
        System.exit(0);
    }

    private static List<String> rest(String[] args) {
        return List.of(args).subList(2, args.length);
    }

    private static Properties producerSettings() {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("key.serializer", ByteArraySerializer.class.getName());
        p.put("value.serializer", ByteArraySerializer.class.getName());
        p.put("linger.ms", "5");
        return p;
    }

    private static Properties consumerSettings() {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("key.deserializer", ByteArrayDeserializer.class.getName());
        p.put("value.deserializer", ByteArrayDeserializer.class.getName());
        p.put("auto.offset.reset", "earliest");
        return p;
    }

    private static byte[] bytes(JsonNode node) throws Exception {
        return node == null || node.isNull() ? null : node.binaryValue();
    }

    private static ProducerRecord<byte[], byte[]> record(String topic, JsonNode line) throws Exception {
        List<Header> headers = new ArrayList<>();
        for (JsonNode pair : line.get("headers")) {
            headers.add(new RecordHeader(pair.get(0).asText(), bytes(pair.get(1))));
        }
        return new ProducerRecord<>(topic, line.get("partition").asInt(), line.get("timestamp").asLong(),
            bytes(line.get("key")), bytes(line.get("value")), headers);
    }

    private static ObjectNode line(ConsumerRecord<byte[], byte[]> record) {
        ObjectNode line = JSON.createObjectNode();
        line.put("topic", record.topic()).put("partition", record.partition()).put("offset", record.offset());
        line.put("key", record.key()).put("value", record.value()).put("timestamp", record.timestamp());
        ArrayNode headers = line.putArray("headers");
        for (Header header : record.headers()) {
            headers.addArray().add(header.key()).add(header.value());
        }
        return line;
    }

    private static void produce(List<String> topicsAndCodecs) throws Exception {
        List<JsonNode> lines = new ArrayList<>();
        for (String text = IN.readLine(); text != null; text = IN.readLine()) {
            lines.add(JSON.readTree(text));
        }
        for (int i = 0; i < topicsAndCodecs.size(); i += 2) {
            Properties settings = producerSettings();
            settings.put("compression.type", topicsAndCodecs.get(i + 1));
            try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings)) {
                List<Future<RecordMetadata>> sent = new ArrayList<>();
                for (JsonNode line : lines) {
                    sent.add(producer.send(record(topicsAndCodecs.get(i), line)));
                }
                for (Future<RecordMetadata> one : sent) {
                    one.get();
                }
            }
        }
    }

    private static void consume(List<String> topicsAndCounts, String isolation) throws Exception {
        Map<String, Integer> missing = new HashMap<>();
        for (int i = 0; i < topicsAndCounts.size(); i += 2) {
            missing.put(topicsAndCounts.get(i), Integer.parseInt(topicsAndCounts.get(i + 1)));
        }
        Properties settings = consumerSettings();
        settings.put("isolation.level", isolation);
        settings.put("enable.auto.commit", "false");
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings)) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (String topic : missing.keySet()) {
                consumer.partitionsFor(topic).forEach(p -> partitions.add(new TopicPartition(topic, p.partition())));
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long deadline = System.nanoTime() + PATIENCE.toNanos();
            while (missing.values().stream().anyMatch(n -> n > 0)) {
                if (System.nanoTime() > deadline) {
                    OUT.flush();
                    throw new IllegalStateException("not there after a minute: " + missing);
                }
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(500))) {
                    missing.merge(record.topic(), -1, Integer::sum);
                    OUT.println(line(record));
                    deadline = System.nanoTime() + PATIENCE.toNanos();
                }
            }
        }
    }

    /** Lives until its stdin closes; tells every assignment and every record. */
    private static void member(String topic, String group, String protocol) throws Exception {
        Properties settings = consumerSettings();
        settings.put("group.id", group);
        settings.put("group.protocol", protocol);
        settings.put("auto.commit.interval.ms", "300");
        if (protocol.equals("classic")) {
            settings.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor");
            settings.put("session.timeout.ms", "8000");
            settings.put("heartbeat.interval.ms", "1000");
        }
        Thread stdin = new Thread(() -> {
            try {
                while (IN.readLine() != null) { }
            } catch (java.io.IOException ended) { }
        });
        stdin.setDaemon(true);
        stdin.start();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings)) {
            consumer.subscribe(List.of(topic), new ConsumerRebalanceListener() {
                public void onPartitionsRevoked(Collection<TopicPartition> partitions) { tell(consumer); }
                public void onPartitionsLost(Collection<TopicPartition> partitions) { tell(consumer); }
                public void onPartitionsAssigned(Collection<TopicPartition> partitions) { tell(consumer); }
            });
            while (stdin.isAlive()) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                    OUT.println(line(record));
                }
                tellWhenChanged(consumer);
                OUT.flush();
            }
        }
    }

    private static String told = "";

    private static void tell(KafkaConsumer<byte[], byte[]> consumer) {
        told = "";
    }

    private static void tellWhenChanged(KafkaConsumer<byte[], byte[]> consumer) {
        ObjectNode line = JSON.createObjectNode();
        ArrayNode assigned = line.putArray("assigned");
        consumer.assignment().stream().map(TopicPartition::partition).sorted().forEach(assigned::add);
        if (!line.toString().equals(told)) {
            told = line.toString();
            OUT.println(told);
        }
    }

    /** Each line of stdin is one transaction. */
    private static void transact(String id, String topic) throws Exception {
        Properties settings = producerSettings();
        settings.put("transactional.id", id);
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings)) {
            producer.initTransactions();
            for (String text = IN.readLine(); text != null; text = IN.readLine()) {
                JsonNode transaction = JSON.readTree(text);
                producer.beginTransaction();
                for (JsonNode line : transaction.get("records")) {
                    producer.send(record(topic, line));
                }
                producer.flush();
                if (transaction.get("end").asText().equals("commit")) {
                    producer.commitTransaction();
                } else {
                    producer.abortTransaction();
                }
            }
        }
    }

    /** Consume, write and commit the position in one transaction per poll, until n records are copied. */
    private static void copy(String from, String to, String group, String id, int n) throws Exception {
        Properties consuming = consumerSettings();
        consuming.put("group.id", group);
        consuming.put("enable.auto.commit", "false");
        consuming.put("isolation.level", "read_committed");
        consuming.put("max.poll.records", "7");
        Properties producing = producerSettings();
        producing.put("transactional.id", id);
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(consuming);
             KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(producing)) {
            producer.initTransactions();
            consumer.subscribe(List.of(from));
            long deadline = System.nanoTime() + PATIENCE.toNanos();
            for (int copied = 0; copied < n; ) {
                if (System.nanoTime() > deadline) {
                    throw new IllegalStateException("copied " + copied + " of " + n);
                }
                var records = consumer.poll(Duration.ofMillis(500));
                if (records.isEmpty()) {
                    continue;
                }
                producer.beginTransaction();
                Map<TopicPartition, OffsetAndMetadata> positions = new HashMap<>();
                for (ConsumerRecord<byte[], byte[]> record : records) {
                    producer.send(new ProducerRecord<>(to, record.partition(), record.key(), record.value()));
                    positions.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
                }
                producer.sendOffsetsToTransaction(positions, consumer.groupMetadata());
                producer.commitTransaction();
                copied += records.count();
            }
        }
    }
}
