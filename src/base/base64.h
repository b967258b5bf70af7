/*
 * base64 - bytes as text and back (RFC 4648 4), in buffers of the caller's
 *
 * Fails:  false when it does not fit; decoding also when it is none: strict, with all padding, and
 *         no bit set that no byte needs.
 */
#ifndef MXGATE_BASE_BASE64_H
#define MXGATE_BASE_BASE64_H

#include "base/text.h"

#define BASE64_LEN(bytes) (((bytes) + 2) / 3 * 4)

/* Appends; an overflow of `t` says that it did not fit. */
void base64_encode(struct span bytes, struct text *t);
/* What `text` stands for, into out[cap]. */
bool base64_decode(struct span text, char *out, size_t cap, size_t *len_out);

#endif
