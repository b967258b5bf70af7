/* Tests of net/mx_list: the order of mail hosts, its bound, and loops. */
#include "net/mx_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct mx_list list;

static int setup(void **state)
{
    list = (struct mx_list){.count = 0};
    return 0;
}

static void add(unsigned preference, const char *name, uint32_t lot)
{
    mx_list_add(&list, preference, span_of(name), lot);
}

static void expect(const char *names)
{
    char got[500] = "";

    for (size_t i = 0; i < list.count; i++) {
        strcat(got, i > 0 ? " " : "");
        strcat(got, list.hosts[i].name);
    }
    assert_string_equal(got, names);
}

static void test_order(void **state)
{
    add(20, "c.example.net", 0);
    add(10, "A.Example.net.", 0);
    add(10, "b.example.net", 0);
    add(0, "z.example.net", 9);
    expect("z.example.net a.example.net b.example.net c.example.net");
}

static void test_lots(void **state)
{
    add(10, "a.example.net", 3);
    add(10, "b.example.net", 1);
    add(5, "c.example.net", 9);
    add(10, "d.example.net", 2);
    expect("c.example.net b.example.net d.example.net a.example.net");
}

/* The same host twice is one, with the better preference. */
static void test_twice(void **state)
{
    add(10, "a.example.net", 0);
    add(20, "b.example.net", 0);
    add(30, "A.example.net", 0);
    add(5, "b.EXAMPLE.net.", 0);
    expect("b.example.net a.example.net");
    assert_int_equal(list.hosts[0].preference, 5);
}

static void test_names_that_are_none(void **state)
{
    static const char long_label[] =
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.x";

    add(1, "", 0);
    add(1, ".", 0);
    add(1, "192.0.2.1", 0);
    add(1, "a b.example.net", 0);
    add(1, "a\r\n.example.net", 0);
    add(1, "[192.0.2.1]", 0);
    add(1, long_label, 0);
    mx_list_add(&list, 1, span_make("a\0b.example.net", 15), 0);
    expect("");
    assert_int_equal(list.passed_over, 8);
    add(1, "ok.example.net", 0);
    expect("ok.example.net");
}

/* Of too many the best stay, whatever their order. */
static void test_bound(void **state)
{
    for (unsigned i = 0; i < 200; i++) {
        char name[40];
        unsigned preference = i * 77 % 200;

        snprintf(name, sizeof name, "h%u.example.net", preference);
        add(preference, name, 0);
    }
    assert_int_equal(list.count, MX_HOSTS_MAX);
    for (unsigned i = 0; i < MX_HOSTS_MAX; i++)
        assert_int_equal(list.hosts[i].preference, i);
}

static void test_loop(void **state)
{
    add(10, "a.example.net", 0);
    add(20, "me.example.net", 5);
    add(20, "b.example.net", 1);
    add(30, "c.example.net", 0);
    assert_int_equal(mx_list_find(&list, SPAN_LIT("ME.example.net.")), 2);
    assert_int_equal(mx_list_find(&list, SPAN_LIT("x.example.net")), list.count);
    mx_list_cut(&list, 2);
    expect("a.example.net");
    mx_list_cut(&list, 0);
    expect("");
}

/* Whatever comes, the list is in order and has each host once. */
static void test_anything(void **state)
{
    unsigned seed = 12345;

    for (unsigned round = 0; round < 300; round++) {
        list = (struct mx_list){.count = 0};
        for (unsigned i = 0; i < 40; i++) {
            char name[40];

            seed = seed * 1103515245 + 12345;
            snprintf(name, sizeof name, "h%u.example.net", seed >> 8 & 31);
            add(seed >> 16 & 7, name, seed >> 20 & 3);
        }
        for (size_t i = 1; i < list.count; i++) {
            const struct mx_host *a = &list.hosts[i - 1], *b = &list.hosts[i];

            assert_true(a->preference < b->preference ||
                        (a->preference == b->preference && a->lot <= b->lot));
            assert_int_equal(mx_list_find(&list, span_of(b->name)), i);
        }
        assert_true(list.count <= MX_HOSTS_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_order, setup),
        cmocka_unit_test_setup(test_lots, setup),
        cmocka_unit_test_setup(test_twice, setup),
        cmocka_unit_test_setup(test_names_that_are_none, setup),
        cmocka_unit_test_setup(test_bound, setup),
        cmocka_unit_test_setup(test_loop, setup),
        cmocka_unit_test(test_anything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
