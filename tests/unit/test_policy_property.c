/*
 * test_policy_property - not a relay (DESIGN P5): whatever the settings say, whoever the client is,
 * and whatever the DNS answers, no recipient outside relay_domains is accepted, unless the client
 * is in mynetworks and the settings have a way out
 *
 * Settings are drawn from the whole table: random lists of all words, random networks and domains,
 * and now and then another value for any other setting. Each configuration that can be built is
 * played a session with recipients of many forms, by strangers and by clients in mynetworks: there
 * is no route outwards yet that trust could lead to. What counts as ours is decided here anew, from
 * the domains that were drawn.
 */
#include "session_fixture.h"

#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS(a)      (sizeof(a) / sizeof(a)[0])
#define ROUNDS       4000
#define VARIABLE_CAP 4096

static uint32_t seed = 20251125;

static size_t draw(size_t count)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % count;
}

/* The first PERMITS of them refuse none of ours. */
#define PERMITS 5
static const char *const words[] = {
    "permit",
    "permit_mynetworks",
    "permit_auth_destination",
    "permit_sasl_authenticated",
    "reject_unlisted_sender",
    "reject_sender_login_mismatch",
    "reject_authenticated_sender_login_mismatch",
    "reject_unauthenticated_sender_login_mismatch",
    "reject_known_sender_login_mismatch",
    "reject",
    "defer",
    "defer_if_permit",
    "reject_unauth_destination",
    "defer_unauth_destination",
    "check_relay_domains",
    "warn_if_reject",
    "sleep 1",
    "reject_unauth_pipelining",
    "reject_unknown_client_hostname",
    "reject_unknown_reverse_client_hostname",
    "reject_rbl_client clean.example.org",
    "reject_plaintext_session",
    "reject_rbl_client bl.example.org",
    "reject_invalid_helo_hostname",
    "reject_non_fqdn_helo_hostname",
    "reject_unknown_helo_hostname",
    "reject_non_fqdn_sender",
    "reject_unknown_sender_domain",
    "reject_non_fqdn_recipient",
    "reject_unknown_recipient_domain",
    "reject_unlisted_recipient",
    "reject_unverified_recipient",
    "reject_multi_recipient_bounce",
};

static const char *const domains[] = {
    "example.com", ".example.com", "example.org", ".org", "com", "mail.example.net.", "EXAMPLE.COM",
};

static const char *const networks[] = {
    "127.0.0.0/8", "0.0.0.0/0", "[::]/0", "203.0.113.0/24", "10.0.0.0/8", "192.0.2.1",
};

static const char *const recipients[] = {
    "alice@example.com",
    "alice@Example.COM.",
    "alice@mail.example.com",
    "alice@example.org",
    "alice@example.net",
    "alice@mail.example.net",
    "alice@com",
    "alice@notexample.com",
    "alice@example.com.example.net",
    "alice%example.net@example.com",
    "\"alice@example.net\"@example.com",
    "\"alice@example.com\"@example.net",
    "@example.com:alice@example.net",
    "@example.net:alice@example.com",
    "example.net!alice@example.com",
    "alice@[127.0.0.1]",
    "alice@[203.0.113.9]",
    "alice@[IPv6:::1]",
    "alice",
    "postmaster",
    "POSTMASTER",
    "postmaster@example.net",
    "alice@.example.com",
    "alice@example.com@example.net",
    "unknown@example.com",
    "",
};

/* The domains of this round, as drawn. */
static const char *ours[4];
static size_t ours_count;

static bool is_entry_of(const char *entry, struct span domain)
{
    struct span name = span_of(entry);

    if (name.ptr[name.len - 1] == '.')
        name.len--;
    return name.ptr[0] == '.' ? domain.len > name.len && span_ends_nocase(domain, name)
                              : span_equal_nocase(domain, name);
}

static bool is_ours(const char *address)
{
    struct span domain = span_of(strrchr(address, '@') ? strrchr(address, '@') + 1 : "");

    if (domain.len > 0 && domain.ptr[domain.len - 1] == '.')
        domain.len--;
    for (size_t i = 0; i < ours_count; i++) {
        if (is_entry_of(ours[i], domain))
            return true;
    }
    return false;
}

/* ---- settings ---- */

static char variables[200][VARIABLE_CAP];
static const char *environment[201];
static size_t variable_count;

static void add_variable(const char *name, const char *value)
{
    assert_true(variable_count < 200);
    snprintf(variables[variable_count], VARIABLE_CAP, "POSTFIX_%s=%s", name, value);
    environment[variable_count] = variables[variable_count];
    environment[++variable_count] = NULL;
}

static void add_list(const char *name, const char *const *from, size_t from_count, size_t most)
{
    char value[2048] = "";

    for (size_t i = draw(most + 1); i > 0; i--) {
        strcat(value, from[draw(from_count)]);
        strcat(value, i > 1 ? ", " : "");
    }
    if (value[0])
        add_variable(name, value);
}

static void add_domains(void)
{
    char value[512] = "";

    ours_count = 1 + draw(ROWS(ours));
    for (size_t i = 0; i < ours_count; i++) {
        ours[i] = domains[draw(ROWS(domains))];
        strcat(value, ours[i]);
        strcat(value, " ");
    }
    add_variable("relay_domains", value);
}

/* Any other setting, with a value from the ends of its range. */
static void add_other(const struct setting *s)
{
    struct span choices = span_of(s->def);
    struct span choice = {NULL, 0};
    char value[100] = "yes";
    uint64_t number = draw(2) ? s->min : s->max;

    if (s->kind == SETTING_text || s->kind == SETTING_words)
        return;
    if (s->kind == SETTING_flag && draw(2))
        memcpy(value, "no", 3);
    if (s->kind == SETTING_number || s->kind == SETTING_bytes)
        snprintf(value, sizeof value, "%llu", (unsigned long long)number);
    if (s->kind == SETTING_time)
        snprintf(value, sizeof value, "%llums", (unsigned long long)number);
    if (s->kind == SETTING_choice) {
        for (size_t i = draw(4) + 1; i > 0 && span_next_word(&choices, "|", &choice); i--)
            snprintf(value, sizeof value, "%.*s", (int)choice.len, choice.ptr);
    }
    add_variable(s->name, value);
}

/* NULL when what was drawn cannot be started with. */
static struct config *draw_config(void)
{
    static const char *const lists[] = {"smtpd_client_restrictions",    "smtpd_helo_restrictions",
                                        "smtpd_sender_restrictions",    "smtpd_relay_restrictions",
                                        "smtpd_recipient_restrictions", "smtpd_data_restrictions"};
    struct config_source source = {.environment = environment, .system_hostname = "mx.example.com"};
    struct config *config = NULL;

    variable_count = 0;
    add_variable("relay_transport", "lmtp:[192.0.2.10]:24");
    add_domains();
    for (size_t i = 0; i < ROWS(lists); i++)
        add_list(lists[i], words, draw(2) ? PERMITS : ROWS(words), draw(2) ? 1 : 4);
    add_list("mynetworks", networks, ROWS(networks), 3);
    if (draw(4) == 0)
        add_list("allowed_sender_domains", domains, ROWS(domains), 2);
    if (draw(4) == 0)
        add_variable("outbound", "direct");
    for (size_t i = 0; i < settings_count; i++) {
        if (draw(20) == 0)
            add_other(&settings[i]);
    }
    config_build(&source, NULL, NULL, &config);
    return config;
}

/* ---- sessions ---- */

static size_t relayed; /* recipients outside relay_domains that were accepted, and might be */

static bool is_trusted(const struct config *config)
{
    unsigned char address[16];

    assert_true(cidr_address_parse(SPAN_LIT("203.0.113.9"), address));
    return cidr_list_match(&config->networks, address);
}

/* Not by config/way, which is what is put to the test. */
static bool has_way_out(const struct config *config)
{
    return config->relayhost[0] || config->outbound == OUTBOUND_DIRECT ||
           config->sender_dependent_relayhost_maps[0];
}

static void check_envelope(const struct envelope *e, bool may_relay)
{
    for (size_t i = 0; e && i < e->recipient_count; i++) {
        if (is_ours(e->recipients[i].address))
            continue;
        relayed++;
        if (may_relay)
            continue;
        for (size_t k = 0; k < variable_count; k++)
            fprintf(stderr, "%s\n", variables[k]);
        fail_msg("accepted: %s", e->recipients[i].address);
    }
}

static const char *const senders[] = {"bob@example.net", "", "bob@missing.example.net", "bob",
                                      "alice@example.com"};

/* Returns how many recipients were accepted. */
static size_t play(struct fixture *f)
{
    char line[400];
    size_t accepted;

    fixture_connect(f, is_trusted(f->config));
    f->peer_name = draw(2) ? "client.example.net" : "unknown";
    session_start(&f->session);
    fixture_say(f, draw(2) ? "EHLO h.example.net\r\n" : "HELO [x\r\n");
    snprintf(line, sizeof line, "MAIL FROM:<%s>\r\n", senders[draw(ROWS(senders))]);
    fixture_say(f, line);
    for (size_t i = 0; i < 12; i++) {
        snprintf(line, sizeof line, "RCPT TO:<%s>\r\n", recipients[draw(ROWS(recipients))]);
        fixture_say(f, line);
    }
    check_envelope(f->session.envelope, is_trusted(f->config) && has_way_out(f->config));
    accepted = f->session.envelope ? f->session.envelope->recipient_count : 0;
    fixture_end(f);
    return accepted;
}

static void test_no_settings_make_a_relay(void **state)
{
    size_t built = 0;
    size_t accepted = 0;
    struct fixture f;

    fixture_init(&f, NULL);
    for (size_t round = 0; round < ROUNDS; round++) {
        struct config *config = draw_config();

        if (!config)
            continue;
        built++;
        config_unref(&f.config);
        f.config = config;
        f.when = round % 2 ? FIXTURE_NOW : FIXTURE_LATER;
        accepted += play(&f);
    }
    fixture_free(&f);
    assert_true(built > ROUNDS / 2);    /* else the settings are drawn badly */
    assert_true(accepted > ROUNDS / 2); /* else nothing was put to the test */
    assert_true(relayed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_settings_make_a_relay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
