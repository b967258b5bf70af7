/* Tests of relay/verify: what the destination says of a recipient, and what is remembered of it. */
#include "relay_fixture.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The time that verify sees. */
static uint64_t passed_ms;

static uint64_t test_mono_ms(void)
{
    return clock_mono_ms() + passed_ms;
}

/* Built a second time; the library's own copy is then not linked. */
#define clock_mono_ms test_mono_ms
#include "relay/verify.c"
#undef clock_mono_ms

#define ANN     "ann@example.com"
#define JOE     "joe@example.com"
#define QUERIES 8

static struct relay_fixture r;
static struct upstream u;
static struct destination to;
static struct verify verify;
static bool upstream_closed;

struct asker {
    struct verify_query query; /* first */
    unsigned answers;
    enum verify_answer answer;
    unsigned code;
    char dsn[12];
    char why[600];
    const char *then; /* asked from within the answer */
    bool closed;
};

static struct asker askers[QUERIES];

static void on_done(struct verify_query *query, enum verify_answer answer, unsigned code,
                    const char *dsn, const char *why)
{
    struct asker *a = (struct asker *)query;
    const char *then = a->then;

    assert_false(a->closed);
    a->answers++;
    a->answer = answer;
    a->code = code;
    snprintf(a->dsn, sizeof a->dsn, "%s", dsn);
    snprintf(a->why, sizeof a->why, "%s", why);
    a->then = NULL;
    if (then)
        verify_ask(&a->query, &to, then);
}

static void begin_with(const char *ini, const char *transport)
{
    struct route route;
    struct errbuf err = {""};

    relay_begin(&r, ini);
    assert_int_equal(
        route_parse(span_of(transport ? transport : r.config->relay_transport), &route, &err), 0);
    upstream_init(&u, &r.context, &route);
    to = (struct destination){.text = u.route.text, .targets = {&u}, .count = 1};
    verify_init(&verify, &r.context);
    upstream_closed = false;
    memset(askers, 0, sizeof askers);
    for (size_t i = 0; i < QUERIES; i++) {
        askers[i].query.done = on_done;
        verify_query_init(&askers[i].query, &verify);
    }
}

static void begin(const char *ini)
{
    begin_with(ini, NULL);
}

static void on_query_closed(struct verify_query *query)
{
    ((struct asker *)query)->closed = true;
}

static void on_upstream_closed(void *ctx, struct upstream *up)
{
    upstream_closed = true;
}

static void end(void)
{
    for (size_t i = 0; i < QUERIES; i++) {
        verify_query_close(&askers[i].query, on_query_closed);
        loop_wait(&r.f, askers[i].closed);
    }
    upstream_close(&u, on_upstream_closed, NULL);
    loop_wait(&r.f, upstream_closed);
    verify_deinit(&verify);
    relay_end(&r);
}

static void ask(struct asker *a, const char *address)
{
    verify_ask(&a->query, &to, address);
}

/* Asks, and waits for the answer. */
static enum verify_answer answer_about(size_t index, const char *address)
{
    struct asker *a = &askers[index];
    unsigned before = a->answers;

    ask(a, address);
    loop_wait(&r.f, a->answers > before);
    assert_int_equal(a->answers, before + 1);
    return a->answer;
}

static void make_down(void)
{
    lmtp_down(&r.lmtp);
    upstream_probe(&u);
    loop_wait(&r.f, u.health == UPSTREAM_DOWN);
}

static void let_pass(uint64_t ms)
{
    passed_ms += ms;
}

/* ---- what the destination says ---- */

static void it_is_asked_and_its_word_passed_on(void **state)
{
    begin("");
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SAY, "550 5.1.1 <joe@example.com> unknown")->contains = "joe@";
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SAY, "450 4.2.0 busy")->contains = "eve@";
    assert_int_equal(answer_about(0, ANN), VERIFY_ACCEPT);
    assert_int_equal(answer_about(0, JOE), VERIFY_REJECT);
    assert_int_equal(askers[0].code, 550);
    assert_string_equal(askers[0].dsn, "5.1.1");
    assert_non_null(strstr(askers[0].why, "said: 550 5.1.1 <joe@example.com> unknown"));
    assert_int_equal(answer_about(0, "eve@example.com"), VERIFY_DEFER);
    assert_int_equal(askers[0].code, 450);
    assert_int_equal(lmtp_said(&r.lmtp, "MAIL FROM:<>\n"), 3);
    assert_int_equal(lmtp_said(&r.lmtp, "RSET"), 3);
    assert_int_equal(lmtp_said(&r.lmtp, "DATA"), 0);
    assert_int_equal(r.lmtp.accepted, 1);
    end();
}

static void several_at_a_time(void **state)
{
    begin("default_destination_concurrency_limit = 2\n");
    for (size_t i = 0; i < QUERIES; i++) {
        char address[40];

        snprintf(address, sizeof address, "user%zu@example.com", i);
        ask(&askers[i], address);
    }
    for (size_t i = 0; i < QUERIES; i++)
        loop_wait(&r.f, askers[i].answers == 1);
    assert_in_range(r.lmtp.most_open, 1, 2);
    end();
}

static void the_next_question_from_within_the_answer(void **state)
{
    begin("");
    askers[0].then = JOE;
    ask(&askers[0], ANN);
    loop_wait(&r.f, askers[0].answers == 2);
    askers[0].then = ANN; /* both are remembered: answered before the return */
    ask(&askers[0], JOE);
    assert_int_equal(askers[0].answers, 4);
    assert_int_equal(verify.asked, 2);
    end();
}

static void a_maildir_takes_everybody(void **state)
{
    begin_with("", "maildir:/nonexistent");
    ask(&askers[0], ANN);
    assert_int_equal(askers[0].answers, 1);
    assert_int_equal(askers[0].answer, VERIFY_ACCEPT);
    end();
}

/* ---- what is remembered ---- */

static void a_fresh_answer_is_not_asked_for_again(void **state)
{
    begin("");
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SAY, "550 5.1.1 unknown")->contains = "joe@";
    assert_int_equal(answer_about(0, ANN), VERIFY_ACCEPT);
    assert_int_equal(answer_about(0, JOE), VERIFY_REJECT);
    ask(&askers[0], ANN);
    assert_int_equal(askers[0].answers, 3);
    assert_int_equal(askers[0].answer, VERIFY_ACCEPT);
    ask(&askers[1], JOE);
    assert_int_equal(askers[1].answer, VERIFY_REJECT);
    assert_int_equal(askers[1].code, 550);
    assert_non_null(strstr(askers[1].why, "unknown"));
    assert_int_equal(r.lmtp.mails, 2);
    assert_int_equal(verify.remembered, 2);
    end();
}

static void domains_are_one_whatever_their_case(void **state)
{
    begin("");
    answer_about(0, "Ann@Example.COM");
    answer_about(0, "Ann@example.com");
    assert_int_equal(r.lmtp.mails, 1);
    answer_about(0, "ann@example.com"); /* local parts are not */
    assert_int_equal(r.lmtp.mails, 2);
    end();
}

static void a_4xx_is_not_remembered(void **state)
{
    begin("");
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SAY, "450 4.2.0 busy")->times = 1;
    assert_int_equal(answer_about(0, ANN), VERIFY_DEFER);
    assert_int_equal(answer_about(0, ANN), VERIFY_ACCEPT);
    end();
}

static void what_is_not_fresh_is_asked_again(void **state)
{
    begin("");
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SAY, "550 5.1.1 unknown")->contains = "joe@";
    answer_about(0, ANN);
    answer_about(0, JOE);
    let_pass(6 * 60 * 1000); /* a refusal is fresh for five minutes */
    answer_about(0, ANN);
    assert_int_equal(r.lmtp.mails, 2);
    lmtp_no_rules(&r.lmtp);
    assert_int_equal(answer_about(0, JOE), VERIFY_ACCEPT); /* she was added meanwhile */
    assert_int_equal(r.lmtp.mails, 3);
    let_pass(3600 * 1000);
    answer_about(0, ANN);
    assert_int_equal(r.lmtp.mails, 4);
    end();
}

static void an_old_answer_counts_while_the_destination_is_down(void **state)
{
    begin("unverified_recipient_action = defer\n");
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SAY, "550 5.1.1 unknown")->contains = "joe@";
    answer_about(0, ANN);
    answer_about(0, JOE);
    make_down();
    let_pass(2ull * 86400 * 1000);
    assert_int_equal(answer_about(0, ANN), VERIFY_ACCEPT);
    assert_int_equal(answer_about(0, JOE), VERIFY_REJECT);
    let_pass(2ull * 86400 * 1000); /* three days for a refusal */
    assert_int_equal(answer_about(0, ANN), VERIFY_ACCEPT);
    assert_int_equal(answer_about(0, JOE), VERIFY_DEFER);
    assert_int_equal(askers[0].code, 451);
    let_pass(30ull * 86400 * 1000); /* a month for a yes */
    assert_int_equal(answer_about(0, ANN), VERIFY_DEFER);
    assert_non_null(strstr(askers[0].why, "delivery temporarily suspended"));
    end();
}

static void nobody_knows_what_the_setting_says(void **state)
{
    begin("");
    make_down();
    assert_int_equal(answer_about(0, ANN), VERIFY_ACCEPT);
    end();
}

static void memory_is_bounded_and_the_least_used_goes_first(void **state)
{
    begin("address_verify_cache_limit = 3\n");
    answer_about(0, "a@example.com");
    answer_about(0, "b@example.com");
    answer_about(0, "c@example.com");
    answer_about(0, "a@example.com"); /* used again */
    assert_int_equal(r.lmtp.mails, 3);
    answer_about(0, "d@example.com"); /* instead of b */
    answer_about(0, "a@example.com");
    answer_about(0, "c@example.com");
    assert_int_equal(r.lmtp.mails, 4);
    answer_about(0, "b@example.com");
    assert_int_equal(r.lmtp.mails, 5);
    end();
}

static void another_destination_is_another_answer(void **state)
{
    struct route route;
    struct errbuf err = {""};

    begin("");
    answer_about(0, ANN);
    assert_int_equal(route_parse(SPAN_LIT("lmtp:[127.0.0.1]:1"), &route, &err), 0);
    memcpy(u.route.text, route.text, sizeof route.text);
    answer_about(0, ANN);
    assert_int_equal(r.lmtp.mails, 2);
    end();
}

/* ---- trouble ---- */

static void trouble_with_the_question_is_no_answer(void **state)
{
    static const struct {
        const char *event, *text;
    } replies[] = {
        {"MAIL", "550 5.7.1 no bounces here"},
        {"MAIL", "450 4.3.2 not now"        },
        {"RCPT", "500 5.5.1 what"           },
        {"RCPT", "530 5.7.0 authenticate"   },
        {"RCPT", "354 go on"                },
        {"RCPT", "nonsense"                 },
    };

    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        begin("unverified_recipient_action = defer\n");
        lmtp_rule(&r.lmtp, replies[i].event, LMTP_SAY, replies[i].text)->times = 1;
        assert_int_equal(answer_about(0, ANN), VERIFY_DEFER);
        assert_int_equal(askers[0].code, 451);
        assert_int_equal(answer_about(0, ANN), VERIFY_ACCEPT); /* nothing was remembered */
        end();
    }
}

static void a_conversation_that_breaks_is_no_answer(void **state)
{
    static const char *const steps[] = {"MAIL", "RCPT", "RSET"};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        begin("unverified_recipient_action = defer\n");
        r.lmtp.offers = "8BITMIME";
        lmtp_rule(&r.lmtp, steps[i], LMTP_DROP, NULL)->times = 1;
        assert_int_equal(answer_about(0, ANN), VERIFY_DEFER);
        assert_int_equal(answer_about(0, ANN), VERIFY_ACCEPT);
        end();
    }
}

static void silence_ends_in_time(void **state)
{
    uint64_t begun;

    begin("verify_timeout = 150ms\n");
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SILENCE, NULL);
    begun = clock_mono_ms();
    assert_int_equal(answer_about(0, ANN), VERIFY_ACCEPT);
    assert_in_range(clock_mono_ms() - begun, 140, LOOP_PATIENCE_MS / 2);
    lmtp_release(&r.lmtp);
    loop_idle(&r.f);
    assert_int_equal(askers[0].answers, 1);
    end();
}

static void silence_while_all_places_are_taken(void **state)
{
    begin("verify_timeout = 150ms\ndefault_destination_concurrency_limit = 1\n");
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SILENCE, NULL)->times = 1;
    ask(&askers[0], ANN);
    loop_wait(&r.f, r.lmtp.mails == 1);
    ask(&askers[1], JOE);
    loop_wait(&r.f, askers[0].answers == 1 && askers[1].answers == 1);
    assert_int_equal(u.waiting, 0);
    end();
}

static void silence_makes_the_destination_suspect(void **state)
{
    begin("verify_timeout = 100ms\nlmtp_connect_timeout = 100ms\n");
    answer_about(0, ANN);
    lmtp_pause(&r.lmtp, true); /* the tunnel is gone */
    assert_int_equal(answer_about(0, JOE), VERIFY_ACCEPT);
    loop_wait(&r.f, u.health == UPSTREAM_DOWN);
    lmtp_pause(&r.lmtp, false);
    loop_wait(&r.f, u.health == UPSTREAM_UP);
    end();
}

/* ---- whoever asked is gone ---- */

static void cancel_in_each_state(void **state)
{
    begin("default_destination_concurrency_limit = 1\n");
    verify_cancel(&askers[0].query); /* nothing was asked */
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SILENCE, NULL)->times = 1;
    ask(&askers[0], ANN);
    verify_cancel(&askers[0].query); /* no session yet */
    verify_cancel(&askers[0].query);
    ask(&askers[0], ANN);
    loop_wait(&r.f, r.lmtp.mails == 1);
    ask(&askers[1], JOE);
    verify_cancel(&askers[1].query); /* waits */
    verify_cancel(&askers[0].query); /* under way */
    loop_idle(&r.f);
    assert_int_equal(askers[0].answers + askers[1].answers, 0);
    assert_int_equal(answer_about(0, ANN), VERIFY_ACCEPT); /* and may ask again */
    end();
}

static void close_with_a_question_under_way(void **state)
{
    begin("");
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SILENCE, NULL);
    ask(&askers[0], ANN);
    loop_wait(&r.f, r.lmtp.mails == 1);
    ask(&askers[1], JOE);
    end();
    assert_int_equal(askers[0].answers + askers[1].answers, 0);
}

static void the_destination_closes_meanwhile(void **state)
{
    begin("");
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SILENCE, NULL);
    ask(&askers[0], ANN);
    loop_wait(&r.f, r.lmtp.mails == 1);
    upstream_close(&u, on_upstream_closed, NULL);
    assert_int_equal(askers[0].answers, 1);
    loop_wait(&r.f, upstream_closed);
    for (size_t i = 0; i < QUERIES; i++) {
        verify_query_close(&askers[i].query, on_query_closed);
        loop_wait(&r.f, askers[i].closed);
    }
    verify_deinit(&verify);
    relay_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_asked_and_its_word_passed_on),
        cmocka_unit_test(several_at_a_time),
        cmocka_unit_test(the_next_question_from_within_the_answer),
        cmocka_unit_test(a_maildir_takes_everybody),
        cmocka_unit_test(a_fresh_answer_is_not_asked_for_again),
        cmocka_unit_test(domains_are_one_whatever_their_case),
        cmocka_unit_test(a_4xx_is_not_remembered),
        cmocka_unit_test(what_is_not_fresh_is_asked_again),
        cmocka_unit_test(an_old_answer_counts_while_the_destination_is_down),
        cmocka_unit_test(nobody_knows_what_the_setting_says),
        cmocka_unit_test(memory_is_bounded_and_the_least_used_goes_first),
        cmocka_unit_test(another_destination_is_another_answer),
        cmocka_unit_test(trouble_with_the_question_is_no_answer),
        cmocka_unit_test(a_conversation_that_breaks_is_no_answer),
        cmocka_unit_test(silence_ends_in_time),
        cmocka_unit_test(silence_while_all_places_are_taken),
        cmocka_unit_test(silence_makes_the_destination_suspect),
        cmocka_unit_test(cancel_in_each_state),
        cmocka_unit_test(close_with_a_question_under_way),
        cmocka_unit_test(the_destination_closes_meanwhile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
