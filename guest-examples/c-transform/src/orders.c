/* Orders before they are stored: what is no order is refused, test orders are dropped, the rest gets its total. */
#include "millstream.h"

#include <stdlib.h>
#include <string.h>

static char *currency;

const char *ms_open(void) {
  ms_bytes param = ms_param("currency");
  currency = param.data ? strndup((const char *)param.data, param.len) : strdup("EUR");
  return currency ? NULL : "no memory";
}

/* JSON as it is read, member by member of the outermost object; what is wrong ends it. */
typedef struct {
  const uint8_t *at, *end;
  bool wrong;
} reader;

static void space(reader *in) {
  while (in->at < in->end && strchr(" \t\r\n", *in->at) && *in->at) in->at++;
}

static bool next_is(reader *in, char c) {
  space(in);
  if (in->at == in->end || *in->at != c) return false;
  in->at++;
  return true;
}

/* The inside of a string that begins here, escapes as they are. */
static ms_bytes string(reader *in) {
  const uint8_t *from = in->at;
  while (in->at < in->end && *in->at != '"') in->at += *in->at == '\\' && in->at + 1 < in->end ? 2 : 1;
  ms_bytes inside = {from, (size_t)(in->at - from)};
  in->wrong |= !next_is(in, '"');
  return inside;
}

/* A value of any kind, from its first byte to its last. */
static ms_bytes value(reader *in) {
  space(in);
  const uint8_t *from = in->at;
  int depth = 0;
  while (in->at < in->end && !in->wrong) {
    uint8_t c = *in->at;
    if (depth == 0 && in->at > from && strchr(",}] \t\r\n", c)) break;
    in->at++;
    if (c == '"') string(in);
    if (c == '{' || c == '[') depth++;
    if ((c == '}' || c == ']') && --depth < 0) in->wrong = true;
    if (depth == 0 && strchr("\"}]", c)) break;
  }
  in->wrong |= in->at == from || depth != 0;
  return (ms_bytes){from, (size_t)(in->at - from)};
}

/* Whole numbers of at most 15 digits, which JSON carries anywhere. */
static bool whole(ms_bytes text, long long *number) {
  size_t sign = text.len && text.data[0] == '-';
  if (text.len == sign || text.len - sign > 15) return false;
  *number = 0;
  for (size_t i = sign; i < text.len; i++) {
    if (text.data[i] < '0' || text.data[i] > '9') return false;
    *number = *number * 10 + (text.data[i] - '0');
  }
  if (sign) *number = -*number;
  return true;
}

ms_verdict ms_transform(const ms_record *record) {
  if (!record->value.data) return MS_KEEP; /* a tombstone */
  reader in = {record->value.data, record->value.data + record->value.len, false};
  long long price, quantity;
  bool has_price = false, has_quantity = false, is_test = false;

  in.wrong = !next_is(&in, '{');
  bool is_over = next_is(&in, '}');
  while (!in.wrong && !is_over) {
    if (!next_is(&in, '"')) break;
    ms_bytes name = string(&in);
    if (!next_is(&in, ':')) break;
    ms_bytes given = value(&in);
    if (ms_equal(name, ms_text("price"))) has_price = whole(given, &price);
    if (ms_equal(name, ms_text("quantity"))) has_quantity = whole(given, &quantity);
    if (ms_equal(name, ms_text("test"))) is_test = ms_equal(given, ms_text("true"));
    is_over = next_is(&in, '}');
    if (!is_over && !next_is(&in, ',')) break;
  }
  const uint8_t *last = in.at;
  space(&in);
  if (in.wrong || !is_over || in.at != in.end || !has_price || !has_quantity) {
    return ms_reject("price (in cents) and quantity have to be whole numbers");
  }
  if (is_test) return MS_DROP;

  ms_output output = MS_OUTPUT;
  int len = (int)(last - record->value.data) - 1;
  output.value = ms_format("%.*s,\"total\":%lld,\"currency\":\"%s\"}", len, (const char *)record->value.data,
                           price * quantity, currency);
  ms_emit(&output);
  return MS_EMIT;
}
