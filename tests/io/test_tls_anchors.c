/* test_tls_anchors - bundles of CAs, whole and broken */
#include "tls/tls_anchors.h"

#include "certificate_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct tls_anchors *load(const char *path)
{
    struct errbuf err = {""};
    struct tls_anchors *a = tls_anchors_load(&path, 1, &err);

    if (!a)
        fail_msg("%s", err.text);
    return a;
}

static void refuse(const char *path, const char *why)
{
    struct errbuf err = {""};
    struct tls_anchors *a = tls_anchors_load(&path, 1, &err);

    assert_null(a);
    if (!strstr(err.text, why) || !strstr(err.text, path))
        fail_msg("%s: \"%s\"", path, err.text);
}

static void test_files(void **state)
{
    const char *paths[] = {certificate_path("ca.pem"), "", NULL, certificate_path("chain.pem")};
    struct errbuf err = {""};
    struct tls_anchors *a = tls_anchors_load(paths, 4, &err);
    const br_x509_trust_anchor *list;

    assert_non_null(a);
    assert_int_equal(tls_anchors_count(a), 3);
    assert_int_equal(tls_anchors_skipped(a), 0);
    list = tls_anchors_array(a);
    assert_int_equal(list[0].pkey.key_type, BR_KEYTYPE_RSA);
    assert_int_equal(list[0].pkey.key.rsa.nlen, 256);
    assert_int_equal(list[0].flags, BR_X509_TA_CA);
    assert_int_equal(list[1].pkey.key_type, BR_KEYTYPE_EC);
    assert_int_equal(list[1].flags, 0);
    assert_int_equal(list[2].flags, BR_X509_TA_CA);
    assert_ptr_equal(tls_anchors_ref(a), a);
    tls_anchors_unref(a);
    assert_int_equal(tls_anchors_count(a), 3);
    tls_anchors_unref(a);
    tls_anchors_unref(NULL);
    a = tls_anchors_load(NULL, 0, &err);
    assert_non_null(a); /* nobody */
    assert_int_equal(tls_anchors_count(a), 0);
    tls_anchors_unref(a);
}

static void write_file(const char *path, const char *bytes, size_t len)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    fclose(f);
}

static void test_refused_files(void **state)
{
    const char *path = certificate_path("made.pem");

    refuse(certificate_path("absent.pem"), "No such file");
    refuse(certificate_path("."), "Is a directory");
    refuse("/dev/null", "Invalid argument");
    refuse(certificate_path("ca.key"), "no certificate");
    write_file(path, "", 0);
    refuse(path, "no certificate");
    assert_int_equal(truncate(path, TLS_ANCHORS_FILE_MAX + 1), 0);
    refuse(path, "too large");
}

/* Text between, CRLF, a key, rubbish inside, a cut at the end: the good ones count. */
static void test_mixed(void **state)
{
    struct span ca = certificate_read("ca.pem");
    struct span key = certificate_read("ca.key");
    size_t cap = 4 * ca.len + key.len + 1000;
    char *pem = malloc(cap);
    struct errbuf err = {""};
    struct tls_anchors *a;
    int len;

    assert_non_null(pem);
    len = snprintf(pem, cap,
                   "# comments\r\n%s%s\n"
                   "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
                   "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"
                   "\n%s\n%.300s",
                   key.ptr, ca.ptr, ca.ptr, ca.ptr);
    a = tls_anchors_parse(span_make(pem, (size_t)len), &err);
    assert_non_null(a);
    assert_int_equal(tls_anchors_count(a), 2);
    assert_int_equal(tls_anchors_skipped(a), 3);
    tls_anchors_unref(a);
    for (size_t cut = 0; cut < ca.len - 30; cut += 7)
        assert_null(tls_anchors_parse(span_first(ca, cut), &err));
    free(pem);
    free((void *)(uintptr_t)ca.ptr);
    free((void *)(uintptr_t)key.ptr);
}

static void test_too_many(void **state)
{
    struct span ca = certificate_read("ec.pem");
    size_t len = (TLS_ANCHORS_MAX + 3) * ca.len;
    char *pem = malloc(len);
    struct errbuf err = {""};
    struct tls_anchors *a;

    assert_non_null(pem);
    for (size_t i = 0; i < TLS_ANCHORS_MAX + 3; i++)
        memcpy(pem + i * ca.len, ca.ptr, ca.len);
    a = tls_anchors_parse(span_make(pem, len), &err);
    assert_non_null(a);
    assert_int_equal(tls_anchors_count(a), TLS_ANCHORS_MAX);
    assert_int_equal(tls_anchors_skipped(a), 3);
    tls_anchors_unref(a);
    free(pem);
    free((void *)(uintptr_t)ca.ptr);
}

/* The distribution's: everything in it is understood, and it is not large. */
static void test_system_bundle(void **state)
{
    struct tls_anchors *a;

    if (access("/etc/ssl/certs/ca-certificates.crt", R_OK) != 0)
        skip();
    a = load("/etc/ssl/certs/ca-certificates.crt");
    print_message("%zu CAs, %zu bytes\n", tls_anchors_count(a), tls_anchors_bytes(a));
    assert_true(tls_anchors_count(a) > 50);
    assert_int_equal(tls_anchors_skipped(a), 0);
    assert_true(tls_anchors_bytes(a) < 1024 * tls_anchors_count(a));
    tls_anchors_unref(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),         cmocka_unit_test(test_refused_files),
        cmocka_unit_test(test_mixed),         cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_system_bundle),
    };

    return cmocka_run_group_tests(tests, certificate_setup, certificate_teardown);
}
