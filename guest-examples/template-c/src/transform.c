/* Refuses empty records, drops heartbeats, and puts the rest into upper case, as far as it is ASCII. */
#include "millstream.h"

#include <ctype.h>

ms_verdict ms_transform(const ms_record *record) {
  ms_bytes value = record->value;
  if (!value.data) return MS_KEEP; /* a tombstone */
  if (!value.len) return ms_reject("the value is empty");
  if (ms_equal(value, ms_text("heartbeat"))) return MS_DROP;

  uint8_t *upper = ms_alloc(value.len);
  for (size_t i = 0; i < value.len; i++) upper[i] = (uint8_t)toupper(value.data[i]);
  ms_output output = MS_OUTPUT;
  output.value = (ms_bytes){upper, value.len};
  ms_emit(&output);
  return MS_EMIT;
}
