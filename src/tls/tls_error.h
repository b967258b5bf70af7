/*
 * tls_error - BearSSL's errors and TLS's alerts (RFC 5246, 7.2) as words
 *
 * Static texts, for logs: lower case, no line end. Any number has some words.
 */
#ifndef MXGATE_TLS_TLS_ERROR_H
#define MXGATE_TLS_TLS_ERROR_H

#include "base/text.h"

/* Of br_ssl_engine_last_error(): "no cipher in common", "alert from the peer: unknown ca". */
void tls_error_words(struct text *out, int error);

#endif
