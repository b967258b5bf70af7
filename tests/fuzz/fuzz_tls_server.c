/*
 * Fuzz a server's TLS session: junk, junk behind a real ClientHello, a real client's bytes changed
 * somewhere, a session that is resumed, and records of every type sealed with the session's keys.
 * It ends; no plain byte comes out before it is open or after it ended; a broken one says why; and
 * how the wire was cut makes no difference.
 */
#include "tls_ends.h"

enum mode { JUNK, JUNK_AFTER_HELLO, CHANGED, RESUMED, JUNK_WHEN_OPEN, SEALED, MODE_COUNT };

struct script {
    enum mode mode;
    struct tls_policy policy;
    size_t at;      /* of the change */
    struct span in; /* the rest */
};

static struct tls_session *hello(struct tls_client *client)
{
    struct tls_wanted wanted = {.verify = TLS_VERIFY_NONE, .sni = "mail.example.com"};
    struct tls_session *peer = tls_client_session(client, &wanted);

    assert(peer);
    return peer;
}

/* A second session that offers to go on with the first one. */
static struct tls_session *resume(struct end *e, struct tls_server *server,
                                  struct tls_client *client, struct tls_session *before)
{
    struct tls_session *peer = hello(client);
    br_ssl_session_parameters parameters;

    br_ssl_engine_get_session_parameters(before->engine, &parameters);
    br_ssl_engine_set_session_parameters(peer->engine, &parameters);
    br_ssl_client_reset((br_ssl_client_context *)(void *)peer->engine, "mail.example.com", 1);
    tls_session_free(before);
    tls_session_free(e->session);
    e->session = tls_server_session(server);
    assert(e->session);
    e->wire_sent = e->wire_len;
    return peer;
}

static void play(const struct script *s, struct end *e, struct tls_server *server,
                 struct tls_client *client, size_t piece)
{
    const struct change change = {s->at, span_first(s->in, 64)};
    struct tls_session *peer = hello(client);

    switch (s->mode) {
    case JUNK:
    case MODE_COUNT:
        end_give(e, s->in, piece);
        break;
    case JUNK_AFTER_HELLO:
        end_give(e, tls_session_wire(peer), piece);
        end_give(e, s->in, piece);
        break;
    case CHANGED:
        end_talk(e, peer, &change, piece);
        break;
    case RESUMED:
        end_open(e, peer, piece, true);
        peer = resume(e, server, client, peer);
        end_talk(e, peer, &change, piece);
        assert(s->in.len > 0 || tls_session_facts(e->session)->resumed);
        break;
    case JUNK_WHEN_OPEN:
        end_open(e, peer, piece, true);
        end_give(e, s->in, piece);
        break;
    case SEALED:
        end_open(e, peer, piece, true);
        end_sealed(e, peer, s->in, piece);
        break;
    }
    tls_session_free(peer);
}

static void run(const struct script *s, struct end *e, size_t piece)
{
    struct tls_policy best = {BR_TLS10, BR_TLS12, true, 0};
    struct errbuf err;
    struct tls_server *server;
    struct tls_client *client;

    ends_random = 0;
    server = tls_server_new(&s->policy, ends_credentials(), &err);
    client = tls_client_new(&best, NULL, &err);
    assert(server && client);
    e->wire_len = e->wire_sent = e->plain_len = 0;
    e->session = tls_server_session(server);
    assert(e->session);
    play(s, e, server, client, piece);
    end_close(e);
    tls_client_unref(client);
    tls_server_unref(server);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct end whole, cut;
    struct script s = {.in = span_make((const char *)data, size < INPUT_MAX ? size : INPUT_MAX)};
    size_t piece;

    s.mode = (enum mode)input_choice(&s.in, MODE_COUNT - 1);
    s.policy = input_choice(&s.in, 1) ? (struct tls_policy){BR_TLS10, BR_TLS12, true, 4}
                                      : (struct tls_policy){BR_TLS12, BR_TLS12, false, 4};
    piece = 1 + input_choice(&s.in, 1023);
    s.at = input_choice(&s.in, 1023);
    run(&s, &whole, WHOLE);
    run(&s, &cut, piece);
    ends_compare(&whole, &cut);
    return 0;
}
