/*
 * Fuzz a client's TLS session: junk, a real server's bytes changed somewhere, its certificates
 * replaced by anything, and records of every type sealed with the session's keys. It ends; no plain
 * byte comes out before it is open or after it ended; a broken one says why; nobody is trusted; and
 * how the wire was cut makes no difference.
 */
#include "tls_ends.h"

enum mode { JUNK, CHANGED, CERTIFICATE, JUNK_WHEN_OPEN, SEALED, MODE_COUNT };

struct script {
    enum mode mode;
    enum tls_verify verify;
    size_t at;      /* of the change */
    struct span in; /* the rest */
};

static const struct change none;

/* The server sends this as its certificate: it only looks at its key. */
static br_x509_certificate show(struct span der)
{
    struct credentials *c = ends_credentials();
    br_x509_certificate *first = credentials_group(c, 0).ec->chain, before = *first;

    credentials_unref(c);
    if (der.ptr)
        *first = (br_x509_certificate){(unsigned char *)(uintptr_t)der.ptr, der.len};
    return before;
}

static void play(const struct script *s, struct end *e, struct tls_session *peer, size_t piece)
{
    const struct change change = {s->at, span_first(s->in, 64)};
    br_x509_certificate before;

    switch (s->mode) {
    case JUNK:
    case MODE_COUNT:
        end_give(e, s->in, piece);
        break;
    case CHANGED:
        end_talk(e, peer, &change, piece);
        break;
    case CERTIFICATE:
        before = show(s->in.len > 0 ? s->in : SPAN_LIT("\x30"));
        end_talk(e, peer, &none, piece);
        show(span_make((const char *)before.data, before.data_len));
        break;
    case JUNK_WHEN_OPEN:
        end_open(e, peer, piece, s->verify == TLS_VERIFY_NONE);
        end_give(e, s->in, piece);
        break;
    case SEALED:
        end_open(e, peer, piece, s->verify == TLS_VERIFY_NONE);
        end_sealed(e, peer, s->in, piece);
        break;
    }
}

static void run(const struct script *s, struct end *e, size_t piece)
{
    static const unsigned char fingerprint[1][32] = {{1}};
    struct tls_policy best = {BR_TLS10, BR_TLS12, true, 0};
    struct tls_wanted wanted = {.verify = s->verify,
                                .sni = "mail.example.com",
                                .names = {"mail.example.com"},
                                .name_count = 1,
                                .fingerprints = fingerprint,
                                .fingerprint_count = 1};
    struct errbuf err;
    struct tls_server *server;
    struct tls_client *client;
    struct tls_session *peer;

    ends_random = 0;
    server = tls_server_new(&best, ends_credentials(), &err);
    client = tls_client_new(&best, NULL, &err);
    assert(server && client);
    e->wire_len = e->wire_sent = e->plain_len = 0;
    peer = tls_server_session(server);
    e->session = tls_client_session(client, &wanted);
    assert(peer && e->session);
    play(s, e, peer, piece);
    if (tls_session_facts(e->session))
        assert(s->verify == TLS_VERIFY_NONE &&
               tls_session_facts(e->session)->trust == TLS_TRUST_UNTRUSTED);
    end_close(e);
    tls_session_free(peer);
    tls_client_unref(client);
    tls_server_unref(server);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct end whole, cut;
    struct script s = {.in = span_make((const char *)data, size < INPUT_MAX ? size : INPUT_MAX)};
    size_t piece;

    s.mode = (enum mode)input_choice(&s.in, MODE_COUNT - 1);
    s.verify = (enum tls_verify)input_choice(&s.in, TLS_VERIFY_FINGERPRINT);
    piece = 1 + input_choice(&s.in, 1023);
    s.at = input_choice(&s.in, 1023);
    run(&s, &whole, WHOLE);
    run(&s, &cut, piece);
    ends_compare(&whole, &cut);
    return 0;
}
