/* Tests of tls/der: lengths in all their forms, right and wrong, and writing what can be read. */
#include "tls/der.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS(table) (sizeof(table) / sizeof(table)[0])

static void what_is_read(void **state)
{
    static const struct {
        struct span input;
        size_t content_len; /* (size_t)-1: refused */
    } rows[] = {
        {SPAN_LIT("\x02\x01\x05"),                 1 },
        {SPAN_LIT("\x02\x01\x05rest"),             1 },
        {SPAN_LIT("\x05\x00"),                     0 },
        {SPAN_LIT(""),                             -1},
        {SPAN_LIT("\x02"),                         -1},
        {SPAN_LIT("\x02\x01"),                     -1},
        {SPAN_LIT("\x02\x80\x00\x00"),             -1}, /* indefinite */
        {SPAN_LIT("\x02\x81\x01\x05"),             -1}, /* longer than it must be */
        {SPAN_LIT("\x02\x82\x00\x80"),             -1},
        {SPAN_LIT("\x02\x84\x00\x00\x00\x01\x05"), -1}, /* more than three bytes */
        {SPAN_LIT("\x02\x83\xff\xff\xff"),         -1}, /* beyond the end */
        {SPAN_LIT("\x02\x83\xff\xff"),             -1},
        {SPAN_LIT("\x1f\x01\x05"),                 -1}, /* a tag of several bytes */
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct span rest = rows[i].input;
        struct der_value value;

        if (rows[i].content_len == (size_t)-1) {
            assert_false(der_next(&rest, &value));
            continue;
        }
        assert_true(der_next(&rest, &value));
        assert_int_equal(value.content.len, rows[i].content_len);
        assert_int_equal(value.whole.len + rest.len, rows[i].input.len);
    }
}

static void numbers(void **state)
{
    static const struct {
        struct span input;
        bool ok;
        struct span magnitude;
    } rows[] = {
        {SPAN_LIT("\x02\x01\x05"),         true,  SPAN_LIT("\x05")},
        {SPAN_LIT("\x02\x01\x00"),         true,  SPAN_LIT("")    },
        {SPAN_LIT("\x02\x02\x00\x80"),     true,  SPAN_LIT("\x80")},
        {SPAN_LIT("\x02\x03\x00\x00\x7f"), true,  SPAN_LIT("\x7f")},
        {SPAN_LIT("\x02\x01\x80"),         false, SPAN_LIT("")    }, /* negative */
        {SPAN_LIT("\x02\x00"),             false, SPAN_LIT("")    },
        {SPAN_LIT("\x04\x01\x05"),         false, SPAN_LIT("")    }, /* no INTEGER */
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct span rest = rows[i].input;
        struct span got;

        assert_int_equal(der_unsigned(&rest, &got), rows[i].ok);
        if (rows[i].ok)
            assert_true(span_equal(got, rows[i].magnitude));
    }
}

static void bits(void **state)
{
    struct span whole = SPAN_LIT("\x03\x02\x00\x41");
    struct span partial = SPAN_LIT("\x03\x02\x01\x40");
    struct span empty = SPAN_LIT("\x03\x00");
    struct span got;

    assert_true(der_bits(&whole, &got));
    assert_true(span_equal(got, SPAN_LIT("A")));
    assert_false(der_bits(&partial, &got));
    assert_false(der_bits(&empty, &got));
}

/* A value of every length around the borders of the forms. */
static void written_and_read_again(void **state)
{
    static const size_t lengths[] = {0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000, 0x12345};
    size_t cap = 0x20000;
    unsigned char *buf = malloc(cap);
    char *content = malloc(cap);

    assert_non_null(buf);
    assert_non_null(content);
    memset(content, 'x', cap);
    for (size_t i = 0; i < ROWS(lengths); i++) {
        struct der_writer w;
        struct der_value value;
        struct span rest;

        der_writer_init(&w, buf, cap);
        der_put_value(&w, DER_OCTET_STRING, span_make(content, lengths[i]));
        assert_false(w.overflow);
        rest = der_written(&w);
        assert_true(der_next(&rest, &value));
        assert_int_equal(value.tag, DER_OCTET_STRING);
        assert_int_equal(value.content.len, lengths[i]);
        assert_int_equal(rest.len, 0);
    }
    free(buf);
    free(content);
}

static void nested(void **state)
{
    unsigned char buf[32];
    struct der_writer w;
    size_t mark;

    der_writer_init(&w, buf, sizeof buf);
    mark = der_mark(&w);
    der_put_unsigned(&w, SPAN_LIT("\x00\x00\x81"));
    der_put_unsigned(&w, SPAN_LIT(""));
    der_wrap(&w, DER_SEQUENCE, mark);
    assert_true(span_equal(der_written(&w), SPAN_LIT("\x30\x07\x02\x01\x00\x02\x02\x00\x81")));
}

static void too_little_room(void **state)
{
    for (size_t cap = 0; cap < 9; cap++) {
        unsigned char buf[16];
        struct der_writer w;

        der_writer_init(&w, buf, cap);
        der_put_value(&w, DER_OCTET_STRING, SPAN_LIT("1234567"));
        assert_true(w.overflow);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read),
        cmocka_unit_test(numbers),
        cmocka_unit_test(bits),
        cmocka_unit_test(nested),
        cmocka_unit_test(written_and_read_again),
        cmocka_unit_test(too_little_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
