/* base64 - bytes as text (RFC 4648 4) */
#ifndef MXGATE_BASE_BASE64_H
#define MXGATE_BASE_BASE64_H

#include "base/text.h"

#define BASE64_LEN(bytes) (((bytes) + 2) / 3 * 4)

/* Appends; an overflow of `t` says that it did not fit. */
void base64_encode(struct span bytes, struct text *t);

#endif
