/*
 * tls_server - what our server shows to TLS clients: versions, ciphers, certificates, session cache
 *
 * Immutable and reference counted (on the loop's thread only): a reload makes a new one, sessions
 * under way keep theirs. The session cache is inside, under a lock of its own, as handshakes run in
 * pool threads.
 */
#ifndef MXGATE_TLS_TLS_SERVER_H
#define MXGATE_TLS_TLS_SERVER_H

#include "base/errbuf.h"
#include "tls/tls_session.h"

struct credentials; /* tls/credentials.h: key and chain pairs, the SNI table */

struct tls_policy {
    unsigned min_version; /* 0x0301 TLSv1, 0x0302, 0x0303 TLSv1.2 (RFC 5246) */
    unsigned max_version;
    bool medium; /* smtpd_tls_ciphers=medium: ECDHE with CBC too, for old peers; implied by
                    min_version below 0x0303, which has nothing else */
    unsigned cache_entries; /* of 100 bytes; 0: no resumption */
};

struct tls_server;

/* Takes over one reference of `credentials`, also when it fails. NULL: no memory, or no entropy;
 * why in err. */
struct tls_server *tls_server_new(const struct tls_policy *policy, struct credentials *credentials,
                                  struct errbuf *err);
struct tls_server *tls_server_ref(struct tls_server *s);
void tls_server_unref(struct tls_server *s); /* NULL is fine */
/* A session that awaits a ClientHello; holds a reference. NULL: no memory (or no entropy). */
struct tls_session *tls_server_session(struct tls_server *s);

#endif
