/*
 * test_tls_code - the arithmetic that tls/tls_profile chose, beside OpenSSL's
 *
 * Faults of BearSSL that were found after its release were carries lost at rare values in other
 * code than ours; here is the code that we use, at the values where carries happen.
 */
#include "openssl_fixture.h"

#include "base/span.h"
#include "tls/credentials.h"
#include "tls/tls_profile.h"

#include <bearssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define NUMBER_MAX   48
#define NUMBERS_MAX  40

struct number {
    unsigned char bytes[NUMBER_MAX]; /* big-endian */
};

static struct openssl_fixture openssl;

static int group_setup(void **state)
{
    openssl_setup(&openssl);
    return 0;
}

static int group_teardown(void **state)
{
    openssl_teardown(&openssl);
    return 0;
}

static void write_file(const char *name, const void *bytes, size_t len)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", openssl.path, name);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

/* The file's bytes; at most cap. */
static size_t read_file(const char *name, unsigned char *out, size_t cap)
{
    char path[128];
    FILE *file;
    size_t len;

    snprintf(path, sizeof path, "%s/%s", openssl.path, name);
    file = fopen(path, "rb");
    assert_non_null(file);
    len = fread(out, 1, cap, file);
    fclose(file);
    return len;
}

/* ---- numbers at which something carries ---- */

static void add_small(struct number *n, size_t len, int value)
{
    int carry = value;

    for (size_t i = len; i-- > 0;) {
        carry += n->bytes[i];
        n->bytes[i] = (unsigned char)carry;
        carry >>= 8;
    }
}

/* Around 0 and the order, around powers of two where limbs of 30 and 31 bits meet, long runs of
 * ones, and some of no kind. */
static size_t make_numbers(struct number *out, const unsigned char *order, size_t len)
{
    static const unsigned bits[] = {30, 31, 60, 62, 64, 90, 93, 124, 128, 155, 186, 192, 217, 224};
    br_hmac_drbg_context random;
    size_t count = 0;

    memset(out, 0, NUMBERS_MAX * sizeof *out);
    for (int i = 1; i <= 3; i++)
        add_small(&out[count++], len, i);
    for (int i = 1; i <= 3; i++) {
        memcpy(out[count].bytes, order, len);
        add_small(&out[count++], len, -i);
    }
    for (size_t i = 0; i < COUNT(bits); i++) {
        struct number *power = &out[count++], *ones = &out[count++];

        power->bytes[len - 1 - bits[i] / 8] = (unsigned char)(1 << bits[i] % 8);
        *ones = *power;
        add_small(ones, len, -1);
    }
    memset(out[count].bytes + 1, 0xff, len - 1);
    count++;
    br_hmac_drbg_init(&random, &br_sha256_vtable, "numbers", 7);
    for (int i = 0; i < 4; i++) {
        br_hmac_drbg_generate(&random, out[count].bytes, len);
        out[count++].bytes[0] &= 0x7f; /* below the order */
    }
    assert_true(count <= NUMBERS_MAX);
    return count;
}

/* ---- EC ---- */

struct curve {
    int id;
    size_t len;
    struct span head; /* of ECPrivateKey (RFC 5915), before the number */
    struct span tail;
};

static const struct curve curves[] = {
    {BR_EC_secp256r1,
     32, {"\x30\x31\x02\x01\x01\x04\x20", 7},
     {"\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 12}},
    {BR_EC_secp384r1,
     48, {"\x30\x3e\x02\x01\x01\x04\x30", 7},
     {"\xa0\x07\x06\x05\x2b\x81\x04\x00\x22", 9}             },
};

static void write_key(const struct curve *curve, size_t i, const struct number *number)
{
    unsigned char der[128];
    char name[32];

    memcpy(der, curve->head.ptr, curve->head.len);
    memcpy(der + curve->head.len, number->bytes, curve->len);
    memcpy(der + curve->head.len + curve->len, curve->tail.ptr, curve->tail.len);
    snprintf(name, sizeof name, "%zu.key", i);
    write_file(name, der, curve->head.len + curve->len + curve->tail.len);
}

/* The point at the end of the SubjectPublicKeyInfo that OpenSSL made. */
static void read_point(const struct curve *curve, size_t i, unsigned char *out)
{
    unsigned char der[256];
    char name[32];
    size_t len, point_len = 1 + 2 * curve->len;

    snprintf(name, sizeof name, "%zu.pub", i);
    len = read_file(name, der, sizeof der);
    assert_in_range(len, point_len, sizeof der - 1);
    memcpy(out, der + len - point_len, point_len);
}

static void multiples_on(const struct curve *curve)
{
    const br_ec_impl *ec = tls_profile_ec();
    struct number numbers[NUMBERS_MAX];
    unsigned char points[NUMBERS_MAX][1 + 2 * NUMBER_MAX];
    size_t len, point_len = 1 + 2 * curve->len;
    const unsigned char *order = ec->order(curve->id, &len);
    size_t count = make_numbers(numbers, order, curve->len);

    assert_int_equal(len, curve->len);
    for (size_t i = 0; i < count; i++)
        write_key(curve, i, &numbers[i]);
    openssl_run(&openssl,
                "for i in $(seq 0 %zu); do openssl ec -inform DER -in $i.key -outform DER -out "
                "$i.full && openssl ec -inform DER -in $i.full -pubout -outform DER -out $i.pub "
                "|| exit 1; done",
                count - 1);
    for (size_t i = 0; i < count; i++) {
        unsigned char found[1 + 2 * NUMBER_MAX];

        read_point(curve, i, points[i]);
        assert_int_equal(ec->mulgen(found, numbers[i].bytes, curve->len, curve->id), point_len);
        assert_memory_equal(found, points[i], point_len);
    }
    openssl_run(&openssl,
                "for i in $(seq 1 %zu); do openssl pkeyutl -derive -keyform DER -inkey $i.full "
                "-peerform DER -peerkey $((i - 1)).pub -out $i.secret || exit 1; done",
                count - 1);
    for (size_t i = 1; i < count; i++) { /* each number times the point of the one before */
        unsigned char secret[NUMBER_MAX];
        char name[32];

        snprintf(name, sizeof name, "%zu.secret", i);
        assert_int_equal(read_file(name, secret, sizeof secret), curve->len);
        assert_int_equal(ec->mul(points[i - 1], point_len, numbers[i].bytes, curve->len, curve->id),
                         1);
        assert_memory_equal(points[i - 1] + 1, secret, curve->len);
    }
}

static void multiples_of_points(void **state)
{
    for (size_t i = 0; i < COUNT(curves); i++)
        multiples_on(&curves[i]);
}

static void points_off_the_curve_are_refused(void **state)
{
    const br_ec_impl *ec = tls_profile_ec();

    for (size_t i = 0; i < COUNT(curves); i++) {
        size_t point_len, coordinate = curves[i].len;
        const unsigned char *generator = ec->generator(curves[i].id, &point_len);
        unsigned char point[1 + 2 * NUMBER_MAX];

        for (size_t at = 0; at < point_len; at += coordinate / 4) {
            memcpy(point, generator, point_len);
            point[at] ^= 1;
            assert_int_equal(
                ec->mul(point, point_len, (const unsigned char *)"\x05", 1, curves[i].id), 0);
        }
        memset(point, 0xff, sizeof point); /* not below the field's prime */
        point[0] = 4;
        assert_int_equal(ec->mul(point, point_len, (const unsigned char *)"\x05", 1, curves[i].id),
                         0);
        memset(point, 0, sizeof point); /* nowhere */
        assert_int_equal(ec->mul(point, point_len, (const unsigned char *)"\x05", 1, curves[i].id),
                         0);
    }
}

/* ---- X25519 (RFC 7748) ---- */

#define X25519_KEY  "\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x6e\x04\x22\x04\x20"
#define X25519_PEER "\x30\x2a\x30\x05\x06\x03\x2b\x65\x6e\x03\x21\x00"

static void write_wrapped(const char *name, struct span head, const unsigned char number[32])
{
    unsigned char der[64];

    memcpy(der, head.ptr, head.len);
    memcpy(der + head.len, number, 32);
    write_file(name, der, head.len + 32);
}

/*
 * Which end of the multiplier comes first: the little one in 0.6, later the big one as with the
 * other curves. To TLS it is all one: it is random, and nobody else sees it.
 */
static bool key_is_big_endian(void)
{
    const br_ec_impl *ec = tls_profile_ec();
    unsigned char key[32] = {0x77, 0x07, 0x6d, 0x0a}, der[44], ours[32];

    write_wrapped("order.key", SPAN_LIT(X25519_KEY), key);
    openssl_run(&openssl,
                "openssl pkey -inform DER -in order.key -pubout -outform DER -out order.pub");
    assert_int_equal(read_file("order.pub", der, sizeof der), sizeof der);
    assert_int_equal(ec->mulgen(ours, key, sizeof key, BR_EC_curve25519), 32);
    return memcmp(ours, der + 12, 32) != 0;
}

static void x25519(void **state)
{
    const br_ec_impl *ec = tls_profile_ec();
    struct number numbers[NUMBERS_MAX];
    size_t count = make_numbers(
        numbers,
        (const unsigned char *)"\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
                               "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xec",
        32); /* little-endian: what is around p is u, as good as any */
    char name[32];
    bool reverse;

    for (size_t i = 0; i < count; i++) {
        for (size_t at = 0; at < 16; at++) {
            unsigned char swapped = numbers[i].bytes[at];

            numbers[i].bytes[at] = numbers[i].bytes[31 - at];
            numbers[i].bytes[31 - at] = swapped;
        }
        snprintf(name, sizeof name, "%zu.key", i);
        write_wrapped(name, SPAN_LIT(X25519_KEY), numbers[i].bytes);
        snprintf(name, sizeof name, "%zu.pub", i);
        write_wrapped(name, SPAN_LIT(X25519_PEER), numbers[i].bytes);
    }
    reverse = key_is_big_endian();
    /* 0, 1 and p-1 as u are of small order: OpenSSL gives nothing, we all zeros. */
    openssl_run(&openssl,
                "for i in $(seq 1 %zu); do rm -f $i.secret; openssl pkeyutl -derive -keyform DER "
                "-inkey $((i - 1)).key -peerform DER -peerkey $i.pub -out $i.secret || "
                "head -c 32 /dev/zero >$i.secret; done",
                count - 1);
    for (size_t i = 1, zeros = 0; i < count; i++) {
        unsigned char secret[32], found[32], key[32];

        snprintf(name, sizeof name, "%zu.secret", i);
        assert_int_equal(read_file(name, secret, sizeof secret), 32);
        memcpy(found, numbers[i].bytes, 32);
        for (size_t at = 0; at < 32; at++)
            key[at] = numbers[i - 1].bytes[reverse ? 31 - at : at];
        assert_int_equal(ec->mul(found, 32, key, 32, BR_EC_curve25519), 1);
        assert_memory_equal(found, secret, 32);
        zeros += memcmp(secret, (const unsigned char[32]){0}, 32) == 0;
        assert_true(zeros <= 3);
    }
}

/* ---- RSA ---- */

/* The key of a group that OpenSSL made. */
static struct credentials *load(const char *files)
{
    struct credentials *c = credentials_new();
    char *pem = openssl_read(&openssl, files);
    struct credentials_file file = {files, span_of(pem)};
    struct errbuf err;

    assert_non_null(c);
    if (credentials_add_group(c, &file, 1, NULL, NULL, &err) < 0)
        fail_msg("%s", err.text);
    free(pem);
    return c;
}

static void rsa_signatures(void **state)
{
    static const struct {
        unsigned bits, exponent;
    } rows[] = {
        {2048, 65537},
        {2056, 65537},
        {2048, 3    },
        {3072, 65537},
        {4096, 65537},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        unsigned char digest[32], ours[512], theirs[513];
        size_t len = (rows[i].bits + 7) / 8;
        struct credentials *c;

        openssl_run(&openssl,
                    "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:%u -pkeyopt "
                    "rsa_keygen_pubexp:%u -out rsa.key && openssl req -x509 -new -key rsa.key "
                    "-subj /CN=example.com -days 9 -out rsa.pem",
                    rows[i].bits, rows[i].exponent);
        c = load("rsa.key rsa.pem");
        for (unsigned char n = 0; n < 4; n++) {
            memset(digest, n < 2 ? 0xff * n : n, sizeof digest);
            write_file("digest", digest, sizeof digest);
            openssl_run(&openssl, "openssl pkeyutl -sign -inkey rsa.key -in digest -pkeyopt "
                                  "digest:sha256 -out signature");
            assert_int_equal(read_file("signature", theirs, sizeof theirs), len);
            assert_int_equal(tls_profile_rsa_sign()(BR_HASH_OID_SHA256, digest, sizeof digest,
                                                    &credentials_group(c, 0).rsa->key.rsa, ours),
                             1);
            assert_memory_equal(ours, theirs, len);
        }
        credentials_unref(c);
    }
}

/* ---- ECDSA ---- */

static void ecdsa_signatures(void **state)
{
    static const char *const names[] = {"P-256", "P-384"};

    for (size_t i = 0; i < COUNT(names); i++) {
        struct credentials *c;
        const br_ec_private_key *key;
        br_ec_public_key public_key;
        unsigned char point[BR_EC_KBUF_PUB_MAX_SIZE], digest[32], signature[160];

        openssl_run(&openssl,
                    "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:%s -out ec.key && "
                    "openssl req -x509 -new -key ec.key -subj /CN=example.com -days 9 -out ec.pem",
                    names[i]);
        c = load("ec.key ec.pem");
        key = &credentials_group(c, 0).ec->key.ec;
        assert_true(br_ec_compute_pub(tls_profile_ec(), &public_key, point, key) > 0);
        for (unsigned char n = 0; n < 4; n++) {
            size_t len;

            memset(digest, n == 0 ? 0xff : n, sizeof digest); /* none has zeros alone */
            write_file("digest", digest, sizeof digest);
            len =
                br_ecdsa_i31_sign_asn1(tls_profile_ec(), &br_sha256_vtable, digest, key, signature);
            write_file("signature", signature, len);
            openssl_run(&openssl, "openssl pkeyutl -verify -inkey ec.key -in digest -sigfile "
                                  "signature && openssl pkeyutl -sign -inkey ec.key -in digest "
                                  "-out signature");
            len = read_file("signature", signature, sizeof signature);
            assert_int_equal(br_ecdsa_i31_vrfy_asn1(tls_profile_ec(), digest, sizeof digest,
                                                    &public_key, signature, len),
                             1);
            signature[len - 1] ^= 1;
            assert_int_equal(br_ecdsa_i31_vrfy_asn1(tls_profile_ec(), digest, sizeof digest,
                                                    &public_key, signature, len),
                             0);
        }
        credentials_unref(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multiples_of_points),
        cmocka_unit_test(points_off_the_curve_are_refused),
        cmocka_unit_test(x25519),
        cmocka_unit_test(rsa_signatures),
        cmocka_unit_test(ecdsa_signatures),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
