/* tls_session - see tls_session.h */
#include "tls/tls_session_internal.h"

#include "base/text.h"
#include "tls/tls_error.h"
#include "tls/tls_profile.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_LEN 5 /* of a record (RFC 5246, 6.2.1) */

/* ---- states ---- */

static void copy_server_name(struct tls_session *t)
{
    struct span name = span_of(br_ssl_engine_get_server_name(t->engine));

    if (!span_copy(name, t->facts.server_name, sizeof t->facts.server_name))
        return;
    for (char *p = t->facts.server_name; *p; p++) {
        if (*p <= ' ' || ascii_is_control(*p) || ascii_is_8bit(*p)) {
            t->facts.server_name[0] = '\0';
            return;
        }
        *p = ascii_lower(*p);
    }
}

static void enter_open(struct tls_session *t)
{
    br_ssl_session_parameters parameters;
    const struct tls_suite *suite;

    br_ssl_engine_get_session_parameters(t->engine, &parameters);
    suite = tls_profile_suite(parameters.cipher_suite);
    t->facts.protocol = tls_profile_protocol(parameters.version);
    t->facts.cipher = suite ? suite->name : "unknown";
    t->facts.bits = suite ? suite->bits : 0;
    explicit_bzero(&parameters, sizeof parameters); /* the master secret */
    copy_server_name(t);
    t->role->opened(t);
    t->state = TLS_OPEN;
}

/* error: BearSSL's; why: better words, or "". */
static void enter_broken(struct tls_session *t, int error, const char *why)
{
    struct text text;

    text_init(&text, t->error, sizeof t->error);
    if (why[0])
        text_cstr(&text, why);
    else
        tls_error_words(&text, error);
    t->state = TLS_BROKEN;
}

/* After anything that may have moved the engine; its flags. */
static unsigned settle(struct tls_session *t)
{
    unsigned flags = br_ssl_engine_current_state(t->engine);
    int error;

    if (t->state == TLS_ENDED || t->state == TLS_BROKEN)
        return BR_SSL_CLOSED;
    if (flags & BR_SSL_CLOSED) {
        error = br_ssl_engine_last_error(t->engine);
        if (error != BR_ERR_OK)
            enter_broken(t, error, t->role->why(t));
        else
            t->state = TLS_ENDED;
    } else if (t->state == TLS_HANDSHAKE && flags & (BR_SSL_SENDAPP | BR_SSL_RECVAPP)) {
        enter_open(t);
    }
    return flags;
}

/* What is fed to an open session is answered only when it asks for renegotiation, or closes. */
static void count_answer(struct tls_session *t)
{
    if (t->state == TLS_OPEN && tls_session_wire(t).len > 0 && ++t->answers > TLS_ANSWERS_MAX)
        enter_broken(t, BR_ERR_OK, "the peer asks for renegotiation again and again");
}

/*
 * After our close nobody wants what the peer still says, but its close_notify stands behind it; and
 * BearSSL 0.6 stays for ever where its application data was left unread.
 */
static void drop_plain(struct tls_session *t)
{
    size_t len;

    while (t->closing && br_ssl_engine_current_state(t->engine) & BR_SSL_RECVAPP) {
        br_ssl_engine_recvapp_buf(t->engine, &len);
        br_ssl_engine_recvapp_ack(t->engine, len);
    }
}

enum tls_state tls_session_state(const struct tls_session *t)
{
    return t->state;
}

const struct tls_facts *tls_session_facts(const struct tls_session *t)
{
    return t->facts.protocol ? &t->facts : NULL;
}

const char *tls_session_error(const struct tls_session *t)
{
    return t->error;
}

/* ---- the wire ---- */

size_t tls_session_wants(const struct tls_session *t)
{
    const br_ssl_engine_context *engine = t->engine;
    size_t len;

    br_ssl_engine_recvrec_buf(engine, &len);
    if (len > 0 && !engine->incrypt && engine->ixa >= HEADER_LEN)
        return 1;
    return len;
}

size_t tls_session_feed(struct tls_session *t, const char *bytes, size_t len)
{
    size_t taken = 0;

    drop_plain(t);
    while (taken < len) {
        unsigned flags = settle(t);
        unsigned char *room;
        size_t n;

        if (flags & (BR_SSL_SENDREC | BR_SSL_RECVAPP) || !(flags & BR_SSL_RECVREC))
            break;
        room = br_ssl_engine_recvrec_buf(t->engine, &n);
        if (n > len - taken)
            n = len - taken;
        memcpy(room, bytes + taken, n);
        br_ssl_engine_recvrec_ack(t->engine, n);
        taken += n;
        count_answer(t);
        drop_plain(t);
    }
    settle(t);
    return taken;
}

struct span tls_session_wire(struct tls_session *t)
{
    size_t len;
    const unsigned char *bytes = br_ssl_engine_sendrec_buf(t->engine, &len);

    return span_make((const char *)bytes, bytes ? len : 0);
}

void tls_session_wrote(struct tls_session *t, size_t n)
{
    if (n == 0)
        return;
    assert(n <= tls_session_wire(t).len);
    br_ssl_engine_sendrec_ack(t->engine, n);
    settle(t);
}

/* ---- plain bytes ---- */

struct span tls_session_plain(struct tls_session *t)
{
    const unsigned char *bytes = NULL;
    size_t len = 0;

    if (t->state == TLS_OPEN && !t->closing)
        bytes = br_ssl_engine_recvapp_buf(t->engine, &len);
    return span_make((const char *)bytes, bytes ? len : 0);
}

void tls_session_took(struct tls_session *t, size_t n)
{
    if (n == 0)
        return;
    assert(n <= tls_session_plain(t).len);
    br_ssl_engine_recvapp_ack(t->engine, n);
    settle(t);
}

size_t tls_session_send(struct tls_session *t, struct span plain)
{
    size_t taken = 0;

    while (t->state == TLS_OPEN && !t->closing && taken < plain.len) {
        size_t n;
        unsigned char *room = br_ssl_engine_sendapp_buf(t->engine, &n);

        if (!room)
            break;
        if (n > plain.len - taken)
            n = plain.len - taken;
        memcpy(room, plain.ptr + taken, n);
        br_ssl_engine_sendapp_ack(t->engine, n);
        taken += n;
    }
    settle(t);
    return taken;
}

void tls_session_flush(struct tls_session *t)
{
    br_ssl_engine_flush(t->engine, 0);
}

void tls_session_close(struct tls_session *t)
{
    if (t->closing || t->state == TLS_ENDED || t->state == TLS_BROKEN)
        return;
    t->closing = true;
    drop_plain(t);
    br_ssl_engine_close(t->engine);
    settle(t);
}

size_t tls_session_size(const struct tls_session *t)
{
    return t->size;
}

void tls_session_free(struct tls_session *t)
{
    if (!t)
        return;
    t->role->release(t);
    explicit_bzero(t, t->size);
    free(t);
}
