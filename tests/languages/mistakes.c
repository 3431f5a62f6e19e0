/* What strangers do wrong in C, by the value of the record. */
#include "millstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int recurses(volatile int depth) { return recurses(depth + 1) + 1; }

static ms_verdict one(ms_bytes value) {
  ms_output output = MS_OUTPUT;
  output.value = value;
  ms_emit(&output);
  return MS_EMIT;
}

ms_verdict ms_transform(const ms_record *record) {
  ms_bytes value = record->value;
  if (ms_equal(value, ms_text("fails"))) return ms_fail("no such customer");
  if (ms_equal(value, ms_text("divides"))) {
    volatile int none = 0;
    return one(ms_format("%d", 100 / none));
  }
  if (ms_equal(value, ms_text("writes anywhere"))) *(volatile uint32_t *)0xfffffff0 = 1;
  if (ms_equal(value, ms_text("aborts"))) abort();
  if (ms_equal(value, ms_text("emits to 5"))) {
    ms_output output = MS_OUTPUT;
    output.topic = 5;
    ms_emit(&output);
    return MS_EMIT;
  }
  if (ms_equal(value, ms_text("logs"))) {
    ms_log(MS_INFO, "seen %d", 12);
    printf("odd\n");
    fflush(stdout);
  }
  if (ms_equal(value, ms_text("loops"))) {
    for (volatile int i = 0;; i++) {
    }
  }
  if (ms_equal(value, ms_text("recurses"))) return one(ms_format("%d", recurses(0)));
  if (ms_equal(value, ms_text("takes memory"))) {
    for (;;) memset(ms_alloc(1 << 20), 1, 1 << 20);
  }
  if (ms_equal(value, ms_text("opens"))) return fopen("/etc/passwd", "r") ? MS_KEEP : ms_fail("there is no such file");
  if (ms_equal(value, ms_text("tells the time"))) return one(ms_format("%lld", 1970 + (long long)time(NULL) / 31556952));
  if (ms_equal(value, ms_text("rejects"))) return ms_reject("because");
  if (ms_equal(value, ms_text("drops"))) return MS_DROP;
  return MS_KEEP;
}
