/*
 * hmac - HMAC-SHA256 (RFC 2104) by BearSSL
 *
 * Cannot fail, allocates nothing, takes time in proportion to the text.
 */
#ifndef MXGATE_TLS_HMAC_H
#define MXGATE_TLS_HMAC_H

#include "base/span.h"

#define HMAC_SHA256_LEN 32

void hmac_sha256(struct span key, struct span text, unsigned char out[HMAC_SHA256_LEN]);

#endif
