/* test_tls_session - our server and our client talk in memory: every split, every cipher, every end
 */
#include "tls_fixture.h"

#include "tls/tls_error.h"
#include "tls/tls_profile.h"
#include "tls/tls_session.h"
#include "tls/tls_session_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHOLE        SIZE_MAX
#define SESSION_ROOM (40 * 1024) /* as docs/TLS.md says */

struct pair {
    struct tls_server *server_side;
    struct tls_client *client_side;
    struct tls_session *server, *client;
};

static struct pair p;

static void begin_with(const struct tls_policy *server, const struct tls_policy *client)
{
    p.server_side = tls_fixture_server(server);
    p.client_side = tls_fixture_client(client);
    p.server = tls_server_session(p.server_side);
    assert_non_null(p.server);
    p.client = tls_fixture_hello(p.client_side, "Mail.Example.COM");
}

static void begin(void)
{
    begin_with(&TLS_BEST, &TLS_BEST);
}

static void end(void)
{
    tls_session_free(p.server);
    tls_session_free(p.client);
    tls_server_unref(p.server_side);
    tls_client_unref(p.client_side);
}

/* Another session of the same two. */
static void again(void)
{
    tls_session_free(p.server);
    tls_session_free(p.client);
    p.server = tls_server_session(p.server_side);
    assert_non_null(p.server);
    p.client = tls_fixture_hello(p.client_side, "mail.example.com");
}

static void expect_open(void)
{
    assert_string_equal(tls_session_error(p.server), "");
    assert_string_equal(tls_session_error(p.client), "");
    assert_int_equal(tls_session_state(p.server), TLS_OPEN);
    assert_int_equal(tls_session_state(p.client), TLS_OPEN);
}

static void expect_says(struct tls_session *from, struct tls_session *to, const char *text,
                        size_t piece)
{
    size_t len = strlen(text), got = 0;
    char back[4096];

    assert_true(len < sizeof back);
    assert_int_equal(tls_session_send(from, span_make(text, len)), len);
    tls_session_flush(from);
    while (tls_fixture_carry(from, to, piece) || tls_session_plain(to).len > 0) {
        struct span plain = tls_session_plain(to);

        assert_true(got + plain.len <= len);
        if (plain.len > 0)
            memcpy(back + got, plain.ptr, plain.len);
        got += plain.len;
        tls_session_took(to, plain.len);
    }
    assert_int_equal(got, len);
    assert_memory_equal(back, text, len);
}

static void expect_talks(void)
{
    expect_says(p.client, p.server, "EHLO client.example.com\r\n", WHOLE);
    expect_says(p.server, p.client, "250 mail.example.com\r\n", WHOLE);
}

/* ---- handshakes ---- */

static void facts_are_told(void **state)
{
    const struct tls_facts *facts;

    begin();
    assert_null(tls_session_facts(p.server));
    tls_fixture_talk(p.client, p.server, WHOLE);
    expect_open();
    facts = tls_session_facts(p.server);
    assert_string_equal(facts->protocol, "TLSv1.2");
    assert_non_null(strstr(facts->cipher, "ECDHE-ECDSA-")); /* there is an EC certificate */
    assert_int_equal(facts->bits, strstr(facts->cipher, "128") ? 128 : 256);
    assert_false(facts->resumed);
    assert_int_equal(facts->trust, TLS_TRUST_ANONYMOUS);
    assert_string_equal(facts->server_name, "mail.example.com");
    assert_string_equal(tls_session_facts(p.client)->cipher, facts->cipher);
    assert_int_equal(tls_session_facts(p.client)->trust, TLS_TRUST_UNTRUSTED);
    expect_talks();
    end();
}

static void the_wire_byte_by_byte(void **state)
{
    begin();
    tls_fixture_talk(p.client, p.server, 1);
    expect_open();
    expect_says(p.client, p.server, "one\r\n", 1);
    expect_says(p.server, p.client, "two\r\n", 1);
    end();
}

/* Feeding in two at every place gives the same session. */
static void a_cut_at_every_byte_of_the_handshake(void **state)
{
    size_t cut = 0, total;

    do {
        size_t seen = 0, before = cut;
        bool moved = true;

        begin();
        while (moved) {
            struct span wire = tls_session_wire(p.client);
            size_t piece = seen < before && before - seen < wire.len ? before - seen : wire.len;
            size_t taken = tls_session_feed(p.server, wire.ptr, piece);

            tls_session_wrote(p.client, taken);
            seen += taken;
            moved = taken > 0;
            moved = tls_fixture_carry(p.server, p.client, WHOLE) || moved;
        }
        expect_open();
        expect_talks();
        end();
        total = seen;
    } while (++cut < total);
}

static void fewer_bytes_than_wanted_are_only_stored(void **state)
{
    char hello[1024];
    struct span wire;
    size_t len;

    begin();
    wire = tls_session_wire(p.client);
    len = wire.len;
    assert_true(len < sizeof hello);
    memcpy(hello, wire.ptr, len);
    assert_int_equal(tls_session_wants(p.server), 5);
    assert_int_equal(tls_session_feed(p.server, hello, 4), 4);
    assert_int_equal(tls_session_wants(p.server), 1);
    assert_int_equal(tls_session_feed(p.server, hello + 4, 1), 1);
    assert_int_equal(tls_session_wants(p.server), 1); /* it looks at each byte from now on */
    assert_int_equal(tls_session_feed(p.server, hello + 5, len - 6), len - 6);
    assert_int_equal(tls_session_wants(p.server), 1);
    assert_int_equal(tls_session_wire(p.server).len, 0);
    assert_int_equal(tls_session_feed(p.server, hello + len - 1, 1), 1);
    assert_true(tls_session_wire(p.server).len > 0);
    tls_session_wrote(p.client, len);
    tls_fixture_talk(p.client, p.server, WHOLE);
    expect_open();
    tls_session_send(p.client, SPAN_LIT("x"));
    tls_session_flush(p.client);
    wire = tls_session_wire(p.client);
    assert_int_equal(tls_session_feed(p.server, wire.ptr, 5), 5);
    assert_int_equal(tls_session_wants(p.server),
                     wire.len - 5); /* encrypted: a record as a whole */
    end();
}

/* ---- versions, ciphers, certificates ---- */

/* Has the client offer nothing but this suite. */
static void offer_only(uint16_t suite)
{
    br_ssl_client_context *client = (br_ssl_client_context *)(void *)p.client->engine;

    br_ssl_engine_set_suites(p.client->engine, &suite, 1);
    assert_int_equal(br_ssl_client_reset(client, "mail.example.com", 0), 1);
}

static void every_cipher_of(const struct tls_policy *policy, const uint16_t *suites, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        begin_with(policy, policy);
        offer_only(suites[i]);
        tls_fixture_talk(p.client, p.server, WHOLE);
        expect_open();
        assert_string_equal(tls_session_facts(p.server)->cipher,
                            tls_profile_suite(suites[i])->name);
        assert_int_equal(tls_session_facts(p.client)->bits, tls_profile_suite(suites[i])->bits);
        expect_talks();
        end();
    }
}

static const uint16_t aead[] = {
    BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
};
static const uint16_t cbc[] = {
    BR_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
    BR_TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,
    BR_TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384,
    BR_TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384,
};
static const uint16_t old[] = {
    BR_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
    BR_TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
    BR_TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
    BR_TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void every_cipher(void **state)
{
    struct tls_policy medium = TLS_BEST;

    medium.medium = true;
    every_cipher_of(&TLS_BEST, aead, COUNT(aead));
    every_cipher_of(&medium, aead, COUNT(aead));
    every_cipher_of(&medium, cbc, COUNT(cbc));
    every_cipher_of(&medium, old, COUNT(old));
}

static void old_versions_when_asked_for(void **state)
{
    static const char *const names[] = {"TLSv1", "TLSv1.1", "TLSv1.2"};
    struct tls_policy server = {BR_TLS10, BR_TLS12, false, 0};

    for (unsigned version = BR_TLS10; version <= BR_TLS12; version++) {
        struct tls_policy client = {version, version, false, 0};

        begin_with(&server, &client);
        tls_fixture_talk(p.client, p.server, WHOLE);
        expect_open();
        assert_string_equal(tls_session_facts(p.server)->protocol, names[version - BR_TLS10]);
        expect_talks();
        end();
        if (version < BR_TLS12)
            every_cipher_of(&client, old, COUNT(old));
    }
}

static void expect_refused(const char *server_says, const char *client_says)
{
    tls_fixture_talk(p.client, p.server, WHOLE);
    assert_int_equal(tls_session_state(p.server), TLS_BROKEN);
    assert_int_equal(tls_session_state(p.client), TLS_BROKEN);
    assert_string_equal(tls_session_error(p.server), server_says);
    assert_string_equal(tls_session_error(p.client), client_says);
    assert_null(tls_session_facts(p.server));
    end();
}

static void old_versions_are_refused(void **state)
{
    struct tls_policy client = {BR_TLS10, BR_TLS11, false, 0};

    begin_with(&TLS_BEST, &client);
    expect_refused("no protocol version in common", "alert from the peer: protocol version");
}

static void cbc_is_refused_unless_medium(void **state)
{
    struct tls_policy medium = TLS_BEST;

    medium.medium = true;
    for (size_t i = 0; i < COUNT(cbc); i++) {
        begin_with(&TLS_BEST, &medium);
        offer_only(cbc[i]);
        expect_refused("no cipher, curve or signature algorithm in common",
                       "alert from the peer: handshake failure");
    }
}

static void the_certificate_is_the_one_the_client_can_use(void **state)
{
    static const struct {
        struct tls_fixture_choice choice;
        uint16_t offer;
        bool works;
    } rows[] = {
        {{.rsa = true},                  BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,   true },
        {{.rsa = true},                  BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, false},
        {{.ec = true},                   BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, true },
        {{.ec = true},                   BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,   false},
        {{.ec_p384 = true},              BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, true },
        {{.rsa = true, .ec = true},      BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,   true },
        {{.rsa = true, .ec_p384 = true}, BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, true },
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        tls_fixture_choose(rows[i].choice);
        begin();
        offer_only(rows[i].offer);
        tls_fixture_talk(p.client, p.server, WHOLE);
        assert_int_equal(tls_session_state(p.server), rows[i].works ? TLS_OPEN : TLS_BROKEN);
        if (rows[i].works)
            expect_talks();
        end();
    }
    tls_fixture_choose((struct tls_fixture_choice){.rsa = true, .ec = true});
}

/* One whose curves leave out P-384, in which the certificate is. */
static void no_ec_certificate_with_a_curve_the_client_does_not_know(void **state)
{
    br_ec_impl two_curves = br_ec_all_m31;

    two_curves.supported_curves = 1u << BR_EC_secp256r1;
    tls_fixture_choose((struct tls_fixture_choice){.rsa = true, .ec_p384 = true});
    begin();
    br_ssl_engine_set_ec(p.client->engine, &two_curves);
    assert_int_equal(
        br_ssl_client_reset((br_ssl_client_context *)(void *)p.client->engine, NULL, 0), 1);
    tls_fixture_talk(p.client, p.server, WHOLE);
    expect_open();
    assert_non_null(strstr(tls_session_facts(p.server)->cipher, "ECDHE-RSA-"));
    assert_string_equal(tls_session_facts(p.server)->server_name, "");
    end();
    tls_fixture_choose((struct tls_fixture_choice){.rsa = true, .ec = true});
}

static void the_certificate_is_the_one_of_the_name(void **state)
{
    static const struct {
        const char *name, *key_exchange;
    } rows[] = {
        {"Mail.Example.COM",     "ECDHE-ECDSA-"},
        {"mail.example.net",     "ECDHE-RSA-"  },
        {"sub.mail.example.com", "ECDHE-RSA-"  },
        {NULL,                   "ECDHE-RSA-"  },
    };

    tls_fixture_choose((struct tls_fixture_choice){.rsa = true, .ec_name = "mail.example.com"});
    for (size_t i = 0; i < COUNT(rows); i++) {
        begin();
        tls_session_free(p.client);
        p.client = tls_fixture_hello(p.client_side, rows[i].name);
        tls_fixture_talk(p.client, p.server, WHOLE);
        expect_open();
        assert_non_null(strstr(tls_session_facts(p.server)->cipher, rows[i].key_exchange));
        end();
    }
    tls_fixture_choose((struct tls_fixture_choice){.rsa = true, .ec = true});
}

static void a_chain_longer_than_a_record_of_ours(void **state)
{
    tls_fixture_choose((struct tls_fixture_choice){.rsa = true, .long_chain = true});
    begin();
    tls_fixture_talk(p.client, p.server, WHOLE);
    expect_open();
    expect_talks();
    end();
    tls_fixture_choose((struct tls_fixture_choice){.rsa = true, .ec = true});
}

/* ---- resumption ---- */

static void resume(const br_ssl_session_parameters *parameters)
{
    again();
    br_ssl_engine_set_session_parameters(p.client->engine, parameters);
    assert_int_equal(
        br_ssl_client_reset((br_ssl_client_context *)(void *)p.client->engine, NULL, 1), 1);
    tls_fixture_talk(p.client, p.server, WHOLE);
    expect_open();
    expect_talks();
}

static void sessions_are_resumed(void **state)
{
    br_ssl_session_parameters first, other;

    begin();
    tls_fixture_talk(p.client, p.server, WHOLE);
    expect_open();
    br_ssl_engine_get_session_parameters(p.client->engine, &first);
    resume(&first);
    assert_true(tls_session_facts(p.server)->resumed);
    assert_non_null(strstr(tls_session_facts(p.server)->cipher, "ECDHE-ECDSA-"));
    other = first;
    other.session_id[0] ^= 1;
    resume(&other); /* one that it does not know */
    assert_false(tls_session_facts(p.server)->resumed);
    end();
}

static void without_a_cache_nothing_is_resumed(void **state)
{
    struct tls_policy policy = TLS_BEST;
    br_ssl_session_parameters first;

    policy.cache_entries = 0;
    begin_with(&policy, &policy);
    tls_fixture_talk(p.client, p.server, WHOLE);
    br_ssl_engine_get_session_parameters(p.client->engine, &first);
    resume(&first);
    assert_false(tls_session_facts(p.server)->resumed);
    end();
}

/* ---- data ---- */

#define BULK (1u << 20)

static void send_bulk(struct tls_session *from, struct tls_session *to, size_t piece)
{
    char *bytes = malloc(BULK);
    size_t sent = 0, got = 0;

    assert_non_null(bytes);
    for (size_t i = 0; i < BULK; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    while (got < BULK) {
        struct span plain;

        sent += tls_session_send(from, span_make(bytes + sent, BULK - sent));
        if (sent == BULK)
            tls_session_flush(from);
        tls_fixture_carry(from, to, piece);
        plain = tls_session_plain(to);
        assert_true(plain.len > 0); /* else nothing moves */
        plain = span_first(plain, 5000);
        assert_memory_equal(plain.ptr, bytes + got, plain.len);
        tls_session_took(to, plain.len);
        got += plain.len;
    }
    assert_int_equal(sent, BULK);
    free(bytes);
}

static void much_data_both_ways(void **state)
{
    begin();
    tls_fixture_talk(p.client, p.server, WHOLE);
    send_bulk(p.client, p.server, WHOLE);
    send_bulk(p.server, p.client, WHOLE);
    send_bulk(p.client, p.server, 777);
    end();
}

static void nothing_is_taken_while_plain_bytes_wait(void **state)
{
    struct span wire;

    begin();
    tls_fixture_talk(p.client, p.server, WHOLE);
    tls_session_send(p.client, SPAN_LIT("first"));
    tls_session_flush(p.client);
    tls_fixture_carry(p.client, p.server, WHOLE);
    tls_session_send(p.client, SPAN_LIT("second"));
    tls_session_flush(p.client);
    wire = tls_session_wire(p.client);
    assert_int_equal(tls_session_feed(p.server, wire.ptr, wire.len), 0);
    tls_session_took(p.server, 3);
    assert_int_equal(tls_session_feed(p.server, wire.ptr, wire.len), 0);
    assert_memory_equal(tls_session_plain(p.server).ptr, "st", 2);
    tls_session_took(p.server, 2);
    assert_int_equal(tls_session_feed(p.server, wire.ptr, wire.len), wire.len);
    assert_memory_equal(tls_session_plain(p.server).ptr, "second", 6);
    end();
}

static void unflushed_bytes_stay(void **state)
{
    begin();
    tls_fixture_talk(p.client, p.server, WHOLE);
    assert_int_equal(tls_session_send(p.server, SPAN_LIT("250 ok\r\n")), 8);
    assert_int_equal(tls_session_wire(p.server).len, 0);
    tls_session_flush(p.server);
    assert_true(tls_session_wire(p.server).len > 8);
    end();
}

/* ---- ends ---- */

static void close_notify_of_the_client(void **state)
{
    begin();
    tls_fixture_talk(p.client, p.server, WHOLE);
    tls_session_send(p.client, SPAN_LIT("QUIT\r\n"));
    tls_session_close(p.client);
    tls_fixture_carry(p.client, p.server, WHOLE);
    assert_int_equal(tls_session_state(p.server), TLS_OPEN);
    assert_memory_equal(tls_session_plain(p.server).ptr, "QUIT\r\n", 6);
    tls_session_took(p.server, 6);
    tls_fixture_talk(p.client, p.server, WHOLE);
    assert_int_equal(tls_session_state(p.server), TLS_ENDED);
    assert_int_equal(tls_session_state(p.client), TLS_ENDED);
    assert_string_equal(tls_session_error(p.server), "");
    assert_int_equal(tls_session_send(p.server, SPAN_LIT("too late")), 0);
    assert_int_equal(tls_session_plain(p.server).len, 0);
    assert_int_equal(tls_session_feed(p.server, "more", 4), 0);
    end();
}

/* BearSSL 0.6 would wait for ever for somebody to read them. */
static void what_was_not_read_before_our_close_is_dropped(void **state)
{
    begin();
    tls_fixture_talk(p.client, p.server, WHOLE);
    tls_session_send(p.client, SPAN_LIT("unread"));
    tls_session_flush(p.client);
    tls_fixture_carry(p.client, p.server, WHOLE);
    assert_int_equal(tls_session_plain(p.server).len, 6);
    tls_session_close(p.server);
    tls_session_close(p.server); /* idempotent */
    assert_int_equal(tls_session_plain(p.server).len, 0);
    tls_session_send(p.client, SPAN_LIT("crossing"));
    tls_session_flush(p.client);
    tls_fixture_talk(p.client, p.server, WHOLE);
    assert_int_equal(tls_session_state(p.client), TLS_ENDED);
    assert_int_equal(tls_session_state(p.server), TLS_ENDED);
    end();
}

static void a_changed_byte_breaks_it(void **state)
{
    char record[100];
    struct span wire;

    begin();
    tls_fixture_talk(p.client, p.server, WHOLE);
    tls_session_send(p.client, SPAN_LIT("RCPT TO:<a@example.com>\r\n"));
    tls_session_flush(p.client);
    wire = tls_session_wire(p.client);
    assert_true(wire.len < sizeof record);
    memcpy(record, wire.ptr, wire.len);
    record[20] ^= 1;
    tls_session_feed(p.server, record, wire.len);
    assert_int_equal(tls_session_state(p.server), TLS_BROKEN);
    assert_string_equal(tls_session_error(p.server), "record was changed on the way (bad MAC)");
    assert_int_equal(tls_session_plain(p.server).len, 0);
    assert_int_equal(tls_session_send(p.server, SPAN_LIT("x")), 0);
    end();
}

static void junk(const char *bytes, size_t len, const char *words)
{
    begin();
    tls_session_feed(p.server, bytes, len);
    assert_int_equal(tls_session_state(p.server), TLS_BROKEN);
    assert_string_equal(tls_session_error(p.server), words);
    end();
}

static void junk_is_told_in_words(void **state)
{
#define JUNK(bytes, words) junk(bytes, sizeof(bytes) - 1, words)
    JUNK("EHLO client.example.com\r\n", "not TLS (plain text?), or an unsupported version");
    JUNK("\x16\x03\x01\x70\x00", "record with a bad length");
    JUNK("\x15\x03\x03\x00\x02\x02\x30", "alert from the peer: unknown ca");
    JUNK("\x15\x03\x03\x00\x02\x02\xc8", "alert from the peer: number 200");
    JUNK("\x17\x03\x03\x00\x01x", "unexpected message");
    JUNK("\x16\x03\x01\x00\x04\x02\x00\x00\x00", "unexpected message");
    JUNK("\x16\x03\x01\x00\x08\x01\x00\x00\x04\x03\x03xx", "malformed handshake message");
#undef JUNK
}

static void renegotiation_is_refused(void **state)
{
    begin();
    tls_fixture_talk(p.client, p.server, WHOLE);
    br_ssl_engine_remove_flags(p.client->engine, BR_OPT_NO_RENEGOTIATION);
    br_ssl_engine_renegotiate(p.client->engine);
    tls_fixture_talk(p.client, p.server, WHOLE);
    assert_int_equal(tls_session_state(p.server), TLS_OPEN); /* it said no_renegotiation */
    end();
}

/* Each no waits for a client that may not read. */
static void renegotiation_again_and_again_breaks_it(void **state)
{
    unsigned asked = 0;

    begin();
    tls_fixture_talk(p.client, p.server, WHOLE);
    for (; tls_session_state(p.server) == TLS_OPEN; asked++) {
        struct span wire;

        assert_in_range(asked, 0, TLS_ANSWERS_MAX);
        /* A ClientHello of a few bytes, as if by a client of its own. */
        tls_session_send(p.client, SPAN_LIT("\x01\x00\x00\x02\x03\x03"));
        p.client->engine->record_type_out = 22;
        tls_session_flush(p.client);
        p.client->engine->record_type_out = 23;
        wire = tls_session_wire(p.client);
        assert_int_equal(tls_session_feed(p.server, wire.ptr, wire.len), wire.len);
        tls_session_wrote(p.client, wire.len);
        wire = tls_session_wire(p.server);
        assert_true(wire.len > 0);
        tls_session_wrote(p.server, wire.len);
    }
    assert_int_equal(asked, TLS_ANSWERS_MAX + 1);
    assert_int_equal(tls_session_state(p.server), TLS_BROKEN);
    assert_string_equal(tls_session_error(p.server),
                        "the peer asks for renegotiation again and again");
    end();
}

static void a_session_takes_less_than_it_may(void **state)
{
    begin();
    printf("memory: %zu bytes for a server's session, %zu for a client's\n",
           tls_session_size(p.server), tls_session_size(p.client));
    assert_in_range(tls_session_size(p.server), 20000, SESSION_ROOM);
    assert_in_range(tls_session_size(p.client), 20000, SESSION_ROOM);
    end();
}

static void every_error_has_words(void **state)
{
    for (int error = 0; error < 800; error++) {
        char words[TLS_ERROR_CAP];
        struct text text;

        text_init(&text, words, sizeof words);
        tls_error_words(&text, error);
        assert_true(text.len > 0 && !text.overflow);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_are_told),
        cmocka_unit_test(the_wire_byte_by_byte),
        cmocka_unit_test(a_cut_at_every_byte_of_the_handshake),
        cmocka_unit_test(fewer_bytes_than_wanted_are_only_stored),
        cmocka_unit_test(every_cipher),
        cmocka_unit_test(old_versions_when_asked_for),
        cmocka_unit_test(old_versions_are_refused),
        cmocka_unit_test(cbc_is_refused_unless_medium),
        cmocka_unit_test(the_certificate_is_the_one_the_client_can_use),
        cmocka_unit_test(no_ec_certificate_with_a_curve_the_client_does_not_know),
        cmocka_unit_test(the_certificate_is_the_one_of_the_name),
        cmocka_unit_test(a_chain_longer_than_a_record_of_ours),
        cmocka_unit_test(sessions_are_resumed),
        cmocka_unit_test(without_a_cache_nothing_is_resumed),
        cmocka_unit_test(much_data_both_ways),
        cmocka_unit_test(nothing_is_taken_while_plain_bytes_wait),
        cmocka_unit_test(unflushed_bytes_stay),
        cmocka_unit_test(close_notify_of_the_client),
        cmocka_unit_test(what_was_not_read_before_our_close_is_dropped),
        cmocka_unit_test(a_changed_byte_breaks_it),
        cmocka_unit_test(junk_is_told_in_words),
        cmocka_unit_test(renegotiation_is_refused),
        cmocka_unit_test(renegotiation_again_and_again_breaks_it),
        cmocka_unit_test(a_session_takes_less_than_it_may),
        cmocka_unit_test(every_error_has_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
