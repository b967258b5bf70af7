/* Tests of control/control_format_status: what people read, what programs read, and that the worst
 * case fits. */
#include "control/control_format_status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1760000000 /* Thu Oct  9 08:53:20 2025 UTC */

static struct status usual(void)
{
    struct status s = {
        .started_s = NOW - 93784,
        .pid = 17,
        .myhostname = "mx.example.com",
        .listen = "0.0.0.0:25, [::]:25",
        .sessions = 3,
        .sessions_limit = 500,
        .messages_in = 120,
        .delivered = 130,
        .deferred = 4,
        .failed = 1,
        .rejected = 10,
        .spool_writable = true,
        .free_bytes = 8053063680,
        .floor_bytes = 39321600,
        .destinations = 1,
        .destination =
            {{.name = "lmtp:[192.0.2.53]:2525", .order = 1, .of = 1, .up = true, .known = true}},
    };

    return s;
}

static const char *text_of(const struct status *s)
{
    static char buf[CONTROL_STATUS_CAP];
    struct text t;

    text_init(&t, buf, sizeof buf);
    control_format_status_text(&t, s, NOW);
    assert_false(t.overflow);
    return buf;
}

static const char *json_of(const struct status *s)
{
    static char buf[CONTROL_STATUS_CAP];
    struct text t;

    text_init(&t, buf, sizeof buf);
    control_format_status_json(&t, s);
    assert_false(t.overflow);
    return buf;
}

static void test_text(void **state)
{
    struct status s = usual();

    assert_string_equal(
        text_of(&s),
        "mx.example.com: up since Wed Oct  8 06:50:16 (1d 2h), pid 17\n"
        "listening on 0.0.0.0:25, [::]:25; 3 of 500 sessions\n"
        "destination lmtp:[192.0.2.53]:2525: up; 0 waiting, 0 under delivery\n"
        "queue: 0 messages, 0 on hold, 0 for an operator to decide\n"
        "spool: writable, 7.5 GiB free, 37.5 MiB must stay free\n"
        "since start: 120 messages taken, 130 recipients delivered, 1 failed; 4 deferrals, "
        "10 refusals\n");
}

static void test_trouble_in_text(void **state)
{
    struct status s = usual();
    struct status_destination *d = &s.destination[0];

    d->up = false;
    d->since_s = NOW - 3700;
    d->queued = 12;
    d->active = 1;
    assert_true(span_copy(SPAN_LIT("Connection refused"), d->why, sizeof d->why));
    assert_true(span_copy(SPAN_LIT("it speaks LMTP"), d->mismatch, sizeof d->mismatch));
    s.queued = 1;
    s.oldest_s = NOW + 5; /* the clock was set back */
    s.operator_needed = 1;
    s.corrupt = 2;
    s.log_dropped = 7;
    s.spool_writable = false;
    s.free_bytes = 1000;
    s.draining = true;
    assert_true(
        span_copy(SPAN_LIT("fsync: Input/output error"), s.spool_trouble, sizeof s.spool_trouble));
    assert_string_equal(
        text_of(&s),
        "mx.example.com: stopping, up since Wed Oct  8 06:50:16 (1d 2h), pid 17\n"
        "listening on 0.0.0.0:25, [::]:25; 3 of 500 sessions\n"
        "destination lmtp:[192.0.2.53]:2525: DOWN since Thu Oct  9 07:51:40 (1h 1m): Connection "
        "refused; 12 waiting, 1 under delivery\n"
        "  WRONG SETTING: it speaks LMTP\n"
        "queue: 1 message, oldest since Thu Oct  9 08:53:25 (0s), 0 on hold, 1 for an operator to "
        "decide\n"
        "CORRUPT: 2 files found damaged and kept in corrupt/\n"
        "spool: NOT WRITABLE (fsync: Input/output error), 1000 bytes free, 37.5 MiB must stay "
        "free: TOO FULL, mail is refused for now\n"
        "since start: 120 messages taken, 130 recipients delivered, 1 failed; 4 deferrals, "
        "10 refusals\n"
        "LOG: 7 lines dropped because nobody took them\n");
}

static void test_draining(void **state)
{
    struct status s = usual();

    s.draining = true;
    s.draining_since_s = NOW - 65;
    assert_non_null(strstr(text_of(&s), "mx.example.com: up since "));
    assert_non_null(strstr(text_of(&s), "\nDRAINING since Thu Oct  9 08:52:15 (1m 5s): no mail is "
                                        "taken (mxgate drain --cancel ends that)\n"));
    assert_non_null(strstr(json_of(&s), "\"draining\": true, \"draining_since\": 1759999935, "));
}

static void test_too_much_on_hold(void **state)
{
    struct status s = usual();

    s.queued = s.on_hold = s.operator_needed = 29;
    s.on_hold_limit = 30;
    assert_null(strstr(text_of(&s), "OPERATOR NEEDED"));
    s.on_hold = 30;
    assert_non_null(strstr(text_of(&s),
                           "queue: 29 messages, 30 on hold, 29 for an operator to decide\n"
                           "OPERATOR NEEDED: too much is on hold, mail is refused until some of it "
                           "is decided\n"));
}

static void test_on_hold(void **state)
{
    struct status s = usual();

    s.queued = s.on_hold = 6;
    s.operator_needed = 4;
    s.held_failed = 3;
    s.held_expired = 1;
    s.held_ordered = 2;
    s.held_oldest_s = NOW - 93784;
    span_copy(SPAN_LIT("06401F3A9C2E7001"), s.held_oldest_id, sizeof s.held_oldest_id);
    assert_non_null(strstr(
        text_of(&s),
        "queue: 6 messages, 6 on hold, 4 for an operator to decide\n"
        "on hold: 3 failed, 1 expired, 2 by an operator's order; the oldest is 06401F3A9C2E7001, "
        "since Wed Oct  8 06:50:16 (1d 2h)\n"
        "  mailq shows them (with !), postcat -q ID what is in one; mxgate resend ID tries it "
        "again, "
        "mxgate resend ID to ADDRESS sends it elsewhere, postsuper -d ID deletes it\n"));
    assert_non_null(strstr(json_of(&s), "\"held_failed\": 3, \"held_expired\": 1, "
                                        "\"held_ordered\": 2, \"held_oldest_id\": "
                                        "\"06401F3A9C2E7001\", \"held_oldest\": 1759906216, "));
    s.held_failed = s.held_expired = 0;
    assert_non_null(strstr(text_of(&s), "\non hold: 2 by an operator's order; the oldest"));
}

static void test_ways_out(void **state)
{
    struct status s = usual();

    assert_null(strstr(text_of(&s), "direct:"));
    assert_null(strstr(text_of(&s), "NO WAY OUT"));
    assert_non_null(strstr(json_of(&s), "\"no_way\": 0, \"no_room\": 0, \"direct_domains\": 0, "
                                        "\"direct_down\": 0, \"direct\": [], "));
    s.direct_domains = 7;
    s.direct_down = 1;
    s.direct[0] = (struct status_direct){
        .name = "example.org", .since_s = NOW - 65, .why = "Connection refused", .queued = 2};
    assert_non_null(strstr(text_of(&s),
                           "\ndirect: 7 domains, 1 not reached\n"
                           "  example.org since Thu Oct  9 08:52:15 (1m 5s): Connection refused; 2 "
                           "waiting\n"));
    assert_non_null(strstr(json_of(&s),
                           "\"direct_domains\": 7, \"direct_down\": 1, \"direct\": "
                           "[{\"name\": \"example.org\", \"since\": 1759999935, \"why\": "
                           "\"Connection refused\", \"queued\": 2}], "));
    s.direct_domains = s.direct_down = STATUS_DIRECT_MAX + 3;
    assert_non_null(strstr(text_of(&s), "\n  and 3 more\n"));
    s.no_way = 1;
    s.no_room = 2;
    assert_non_null(strstr(text_of(&s), "\nNO WAY OUT: for 1 message; set relayhost or "
                                        "outbound=direct, or add the domain to relay_domains\n"
                                        "TOO MANY DOMAINS at a time: 2 messages wait for room\n"));
}

static void test_several_targets(void **state)
{
    struct status s = usual();
    struct status_destination *d = s.destination;

    d[0].serves[0] = 'x';
    d[0].of = 2;
    d[1] = d[0];
    d[1].order = 2;
    d[1].covered = true;
    d[1].up = false;
    s.destinations = 2;
    s.more = 3;
    s.more_down = 1;
    assert_non_null(strstr(
        text_of(&s),
        "destination lmtp:[192.0.2.53]:2525, 1 of 2 (for x): up; 0 waiting, 0 under delivery\n"
        "destination lmtp:[192.0.2.53]:2525, 2 of 2 (for x): DOWN; mail goes to another of them; 0 "
        "waiting, 0 under delivery\n"
        "and 3 more destinations, 1 of them DOWN\n"));
    assert_non_null(strstr(json_of(&s), "\"order\": 2, \"of\": 2, \"covered\": true, "));
}

static void test_certificates(void **state)
{
    struct status s = usual();

    s.certificates = 4;
    s.certificate[0] = (struct status_certificate){
        .name = "mx.example.com", .rsa = true, .not_after_s = NOW + 90 * 86400};
    s.certificate[1] = (struct status_certificate){.name = "mx.example.com",
                                                   .self_signed = true,
                                                   .not_after_s = NOW + 86400 + 3600,
                                                   .state = STATUS_CERTIFICATE_SOON};
    s.certificate[2] = (struct status_certificate){
        .name = "mx.example.net", .not_after_s = NOW - 1, .state = STATUS_CERTIFICATE_EXPIRED};
    s.certificate[3] =
        (struct status_certificate){.name = "mx.example.org", .state = STATUS_CERTIFICATE_EARLY};
    assert_true(
        span_copy(SPAN_LIT("x.pem: no"), s.certificate_trouble, sizeof s.certificate_trouble));
    assert_non_null(strstr(
        text_of(&s),
        "certificate mx.example.com (RSA): good until Wed Jan  7 08:53:20 2026\n"
        "certificate mx.example.com (EC, self-signed): EXPIRES SOON, on Fri Oct 10 09:53:20 2025, "
        "in 1d 1h\n"
        "certificate mx.example.net (EC): EXPIRED on Thu Oct  9 08:53:19 2025\n"
        "certificate mx.example.org (EC): NOT GOOD YET: is the clock right?\n"
        "CERTIFICATE NOT USABLE: x.pem: no\n"
        "queue: "));
    assert_non_null(
        strstr(json_of(&s),
               "\"certificate_trouble\": \"x.pem: no\", \"certificates\": [{\"name\": "
               "\"mx.example.com\", \"key\": \"RSA\", \"self_signed\": false, \"not_after\": "
               "1767776000, \"state\": \"good\"}, {\"name\": \"mx.example.com\", \"key\": \"EC\", "
               "\"self_signed\": true, \"not_after\": 1760090000, \"state\": \"soon\"}, "));
    assert_non_null(strstr(json_of(&s), "\"state\": \"expired\"}, {"));
    assert_non_null(strstr(json_of(&s), "\"state\": \"early\"}], "));
}

static void test_logins(void **state)
{
    struct status s = usual();

    assert_null(strstr(text_of(&s), "logins"));
    assert_true(span_copy(SPAN_LIT("inet:192.0.2.53:12345"), s.logins.path, sizeof s.logins.path));
    assert_non_null(strstr(text_of(&s), "logins by inet:192.0.2.53:12345: not tried yet\n"));
    s.logins.known = true;
    s.logins.since_s = NOW - 5;
    assert_true(span_copy(SPAN_LIT("Connection refused"), s.logins.why, sizeof s.logins.why));
    assert_non_null(strstr(text_of(&s), "logins by inet:192.0.2.53:12345: DOWN since "));
    assert_non_null(strstr(text_of(&s), "(5s): Connection refused; nobody can log in\n"));
    assert_non_null(strstr(json_of(&s), "\"logins\": {\"by\": \"inet:192.0.2.53:12345\", \"up\": "
                                        "false, \"known\": true, "));
    s.logins.up = true;
    assert_non_null(strstr(text_of(&s), "logins by inet:192.0.2.53:12345: up since "));
}

static void test_durations(void **state)
{
    static const struct {
        int64_t seconds;
        const char *want;
    } rows[] = {
        {0,      "(0s)"     },
        {59,     "(59s)"    },
        {60,     "(1m)"     },
        {61,     "(1m 1s)"  },
        {3600,   "(1h)"     },
        {3659,   "(1h)"     },
        {86399,  "(23h 59m)"},
        {86400,  "(1d)"     },
        {864000, "(10d)"    },
        {-5,     "(0s)"     },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct status s = usual();

        s.started_s = NOW - rows[i].seconds;
        assert_non_null(strstr(text_of(&s), rows[i].want));
    }
}

static void test_json(void **state)
{
    struct status s = usual();

    s.destination[0].since_s = 5;
    assert_true(
        span_copy(SPAN_LIT("say \"x\""), s.destination[0].why, sizeof s.destination[0].why));
    assert_string_equal(
        json_of(&s),
        "{\"myhostname\": \"mx.example.com\", \"pid\": 17, \"started\": 1759906216, \"listen\": "
        "[\"0.0.0.0:25\", \"[::]:25\"], \"listen_proxy\": [], \"draining\": false, "
        "\"draining_since\": 0, \"sessions\": "
        "3, \"sessions_limit\": "
        "500, \"messages_in\": 120, \"delivered\": 130, \"deferred\": 4, \"failed\": 1, "
        "\"rejected\": 10, \"queued\": 0, \"on_hold\": 0, \"operator_needed\": 0, "
        "\"held_failed\": 0, \"held_expired\": 0, \"held_ordered\": 0, \"held_oldest_id\": \"\", "
        "\"held_oldest\": 0, \"on_hold_limit\": 0, \"oldest\": 0, "
        "\"corrupt\": 0, \"log_dropped\": 0, \"spool_writable\": true, \"spool_trouble\": \"\", "
        "\"free_bytes\": 8053063680, \"floor_bytes\": 39321600, \"certificate_trouble\": \"\", "
        "\"certificates\": [], \"logins\": {}, \"no_way\": 0, \"no_room\": 0, \"direct_domains\": "
        "0, "
        "\"direct_down\": 0, \"direct\": [], \"more_destinations\": 0, "
        "\"more_down\": 0, \"destinations\": [{\"name\": \"lmtp:[192.0.2.53]:2525\", \"serves\": "
        "\"\", \"order\": 1, \"of\": 1, \"covered\": false, \"up\": true, \"known\": true, "
        "\"since\": 5, \"why\": "
        "\"say \\\"x\\\"\", \"mismatch\": \"\", \"tls\": \"\", \"queued\": 0, \"active\": 0}]}");
}

static void test_nothing_known(void **state)
{
    struct status s = {.pid = 1};

    assert_non_null(strstr(text_of(&s), "listening on nothing;"));
    assert_non_null(strstr(json_of(&s), "\"listen\": [], \"listen_proxy\": [], "));
    assert_non_null(strstr(json_of(&s), "\"destinations\": []}"));
}

/* Every text full of bytes that JSON has to write as six. */
static void test_worst_case_fits(void **state)
{
    static struct status s;

    memset(&s, 1, sizeof s);
    s.destinations = STATUS_DESTINATIONS_MAX;
    s.draining = s.spool_writable = false;
    s.started_s = s.oldest_s = s.draining_since_s = s.held_oldest_s = NOW;
    s.held_oldest_id[sizeof s.held_oldest_id - 1] = '\0';
    s.logins.known = s.logins.up = false;
    s.logins.path[sizeof s.logins.path - 1] = s.logins.why[sizeof s.logins.why - 1] = '\0';
    s.logins.since_s = NOW;
    s.myhostname[sizeof s.myhostname - 1] = '\0';
    s.listen[sizeof s.listen - 1] = '\0';
    s.listen_proxy[sizeof s.listen_proxy - 1] = '\0';
    s.spool_trouble[sizeof s.spool_trouble - 1] = '\0';
    s.certificate_trouble[sizeof s.certificate_trouble - 1] = '\0';
    s.certificates = STATUS_CERTIFICATES_MAX;
    for (size_t i = 0; i < STATUS_CERTIFICATES_MAX; i++) {
        struct status_certificate *c = &s.certificate[i];

        *c = (struct status_certificate){.not_after_s = NOW, .state = STATUS_CERTIFICATE_SOON};
        memset(c->name, 1, sizeof c->name - 1);
    }
    s.direct_down = STATUS_DIRECT_MAX + 1;
    for (size_t i = 0; i < STATUS_DIRECT_MAX; i++) {
        s.direct[i].since_s = NOW;
        s.direct[i].name[sizeof s.direct[i].name - 1] = '\0';
        s.direct[i].why[sizeof s.direct[i].why - 1] = '\0';
    }
    for (size_t i = 0; i < STATUS_DESTINATIONS_MAX; i++) {
        struct status_destination *d = &s.destination[i];

        d->up = d->known = false;
        d->since_s = NOW;
        d->name[sizeof d->name - 1] = '\0';
        d->why[sizeof d->why - 1] = '\0';
        d->mismatch[sizeof d->mismatch - 1] = '\0';
        d->tls[sizeof d->tls - 1] = '\0';
    }
    assert_true(strlen(json_of(&s)) > 70000);
    assert_true(strlen(text_of(&s)) > 7000);
}

static int set_zone(void **state)
{
    return setenv("TZ", "UTC", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_trouble_in_text),
        cmocka_unit_test(test_draining),
        cmocka_unit_test(test_too_much_on_hold),
        cmocka_unit_test(test_on_hold),
        cmocka_unit_test(test_ways_out),
        cmocka_unit_test(test_several_targets),
        cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_logins),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_nothing_known),
        cmocka_unit_test(test_worst_case_fits),
    };

    return cmocka_run_group_tests(tests, set_zone, NULL);
}
