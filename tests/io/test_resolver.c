/* Tests of net/resolver against a name server of the test's own. */
#include "dns_fixture.h"

#include "net/resolver.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REVERSE  "1.2.0.192.in-addr.arpa" /* 192.0.2.1 */
#define NAME     "mail.example.org"
#define SOON_MS  150
#define LATER_MS 10000

static struct loop_fixture f;
static struct dns_fixture dns;
static struct resolver resolver;
static bool resolver_open;

struct asked {
    struct resolver_query *query;
    unsigned answers;
    char name[256];
    enum dns_found reverse, verified;
    struct sockaddr_storage addresses[RESOLVER_ADDRESSES_MAX];
    size_t count;
    char error[200];
    struct asked *then; /* asked from within the answer */
};

static void on_resolver_closed(void *ctx)
{
    resolver_open = false;
}

static int setup(void **state)
{
    struct errbuf err = {""};

    loop_begin(&f);
    dns_begin(&dns, &f);
    assert_int_equal(resolver_init(&resolver, &f.loop, dns.servers, &err), 0);
    resolver_open = true;
    return 0;
}

static void close_resolver(void)
{
    resolver_close(&resolver, on_resolver_closed, NULL);
    loop_wait(&f, !resolver_open);
    assert_null(resolver.queries);
    assert_null(resolver.sockets);
}

static int teardown(void **state)
{
    if (resolver_open)
        close_resolver();
    dns_end(&dns);
    loop_end(&f);
    return 0;
}

static void ask_name(struct asked *a, const char *address, uint64_t timeout_ms);

static void on_name(void *ctx, const struct resolver_peer *peer)
{
    struct asked *a = ctx;
    const char *name = peer->name;

    a->query = NULL;
    a->reverse = peer->reverse;
    a->verified = peer->verified;
    a->answers++;
    assert_int_equal(a->answers, 1);
    assert_true(strlen(name) < sizeof a->name);
    memcpy(a->name, name, strlen(name) + 1);
    if (a->then)
        ask_name(a->then, "192.0.2.1", LATER_MS);
}

static void ask_name(struct asked *a, const char *address, uint64_t timeout_ms)
{
    struct sockaddr_storage peer = {0};

    if (uv_ip4_addr(address, 25, (struct sockaddr_in *)&peer) != 0)
        assert_int_equal(uv_ip6_addr(address, 25, (struct sockaddr_in6 *)&peer), 0);
    a->query = resolver_peer_name(&resolver, (struct sockaddr *)&peer, timeout_ms, on_name, a);
    if (a->answers > 0)
        a->query = NULL;
}

static void on_addresses(void *ctx, const struct sockaddr_storage *addresses, size_t count,
                         const char *error)
{
    struct asked *a = ctx;

    a->answers++;
    assert_int_equal(a->answers, 1);
    assert_true(count <= RESOLVER_ADDRESSES_MAX);
    assert_true(count > 0 || error);
    if (count > 0)
        memcpy(a->addresses, addresses, count * sizeof *addresses);
    a->count = count;
    if (count == 0)
        memcpy(a->error, error, strlen(error) + 1);
}

static void ask_addresses(struct asked *a, const char *host, int family, uint64_t timeout_ms)
{
    a->query = resolver_addresses(&resolver, host, 2424, family, timeout_ms, on_addresses, a);
}

static const char *name_of(const char *address)
{
    static struct asked a;

    memset(&a, 0, sizeof a);
    ask_name(&a, address, LATER_MS);
    loop_wait(&f, a.answers == 1);
    return a.name;
}

static bool has_address(const struct asked *a, const char *address)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct sockaddr_storage *s = &a->addresses[i];
        char text[64];

        if (s->ss_family == AF_INET) {
            uv_ip4_name((const struct sockaddr_in *)s, text, sizeof text);
            assert_int_equal(ntohs(((const struct sockaddr_in *)s)->sin_port), 2424);
        } else {
            uv_ip6_name((const struct sockaddr_in6 *)s, text, sizeof text);
            assert_int_equal(ntohs(((const struct sockaddr_in6 *)s)->sin6_port), 2424);
        }
        if (strcmp(text, address) == 0)
            return true;
    }
    return false;
}

/* ---- a client's name ---- */

static void a_name_that_points_back_counts(void **state)
{
    dns_add(&dns, REVERSE, DNS_PTR, NAME);
    dns_add(&dns, NAME, DNS_A, "192.0.2.1");
    assert_string_equal(name_of("192.0.2.1"), NAME);
}

static void one_of_several_addresses_is_enough(void **state)
{
    dns_add(&dns, REVERSE, DNS_PTR, NAME);
    dns_add(&dns, NAME, DNS_A, "192.0.2.7");
    dns_add(&dns, NAME, DNS_A, "192.0.2.1");
    dns_add(&dns, NAME, DNS_AAAA, "2001:db8::1");
    assert_string_equal(name_of("192.0.2.1"), NAME);
}

static void ipv6_works_alike(void **state)
{
    dns_add(&dns, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
            DNS_PTR, NAME);
    dns_add(&dns, NAME, DNS_AAAA, "2001:db8::1");
    assert_string_equal(name_of("2001:db8::1"), NAME);
}

static void a_name_that_points_elsewhere_does_not_count(void **state)
{
    dns_add(&dns, REVERSE, DNS_PTR, NAME);
    dns_add(&dns, NAME, DNS_A, "192.0.2.2");
    assert_string_equal(name_of("192.0.2.1"), "unknown");
}

static void a_name_without_address_does_not_count(void **state)
{
    dns_add(&dns, REVERSE, DNS_PTR, NAME);
    assert_string_equal(name_of("192.0.2.1"), "unknown");
    dns_add(&dns, NAME, DNS_AAAA, "2001:db8::1"); /* of the other family only */
    assert_string_equal(name_of("192.0.2.1"), "unknown");
}

static void no_name_at_all(void **state)
{
    assert_string_equal(name_of("192.0.2.1"), "unknown");
    dns_add(&dns, REVERSE, DNS_PTR, NAME);
    dns_set_manner(&dns, REVERSE, DNS_REFUSE);
    assert_string_equal(name_of("192.0.2.1"), "unknown");
}

static void a_name_of_strange_bytes_does_not_count(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } labels[] = {
        {"a\r\nb",   4},
        {"a b",      3},
        {"a<b>",     4},
        {"\x80\xff", 2},
        {"a\0b",     3},
        {"a.b",      3},
        {"a_\x1b[",  4},
        {"../etc",   6},
        {"\"a\"",    3},
        {"a;b",      3},
    };

    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++) {
        char reverse[40], address[40];

        snprintf(reverse, sizeof reverse, "%zu.2.0.192.in-addr.arpa", i + 10);
        snprintf(address, sizeof address, "192.0.2.%zu", i + 10);
        dns_add_raw_ptr(&dns, reverse, labels[i].bytes, labels[i].len);
        assert_string_equal(name_of(address), "unknown");
    }
}

/* "127.0.3.10" as a name would be taken for an address, and found to point back without any
 * question. */
static void a_name_that_is_a_number_does_not_count(void **state)
{
    static const char *const names[] = {"192.0.2.10", "3221225995", "192.0.524", "a.b.7"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char reverse[40], address[40];

        snprintf(reverse, sizeof reverse, "%zu.2.0.192.in-addr.arpa", i + 10);
        snprintf(address, sizeof address, "192.0.2.%zu", i + 10);
        dns_add(&dns, reverse, DNS_PTR, names[i]);
        dns_add(&dns, names[i], DNS_A, address);
        assert_string_equal(name_of(address), "unknown");
    }
}

static void a_name_with_an_underscore_counts(void **state)
{
    dns_add(&dns, REVERSE, DNS_PTR, "win_host-1.example.org");
    dns_add(&dns, "win_host-1.example.org", DNS_A, "192.0.2.1");
    assert_string_equal(name_of("192.0.2.1"), "win_host-1.example.org");
}

static void a_truncated_answer_is_asked_for_by_tcp(void **state)
{
    dns_add(&dns, REVERSE, DNS_PTR, NAME);
    dns_add(&dns, NAME, DNS_A, "192.0.2.1");
    dns_set_manner(&dns, REVERSE, DNS_TRUNCATE);
    assert_string_equal(name_of("192.0.2.1"), NAME);
    assert_int_equal(dns.by_tcp, 1);
}

static void garbage_is_no_answer(void **state)
{
    struct asked a = {0};

    dns_add(&dns, REVERSE, DNS_PTR, NAME);
    dns_set_manner(&dns, REVERSE, DNS_GARBAGE);
    ask_name(&a, "192.0.2.1", SOON_MS);
    loop_wait(&f, a.answers == 1);
    assert_string_equal(a.name, "unknown");
}

/* ---- time ---- */

static void silence_ends_at_the_deadline(void **state)
{
    struct asked a = {0};
    uint64_t begun = uv_hrtime();

    dns_add(&dns, REVERSE, DNS_PTR, NAME);
    dns_set_manner(&dns, REVERSE, DNS_SILENT);
    ask_name(&a, "192.0.2.1", SOON_MS);
    assert_int_equal(a.answers, 0);
    loop_wait(&f, a.answers == 1);
    assert_string_equal(a.name, "unknown");
    assert_true(uv_hrtime() - begun >= (uint64_t)SOON_MS * 1000000 - 2000000);
}

static void silence_about_the_forward_name_likewise(void **state)
{
    struct asked a = {0};

    dns_add(&dns, REVERSE, DNS_PTR, NAME);
    dns_add(&dns, NAME, DNS_A, "192.0.2.1");
    dns_set_manner(&dns, NAME, DNS_SILENT);
    ask_name(&a, "192.0.2.1", SOON_MS);
    loop_wait(&f, a.answers == 1);
    assert_string_equal(a.name, "unknown");
}

static void an_answer_after_the_deadline_is_for_nobody(void **state)
{
    struct asked a = {0};

    dns_add(&dns, REVERSE, DNS_PTR, NAME);
    dns_add(&dns, NAME, DNS_A, "192.0.2.1");
    dns_set_manner(&dns, REVERSE, DNS_SILENT);
    ask_name(&a, "192.0.2.1", SOON_MS);
    loop_wait(&f, a.answers == 1);
    dns_release(&dns); /* on_name fails the test when it is called again */
    loop_wait(&f, !resolver.queries);
}

static void whoever_hears_of_a_deadline_may_ask_anew(void **state)
{
    struct asked again[3] = {0};
    struct asked a[3] = {{.then = &again[0]}, {.then = &again[1]}, {.then = &again[2]}};

    dns_add(&dns, "9.2.0.192.in-addr.arpa", DNS_PTR, NAME);
    dns_set_manner(&dns, "9.2.0.192.in-addr.arpa", DNS_SILENT);
    dns_add(&dns, REVERSE, DNS_PTR, NAME);
    dns_add(&dns, NAME, DNS_A, "192.0.2.1");
    for (size_t i = 0; i < 3; i++)
        ask_name(&a[i], "192.0.2.9", SOON_MS);
    resolver_cancel(&a[1].query);
    loop_wait(&f, again[0].answers == 1 && again[2].answers == 1);
    assert_string_equal(again[0].name, NAME);
    assert_string_equal(again[2].name, NAME);
    assert_int_equal(a[1].answers, 0);
}

/* ---- cancel and close ---- */

static void a_cancelled_question_is_not_answered(void **state)
{
    struct asked a = {0};

    dns_add(&dns, REVERSE, DNS_PTR, NAME);
    dns_set_manner(&dns, REVERSE, DNS_SILENT);
    ask_name(&a, "192.0.2.1", LATER_MS);
    assert_non_null(a.query);
    loop_wait(&f, dns.held_count > 0);
    resolver_cancel(&a.query);
    assert_null(a.query);
    resolver_cancel(&a.query);
    dns_release(&dns);
    loop_wait(&f, !resolver.queries);
    assert_int_equal(a.answers, 0);
}

static void close_with_questions_pending(void **state)
{
    struct asked a[20] = {0};

    dns_add(&dns, REVERSE, DNS_PTR, NAME);
    dns_add(&dns, NAME, DNS_A, "192.0.2.1");
    dns_set_manner(&dns, REVERSE, DNS_SILENT);
    dns_set_manner(&dns, NAME, DNS_SILENT);
    for (size_t i = 0; i < 20; i++) {
        if (i % 2 == 0)
            ask_name(&a[i], "192.0.2.1", LATER_MS);
        else
            ask_addresses(&a[i], NAME, AF_UNSPEC, LATER_MS);
        if (i % 3 == 0)
            resolver_cancel(&a[i].query);
    }
    loop_turn(&f);
    close_resolver();
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(a[i].answers, 0);
}

static void close_without_any_question(void **state)
{
    close_resolver();
}

static void there_are_never_too_many(void **state)
{
    struct asked *a = calloc(RESOLVER_QUERIES_MAX + 2, sizeof *a);
    struct asked *last;
    uint64_t answered = 0;

    assert_non_null(a);
    last = &a[RESOLVER_QUERIES_MAX];
    dns_add(&dns, REVERSE, DNS_PTR, NAME);
    dns_add(&dns, NAME, DNS_A, "192.0.2.1");
    dns_set_manner(&dns, REVERSE, DNS_SILENT);
    dns_set_manner(&dns, NAME, DNS_SILENT);
    for (size_t i = 0; i < RESOLVER_STRANGERS_MAX; i++) {
        ask_name(&a[i], "192.0.2.1", LATER_MS);
        answered += a[i].answers;
    }
    assert_int_equal(answered, 0);
    ask_name(last, "192.0.2.1", LATER_MS);
    assert_int_equal(last->answers, 1);
    assert_null(last->query);
    for (size_t i = RESOLVER_STRANGERS_MAX; i < RESOLVER_QUERIES_MAX; i++) {
        ask_addresses(&a[i], NAME, AF_INET, LATER_MS);
        answered += a[i].answers;
    }
    assert_int_equal(answered, 0);
    ask_addresses(&last[1], NAME, AF_INET, LATER_MS);
    assert_int_equal(last[1].answers, 1);
    assert_string_equal(last[1].error, "too many name look-ups");
    close_resolver();
    free(a);
}

/* As many strangers as may ask, about names that nobody answers for: what the upstream needs is
 * found all the same. */
static void a_flood_of_strangers_hides_no_destination(void **state)
{
    struct asked *a = calloc(RESOLVER_STRANGERS_MAX + 1, sizeof *a);
    struct asked destination = {0};

    assert_non_null(a);
    dns_add(&dns, REVERSE, DNS_PTR, NAME);
    dns_set_manner(&dns, REVERSE, DNS_SILENT);
    dns_add(&dns, "upstream.example.net", DNS_A, "192.0.2.53");
    for (size_t i = 0; i <= RESOLVER_STRANGERS_MAX; i++) {
        ask_name(&a[i], "192.0.2.1", LATER_MS);
        if (i % 50 == 0) /* the name server's socket would lose what it is not given time to take */
            loop_wait(&f, dns.by_udp > i);
    }
    assert_int_equal(a[RESOLVER_STRANGERS_MAX].answers, 1);
    ask_addresses(&destination, "upstream.example.net", AF_INET, LATER_MS);
    loop_wait(&f, destination.answers == 1);
    assert_true(has_address(&destination, "192.0.2.53"));
    close_resolver();
    free(a);
}

/* ---- a host's addresses ---- */

static void numbers_need_no_server(void **state)
{
    struct asked a = {0}, b = {0};

    ask_addresses(&a, "192.0.2.53", AF_UNSPEC, LATER_MS);
    assert_null(a.query);
    assert_int_equal(a.answers, 1);
    assert_true(has_address(&a, "192.0.2.53"));
    ask_addresses(&b, "2001:db8::53", AF_UNSPEC, LATER_MS);
    assert_int_equal(b.answers, 1);
    assert_true(has_address(&b, "2001:db8::53"));
    assert_int_equal(dns.by_udp, 0);
}

static void both_families_or_one(void **state)
{
    struct asked both = {0}, v4 = {0}, v6 = {0};

    dns_add(&dns, NAME, DNS_A, "192.0.2.1");
    dns_add(&dns, NAME, DNS_AAAA, "2001:db8::1");
    ask_addresses(&both, NAME, AF_UNSPEC, LATER_MS);
    ask_addresses(&v4, NAME, AF_INET, LATER_MS);
    ask_addresses(&v6, NAME, AF_INET6, LATER_MS);
    loop_wait(&f, both.answers && v4.answers && v6.answers);
    assert_int_equal(both.count, 2);
    assert_true(has_address(&both, "192.0.2.1") && has_address(&both, "2001:db8::1"));
    assert_int_equal(v4.count, 1);
    assert_true(has_address(&v4, "192.0.2.1"));
    assert_int_equal(v6.count, 1);
    assert_true(has_address(&v6, "2001:db8::1"));
}

static void more_addresses_than_are_kept(void **state)
{
    struct asked a = {0};
    char address[40];

    for (int i = 1; i <= RESOLVER_ADDRESSES_MAX + 9; i++) {
        snprintf(address, sizeof address, "192.0.2.%d", i);
        dns_add(&dns, NAME, DNS_A, address);
    }
    ask_addresses(&a, NAME, AF_INET, LATER_MS);
    loop_wait(&f, a.answers == 1);
    assert_int_equal(a.count, RESOLVER_ADDRESSES_MAX);
}

static void why_there_is_no_address(void **state)
{
    struct asked none = {0}, silent = {0};

    ask_addresses(&none, "none.example.org", AF_UNSPEC, LATER_MS);
    loop_wait(&f, none.answers == 1);
    assert_int_equal(none.count, 0);
    assert_string_not_equal(none.error, "");
    dns_add(&dns, NAME, DNS_A, "192.0.2.1");
    dns_set_manner(&dns, NAME, DNS_SILENT);
    ask_addresses(&silent, NAME, AF_UNSPEC, SOON_MS);
    loop_wait(&f, silent.answers == 1);
    assert_string_equal(silent.error, "name look-up timed out");
}

/* ---- questions about records ---- */

static struct {
    struct resolver_query *query;
    unsigned answers;
    char name[300];
    struct dns_answer answer;
} record;

static void on_record(void *ctx, enum dns_question question, const char *name,
                      const struct dns_answer *answer)
{
    record.query = NULL;
    record.answers++;
    record.answer = *answer;
    memcpy(record.name, name, strlen(name) + 1);
}

static void ask_record(enum dns_question question, const char *name, uint64_t timeout_ms)
{
    memset(&record, 0, sizeof record);
    record.query = resolver_ask(&resolver, question, name, timeout_ms, on_record, NULL);
}

static enum dns_found found(enum dns_question question, const char *name)
{
    ask_record(question, name, LATER_MS);
    loop_wait(&f, record.answers == 1);
    assert_string_equal(record.name, name);
    return record.answer.found;
}

static void where_mail_can_go(void **state)
{
    dns_add(&dns, "mx.example", DNS_MX, "mail.example");
    dns_add(&dns, "a.example", DNS_A, "192.0.2.1");
    dns_add(&dns, "six.example", DNS_AAAA, "2001:db8::1");
    dns_add(&dns, "text.example", DNS_TXT, "no address");
    dns_add(&dns, "null.example", DNS_MX, "");
    dns_add(&dns, "both.example", DNS_MX, "");
    dns_add(&dns, "both.example", DNS_MX, "mail.example");
    assert_int_equal(found(DNS_MAIL_HOST, "mx.example"), DNS_FOUND);
    assert_int_equal(dns.by_udp, 1);
    assert_int_equal(found(DNS_MAIL_HOST, "a.example"), DNS_FOUND);
    assert_int_equal(found(DNS_MAIL_HOST, "six.example"), DNS_FOUND);
    assert_int_equal(found(DNS_MAIL_HOST, "text.example"), DNS_NONE);
    assert_int_equal(found(DNS_MAIL_HOST, "null.example"), DNS_NULL_MX);
    assert_int_equal(found(DNS_MAIL_HOST, "both.example"), DNS_FOUND);
    dns.by_udp = 0;
    assert_int_equal(found(DNS_MAIL_HOST, "missing.example"), DNS_NONE);
    assert_int_equal(dns.by_udp, 1); /* it does not exist: there is nothing more to ask */
}

static void trouble_is_not_none(void **state)
{
    dns_add(&dns, NAME, DNS_MX, "mail.example");
    dns_set_manner(&dns, NAME, DNS_REFUSE);
    assert_int_equal(found(DNS_MAIL_HOST, NAME), DNS_TROUBLE);
    assert_int_equal(found(DNS_ADDRESS, NAME), DNS_TROUBLE);
    assert_int_equal(found(DNS_TEXT, NAME), DNS_TROUBLE);
    dns_set_manner(&dns, NAME, DNS_GARBAGE);
    ask_record(DNS_MAIL_HOST, NAME, SOON_MS);
    loop_wait(&f, record.answers == 1);
    assert_int_equal(record.answer.found, DNS_TROUBLE);
}

static void a_record_by_tcp(void **state)
{
    dns_add(&dns, NAME, DNS_MX, "mail.example");
    dns_set_manner(&dns, NAME, DNS_TRUNCATE);
    assert_int_equal(found(DNS_MAIL_HOST, NAME), DNS_FOUND);
    assert_int_equal(dns.by_tcp, 1);
}

/* One deadline for all look-ups of a question; an answer after it is for nobody. */
static void a_question_ends_at_its_deadline(void **state)
{
    dns_add(&dns, NAME, DNS_AAAA, "2001:db8::1");
    dns_set_manner(&dns, NAME, DNS_SILENT);
    ask_record(DNS_MAIL_HOST, NAME, SOON_MS);
    loop_wait(&f, record.answers == 1);
    assert_int_equal(record.answer.found, DNS_TROUBLE);
    dns_set_manner(&dns, NAME, DNS_ANSWER);
    dns_release(&dns);
    loop_wait(&f, !resolver.queries);
    assert_int_equal(record.answers, 1);
}

static void addresses_and_text(void **state)
{
    static const unsigned char second[4] = {127, 0, 0, 10};

    for (unsigned i = 0; i < DNS_ADDRESSES_MAX + 4; i++) {
        char address[20];

        snprintf(address, sizeof address, "127.0.0.%u", 9 + i);
        dns_add(&dns, NAME, DNS_A, address);
    }
    dns_add(&dns, NAME, DNS_TXT, "one \x01 text");
    assert_int_equal(found(DNS_ADDRESS, NAME), DNS_FOUND);
    assert_int_equal(record.answer.address_count, DNS_ADDRESSES_MAX);
    assert_memory_equal(record.answer.addresses[1], second, 4);
    assert_int_equal(found(DNS_TEXT, NAME), DNS_FOUND);
    assert_string_equal(record.answer.text, "one \x01 text");
    assert_int_equal(found(DNS_TEXT, "missing.example"), DNS_NONE);
    assert_string_equal(record.answer.text, "");
}

static void a_cancelled_record_is_not_told(void **state)
{
    dns_add(&dns, NAME, DNS_MX, "mail.example");
    ask_record(DNS_MAIL_HOST, NAME, LATER_MS);
    resolver_cancel(&record.query);
    loop_wait(&f, !resolver.queries);
    assert_int_equal(record.answers, 0);
}

static void records_pending_at_the_close(void **state)
{
    dns_add(&dns, NAME, DNS_A, "192.0.2.1");
    dns_set_manner(&dns, NAME, DNS_SILENT);
    ask_record(DNS_MAIL_HOST, NAME, LATER_MS);
    close_resolver();
    assert_int_equal(record.answers, 0);
}

static void a_name_that_cannot_be_asked_for(void **state)
{
    char name[300];

    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    ask_record(DNS_ADDRESS, name, LATER_MS);
    assert_int_equal(record.answers, 1);
    assert_int_equal(record.answer.found, DNS_TROUBLE);
    assert_null(resolver.queries);
}

/* ---- what is known of a client's name ---- */

static struct asked known;

static void expect_known(const char *address, enum dns_found reverse, enum dns_found verified)
{
    memset(&known, 0, sizeof known);
    ask_name(&known, address, LATER_MS);
    loop_wait(&f, known.answers == 1);
    assert_int_equal(known.reverse, reverse);
    assert_int_equal(known.verified, verified);
}

static void what_is_known_of_a_name(void **state)
{
    expect_known("192.0.2.1", DNS_NONE, DNS_NONE);
    dns_add(&dns, REVERSE, DNS_PTR, NAME);
    expect_known("192.0.2.1", DNS_FOUND, DNS_NONE);
    dns_add(&dns, NAME, DNS_A, "192.0.2.1");
    expect_known("192.0.2.1", DNS_FOUND, DNS_FOUND);
    dns_set_manner(&dns, NAME, DNS_REFUSE);
    expect_known("192.0.2.1", DNS_FOUND, DNS_TROUBLE);
    dns_set_manner(&dns, REVERSE, DNS_REFUSE);
    expect_known("192.0.2.1", DNS_TROUBLE, DNS_TROUBLE);
    dns_set_manner(&dns, REVERSE, DNS_SILENT);
    memset(&known, 0, sizeof known);
    ask_name(&known, "192.0.2.1", SOON_MS);
    loop_wait(&f, known.answers == 1);
    assert_int_equal(known.reverse, DNS_TROUBLE);
    assert_int_equal(known.verified, DNS_TROUBLE);
}

static void bad_servers_are_named(void **state)
{
    struct resolver other;
    struct errbuf err = {""};

    assert_true(resolver_init(&other, &f.loop, "not an address", &err) < 0);
    assert_non_null(strstr(err.text, "dns_servers"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_name_that_points_back_counts),
        TEST(one_of_several_addresses_is_enough),
        TEST(ipv6_works_alike),
        TEST(a_name_that_points_elsewhere_does_not_count),
        TEST(a_name_without_address_does_not_count),
        TEST(no_name_at_all),
        TEST(a_name_of_strange_bytes_does_not_count),
        TEST(a_name_that_is_a_number_does_not_count),
        TEST(a_name_with_an_underscore_counts),
        TEST(a_truncated_answer_is_asked_for_by_tcp),
        TEST(garbage_is_no_answer),
        TEST(silence_ends_at_the_deadline),
        TEST(silence_about_the_forward_name_likewise),
        TEST(an_answer_after_the_deadline_is_for_nobody),
        TEST(whoever_hears_of_a_deadline_may_ask_anew),
        TEST(a_cancelled_question_is_not_answered),
        TEST(close_with_questions_pending),
        TEST(close_without_any_question),
        TEST(there_are_never_too_many),
        TEST(a_flood_of_strangers_hides_no_destination),
        TEST(numbers_need_no_server),
        TEST(both_families_or_one),
        TEST(more_addresses_than_are_kept),
        TEST(why_there_is_no_address),
        TEST(where_mail_can_go),
        TEST(trouble_is_not_none),
        TEST(a_record_by_tcp),
        TEST(a_question_ends_at_its_deadline),
        TEST(addresses_and_text),
        TEST(a_cancelled_record_is_not_told),
        TEST(records_pending_at_the_close),
        TEST(a_name_that_cannot_be_asked_for),
        TEST(what_is_known_of_a_name),
        TEST(bad_servers_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
