/* Counts the records of each key by the minute, by their timestamps. A minute's counts are told when it is over: when no
 * record of it is expected any more. */
#include "millstream.h"

#include <string.h>

#define MINUTE 60000

static ms_store counts; /* start of the minute, then the key -> count */

const char *ms_open(void) {
  counts = ms_store_open("counts");
  return NULL;
}

static uint64_t count_of(ms_bytes name) {
  ms_bytes stored = ms_get(counts, name);
  uint64_t count = 0;
  if (stored.len == sizeof count) memcpy(&count, stored.data, sizeof count);
  return count;
}

ms_verdict ms_process(const ms_record *record) {
  if (!record->key.data) return MS_DROP; /* leads to nothing */
  int64_t start = record->timestamp / MINUTE * MINUTE, end = start + MINUTE, watermark;
  if (ms_now(MS_EVENT_TIME, &watermark) && end <= watermark) return MS_DROP; /* this minute has been told */

  size_t len = sizeof start + record->key.len;
  uint8_t *name = ms_alloc(len);
  memcpy(name, &start, sizeof start);
  memcpy(name + sizeof start, record->key.data, record->key.len);
  uint64_t count = count_of((ms_bytes){name, len});
  if (!count++) ms_set_timer(MS_EVENT_TIME, (ms_bytes){name, len}, end);
  ms_put(counts, (ms_bytes){name, len}, (ms_bytes){(uint8_t *)&count, sizeof count});
  return MS_DROP;
}

/* When a minute of a key is over. State, timers and outputs of a call are one commit. */
ms_verdict ms_on_timer(const ms_timer *timer) {
  uint64_t count = count_of(timer->name);
  ms_delete(counts, timer->name);
  int64_t start = timer->at - MINUTE;
  ms_output output = MS_OUTPUT;
  output.key = (ms_bytes){timer->name.data + sizeof start, timer->name.len - sizeof start};
  output.value = ms_format("{\"start\":%lld,\"count\":%llu}", (long long)start, (unsigned long long)count);
  output.timestamp = timer->at - 1;
  ms_emit(&output);
  return MS_EMIT;
}
