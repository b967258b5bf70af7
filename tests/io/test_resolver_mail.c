/* Tests of resolver_mail_hosts against a name server of the test's own. */
#include "dns_fixture.h"

#include "net/resolver.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define LONG_MS  10000
#define SHORT_MS 300
#define PORT     2525

static struct loop_fixture f;
static struct dns_fixture dns;
static struct resolver resolver;
static bool resolver_open;
static struct resolver_mail_settings settings;

static unsigned answers;
static struct resolver_mail answer;
static char got[1000]; /* "name[address] ..." */

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
    settings = (struct resolver_mail_settings){
        .myhostname = "mx.example.com", .proxy_interfaces = "", .address_limit = 5};
    answers = 0;
    return 0;
}

static int teardown(void **state)
{
    resolver_close(&resolver, on_resolver_closed, NULL);
    loop_wait(&f, !resolver_open);
    assert_null(resolver.queries);
    dns_end(&dns);
    loop_end(&f);
    return 0;
}

static void on_mail(void *ctx, const struct resolver_mail *mail)
{
    answers++;
    answer = *mail;
    got[0] = '\0';
    for (size_t i = 0; i < mail->count; i++) {
        const struct sockaddr_storage *a = &mail->hosts[i].address;
        char numeric[64];

        if (a->ss_family == AF_INET)
            uv_ip4_name((const struct sockaddr_in *)a, numeric, sizeof numeric);
        else
            uv_ip6_name((const struct sockaddr_in6 *)a, numeric, sizeof numeric);
        assert_int_equal(((const struct sockaddr_in *)a)->sin_port, htons(PORT));
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s[%s]", i > 0 ? " " : "",
                 mail->hosts[i].name, numeric);
    }
}

static void ask_for(const char *domain, uint64_t timeout_ms)
{
    unsigned before = answers;

    resolver_mail_hosts(&resolver, domain, PORT, &settings, timeout_ms, on_mail, NULL);
    loop_wait(&f, answers > before);
    assert_int_equal(answers, before + 1);
}

static void expect(const char *domain, enum dns_found found, const char *hosts)
{
    ask_for(domain, LONG_MS);
    if (answer.found != found || strcmp(got, hosts) != 0)
        fail_msg("%s: %d %s (%s), not %d %s", domain, answer.found, got, answer.error, found,
                 hosts);
}

static void two_hosts(void)
{
    dns_add(&dns, "example.net", DNS_MX, "20 b.example.net");
    dns_add(&dns, "example.net", DNS_MX, "10 a.example.net");
    dns_add(&dns, "a.example.net", DNS_A, "198.51.100.1");
    dns_add(&dns, "b.example.net", DNS_A, "198.51.100.2");
}

static void by_preference(void **state)
{
    two_hosts();
    expect("example.net", DNS_FOUND, "a.example.net[198.51.100.1] b.example.net[198.51.100.2]");
}

static void no_mx_means_the_domain_itself(void **state)
{
    dns_add(&dns, "example.net", DNS_A, "198.51.100.9");
    expect("example.net", DNS_FOUND, "example.net[198.51.100.9]");
}

static void a_null_mx(void **state)
{
    dns_add(&dns, "example.net", DNS_MX, "0 ");
    dns_add(&dns, "example.net", DNS_A, "198.51.100.9");
    expect("example.net", DNS_NULL_MX, "");
}

static void a_domain_that_does_not_exist(void **state)
{
    expect("missing.example.net", DNS_NONE, "");
    assert_string_equal(answer.error, "Host not found");
}

static void a_domain_with_neither(void **state)
{
    dns_add(&dns, "example.net", DNS_TXT, "nothing here");
    expect("example.net", DNS_NONE, "");
    /* with one family only, it may have an address that we cannot use: not its fault */
    settings.family = RESOLVER_IPV4_ONLY;
    expect("example.net", DNS_TROUBLE, "");
}

/* Whatever is wrong with name servers says nothing of the domain. */
static void trouble(void **state)
{
    two_hosts();
    dns_set_manner(&dns, "example.net", DNS_REFUSE);
    expect("example.net", DNS_TROUBLE, "");
    dns_set_manner(&dns, "example.net", DNS_GARBAGE);
    ask_for("example.net", SHORT_MS);
    assert_int_equal(answer.found, DNS_TROUBLE);
    dns_set_manner(&dns, "example.net", DNS_SILENT);
    ask_for("example.net", SHORT_MS);
    assert_int_equal(answer.found, DNS_TROUBLE);
    assert_string_equal(answer.error, "name look-up timed out");
}

static void truncated_answers_come_by_tcp(void **state)
{
    two_hosts();
    dns_set_manner(&dns, "example.net", DNS_TRUNCATE);
    expect("example.net", DNS_FOUND, "a.example.net[198.51.100.1] b.example.net[198.51.100.2]");
    assert_true(dns.by_tcp > 0);
}

static void a_host_without_address_is_passed_over(void **state)
{
    two_hosts();
    dns_add(&dns, "example.net", DNS_MX, "5 gone.example.net");
    dns_add(&dns, "example.net", DNS_MX, "6 198.51.100.77");
    expect("example.net", DNS_FOUND, "a.example.net[198.51.100.1] b.example.net[198.51.100.2]");
}

/* The domain exists and wants mail: its hosts may come back. */
static void no_host_has_an_address(void **state)
{
    dns_add(&dns, "example.net", DNS_MX, "5 gone.example.net");
    expect("example.net", DNS_TROUBLE, "");
    dns_add(&dns, "example.org", DNS_MX, "5 198.51.100.77");
    expect("example.org", DNS_TROUBLE, "");
    assert_string_equal(answer.error, "its MX records name no host");
}

/* What is known when time is up is used. */
static void late_but_not_empty_handed(void **state)
{
    two_hosts();
    dns_set_manner(&dns, "b.example.net", DNS_SILENT);
    ask_for("example.net", SHORT_MS);
    assert_int_equal(answer.found, DNS_FOUND);
    assert_string_equal(got, "a.example.net[198.51.100.1]");
}

static void families(void **state)
{
    two_hosts();
    dns_add(&dns, "a.example.net", DNS_AAAA, "2001:db8::1");
    settings.family = RESOLVER_IPV6_FIRST;
    expect("example.net", DNS_FOUND,
           "a.example.net[2001:db8::1] a.example.net[198.51.100.1] b.example.net[198.51.100.2]");
    settings.family = RESOLVER_IPV4_FIRST;
    expect("example.net", DNS_FOUND,
           "a.example.net[198.51.100.1] a.example.net[2001:db8::1] b.example.net[198.51.100.2]");
    settings.family = RESOLVER_IPV6_ONLY;
    expect("example.net", DNS_FOUND, "a.example.net[2001:db8::1]");
    settings.family = RESOLVER_IPV4_ONLY;
    expect("example.net", DNS_FOUND, "a.example.net[198.51.100.1] b.example.net[198.51.100.2]");
}

static void not_more_addresses_than_allowed(void **state)
{
    two_hosts();
    for (unsigned i = 10; i < 30; i++) {
        char address[40];

        snprintf(address, sizeof address, "198.51.100.%u", i);
        dns_add(&dns, "a.example.net", DNS_A, address);
    }
    ask_for("example.net", LONG_MS);
    assert_int_equal(answer.count, 5);
    assert_null(strstr(got, "b.example.net"));
    settings.address_limit = 0;
    ask_for("example.net", LONG_MS);
    assert_int_equal(answer.count, RESOLVER_MAIL_MAX);
}

static void loops(void **state)
{
    two_hosts();
    settings.myhostname = "b.example.net"; /* the second: the first may be asked */
    expect("example.net", DNS_FOUND, "a.example.net[198.51.100.1]");
    settings.myhostname = "A.example.net";
    expect("example.net", DNS_TROUBLE, "");
    assert_true(answer.loops);
    settings.myhostname = "mx.example.com";
    settings.proxy_interfaces = "203.0.113.1, 198.51.100.2";
    expect("example.net", DNS_FOUND, "a.example.net[198.51.100.1]");
    settings.proxy_interfaces = "198.51.100.1";
    expect("example.net", DNS_TROUBLE, "");
    assert_true(answer.loops);
}

/* Addresses of this machine are ourselves only where we listen. */
static void loops_by_address(void **state)
{
    dns_add(&dns, "example.net", DNS_MX, "10 a.example.net");
    dns_add(&dns, "a.example.net", DNS_A, "127.0.0.7");
    expect("example.net", DNS_FOUND, "a.example.net[127.0.0.7]");
    settings.own_port = true;
    expect("example.net", DNS_TROUBLE, "");
    assert_true(answer.loops);
    two_hosts();
    dns_add(&dns, "example.org", DNS_MX, "10 b.example.net");
    expect("example.org", DNS_FOUND, "b.example.net[198.51.100.2]");
}

/* The same preference shares the load: each comes first now and then. */
static void an_order_of_chance(void **state)
{
    unsigned first_a = 0;

    dns_add(&dns, "example.net", DNS_MX, "10 a.example.net");
    dns_add(&dns, "example.net", DNS_MX, "10 b.example.net");
    dns_add(&dns, "a.example.net", DNS_A, "198.51.100.1");
    dns_add(&dns, "b.example.net", DNS_A, "198.51.100.2");
    settings.randomize = true;
    for (unsigned i = 0; i < 40; i++) {
        ask_for("example.net", LONG_MS);
        assert_int_equal(answer.count, 2);
        first_a += got[0] == 'a';
    }
    assert_in_range(first_a, 1, 39);
}

static void cancelled_and_closed(void **state)
{
    struct resolver_query *q;

    two_hosts();
    dns_set_manner(&dns, "a.example.net", DNS_SILENT);
    q = resolver_mail_hosts(&resolver, "example.net", PORT, &settings, LONG_MS, on_mail, NULL);
    resolver_cancel(&q);
    assert_null(q);
    resolver_mail_hosts(&resolver, "example.net", PORT, &settings, LONG_MS, on_mail, NULL);
    loop_wait(&f, dns.by_udp >= 3); /* somewhere in the middle */
    assert_int_equal(answers, 0);   /* teardown closes it like that */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(by_preference),
        TEST(no_mx_means_the_domain_itself),
        TEST(a_null_mx),
        TEST(a_domain_that_does_not_exist),
        TEST(a_domain_with_neither),
        TEST(trouble),
        TEST(truncated_answers_come_by_tcp),
        TEST(a_host_without_address_is_passed_over),
        TEST(no_host_has_an_address),
        TEST(late_but_not_empty_handed),
        TEST(families),
        TEST(not_more_addresses_than_allowed),
        TEST(loops),
        TEST(loops_by_address),
        TEST(an_order_of_chance),
        TEST(cancelled_and_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
