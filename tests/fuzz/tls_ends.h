/*
 * tls_ends - what the fuzzers of TLS sessions share: the end that is looked at, a real peer of
 * ours, and ways to change what the peer says
 *
 * getrandom() and br_prng_seeder_system() are ours here: the same bytes in every run, so that an
 * input means the same each time and two runs that only differ in how the wire was cut can be
 * compared.
 */
#ifndef MXGATE_TESTS_FUZZ_TLS_ENDS_H
#define MXGATE_TESTS_FUZZ_TLS_ENDS_H

#include "input.h"
#include "tls/credentials.h"
#include "tls/tls_client.h"
#include "tls/tls_server.h"
#include "tls/tls_session_internal.h"

#include <assert.h>
#include <string.h>
#include <sys/random.h>

#define ENDS_OUT_MAX (1u << 20) /* of one run; it takes 40 bytes of input to get a few out */
#define WHOLE        SIZE_MAX

/* For nobody but these fuzzers. */
static const char ends_pem[] = "-----BEGIN PRIVATE KEY-----\n"
                               "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgqQk9zGfshnf/nHYq\n"
                               "F6ssgm2pJ4MYMJW0XBERDYVGzrehRANCAASh0KqwtWWAoLMbdPYzxUJnAdM8UlQC\n"
                               "TgJ8XQpbVLtZWuuf0ijJJ2gpBv6uRRg4OAb4VsHOQGalV8CbIWynZ83c\n"
                               "-----END PRIVATE KEY-----\n"
                               "-----BEGIN CERTIFICATE-----\n"
                               "MIIBpzCCAU6gAwIBAgIUZfNPwG9kz+JHR8McJGt5gndCEjIwCgYIKoZIzj0EAwIw\n"
                               "GzEZMBcGA1UEAwwQbWFpbC5leGFtcGxlLmNvbTAeFw0yNjExMjYwMjM3NTNaFw00\n"
                               "NjExMjEwMjM3NTNaMBsxGTAXBgNVBAMMEG1haWwuZXhhbXBsZS5jb20wWTATBgcq\n"
                               "hkjOPQIBBggqhkjOPQMBBwNCAASh0KqwtWWAoLMbdPYzxUJnAdM8UlQCTgJ8XQpb\n"
                               "VLtZWuuf0ijJJ2gpBv6uRRg4OAb4VsHOQGalV8CbIWynZ83co3AwbjAdBgNVHQ4E\n"
                               "FgQUjiA8rDxfHVOzjk51urQQyQRmB9MwHwYDVR0jBBgwFoAUjiA8rDxfHVOzjk51\n"
                               "urQQyQRmB9MwDwYDVR0TAQH/BAUwAwEB/zAbBgNVHREEFDASghBtYWlsLmV4YW1w\n"
                               "bGUuY29tMAoGCCqGSM49BAMCA0cAMEQCICbAXCLsQVdC9rG9jT3BJcNgVPjJ1Sgl\n"
                               "+wkOj69Sni14AiAtP3GCVB6QbgKmmOS0YwoYE/mxUC2ffvYmtNJs1MOXGw==\n"
                               "-----END CERTIFICATE-----\n";

/* RFC 5246, 6.2.1 */
enum { RECORD_CHANGE_CIPHER_SPEC = 20, RECORD_ALERT, RECORD_HANDSHAKE, RECORD_TEXT };

static unsigned ends_random;

ssize_t getrandom(void *buf, size_t len, unsigned flags)
{
    unsigned char *bytes = buf;

    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)(ends_random++ * 37 + 11);
    return (ssize_t)len;
}

/* BearSSL would stir in the processor's or the system's random bytes too. */
br_prng_seeder br_prng_seeder_system(const char **name)
{
    return NULL;
}

/* The end that is fuzzed, and all that came out of it. */
struct end {
    struct tls_session *session; /* owned */
    char wire[ENDS_OUT_MAX], plain[ENDS_OUT_MAX];
    size_t wire_len, plain_len;
    size_t wire_sent;    /* to the peer */
    enum tls_state last; /* before end_close() */
};

static struct credentials *ends_credentials(void)
{
    static struct credentials *c; /* for the whole run */
    struct credentials_file file = {"ends.pem", span_of(ends_pem)};
    struct errbuf err;

    if (!c) {
        c = credentials_new();
        assert(c && credentials_add_group(c, &file, 1, NULL, NULL, &err) == 0);
    }
    return credentials_ref(c);
}

/* What must be so whatever was fed. */
static void end_check(struct end *e)
{
    switch (tls_session_state(e->session)) {
    case TLS_HANDSHAKE:
        assert(!tls_session_facts(e->session) && tls_session_plain(e->session).len == 0);
        break;
    case TLS_OPEN:
        assert(tls_session_facts(e->session)->cipher && !tls_session_error(e->session)[0]);
        break;
    case TLS_ENDED:
        assert(!tls_session_error(e->session)[0] && tls_session_plain(e->session).len == 0);
        break;
    case TLS_BROKEN:
        assert(tls_session_error(e->session)[0] && tls_session_plain(e->session).len == 0);
        break;
    }
}

static void end_drain(struct end *e)
{
    struct span wire, plain;

    while ((wire = tls_session_wire(e->session)).len > 0) {
        assert(e->wire_len + wire.len <= ENDS_OUT_MAX);
        memcpy(e->wire + e->wire_len, wire.ptr, wire.len);
        e->wire_len += wire.len;
        tls_session_wrote(e->session, wire.len);
    }
    while ((plain = tls_session_plain(e->session)).len > 0) {
        assert(e->plain_len + plain.len <= ENDS_OUT_MAX);
        memcpy(e->plain + e->plain_len, plain.ptr, plain.len);
        e->plain_len += plain.len;
        tls_session_took(e->session, plain.len);
    }
    end_check(e);
}

/* Feeds these bytes, `piece` at a time. */
static void end_give(struct end *e, struct span bytes, size_t piece)
{
    end_drain(e);
    while (bytes.len > 0) {
        size_t n = bytes.len < piece ? bytes.len : piece;
        size_t taken = tls_session_feed(e->session, bytes.ptr, n);

        assert(taken <= n);
        bytes = span_from(bytes, taken);
        end_drain(e);
        if (taken == 0 && tls_session_feed(e->session, bytes.ptr, 1) == 0) {
            /* Nothing waits, so it is over. */
            assert(tls_session_state(e->session) == TLS_ENDED ||
                   tls_session_state(e->session) == TLS_BROKEN);
            return;
        }
        bytes = taken == 0 ? span_from(bytes, 1) : bytes;
    }
}

/* The peer's bytes from `at` on are changed by these. */
struct change {
    size_t at;
    struct span by;
};

static void change_apply(const struct change *c, size_t from, char *bytes, size_t len)
{
    for (size_t i = 0; i < c->by.len; i++) {
        size_t at = c->at + i;

        if (at >= from && at - from < len)
            bytes[at - from] ^= c->by.ptr[i];
    }
}

/* Both talk until nothing moves. */
static void end_talk(struct end *e, struct tls_session *peer, const struct change *c, size_t piece)
{
    static char bytes[32768];
    size_t at = 0;
    bool moved = true;

    while (moved) {
        struct span wire = tls_session_wire(peer), plain = tls_session_plain(peer);
        size_t len = wire.len, taken;

        assert(len <= sizeof bytes);
        if (len > 0)
            memcpy(bytes, wire.ptr, len);
        tls_session_wrote(peer, len);
        change_apply(c, at, bytes, len);
        end_give(e, span_make(bytes, len), piece);
        at += len;
        tls_session_took(peer, plain.len);
        taken = tls_session_feed(peer, e->wire + e->wire_sent, e->wire_len - e->wire_sent);
        e->wire_sent += taken;
        moved = len > 0 || taken > 0 || plain.len > 0;
    }
}

/* An undisturbed handshake, which must do well, or must not. */
static void end_open(struct end *e, struct tls_session *peer, size_t piece, bool well)
{
    const struct change none = {
        0, {NULL, 0}
    };

    end_talk(e, peer, &none, piece);
    assert((tls_session_state(e->session) == TLS_OPEN) == well);
}

/* Records of any type, sealed with the session's own keys: type, length, bytes; again and again. */
static void end_sealed(struct end *e, struct tls_session *peer, struct span in, size_t piece)
{
    static const unsigned char types[] = {RECORD_TEXT, RECORD_HANDSHAKE, RECORD_ALERT,
                                          RECORD_CHANGE_CIPHER_SPEC};
    const struct change none = {
        0, {NULL, 0}
    };

    while (in.len > 0 && tls_session_state(peer) == TLS_OPEN) {
        unsigned char type = types[input_choice(&in, sizeof types - 1)];
        struct span text = span_first(in, input_choice(&in, 512));

        in = span_from(in, text.len);
        text = span_first(text, in.len + text.len);
        if (tls_session_send(peer, text) == 0)
            break;
        peer->engine->record_type_out = type;
        tls_session_flush(peer);
        peer->engine->record_type_out = RECORD_TEXT;
        end_talk(e, peer, &none, piece);
    }
}

/* Our own end: close_notify, then nothing more comes out or goes in. */
static void end_close(struct end *e)
{
    size_t before = e->wire_len;

    e->last = tls_session_state(e->session);
    tls_session_close(e->session);
    end_drain(e);
    assert(e->last != TLS_OPEN || e->wire_len > before);
    assert(tls_session_send(e->session, SPAN_LIT("never")) == 0);
    end_drain(e);
    tls_session_free(e->session);
}

static bool end_over(const struct end *e)
{
    return e->last == TLS_ENDED || e->last == TLS_BROKEN;
}

/*
 * The same came out, however the wire was cut. Only when it is over one may have said more: bytes
 * that come together are worked on together, and an error in the second leaves no room for the
 * answer to the first.
 */
static void ends_compare(const struct end *a, const struct end *b)
{
    size_t wire_len = a->wire_len < b->wire_len ? a->wire_len : b->wire_len;

    assert(end_over(a) == end_over(b) && (end_over(a) || a->last == b->last));
    assert(a->wire_len == b->wire_len || end_over(a));
    assert(memcmp(a->wire, b->wire, wire_len) == 0);
    assert(a->plain_len == b->plain_len && memcmp(a->plain, b->plain, a->plain_len) == 0);
}

#endif
