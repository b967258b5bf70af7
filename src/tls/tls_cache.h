/*
 * tls_cache - sessions of TLS that clients may resume (RFC 5246, 7.3), for the pool's threads
 *
 * BearSSL's cache (the least recently used entry makes room), with a lock around it, and forgotten
 * as a whole every TLS_CACHE_PERIOD_S: its master secrets open recorded sessions, so none is kept
 * for longer than Postfix keeps its own (smtpd_tls_session_cache_timeout).
 *
 * Owns:   TLS_CACHE_ENTRY_LEN bytes for each entry, wiped when forgotten and at the end.
 * Limits: the entries it was made for.
 */
#ifndef MXGATE_TLS_TLS_CACHE_H
#define MXGATE_TLS_TLS_CACHE_H

#include <bearssl.h>

#define TLS_CACHE_ENTRY_LEN 100 /* as bearssl_ssl.h says */
#define TLS_CACHE_PERIOD_S  3600

struct tls_cache;

struct tls_cache *tls_cache_new(unsigned entries); /* NULL: no memory */
void tls_cache_free(struct tls_cache *c);          /* NULL is fine; nobody uses it any more */
/* For br_ssl_server_set_cache(). Any thread. */
const br_ssl_session_cache_class **tls_cache_class(struct tls_cache *c);

#endif
