/* test_x509_names - for whom certificates are that are made here */
#include "tls/x509_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- making DER ---- */

struct made {
    char bytes[2048];
    size_t len;
};

static struct made put(unsigned tag, const char *bytes, size_t len)
{
    struct made m = {.len = 0};

    m.bytes[m.len++] = (char)tag;
    if (len > 255)
        m.bytes[m.len++] = (char)0x82;
    else if (len > 127)
        m.bytes[m.len++] = (char)0x81;
    if (len > 255)
        m.bytes[m.len++] = (char)(len >> 8);
    m.bytes[m.len++] = (char)len;
    assert_true(m.len + len <= sizeof m.bytes);
    memcpy(m.bytes + m.len, bytes, len);
    m.len += len;
    return m;
}

static void add(struct made *to, struct made more)
{
    assert_true(to->len + more.len <= sizeof to->bytes);
    memcpy(to->bytes + to->len, more.bytes, more.len);
    to->len += more.len;
}

static struct made wrap(unsigned tag, const struct made *inside)
{
    return put(tag, inside->bytes, inside->len);
}

static struct made text(unsigned tag, const char *s)
{
    return put(tag, s, strlen(s));
}

/* A DN of one attribute: 3 is the common name, 10 the organisation. */
static struct made dn(char attribute, unsigned tag, const char *value)
{
    char oid[] = {0x55, 0x04, attribute};
    struct made pair = put(0x06, oid, 3);
    struct made set;

    add(&pair, text(tag, value));
    pair = wrap(0x30, &pair);
    set = wrap(0x31, &pair);
    return wrap(0x30, &set);
}

struct parts {
    struct made issuer, subject, alt_names; /* alt_names: what is inside GeneralNames */
    const char *from, *until;
    unsigned time_tag;
};

static struct made extension(const struct made *alt_names)
{
    struct made e = put(0x06, "\x55\x1d\x11", 3);
    struct made names = wrap(0x30, alt_names);

    add(&e, put(0x01, "\xff", 1));
    add(&e, wrap(0x04, &names));
    return wrap(0x30, &e);
}

/* A SubjectPublicKeyInfo of some kind. */
static struct made key(void)
{
    struct made k = put(0x30, "\x06\x01\x2a", 3);

    add(&k, put(0x03, "\x00", 1));
    return wrap(0x30, &k);
}

static struct made make(const struct parts *p)
{
    struct made tbs = put(0xa0, "\x02\x01\x02", 3);
    struct made dates = text(p->time_tag, p->from);
    struct made all, list = {.len = 0};

    add(&tbs, put(0x02, "\x05", 1));
    add(&tbs, put(0x30, "", 0));
    add(&tbs, p->issuer);
    add(&dates, text(p->time_tag, p->until));
    add(&tbs, wrap(0x30, &dates));
    add(&tbs, p->subject);
    add(&tbs, key());
    if (p->alt_names.len > 0) {
        list = extension(&p->alt_names);
        list = wrap(0x30, &list);
        add(&tbs, wrap(0xa3, &list));
    }
    all = wrap(0x30, &tbs);
    add(&all, put(0x30, "\x06\x01\x2a", 3));
    add(&all, put(0x03, "\x00", 1));
    return wrap(0x30, &all);
}

static struct parts usual(void)
{
    return (struct parts){.issuer = dn(3, 0x0c, "A CA"),
                          .subject = dn(3, 0x13, "cn.example.com"),
                          .from = "260101000000Z",
                          .until = "491231235959Z",
                          .time_tag = 0x17};
}

static struct span bytes_of(const struct made *m)
{
    return span_make(m->bytes, m->len);
}

/* ---- reading it ---- */

static struct parts with_names(void)
{
    struct parts p = usual();

    add(&p.alt_names, text(0x81, "post@example.com"));
    add(&p.alt_names, text(0x82, "mail.example.com"));
    add(&p.alt_names, put(0x82, "bad.example\0.com", 16));
    add(&p.alt_names, put(0x82, "", 0));
    add(&p.alt_names, put(0x87, "\xc0\x00\x02\x35", 4));
    add(&p.alt_names, put(0x87, "\xc0\x00\x02", 3));
    add(&p.alt_names, text(0x82, "*.example.net"));
    return p;
}

static void test_in_words(void **state)
{
    struct parts p = with_names();
    struct made der = make(&p);
    struct x509 c;
    char buf[200];
    struct text t;

    assert_null(x509_parse(bytes_of(&der), &c));
    text_init(&t, buf, sizeof buf);
    x509_names_text(&c, &t);
    assert_string_equal(buf, "mail.example.com, 192.0.2.53, *.example.net");
    text_init(&t, buf, sizeof buf);
    x509_dn_text(c.issuer, &t);
    assert_string_equal(buf, "A CA");
    p = usual();
    der = make(&p);
    assert_null(x509_parse(bytes_of(&der), &c));
    text_init(&t, buf, sizeof buf);
    x509_names_text(&c, &t);
    assert_string_equal(buf, "cn.example.com");
}

static void test_who_it_is_for(void **state)
{
    static const struct {
        const char *wanted;
        bool is;
    } rows[] = {
        {"mail.example.com",      true },
        {"MAIL.Example.Com",      true },
        {"192.0.2.53",            true },
        {"x.example.net",         true },
        {".example.com",          true },
        {".example.net",          true },
        {".com",                  true },
        {"cn.example.com",        false},
        {"example.net",           false},
        {"a.b.example.net",       false},
        {"192.0.2.54",            false},
        {"bad.example",           false},
        {"post@example.com",      false},
        {"",                      false},
        {".",                     false},
        {"mail.example.com.",     false},
        {"*.example.net",         true },
        {".mail.example.com",     false},
        {"::ffff:192.0.2.53",     false},
        {"ail.example.com",       false},
        {".xample.com",           false},
        {"mail.example.com.evil", false},
    };
    struct parts p = with_names();
    struct made der = make(&p);
    struct x509 c;

    assert_null(x509_parse(bytes_of(&der), &c));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (x509_is_for(&c, rows[i].wanted) != rows[i].is)
            fail_msg("%s", rows[i].wanted);
    }
}

/* The common name counts when no DNS name is there, readable or not. */
static void test_common_name(void **state)
{
    struct parts p = usual();
    struct made der = make(&p);
    struct x509 c;

    assert_null(x509_parse(bytes_of(&der), &c));
    assert_true(x509_is_for(&c, "cn.example.com"));
    p.subject = dn(3, 0x0c, "*.example.com");
    der = make(&p);
    assert_null(x509_parse(bytes_of(&der), &c));
    assert_true(x509_is_for(&c, "cn.example.com"));
    assert_false(x509_is_for(&c, "example.com"));
    add(&p.alt_names, put(0x87, "\xc0\x00\x02\x35", 4));
    der = make(&p);
    assert_null(x509_parse(bytes_of(&der), &c));
    assert_true(x509_is_for(&c, "cn.example.com"));
    add(&p.alt_names, put(0x82, "\x01", 1));
    der = make(&p);
    assert_null(x509_parse(bytes_of(&der), &c));
    assert_false(x509_is_for(&c, "cn.example.com"));
}

static void test_no_star_for_addresses(void **state)
{
    struct parts p = usual();
    struct x509 c;
    struct made der;

    add(&p.alt_names, text(0x82, "*.0.2.53"));
    add(&p.alt_names, text(0x82, "192.0.2.7"));
    der = make(&p);
    assert_null(x509_parse(bytes_of(&der), &c));
    assert_false(x509_is_for(&c, "192.0.2.53"));
    assert_true(x509_is_for(&c, "192.0.2.7"));
}

static void test_dn_words(void **state)
{
    static const struct {
        char attribute;
        const char *value, *words;
    } rows[] = {
        {3,  "A CA",    "A CA"          },
        {10, "Example", "Example"       },
        {6,  "XX",      "without a name"},
        {3,  "a\nb",    "without a name"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct made name = dn(rows[i].attribute, 0x0c, rows[i].value);
        char buf[100];
        struct text t;

        text_init(&t, buf, sizeof buf);
        x509_dn_text(bytes_of(&name), &t);
        assert_string_equal(buf, rows[i].words);
    }
}

/* ---- what is no certificate ---- */

static void test_cuts(void **state)
{
    struct parts p = with_names();
    struct made der = make(&p);
    struct x509 c;

    for (size_t len = 0; len < der.len; len++) {
        char *exact = malloc(len ? len : 1); /* so that a byte too far is seen */

        assert_non_null(exact);
        memcpy(exact, der.bytes, len);
        assert_non_null(x509_parse(span_make(exact, len), &c));
        free(exact);
    }
    der.bytes[der.len++] = 0;
    assert_non_null(x509_parse(bytes_of(&der), &c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_words),    cmocka_unit_test(test_who_it_is_for),
        cmocka_unit_test(test_common_name), cmocka_unit_test(test_no_star_for_addresses),
        cmocka_unit_test(test_dn_words),    cmocka_unit_test(test_cuts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
