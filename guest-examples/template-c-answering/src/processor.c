/* Counts the records of each key; every record leads to the new count. Whoever asks is told the count of a key. */
#include "millstream.h"

static ms_store counts; /* key -> count as decimal text, so that a query shows it as a JSON number */

const char *ms_open(void) {
  counts = ms_store_open("counts");
  return NULL;
}

ms_verdict ms_process(const ms_record *record) {
  if (!record->key.data) return MS_DROP; /* leads to nothing */
  ms_bytes stored = ms_get(counts, record->key);
  unsigned long long count = 0;
  for (size_t i = 0; i < stored.len; i++) count = count * 10 + (stored.data[i] - '0');

  ms_output output = MS_OUTPUT;
  output.value = ms_format("%llu", count + 1);
  ms_put(counts, record->key, output.value);
  ms_emit(&output);
  return MS_EMIT;
}

/* Asked in instances of its own, also while records are processed: each question sees the state of one moment. */
ms_reply ms_query(ms_bytes request, ms_bytes *answer) {
  *answer = ms_get(counts, request);
  if (answer->data) return MS_ANSWER;
  *answer = ms_text("this key was never seen");
  return MS_NOT_FOUND;
}
