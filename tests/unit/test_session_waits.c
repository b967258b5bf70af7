/*
 * test_session_waits - answers that come late, and ends that come at a bad time
 *
 * A table of places in the dialogue (every state, every wait) against every end (lost, timeout,
 * shutdown, late and double answers, deinit). The sanitizer sees what leaks or is used after it was
 * freed.
 */
#include "session_fixture.h"

#include "base/text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define STOPPING "421 4.3.2 mx.example.com Service shutting down\r\n"
#define TIMEOUT  "421 4.4.2 mx.example.com Error: timeout exceeded\r\n"

struct place {
    const char *name;
    const char *say;  /* brings the session there, with every answer but the last one given */
    unsigned answers; /* how many are given */
    enum session_state state;
    enum session_busy busy;
    const char *lost;   /* "after" in the log, NULL: nothing is logged */
    bool stops_at_once; /* a shutdown ends it there and then */
};

/* More than a session holds back until it knows what the first line is. */
#define LONG                                                                                       \
    "A: "                                                                                          \
    "34567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234" \
    "567890\r\n"
#define AT(state, busy) SESSION_##state, SESSION_##busy
#define RCPT            "EHLO h\r\nMAIL FROM:<s@example.net>\r\nRCPT TO:<r@example.com>\r\n"

static const struct place places[] = {
    {"connected",     "",                                 0, AT(CONNECTED, FREE),        NULL,               true },
    {"part",          "EHL",                              0, AT(CONNECTED, FREE),        NULL,               true },
    {"ready",         "EHLO h\r\n",                       0, AT(READY,     FREE),        "EHLO",             true },
    {"name due",      "EHLO h\r\nMAIL FROM:<>\r\n",       0, AT(READY,     BUSY_PEER),   "MAIL",             false},
    {"mail",          "EHLO h\r\nMAIL FROM:<>\r\n",       1, AT(MAIL,      FREE),        "MAIL",             true },
    {"rcpt due",      RCPT,                               1, AT(MAIL,      BUSY_RCPT),   "RCPT",             false},
    {"rcpt",          RCPT,                               2, AT(RCPT,      FREE),        "RCPT",             true },
    {"next due",      RCPT "RCPT TO:<q@example.com>\r\n", 2, AT(RCPT,      BUSY_RCPT),   "RCPT",             false},
    {"data",          RCPT "DATA\r\n",                    2, AT(DATA,      FREE),        "DATA (0 bytes)",   false},
    {"lead held",     RCPT "DATA\r\nA: b\r\n",            2, AT(DATA,      FREE),        "DATA (6 bytes)",   false},
    {"no room",       RCPT "DATA\r\n" LONG,               2, AT(DATA,      BUSY_ROOM),   "DATA (96 bytes)",  false},
    {"room given",    RCPT "DATA\r\n" LONG,               3, AT(DATA,      FREE),        "DATA (103 bytes)", false},
    {"end, no room",  RCPT "DATA\r\nA: b\r\n.\r\n",       2, AT(DATA,      BUSY_ROOM),   "DATA (6 bytes)",   false},
    {"end of data",   RCPT "DATA\r\nA: b\r\n.\r\n",       3, AT(DATA,      BUSY_SUBMIT), "END-OF-MESSAGE",
     false                                                                                                        },
    {"submitted",     RCPT "DATA\r\nA: b\r\n.\r\n",       4, AT(READY,     FREE),        NULL,               true },
    {"in a chunk",    RCPT "BDAT 9\r\nA: b\r\n",          2, AT(BDAT,      FREE),        "BDAT (6 bytes)",   false},
    {"chunk waits",   RCPT "BDAT 108\r\n" LONG,           2, AT(BDAT,      BUSY_ROOM),   "BDAT (96 bytes)",  false},
    {"chunk taken",   RCPT "BDAT 6\r\nA: b\r\n",          2, AT(BDAT_NEXT, FREE),        "BDAT",             false},
    {"last, no room", RCPT "BDAT 6 LAST\r\nA: b\r\n",     2, AT(BDAT,      BUSY_ROOM),   "BDAT (6 bytes)",
     false                                                                                                        },
    {"last chunk",    RCPT "BDAT 6 LAST\r\nA: b\r\n",     3, AT(BDAT,      BUSY_SUBMIT), "END-OF-MESSAGE",
     false                                                                                                        },
    {"refused chunk", "BDAT 9\r\nA: b\r\n",               0, AT(BDAT,      FREE),        "BDAT (0 bytes)",   false},
    {"after refused", "BDAT 6\r\nA: b\r\n",               0, AT(BDAT_NEXT, FREE),        "BDAT",             true },
    {"quit",          "EHLO h\r\nQUIT\r\n",               0, AT(CLOSING,   FREE),        NULL,               false},
};

#define PLACE_COUNT (sizeof places / sizeof places[0])

/* The caller gives kept input again only when it was told to. */
static bool answer_and_resume(struct fixture *f)
{
    size_t resumes = f->resumes;
    bool answered = fixture_answer(f);

    if (f->resumes > resumes)
        fixture_pump(f);
    return answered;
}

static void go_to(struct fixture *f, const struct place *p)
{
    fixture_greet(f);
    fixture_say(f, p->say);
    for (unsigned i = 0; i < p->answers; i++)
        assert_true(answer_and_resume(f));
    if (f->session.state != p->state || f->session.busy != p->busy)
        fail_msg("%s: state %s, busy %d", p->name, session_state_name(f->session.state),
                 (int)f->session.busy);
    fixture_heard(f);
}

static void init(struct fixture *f)
{
    fixture_init(f, NULL);
    f->when = FIXTURE_HELD;
    f->endless_room = false;
    f->room = 8192;
}

static void expect_logged(struct fixture *f, const struct place *p, const char *what)
{
    const char *logged = bytes_text(&f->logged);
    char want[100] = "";
    struct text t;

    text_init(&t, want, sizeof want);
    text_printf(&t, "%s after %s from ", what, p->lost ? p->lost : "");
    if (!p->lost && strstr(logged, what))
        fail_msg("%s: logged %s", p->name, logged);
    if (p->lost && !strstr(logged, want))
        fail_msg("%s: not logged: %s in %s", p->name, want, logged);
}

/* Whatever comes after the end: nothing happens. */
static void poke(struct fixture *f)
{
    size_t hang_ups = f->hang_ups;

    fixture_say(f, "NOOP\r\n");
    while (fixture_answer(f))
        ;
    session_room(&f->session, 0);
    session_peer_name(&f->session, "late.example.net", DNS_FOUND, DNS_FOUND);
    session_rcpt_answer(&f->session, SESSION_RCPT_ACCEPT, 0, "", "");
    session_submitted(&f->session, &(struct smtp_verdict){250, "250 2.0.0 late"});
    session_timeout(&f->session);
    session_shutdown(&f->session);
    session_lost(&f->session);
    assert_string_equal(fixture_heard(f), "");
    assert_int_equal(f->hang_ups, hang_ups);
    assert_int_equal(f->session.state, SESSION_CLOSING);
}

static void test_lost(void **state)
{
    struct fixture f;

    init(&f);
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        go_to(&f, &places[i]);
        session_lost(&f.session);
        expect_logged(&f, &places[i], "lost connection");
        assert_null(f.session.envelope);
        assert_null(f.session.rcpt);
        poke(&f);
        fixture_end(&f);
        expect_logged(&f, &places[i], "lost connection");
    }
    fixture_free(&f);
}

static void test_deinit(void **state)
{
    struct fixture f;

    init(&f);
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        go_to(&f, &places[i]);
        fixture_end(&f);
        fixture_end(&f);
    }
    fixture_free(&f);
}

static void test_timeout(void **state)
{
    struct fixture f;

    init(&f);
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        go_to(&f, &places[i]);
        session_timeout(&f.session);
        if (places[i].busy != SESSION_FREE) { /* the client waits for us: not its fault */
            assert_string_equal(fixture_heard(&f), "");
            assert_int_not_equal(f.session.state, SESSION_CLOSING);
            continue;
        }
        if (places[i].state == SESSION_CLOSING)
            continue;
        assert_string_equal(fixture_heard(&f), TIMEOUT);
        assert_int_equal(f.hang_ups, 1);
        if (strcmp(places[i].name, "submitted") != 0)
            expect_logged(&f, &places[i], "timeout");
        poke(&f);
    }
    fixture_free(&f);
}

/* Gives all answers, and sends what a message under way needs to be whole. */
static void finish_message(struct fixture *f)
{
    for (unsigned i = 0; i < 4; i++) {
        while (answer_and_resume(f))
            ;
        if (f->session.state == SESSION_DATA)
            fixture_say(f, "\r\n.\r\n");
        for (uint64_t left = f->session.chunk_left; f->session.state == SESSION_BDAT && left > 0;
             left--)
            fixture_say(f, "x");
        if (f->session.state == SESSION_BDAT_NEXT)
            fixture_say(f, "BDAT 0 LAST\r\n");
    }
}

/* At once between commands; in a message when it is over, and its reply comes first. */
static void test_shutdown(void **state)
{
    struct fixture f;

    init(&f);
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        const struct place *p = &places[i];

        go_to(&f, p);
        session_shutdown(&f.session);
        if (p->state == SESSION_CLOSING)
            continue;
        if (!p->stops_at_once) {
            assert_string_equal(fixture_heard(&f), "");
            finish_message(&f);
        }
        if (!strstr(fixture_heard(&f), STOPPING))
            fail_msg("%s: no 421, but %s", p->name, bytes_text(&f.heard));
        assert_int_equal(f.hang_ups, 1);
        if (p->state == SESSION_DATA)
            assert_int_equal(f.message_count, 1);
        poke(&f);
    }
    fixture_free(&f);
}

/* In every wait: more input is kept, a second question is not asked, and the answer brings it all
 * on. */
static void test_input_waits(void **state)
{
    struct fixture f;
    size_t kept;

    init(&f);
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        if (places[i].busy == SESSION_FREE)
            continue;
        go_to(&f, &places[i]);
        kept = f.input.len;
        fixture_say(&f, "RSET\r\n");
        assert_int_equal(f.input.len, kept + 6);
        assert_string_equal(fixture_heard(&f), "");
        while (answer_and_resume(&f))
            ;
        assert_int_equal(f.input.len, 0);
        assert_int_equal(f.session.busy, SESSION_FREE);
    }
    fixture_free(&f);
}

/* Only the answer that is due counts. */
static void test_wrong_answers(void **state)
{
    struct fixture f;

    init(&f);
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        enum session_busy busy = places[i].busy;

        if (places[i].state == SESSION_CLOSING)
            continue;
        go_to(&f, &places[i]);
        if (busy != SESSION_BUSY_ROOM)
            session_room(&f.session, -EIO);
        if (busy != SESSION_BUSY_RCPT)
            session_rcpt_answer(&f.session, SESSION_RCPT_REJECT, 550, "5.1.1", "no");
        if (busy != SESSION_BUSY_SUBMIT)
            session_submitted(&f.session, &(struct smtp_verdict){250, "250 2.0.0 wrong"});
        assert_string_equal(fixture_heard(&f), "");
        assert_int_equal(f.session.busy, busy);
        assert_int_equal(f.session.state, places[i].state);
    }
    fixture_free(&f);
}

/* The whole of a pipelined mail in one write, each answer late, the body in small rooms. */
static void test_pipelined_with_late_answers(void **state)
{
    struct fixture f;

    init(&f);
    f.room = 4096;
    fixture_greet(&f);
    fixture_say(&f, RCPT "RCPT TO:<unknown@example.com>\r\nDATA\r\n");
    for (unsigned i = 0; i < 2000; i++)
        fixture_say(&f, "0123456789012345678901234567890123456789\r\n");
    fixture_say(&f, ".\r\nMAIL FROM:<>\r\nRCPT TO:<r@example.com>\r\nBDAT 3 LAST\r\nhi\nQUIT\r\n");
    while (answer_and_resume(&f))
        ;
    assert_int_equal(f.input.len, 0);
    assert_int_equal(f.message_count, 2);
    assert_int_equal(fixture_text(&f.messages[0]).len, 2000 * 42 + 2);
    assert_true(span_equal(fixture_text(&f.messages[1]), SPAN_LIT("\r\nhi\r\n")));
    assert_non_null(
        strstr(fixture_heard(&f), "Ok: 3 bytes queued as 0000000000001001\r\n221 2.0.0 Bye\r\n"));
    fixture_free(&f);
}

/* --- the body cannot be written --- */

static void test_body_errors(void **state)
{
    static const struct {
        int rc;
        const char *reply;
    } rows[] = {
        {-EIO,    "451 4.3.0 Error: queue file write error\r\n"},
        {-EROFS,  "451 4.3.0 Error: queue file write error\r\n"},
        {-ENOSPC, "452 4.3.1 Insufficient system storage\r\n"  },
        {-EDQUOT, "452 4.3.1 Insufficient system storage\r\n"  },
    };
    static const char *const bodies[] = {"DATA\r\nA: b\r\n\r\ntext\r\n.\r\n", "DATA\r\n.\r\n",
                                         "BDAT 6 LAST\r\nA: b\r\n", "BDAT 0 LAST\r\n"};
    struct fixture f;

    init(&f);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t k = 0; k < sizeof bodies / sizeof bodies[0]; k++) {
            f.room_rc = rows[i].rc;
            f.when = FIXTURE_LATER;
            fixture_greet(&f);
            fixture_say(&f, RCPT);
            fixture_heard(&f);
            fixture_say(&f, bodies[k]);
            assert_non_null(strstr(fixture_heard(&f), rows[i].reply));
            assert_int_equal(f.submits, 0);
            assert_int_equal(f.aborts, 1);
            f.room_rc = 0;
            fixture_talk(&f, "MAIL FROM:<>\r\n", "250 2.1.0 Ok\r\n");
        }
    }
    fixture_free(&f);
}

/* A chunk that fails poisons those after it, up to LAST; then mail goes on. */
static void test_chunk_write_error(void **state)
{
    struct fixture f;

    init(&f);
    f.when = FIXTURE_LATER;
    f.room_rc = -EIO;
    fixture_greet(&f);
    fixture_say(&f, RCPT);
    fixture_heard(&f);
    fixture_talk(&f, "BDAT 103\r\n" LONG, "451 4.3.0 Error: queue file write error\r\n");
    f.room_rc = 0;
    fixture_talk(&f, "BDAT 3\r\nabc", "551 5.0.0 Discarded 3 bytes after earlier error\r\n");
    fixture_talk(&f, "DATA\r\n", "503 5.5.1 Error: DATA after BDAT\r\n");
    fixture_talk(&f, "BDAT 3 LAST\r\nabc", "551 5.0.0 Discarded 3 bytes after earlier error\r\n");
    fixture_talk(&f, "RCPT TO:<r@example.com>\r\n", "503 5.5.1 Error: need MAIL command\r\n");
    assert_int_equal(f.submits, 0);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_deinit),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_shutdown),
        cmocka_unit_test(test_input_waits),
        cmocka_unit_test(test_wrong_answers),
        cmocka_unit_test(test_pipelined_with_late_answers),
        cmocka_unit_test(test_body_errors),
        cmocka_unit_test(test_chunk_write_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
