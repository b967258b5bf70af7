/* Tests of server/policy: how lists are run, and what each word says of which facts. */
#include "config_fixture.h"

#include "server/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ROWS(a) (sizeof(a) / sizeof(a)[0])

static struct built built;
static struct smtp_address recipient;
static struct policy_facts facts;
static struct policy_run run;
static char told[4096]; /* one line per step that was not the last */

static void set_recipient(const char *address)
{
    assert_int_equal(smtp_address_parse(span_of(address), true, &recipient), SMTP_ADDRESS_OK);
}

static void begin(const char *ini)
{
    facts = (struct policy_facts){.config = built_good(&built, ini, NULL),
                                  .login = "",
                                  .client_name = "client.example.net",
                                  .client_address = "203.0.113.9",
                                  .client_reverse = DNS_FOUND,
                                  .client_verified = DNS_FOUND,
                                  .helo = "client.example.net",
                                  .sender = "bob@example.net",
                                  .recipient = &recipient};
    set_recipient("alice@example.com");
}

static void tell(const char *word, const char *text)
{
    size_t len = strlen(told);

    snprintf(told + len, sizeof told - len, "%s %s\n", word, text);
}

static const char *const questions[] = {"mail", "address", "text"};

/* Runs to the end; `answer` is given to every question. */
static const char *run_all(const struct dns_answer *answer)
{
    static const char accepted[] = "ok";

    told[0] = '\0';
    policy_begin(&run, facts.recipient ? RESTRICT_CLIENT : RESTRICT_DATA,
                 facts.recipient ? RESTRICT_RECIPIENT : RESTRICT_DATA);
    for (;;) {
        switch (policy_next(&run, &facts)) {
        case POLICY_ACCEPT:
            return accepted;
        case POLICY_REFUSE:
            assert_int_equal(run.verdict.code / 100, run.verdict.line[0] - '0');
            return run.verdict.line;
        case POLICY_WARN:
            tell("warn", run.verdict.line);
            break;
        case POLICY_NOTE:
            tell("note", run.verdict.line);
            break;
        case POLICY_PAUSE:
            assert_true(run.pause_ms > 0);
            tell("pause", "");
            break;
        case POLICY_ASK:
            tell(questions[run.question], run.name);
            assert_non_null(answer);
            policy_answer(&run, answer);
            break;
        }
    }
}

static const char *run_found(enum dns_found found)
{
    struct dns_answer answer = {.found = found};

    return run_all(&answer);
}

/* ---- lists ---- */

static void test_nothing_set(void **state)
{
    begin("");
    assert_string_equal(run_all(NULL), "ok");
    assert_false(run.ask_upstream);
    set_recipient("x@other.example");
    assert_string_equal(run_all(NULL), "554 5.7.1 <x@other.example>: Relay access denied");
    facts.trusted = true;
    assert_string_equal(run_all(NULL), "554 5.7.1 <x@other.example>: Relay access denied");
    built_free(&built);
}

/* Each list's number shows in the order in which their words are reached. */
static void test_order(void **state)
{
    begin("smtpd_recipient_restrictions = warn_if_reject reject\n"
          "smtpd_relay_restrictions = warn_if_reject reject\n"
          "smtpd_sender_restrictions = warn_if_reject reject, permit, reject\n"
          "smtpd_helo_restrictions = warn_if_reject reject\n"
          "smtpd_data_restrictions = reject\n"
          "smtpd_client_restrictions = warn_if_reject reject\n");
    assert_string_equal(run_all(NULL), "ok");
    assert_string_equal(
        told,
        "warn 554 5.7.1 <client.example.net[203.0.113.9]>: Client host rejected: Access denied\n"
        "warn 554 5.7.1 <client.example.net>: Helo command rejected: Access denied\n"
        "warn 554 5.7.1 <bob@example.net>: Sender address rejected: Access denied\n"
        "warn 554 5.7.1 <alice@example.com>: Recipient address rejected: Access denied\n"
        "warn 554 5.7.1 <alice@example.com>: Recipient address rejected: Access denied\n");
    facts.recipient = NULL;
    assert_string_equal(run_all(NULL), "554 5.7.1 <DATA>: Data command rejected: Access denied");
    built_free(&built);
}

static void test_refusal_ends_all(void **state)
{
    begin("smtpd_client_restrictions = reject\nsmtpd_sender_restrictions = "
          "reject_unknown_sender_domain\n");
    assert_string_equal(run_all(NULL), "554 5.7.1 <client.example.net[203.0.113.9]>: Client host "
                                       "rejected: Access denied");
    assert_string_equal(told, "");
    built_free(&built);
}

/* What was not found out becomes "later", unless something refuses for good; the first is told. */
static void test_deferral(void **state)
{
    begin("smtpd_helo_restrictions = reject_unknown_helo_hostname, permit\n"
          "smtpd_sender_restrictions = reject_unknown_sender_domain, permit\n"
          "smtpd_recipient_restrictions = reject_non_fqdn_recipient\n");
    assert_string_equal(run_found(DNS_TROUBLE),
                        "450 4.7.1 <client.example.net>: Helo command rejected: Host not found");
    set_recipient("x@other.example");
    assert_string_equal(run_found(DNS_TROUBLE), "554 5.7.1 <x@other.example>: Relay access denied");
    built_free(&built);
}

static void test_warn_does_not_defer(void **state)
{
    begin("smtpd_sender_restrictions = warn_if_reject reject_unknown_sender_domain\n");
    assert_string_equal(run_found(DNS_TROUBLE), "ok");
    assert_string_equal(
        told, "mail example.net\n"
              "warn 450 4.1.8 <bob@example.net>: Sender address rejected: Domain not found\n");
    built_free(&built);
}

static void test_pause(void **state)
{
    begin("smtpd_client_restrictions = sleep 2, sleep 0, permit, sleep 5\n");
    assert_string_equal(run_all(NULL), "ok");
    assert_string_equal(told, "pause \n");
    built_free(&built);
}

/* ---- words ---- */

/* Words that need something that is not there say nothing. */
static void test_nothing_to_say(void **state)
{
    begin("smtpd_client_restrictions = reject_unauth_pipelining, permit_sasl_authenticated\n"
          "smtpd_helo_restrictions = reject\n"
          "smtpd_sender_restrictions = reject_non_fqdn_sender, reject_unknown_sender_domain,"
          " reject_non_fqdn_helo_hostname, reject_invalid_helo_hostname,"
          " reject_unknown_helo_hostname, reject_unlisted_sender\n"
          "smtpd_data_restrictions = reject_unauth_destination, reject_non_fqdn_recipient,"
          " reject_unknown_recipient_domain, permit_auth_destination, warn_if_reject reject\n");
    facts.sender = "";
    facts.helo = "";
    assert_string_equal(run_all(NULL), "ok");
    assert_string_equal(told, "");
    facts.recipient = NULL;
    assert_string_equal(run_all(NULL), "ok");
    assert_string_equal(told, "warn 554 5.7.1 <DATA>: Data command rejected: Access denied\n");
    built_free(&built);
}

static void test_clients(void **state)
{
    begin("smtpd_client_restrictions = reject_unknown_reverse_client_hostname,"
          " reject_unknown_client_hostname\nunknown_client_reject_code = 550\n");
    assert_string_equal(run_all(NULL), "ok");
    facts.client_verified = DNS_NONE;
    assert_string_equal(
        run_all(NULL), "550 5.7.25 Client host rejected: cannot find your hostname, [203.0.113.9]");
    facts.client_verified = DNS_TROUBLE;
    assert_string_equal(
        run_all(NULL), "450 4.7.25 Client host rejected: cannot find your hostname, [203.0.113.9]");
    facts.client_reverse = DNS_NONE;
    assert_string_equal(
        run_all(NULL),
        "550 5.7.1 Client host rejected: cannot find your reverse hostname, [203.0.113.9]");
    facts.client_reverse = DNS_TROUBLE;
    assert_string_equal(
        run_all(NULL),
        "450 4.7.1 Client host rejected: cannot find your reverse hostname, [203.0.113.9]");
    built_free(&built);
}

static void test_permit_mynetworks(void **state)
{
    begin("smtpd_client_restrictions = permit_mynetworks, reject\n");
    facts.trusted = true;
    assert_string_equal(run_all(NULL), "ok");
    built_free(&built);
}

static void test_pipelining(void **state)
{
    begin("smtpd_sender_restrictions = reject_unauth_pipelining\n"
          "smtpd_data_restrictions = reject_unauth_pipelining\n");
    facts.pipelined = true;
    assert_string_equal(run_all(NULL), "503 5.5.0 <bob@example.net>: Sender address rejected: "
                                       "Improper use of SMTP command pipelining");
    facts.recipient = NULL;
    assert_string_equal(run_all(NULL), "503 5.5.0 <DATA>: Data command rejected: Improper use of "
                                       "SMTP command pipelining");
    built_free(&built);
}

static void test_host_names(void **state)
{
    static const struct {
        const char *helo;
        const char *invalid; /* reject_invalid_helo_hostname */
        const char *partial; /* reject_non_fqdn_helo_hostname */
    } rows[] = {
        {"a.example",    "ok",                 "ok"                           },
        {"a_b.example.", "ok",                 "ok"                           },
        {"h",            "ok",                 "need fully-qualified hostname"},
        {"192.0.2.1",    "ok",                 "need fully-qualified hostname"},
        {"2001:db8::1",  "ok",                 "need fully-qualified hostname"},
        {"1.2.3",        "Invalid name",       "need fully-qualified hostname"},
        {"[192.0.2.1]",  "ok",                 "ok"                           },
        {"[IPv6:::1]",   "ok",                 "ok"                           },
        {"[192.0.2]",    "invalid ip address", "invalid ip address"           },
        {"-a.example",   "Invalid name",       "need fully-qualified hostname"},
        {"a-.example",   "Invalid name",       "need fully-qualified hostname"},
        {"a.example-",   "Invalid name",       "need fully-qualified hostname"},
        {"a.-b.example", "Invalid name",       "need fully-qualified hostname"},
        {"a--b.example", "ok",                 "ok"                           },
        {"a..example",   "Invalid name",       "need fully-qualified hostname"},
        {"a b.example",  "Invalid name",       "need fully-qualified hostname"},
        {".",            "Invalid name",       "need fully-qualified hostname"},
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        begin("smtpd_helo_restrictions = reject_invalid_helo_hostname\n");
        facts.helo = rows[i].helo;
        assert_non_null(strstr(run_all(NULL), rows[i].invalid));
        built_free(&built);
        begin("smtpd_helo_restrictions = reject_non_fqdn_helo_hostname\n");
        facts.helo = rows[i].helo;
        assert_non_null(strstr(run_all(NULL), rows[i].partial));
        built_free(&built);
    }
}

static void test_what_is_asked(void **state)
{
    static const struct {
        const char *sender;
        const char *asked;
    } rows[] = {
        {"b@example.net",          "mail example.net\n"   },
        {"\"a@b\"@x.example.net.", "mail x.example.net.\n"},
        {"b@[192.0.2.1]",          ""                     }, /* an address needs no name */
        {"b@b\xc3\xbc.example",    ""                     }, /* needs a form that is not made here */
        {"b",                      ""                     },
        {"b@-x.example",           ""                     },
        {"b@192.0.2.1",            ""                     },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        begin("smtpd_sender_restrictions = reject_unknown_sender_domain\n");
        facts.sender = rows[i].sender;
        run_found(DNS_FOUND);
        assert_string_equal(told, rows[i].asked);
        built_free(&built);
    }
}

static void test_names_that_cannot_be(void **state)
{
    begin("smtpd_sender_restrictions = reject_unknown_sender_domain\n");
    facts.sender = "b@-x.example";
    assert_string_equal(run_all(NULL),
                        "450 4.1.8 <b@-x.example>: Sender address rejected: Domain not found");
    built_free(&built);
}

static void test_ask_upstream(void **state)
{
    begin("smtpd_recipient_restrictions = reject_unverified_recipient\n");
    assert_string_equal(run_all(NULL), "ok");
    assert_true(run.ask_upstream);
    built_free(&built);
    begin("smtpd_recipient_restrictions = permit, reject_unlisted_recipient\n");
    assert_string_equal(run_all(NULL), "ok");
    assert_false(run.ask_upstream);
    built_free(&built);
    begin("smtpd_recipient_restrictions = warn_if_reject reject_unverified_recipient\n");
    assert_string_equal(run_all(NULL), "ok");
    assert_false(run.ask_upstream);
    built_free(&built);
}

/* ---- block lists ---- */

static void test_rbl_names(void **state)
{
    struct dns_answer none = {.found = DNS_NONE};

    begin("smtpd_client_restrictions = reject_rbl_client bl.example.org\n");
    assert_string_equal(run_all(&none), "ok");
    assert_string_equal(told, "address 9.113.0.203.bl.example.org\n");
    facts.client_address = "2001:db8::9";
    assert_string_equal(run_all(&none), "ok");
    assert_string_equal(told, "address 9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
                              "8.b.d.0.1.0.0.2.bl.example.org\n");
    facts.client_address = "unknown";
    assert_string_equal(run_all(NULL), "ok");
    built_free(&built);
}

static void test_rbl_answers(void **state)
{
    static const struct {
        struct dns_answer answer;
        const char *reply;
        bool noted;
    } rows[] = {
        {{DNS_FOUND, {{127, 0, 0, 2}}, 1, "spam\nsource"},
         "554 5.7.1 Service unavailable; Client host [203.0.113.9] blocked using bl.example.org; "
         "spam\nsource",                                                                          false},
        {{DNS_FOUND, {{127, 0, 0, 1}, {127, 0, 0, 9}}, 2, ""},
         "554 5.7.1 Service unavailable; Client host [203.0.113.9] blocked using bl.example.org", false},
        {{DNS_FOUND, {{127, 0, 0, 1}}, 1, ""},                       "ok",                        false},
        {{DNS_FOUND, {{192, 0, 2, 2}}, 1, ""},                       "ok",                        false},
        {{DNS_FOUND, {{0}}, 0, ""},                                  "ok",                        false},
        {{DNS_FOUND, {{127, 255, 255, 254}}, 1, ""},                 "ok",                        true },
        {{DNS_FOUND, {{127, 0, 0, 2}, {127, 255, 255, 252}}, 2, ""}, "ok",                        true },
        {{DNS_NONE, {{0}}, 0, ""},                                   "ok",                        false},
        {{DNS_TROUBLE, {{0}}, 0, ""},                                "ok",                        true },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        begin("smtpd_client_restrictions = reject_rbl_client bl.example.org\n");
        assert_string_equal(run_all(&rows[i].answer), rows[i].reply);
        assert_int_equal(strstr(told, "note bl.example.org: RBL lookup error: ") != NULL,
                         rows[i].noted);
        built_free(&built);
    }
}

/* The answer about one list is not taken for that about the next. */
static void test_rbl_one_after_the_other(void **state)
{
    struct dns_answer listed = {DNS_FOUND, {{127, 0, 0, 2}}, 1, ""};
    struct dns_answer none = {.found = DNS_NONE};

    begin("smtpd_client_restrictions = warn_if_reject reject_rbl_client a.example, "
          "reject_rbl_client b.example\n");
    policy_begin(&run, RESTRICT_CLIENT, RESTRICT_RECIPIENT);
    assert_int_equal(policy_next(&run, &facts), POLICY_ASK);
    policy_answer(&run, &listed);
    assert_int_equal(policy_next(&run, &facts), POLICY_ASK);
    assert_int_equal(run.question, DNS_TEXT);
    policy_answer(&run, &none);
    assert_int_equal(policy_next(&run, &facts), POLICY_WARN);
    assert_int_equal(policy_next(&run, &facts), POLICY_ASK);
    assert_string_equal(run.name, "9.113.0.203.b.example");
    assert_int_equal(run.question, DNS_ADDRESS);
    policy_answer(&run, &none);
    assert_int_equal(policy_next(&run, &facts), POLICY_ACCEPT);
    built_free(&built);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_set),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_refusal_ends_all),
        cmocka_unit_test(test_deferral),
        cmocka_unit_test(test_warn_does_not_defer),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_nothing_to_say),
        cmocka_unit_test(test_clients),
        cmocka_unit_test(test_permit_mynetworks),
        cmocka_unit_test(test_pipelining),
        cmocka_unit_test(test_host_names),
        cmocka_unit_test(test_what_is_asked),
        cmocka_unit_test(test_names_that_cannot_be),
        cmocka_unit_test(test_ask_upstream),
        cmocka_unit_test(test_rbl_names),
        cmocka_unit_test(test_rbl_answers),
        cmocka_unit_test(test_rbl_one_after_the_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
