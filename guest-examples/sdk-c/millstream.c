/* The packed forms of wit/millstream.wit by the canonical ABI of WebAssembly components, in C. `millstream module build`
 * defines the macro of one world and puts that world into the module. */
#include "millstream.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined MS_TIMED_PACKED_PROCESSOR || defined MS_TIMED_ANSWERING_PACKED_PROCESSOR
#define TIMED
#endif
#if defined MS_ANSWERING_PACKED_PROCESSOR || defined MS_TIMED_ANSWERING_PACKED_PROCESSOR
#define ANSWERING
#endif
#if defined MS_PACKED_PROCESSOR || defined TIMED || defined ANSWERING
#define PROCESSOR
#elif !defined MS_PACKED_TRANSFORM
#error "build with `millstream module build`, or define the macro of a world, such as -DMS_PACKED_TRANSFORM"
#endif

#define PACKAGE "millstream:functions/"
#define VERSION "@0.1.0"
#define IMPORT(interface, name) __attribute__((import_module(PACKAGE interface VERSION), import_name(name))) extern
#define EXPORT(interface, name) __attribute__((export_name(PACKAGE interface VERSION "#" name)))
#define AFTER(interface, name) __attribute__((export_name("cabi_post_" PACKAGE interface VERSION "#" name)))

/* === as the ABI lays them out === */
typedef struct {
  uint8_t some;
  int64_t value;
} abi_time;

typedef struct {
  uint32_t topic, partition;
  uint64_t offset;
  int64_t timestamp;
  int32_t key, value;
  uint32_t headers;
} abi_input;

typedef struct {
  int32_t source;
#ifndef PROCESSOR
  uint8_t action;
#endif
  uint32_t topic;
  abi_time timestamp;
  int32_t key, value, headers;
} abi_output;

typedef struct {
  uint8_t clock;
  ms_bytes name;
  int64_t at;
} abi_timer;

typedef struct {
  uint8_t failed;
  ms_bytes why;
} abi_opened;

typedef struct {
  uint8_t failed;
  union {
    struct {
      abi_output *entries;
      size_t len;
      uint8_t *data;
      size_t data_len;
    } done;
    struct {
      uint8_t tag; /* 2: at */
      uint32_t index;
      ms_bytes why;
    } error;
  };
} abi_answer;

typedef struct {
  uint8_t some;
  ms_bytes value;
} abi_option;

typedef struct {
  ms_bytes *items;
  size_t len;
} abi_names;

enum { FROM_SOURCE = -2, IS_NULL = -1 };

IMPORT("log", "write") void host_log(int32_t level, const uint8_t *text, size_t len);
IMPORT("config", "get") void host_param(const uint8_t *name, size_t len, abi_option *found);
IMPORT("config", "outputs") void host_outputs(abi_names *found);

/* === memory for a call === */
typedef struct block {
  struct block *before;
  size_t room, used;
  max_align_t data[];
} block;

static block *newest;

void *ms_alloc(size_t len) {
  size_t wanted = (len + sizeof(max_align_t) - 1) & ~(sizeof(max_align_t) - 1);
  if (!newest || newest->room - newest->used < wanted) {
    size_t room = wanted > 64 * 1024 ? wanted : 64 * 1024;
    block *made = malloc(sizeof(block) + room);
    if (!made) {
      host_log(MS_ERROR, (const uint8_t *)"out of memory", 13);
      __builtin_trap();
    }
    *made = (block){newest, room, 0};
    newest = made;
  }
  void *at = (uint8_t *)newest->data + newest->used;
  newest->used += wanted;
  return at;
}

/* The newest block stays for the next call. */
static void free_all(void) {
  while (newest && newest->before) {
    block *before = newest->before;
    newest->before = before->before;
    free(before);
  }
  if (newest) newest->used = 0;
}

/* Where the server puts what it hands over. */
__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_len, size_t align, size_t len) {
  (void)align; /* at most 8 */
  void *made = ms_alloc(len);
  return old ? memcpy(made, old, old_len < len ? old_len : len) : made;
}

/* === bytes === */
const uint8_t ms_source[1];

ms_bytes ms_text(const char *text) { return (ms_bytes){(const uint8_t *)text, strlen(text)}; }

bool ms_equal(ms_bytes a, ms_bytes b) {
  return !a.data == !b.data && a.len == b.len && (!a.len || !memcmp(a.data, b.data, a.len));
}

static ms_bytes formatted(const char *format, va_list parts) {
  va_list again;
  va_copy(again, parts);
  int len = vsnprintf(NULL, 0, format, again);
  va_end(again);
  char *text = ms_alloc(len < 0 ? 1 : (size_t)len + 1);
  vsnprintf(text, (size_t)len + 1, format, parts);
  return (ms_bytes){(uint8_t *)text, len < 0 ? 0 : (size_t)len};
}

ms_bytes ms_format(const char *format, ...) {
  va_list parts;
  va_start(parts, format);
  ms_bytes text = formatted(format, parts);
  va_end(parts);
  return text;
}

void ms_log(ms_level level, const char *format, ...) {
  va_list parts;
  va_start(parts, format);
  ms_bytes text = formatted(format, parts);
  va_end(parts);
  host_log(level, text.data, text.len);
}

/* === the deployment === */
static ms_bytes option(abi_option found) { return found.some ? found.value : MS_NULL; }

ms_bytes ms_param(const char *name) {
  abi_option found;
  host_param((const uint8_t *)name, strlen(name), &found);
  return option(found);
}

uint32_t ms_route(const char *name) {
  abi_names names;
  host_outputs(&names);
  for (uint32_t i = 0; i < names.len; i++) {
    if (ms_equal(names.items[i], ms_text(name))) return i + 1;
  }
  return 0;
}

/* === records === */
bool ms_header(const ms_record *record, const char *name, ms_bytes *value) {
  const uint8_t *at = record->headers.data, *end = at + record->headers.len;
  size_t wanted = strlen(name);
  while (at && at < end) {
    size_t len = at[0] | at[1] << 8;
    const uint8_t *own = at + 2;
    int32_t value_len;
    memcpy(&value_len, own + len, 4);
    at = own + len + 4;
    if (len == wanted && !memcmp(own, name, len)) {
      *value = value_len < 0 ? MS_NULL : (ms_bytes){at, (size_t)value_len};
      return true;
    }
    if (value_len > 0) at += value_len;
  }
  return false;
}

/* What comes of a call; its memory is used again by the next. */
static struct {
  abi_output *entries;
  size_t len, room;
  uint8_t *data;
  size_t data_len, data_room;
  /* what is at hand, -1 for a timer */
  int32_t source;
  const char *why;
} made;

/* Room for `more` items in a list. */
static void *grown(void *list, size_t len, size_t more, size_t *room, size_t item) {
  if (*room - len >= more) return list;
  *room = (len + more) * 2;
  void *larger = realloc(list, *room * item);
  if (!larger) __builtin_trap();
  return larger;
}

static int32_t length(ms_bytes bytes, int32_t of_null) {
  if (bytes.data == ms_source) return FROM_SOURCE;
  if (!bytes.data) return of_null;
  made.data = grown(made.data, made.data_len, bytes.len, &made.data_room, 1);
  if (bytes.len) memcpy(made.data + made.data_len, bytes.data, bytes.len);
  made.data_len += bytes.len;
  return (int32_t)bytes.len;
}

static abi_output *entry(void) {
  made.entries = grown(made.entries, made.len, 1, &made.room, sizeof(abi_output));
  abi_output *added = &made.entries[made.len++];
  memset(added, 0, sizeof *added);
  added->source = made.source;
  added->key = added->value = added->headers = FROM_SOURCE;
  return added;
}

void ms_emit(const ms_output *output) {
  abi_output *added = entry();
#ifndef PROCESSOR
  added->action = 1;
#endif
  added->topic = output->topic;
  if (output->timestamp != MS_SOURCE_TIMESTAMP) added->timestamp = (abi_time){1, output->timestamp};
  int32_t nothing = IS_NULL;
#ifdef PROCESSOR
  /* Without a source there is nothing to take from it. */
  if (made.source < 0) {
    added->key = output->key.data == ms_source ? nothing : length(output->key, nothing);
    added->value = output->value.data == ms_source ? nothing : length(output->value, nothing);
    added->headers = length(output->headers, 0);
    return;
  }
#endif
  added->key = length(output->key, nothing);
  added->value = length(output->value, nothing);
  added->headers = length(output->headers, 0);
}

ms_verdict ms_reject(const char *reason) {
  made.why = reason;
  return MS_REJECT;
}

ms_verdict ms_fail(const char *reason) {
  made.why = reason;
  return MS_FAIL;
}

static abi_answer answer;

static abi_answer *failed(uint32_t index) {
  answer.failed = 1;
  answer.error.tag = 2;
  answer.error.index = index;
  answer.error.why = ms_text(made.why);
  return &answer;
}

static abi_answer *done(void) {
  answer.failed = 0;
  answer.done.entries = made.entries;
  answer.done.len = made.len;
  answer.done.data = made.data;
  answer.done.data_len = made.data_len;
  return &answer;
}

static ms_bytes taken(const uint8_t **data, int32_t len) {
  if (len < 0) return MS_NULL;
  ms_bytes bytes = {*data, (size_t)len};
  *data += len;
  return bytes;
}

static abi_answer *judge_all(const abi_input *inputs, size_t len, const uint8_t *data) {
  made.len = made.data_len = 0;
  for (uint32_t index = 0; index < len; index++) {
    const abi_input *input = &inputs[index];
    ms_record record = {input->topic, input->partition, input->offset, input->timestamp, MS_NULL, MS_NULL, MS_NULL};
    record.key = taken(&data, input->key);
    record.value = taken(&data, input->value);
    record.headers = taken(&data, (int32_t)input->headers);
    made.source = (int32_t)index;
    size_t entries = made.len, bytes = made.data_len;
#ifdef PROCESSOR
    ms_verdict verdict = ms_process(&record);
    if (verdict == MS_REJECT) verdict = MS_FAIL;
#else
    ms_verdict verdict = ms_transform(&record);
#endif
    if (verdict == MS_FAIL) return failed(index);
    if (verdict != MS_EMIT) {
      made.len = entries;
      made.data_len = bytes;
    }
    if (verdict == MS_KEEP) entry();
#ifndef PROCESSOR
    if (verdict == MS_REJECT) {
      abi_output *rejected = entry();
      rejected->action = 2;
      rejected->value = length(ms_text(made.why), 0);
    }
#endif
  }
  return done();
}

__attribute__((weak)) const char *ms_open(void) { return NULL; }

static abi_opened opened;

static abi_opened *open_once(void) {
  const char *why = ms_open();
  opened.failed = why != NULL;
  opened.why = ms_text(why ? why : "");
  return &opened;
}

#ifdef PROCESSOR
#define MAIN "processor-packed"
#else
#define MAIN "transform-packed"
#endif

EXPORT(MAIN, "open") abi_opened *export_open(void) { return open_once(); }
AFTER(MAIN, "open") void after_open(abi_opened *told) {
  (void)told;
  free_all();
}
EXPORT(MAIN, "process")
abi_answer *export_process(const abi_input *inputs, size_t len, const uint8_t *data, size_t data_len) {
  (void)data_len;
  return judge_all(inputs, len, data);
}
AFTER(MAIN, "process") void after_process(abi_answer *told) {
  (void)told;
  free_all();
}

#ifdef PROCESSOR
/* === state === */
IMPORT("state", "[constructor]store") ms_store host_store(const uint8_t *name, size_t len);
IMPORT("state", "[method]store.get") void host_get(ms_store store, const uint8_t *key, size_t len, abi_option *found);
IMPORT("state", "[method]store.put")
void host_put(ms_store store, const uint8_t *key, size_t len, const uint8_t *value, size_t value_len);
IMPORT("state", "[method]store.delete") void host_delete(ms_store store, const uint8_t *key, size_t len);
IMPORT("state", "[method]store.scan")
void host_scan(ms_store store, const uint8_t *start, size_t len, int32_t has_end, const uint8_t *end, size_t end_len,
               int32_t limit, abi_names *found);

ms_store ms_store_open(const char *name) { return host_store((const uint8_t *)name, strlen(name)); }

ms_bytes ms_get(ms_store store, ms_bytes key) {
  abi_option found;
  host_get(store, key.data, key.len, &found);
  return option(found);
}

void ms_put(ms_store store, ms_bytes key, ms_bytes value) { host_put(store, key.data, key.len, value.data, value.len); }

void ms_delete(ms_store store, ms_bytes key) { host_delete(store, key.data, key.len); }

size_t ms_scan(ms_store store, ms_bytes start, ms_bytes end, uint32_t limit, const ms_entry **entries) {
  abi_names found;
  host_scan(store, start.data, start.len, end.data != NULL, end.data, end.len, (int32_t)limit, &found);
  *entries = (const ms_entry *)found.items;
  return found.len;
}
#endif

#ifdef TIMED
/* === timers === */
IMPORT("timers", "set") void host_set(int32_t clock, const uint8_t *name, size_t len, int64_t at);
IMPORT("timers", "cancel") void host_cancel(int32_t clock, const uint8_t *name, size_t len);
IMPORT("timers", "now") void host_now(int32_t clock, abi_time *found);

void ms_set_timer(ms_clock clock, ms_bytes name, int64_t at) { host_set(clock, name.data, name.len, at); }

void ms_cancel_timer(ms_clock clock, ms_bytes name) { host_cancel(clock, name.data, name.len); }

bool ms_now(ms_clock clock, int64_t *now) {
  abi_time found;
  host_now(clock, &found);
  *now = found.value;
  return found.some;
}

EXPORT("on-timer-packed", "on-timer") abi_answer *export_on_timer(const abi_timer *due, size_t len) {
  made.len = made.data_len = 0;
  made.source = -1;
  for (uint32_t index = 0; index < len; index++) {
    ms_timer timer = {due[index].clock, due[index].name, due[index].at};
    size_t entries = made.len, bytes = made.data_len;
    ms_verdict verdict = ms_on_timer(&timer);
    if (verdict == MS_REJECT || verdict == MS_FAIL) return failed(index);
    if (verdict != MS_EMIT) {
      made.len = entries;
      made.data_len = bytes;
    }
  }
  return done();
}
AFTER("on-timer-packed", "on-timer") void after_on_timer(abi_answer *told) {
  (void)told;
  free_all();
}
#endif

#ifdef ANSWERING
/* === queries === */
typedef struct {
  uint8_t failed;
  union {
    ms_bytes answer;
    struct {
      uint8_t tag; /* 0: bad-request, 1: not-found, 2: failed */
      ms_bytes why;
    } error;
  };
} abi_reply;

EXPORT("query", "open") abi_opened *export_open_query(void) { return open_once(); }
AFTER("query", "open") void after_open_query(abi_opened *told) {
  (void)told;
  free_all();
}
EXPORT("query", "query") abi_reply *export_query(const uint8_t *request, size_t len) {
  static abi_reply reply;
  ms_bytes answer = ms_text("");
  ms_reply said = ms_query((ms_bytes){request, len}, &answer);
  reply.failed = said != MS_ANSWER;
  if (said == MS_ANSWER) {
    reply.answer = answer;
  } else {
    reply.error.tag = (uint8_t)(said - MS_BAD_REQUEST);
    reply.error.why = answer;
  }
  return &reply;
}
AFTER("query", "query") void after_query(abi_reply *told) {
  (void)told;
  free_all();
}
#endif
