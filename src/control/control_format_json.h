/*
 * control_format_json - strings in JSON (RFC 8259 7); pure
 */
#ifndef MXGATE_CONTROL_CONTROL_FORMAT_JSON_H
#define MXGATE_CONTROL_CONTROL_FORMAT_JSON_H

#include "base/text.h"

#define JSON_STRING_GROWTH 6 /* a byte becomes "\u001F" at worst; two quotes come on top */

/* "..." with quotes. Bytes that are not UTF-8 become U+FFFD: the result is valid JSON whatever
 * peers said. */
void json_put_string(struct text *t, struct span s);
/* "name": */
void json_put_name(struct text *t, const char *name);

#endif
