/*
 * tls_session - one TLS session: bytes of the wire on one side, plain bytes on the other; no I/O
 *
 *   HANDSHAKE --Finished of both--> OPEN --close_notify of either--> ENDED
 *        `------- alert, error -------`----- alert, error ---------> BROKEN
 *
 * A pump around BearSSL's engine (inc/bearssl_ssl.h): the four channels are the four pairs below.
 * The caller loops until nothing moves: write what tls_session_wire() has, take what
 * tls_session_plain() has, then give more. tls_session_feed() takes nothing while plain or wire
 * bytes wait: that is the back-pressure. Spans point into the session and are good until the next
 * call.
 *
 * One thread at a time; which one does not matter. Everything that costs (key exchange, signature)
 * happens in tls_session_feed() and tls_session_wrote() during HANDSHAKE, so the stream runs them
 * in the TLS lane; afterwards it is symmetric work. No renegotiation, so nothing heavy comes back
 * later; who asks for it again and again (TLS_ANSWERS_MAX) breaks the session, for each no is a
 * record more that waits for a peer that may not read.
 *
 * After ENDED and BROKEN no plain byte comes out and none goes in; what tls_session_wire() still
 * has (an alert) should be written. An end of the connection without ENDED is a truncation; only
 * the caller knows that there was one.
 *
 * Memory: tls_session_size() bytes each, allocated at once, keys wiped on free. Made by
 * tls_server_session() (tls/tls_server.h) or tls_client_session() (tls/tls_client.h).
 */
#ifndef MXGATE_TLS_TLS_SESSION_H
#define MXGATE_TLS_TLS_SESSION_H

#include "base/span.h"
#include "tls/tls_facts.h"

#include <stddef.h>

#define TLS_ANSWERS_MAX 16

enum tls_state { TLS_HANDSHAKE, TLS_OPEN, TLS_ENDED, TLS_BROKEN };

struct tls_session;

enum tls_state tls_session_state(const struct tls_session *t);

/* Gives bytes from the wire; how many were taken: fewer than len while plain or wire bytes wait, or
 * at the end. */
size_t tls_session_feed(struct tls_session *t, const char *bytes, size_t len);
/*
 * Feeding fewer bytes than this only stores them, whatever they are. It is 1 within a record that
 * is not encrypted: BearSSL works on its messages as they come, and a peer that holds back the last
 * byte of a record can have a key exchange computed with the one before.
 */
size_t tls_session_wants(const struct tls_session *t);
/* Bytes for the wire; empty when there are none. tls_session_wrote: the first n have gone out. */
struct span tls_session_wire(struct tls_session *t);
void tls_session_wrote(struct tls_session *t, size_t n);
/* Plain bytes from the peer; tls_session_took: the first n are used up. */
struct span tls_session_plain(struct tls_session *t);
void tls_session_took(struct tls_session *t, size_t n);
/* Plain bytes for the peer; how many were taken: fewer than len while wire bytes wait. */
size_t tls_session_send(struct tls_session *t, struct span plain);
/* Makes a record of what tls_session_send() collected; without it the bytes may stay here. */
void tls_session_flush(struct tls_session *t);
/* Says close_notify (wire), ENDED when it is out and the engine agrees; plain bytes are dropped. */
void tls_session_close(struct tls_session *t);

/* From OPEN on; NULL before. */
const struct tls_facts *tls_session_facts(const struct tls_session *t);
/* Why it is BROKEN, in words: "alert from the peer: unknown ca", "no cipher in common", "not a TLS
 * record: plain text?"; "" otherwise. */
const char *tls_session_error(const struct tls_session *t);

/* Bytes of memory it holds. */
size_t tls_session_size(const struct tls_session *t);
void tls_session_free(struct tls_session *t); /* NULL is fine */

#endif
