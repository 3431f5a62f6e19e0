/* Write code for Millstream as plain functions. A transform judges one record at a time, before it is stored:
 *
 *     #include "millstream.h"
 *
 *     ms_verdict ms_transform(const ms_record *record) {
 *       return ms_equal(record->value, ms_text("heartbeat")) ? MS_DROP : MS_KEEP;
 *     }
 *
 * A processor turns records into state and outputs, topic to topic: it defines ms_process instead, with the world
 * timed-packed-processor ms_on_timer too, and with answering-packed-processor ms_query. Which of them is called says `world` in
 * millstream.toml.
 *
 * Bytes that come from the server, and what ms_alloc gives, live until the function returns. There is no network and no file;
 * printf writes to the deployment's log. The contract is wit/millstream.wit, whose packed forms millstream.c speaks. */
#ifndef MILLSTREAM_H
#define MILLSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes; null when `data` is NULL. */
typedef struct {
  const uint8_t *data;
  size_t len;
} ms_bytes;

#define MS_NULL ((ms_bytes){NULL, 0})

ms_bytes ms_text(const char *text);
bool ms_equal(ms_bytes a, ms_bytes b);

/* Memory for this call; never NULL: without memory the call ends, as it does at the limit. */
void *ms_alloc(size_t len);
/* As printf, in memory for this call. */
ms_bytes ms_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A record that comes in. */
typedef struct {
  uint32_t topic; /* index among the deployment's inputs */
  uint32_t partition;
  uint64_t offset;   /* before the record is stored: its index in its batch */
  int64_t timestamp; /* milliseconds since 1970 */
  ms_bytes key;
  ms_bytes value;   /* null: a tombstone */
  ms_bytes headers; /* for ms_header, and to be handed on */
} ms_record;

/* The first header of this name; false when there is none. */
bool ms_header(const ms_record *record, const char *name, ms_bytes *value);

/* What is said of a record. Of a timer: MS_DROP or MS_EMIT. */
typedef enum {
  MS_KEEP,   /* pass it on as it is */
  MS_DROP,   /* leave it out; it leads to nothing */
  MS_EMIT,   /* what ms_emit was given instead */
  MS_REJECT, /* see ms_reject */
  MS_FAIL,   /* see ms_fail */
} ms_verdict;

/* Refuses the record, with a reason for its producer. In a processor the same as ms_fail. */
ms_verdict ms_reject(const char *reason);
/* A fault of this record or timer; `on_error` of the deployment decides about it. */
ms_verdict ms_fail(const char *reason);

/* A record that goes out; begin with MS_OUTPUT, which is the record at hand. For a timer there is none: its outputs have no
 * key and no value, and the time of the last timer of the call. */
typedef struct {
  ms_bytes key;
  ms_bytes value;   /* MS_NULL: a tombstone */
  ms_bytes headers; /* those of a record, or MS_NULL: none */
  int64_t timestamp;
  uint32_t topic; /* 0: the default output; see ms_route */
} ms_output;

extern const uint8_t ms_source[1];
#define MS_SOURCE ((ms_bytes){ms_source, 0})
#define MS_SOURCE_TIMESTAMP INT64_MIN
#define MS_OUTPUT ((ms_output){MS_SOURCE, MS_SOURCE, MS_SOURCE, MS_SOURCE_TIMESTAMP, 0})

/* Takes a copy. The function then returns MS_EMIT. */
void ms_emit(const ms_output *output);
/* The number of a route of the deployment; 0, the default output, when it has no such route. */
uint32_t ms_route(const char *name);

/* A parameter of the deployment; null when there is none. */
ms_bytes ms_param(const char *name);

typedef enum { MS_TRACE, MS_DEBUG, MS_INFO, MS_WARN, MS_ERROR } ms_level;
/* A line for the deployment's log. */
void ms_log(ms_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* === keyed state, of processors ===
 * Keys are ordered bytewise. What is put commits together with the outputs of the batch and its position, or not at all. */
typedef int32_t ms_store;
/* Once for each name, as in `static ms_store counts;` and ms_open. */
ms_store ms_store_open(const char *name);
/* Null when there is none. */
ms_bytes ms_get(ms_store store, ms_bytes key);
void ms_put(ms_store store, ms_bytes key, ms_bytes value);
void ms_delete(ms_store store, ms_bytes key);

typedef struct {
  ms_bytes key;
  ms_bytes value;
} ms_entry;
/* At most `limit` entries in the order of their keys, from `start` on and before `end`; end null: to the last key. */
size_t ms_scan(ms_store store, ms_bytes start, ms_bytes end, uint32_t limit, const ms_entry **entries);

/* === timers, of processors of the worlds timed-packed-processor and timed-answering-packed-processor === */
typedef enum {
  MS_EVENT_TIME, /* moved by the timestamps of the records, as the task's watermark */
  MS_WALL,       /* the server's clock */
} ms_clock;
typedef struct {
  ms_clock clock;
  ms_bytes name;
  int64_t at; /* as it was set */
} ms_timer;
/* Sets the timer of this name, or moves it. It fires once, after the call in which its clock has reached `at`. */
void ms_set_timer(ms_clock clock, ms_bytes name, int64_t at);
/* One that is not set is no error. */
void ms_cancel_timer(ms_clock clock, ms_bytes name);
/* False when there is no watermark yet. Fixed while a call lasts. */
bool ms_now(ms_clock clock, int64_t *now);

/* === queries, of processors of the worlds answering-packed-processor and timed-answering-packed-processor === */
typedef enum {
  MS_ANSWER,
  MS_BAD_REQUEST, /* the request makes no sense */
  MS_NOT_FOUND,   /* what it asks for is not there */
  MS_NO_ANSWER,   /* and it is not the request's fault */
} ms_reply;

/* === what the code defines === */
/* Once per instance, before the first record, or the first question: an error, or NULL. May be left out. */
const char *ms_open(void);
/* of the world packed-transform */
ms_verdict ms_transform(const ms_record *record);
/* of all worlds of processors */
ms_verdict ms_process(const ms_record *record);
/* of the timed worlds */
ms_verdict ms_on_timer(const ms_timer *timer);
/* Of the answering worlds: sets the answer, or the reason why there is none, as UTF-8. It runs in instances of its own, also
 * while records are processed, and sees the stores as they were committed at one moment, which it cannot change. */
ms_reply ms_query(ms_bytes request, ms_bytes *answer);

#endif
