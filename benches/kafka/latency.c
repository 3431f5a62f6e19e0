/* End-to-end latency, open loop: records are sent at times that are fixed beforehand, whatever becomes of those before
 * them, and each carries its time. The consumer, in the same process, takes the difference from the time at which its
 * record should have left. A record that could not be sent in time counts as late.
 *
 *   latency BOOTSTRAP TOPIC PARTITIONS RATE SECONDS WARM_UP_SECONDS BYTES      one line of JSON
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "rdkafka.h"

static int64_t now_ns(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what, const char *why) {
        fprintf(stderr, "%s: %s\n", what, why);
        exit(1);
}

static rd_kafka_t *client(rd_kafka_type_t type, const char *bootstrap) {
        char error[512];
        rd_kafka_conf_t *conf = rd_kafka_conf_new();
        const char *settings[][2] = {
            {"bootstrap.servers", bootstrap}, {"socket.nagle.disable", "true"}, {"broker.address.family", "v4"},
            {type == RD_KAFKA_PRODUCER ? "linger.ms" : "fetch.wait.max.ms", type == RD_KAFKA_PRODUCER ? "0" : "500"},
            {type == RD_KAFKA_PRODUCER ? "acks" : "group.id", type == RD_KAFKA_PRODUCER ? "all" : "latency"},
        };
        for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
                if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], error, sizeof(error)))
                        die(settings[i][0], error);
        rd_kafka_t *rk = rd_kafka_new(type, conf, error, sizeof(error));
        if (!rk)
                die("client", error);
        return rk;
}

struct consumer {
        rd_kafka_t *rk;
        int64_t *samples; /* by arrival; 0: of the warm-up */
        size_t expected, seen;
        int64_t from; /* records due before this are the warm-up */
        int64_t give_up;
};

static void *consume(void *argument) {
        struct consumer *own = argument;
        while (own->seen < own->expected && now_ns() < own->give_up) {
                rd_kafka_message_t *message = rd_kafka_consumer_poll(own->rk, 100);
                if (!message)
                        continue;
                if (!message->err && message->len >= sizeof(int64_t)) {
                        int64_t due;
                        memcpy(&due, message->payload, sizeof(due));
                        if (due > 0)
                                own->samples[own->seen++] = due < own->from ? 0 : now_ns() - due;
                }
                rd_kafka_message_destroy(message);
        }
        return NULL;
}

static int ascending(const void *a, const void *b) {
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
        return (x > y) - (x < y);
}

int main(int argc, char **argv) {
        if (argc != 8)
                die("usage", "latency BOOTSTRAP TOPIC PARTITIONS RATE SECONDS WARM_UP_SECONDS BYTES");
        const char *topic = argv[2];
        int partitions = atoi(argv[3]), rate = atoi(argv[4]);
        int seconds = atoi(argv[5]), warm_up = atoi(argv[6]);
        size_t bytes = (size_t)atoi(argv[7]), expected = (size_t)rate * (size_t)(seconds + warm_up);
        if (rate < 1 || partitions < 1 || seconds < 1 || bytes < sizeof(int64_t))
                die("usage", "numbers above zero, and 8 bytes or more");

        rd_kafka_t *producer = client(RD_KAFKA_PRODUCER, argv[1]);
        rd_kafka_topic_t *to = rd_kafka_topic_new(producer, topic, NULL);
        char *payload = calloc(1, bytes);

        /* A record ahead in each partition, with no time in it, so that both clients know where to go. */
        for (int p = 0; p < partitions; p++)
                rd_kafka_produce(to, p, RD_KAFKA_MSG_F_COPY, payload, bytes, NULL, 0, NULL);
        if (rd_kafka_flush(producer, 30000))
                die("producer", "the first records are not acknowledged");

        struct consumer consumer = {.rk = client(RD_KAFKA_CONSUMER, argv[1]), .expected = expected};
        consumer.samples = calloc(expected, sizeof(int64_t));
        rd_kafka_poll_set_consumer(consumer.rk);
        rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(partitions);
        for (int p = 0; p < partitions; p++)
                rd_kafka_topic_partition_list_add(all, topic, p)->offset = RD_KAFKA_OFFSET_BEGINNING;
        rd_kafka_assign(consumer.rk, all);
        for (int p = 0; p < partitions;) {
                rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer.rk, 30000);
                if (!message)
                        die("consumer", "the first records do not come");
                p += !message->err;
                rd_kafka_message_destroy(message);
        }

        int64_t start = now_ns() + 100000000;
        consumer.from = start + (int64_t)warm_up * 1000000000;
        consumer.give_up = start + (int64_t)(warm_up + seconds + 30) * 1000000000;
        pthread_t thread;
        if (pthread_create(&thread, NULL, consume, &consumer))
                die("thread", "cannot be started");

        int64_t late_max = 0, refused = 0;
        for (size_t n = 0; n < expected; n++) {
                int64_t due = start + (int64_t)((double)n * 1e9 / rate);
                struct timespec at = {due / 1000000000, due % 1000000000};
                clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
                int64_t late = now_ns() - due;
                if (due >= consumer.from && late > late_max)
                        late_max = late;
                memcpy(payload, &due, sizeof(due));
                while (rd_kafka_produce(to, (int32_t)(n % (size_t)partitions), RD_KAFKA_MSG_F_COPY, payload, bytes, NULL, 0,
                                        NULL)) {
                        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
                                die("produce", rd_kafka_err2str(rd_kafka_last_error()));
                        refused++;
                        rd_kafka_poll(producer, 1);
                }
        }
        pthread_join(thread, NULL);

        qsort(consumer.samples, consumer.seen, sizeof(int64_t), ascending);
        size_t warm = 0;
        while (warm < consumer.seen && consumer.samples[warm] == 0)
                warm++;
        size_t counted = consumer.seen - warm;
        if (counted == 0)
                die("consumer", "no record came");
        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                     (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
        const int64_t *sorted = consumer.samples + warm;
#define AT(q) ((double)sorted[(size_t)((double)(counted - 1) * (q))] / 1e6)
        printf("{\"expected\": %zu, \"seen\": %zu, \"counted\": %zu, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"p999_ms\": %.3f, "
               "\"max_ms\": %.3f, \"sent_late_max_ms\": %.3f, \"queue_full\": %" PRId64 ", \"client_cpu_s\": %.2f}\n",
               expected, consumer.seen, counted, AT(0.50), AT(0.99), AT(0.999), AT(1.0), (double)late_max / 1e6, refused, cpu);
        fflush(stdout);
        /* Nothing is left to be done: no time is lost with leaving in good order. */
        _exit(consumer.seen == expected ? 0 : 1);
}
