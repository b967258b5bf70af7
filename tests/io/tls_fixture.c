/* tls_fixture - see tls_fixture.h */
#include "tls_fixture.h"

#include "tls/tls_session.h"

#include <stdlib.h>
#include <string.h>

#define RSA_BITS   2048
#define CHAIN_LONG 8 /* more than one of our records holds */
#define PEM_CAP    16384

struct der {
    unsigned char bytes[2048];
    size_t len;
};

/* A key as PEM, and the SubjectPublicKeyInfo that its certificates show. */
struct pair {
    char key[4096];
    struct der info;
};

static struct tls_fixture_choice choice = {.rsa = true, .ec = true};
static struct pair rsa, ec, ec_p384;
static bool made;

/* ---- DER ---- */

static void put(struct der *d, const void *bytes, size_t len)
{
    assert_true(d->len + len <= sizeof d->bytes);
    memcpy(d->bytes + d->len, bytes, len);
    d->len += len;
}

static void put_value(struct der *d, unsigned char tag, const void *bytes, size_t len)
{
    const unsigned char high = (unsigned char)(len >> 8), low = (unsigned char)len;

    if (len < 0x80)
        put(d, (unsigned char[]){tag, low}, 2);
    else if (high == 0)
        put(d, (unsigned char[]){tag, 0x81, low}, 3);
    else
        put(d, (unsigned char[]){tag, 0x82, high, low}, 4);
    put(d, bytes, len);
}

static void put_der(struct der *d, unsigned char tag, const struct der *inner)
{
    put_value(d, tag, inner->bytes, inner->len);
}

#define PUT_LIT(d, literal) put(d, literal, sizeof(literal) - 1)

static void put_number(struct der *d, const unsigned char *bytes, size_t len)
{
    struct der number = {{0}, bytes[0] >> 7}; /* a zero in front, where else it were negative */

    put(&number, bytes, len);
    put_der(d, 0x02, &number);
}

static void put_bits(struct der *d, const struct der *inner)
{
    struct der bits = {{0}, 1}; /* none unused */

    put(&bits, inner->bytes, inner->len);
    put_der(d, 0x03, &bits);
}

#define VERSION_3    "\xa0\x03\x02\x01\x02"
#define SERIAL       "\x02\x01\x01"
#define ECDSA_SHA256 "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"
#define NAME         "\x30\x10\x31\x0e\x30\x0c\x06\x03\x55\x04\x03\x0c\x05test"
#define VALIDITY                                                                                   \
    "\x30\x1e\x17\x0d"                                                                             \
    "250101000000Z"                                                                                \
    "\x17\x0d"                                                                                     \
    "450101000000Z"

static void put_name(struct der *d, size_t i)
{
    PUT_LIT(d, NAME);
    put(d, &"0123456789"[i], 1);
}

/* The i-th certificate (RFC 5280, 4.1) of a chain, signed, with zeros, by the next one. */
static void make_certificate(struct der *out, const struct der *info, size_t i)
{
    struct der body = {{0}, 0}, whole = {{0}, 0}, signature = {{0}, 8};

    PUT_LIT(&body, VERSION_3 SERIAL ECDSA_SHA256);
    put_name(&body, i + 1);
    PUT_LIT(&body, VALIDITY);
    put_name(&body, i);
    put(&body, info->bytes, info->len);
    put_der(&whole, 0x30, &body);
    PUT_LIT(&whole, ECDSA_SHA256);
    put_bits(&whole, &signature);
    put_der(out, 0x30, &whole);
}

/* ---- keys ---- */

static void seed(br_hmac_drbg_context *random)
{
    br_hmac_drbg_init(random, &br_sha256_vtable, "tls_fixture", 11); /* the same in every run */
}

static void set_key(struct pair *pair, const struct der *der, const char *banner)
{
    assert_true(br_pem_encode(NULL, NULL, der->len, banner, BR_PEM_LINE64) < sizeof pair->key);
    br_pem_encode(pair->key, der->bytes, der->len, banner, BR_PEM_LINE64);
}

static void make_rsa(void)
{
    unsigned char private_room[BR_RSA_KBUF_PRIV_SIZE(RSA_BITS)], d[RSA_BITS / 8];
    unsigned char public_room[BR_RSA_KBUF_PUB_SIZE(RSA_BITS)];
    br_hmac_drbg_context random;
    br_rsa_private_key key;
    br_rsa_public_key public_key;
    struct der numbers = {{0}, 0}, bits = {{0}, 0}, pair = {{0}, 0}, der = {{0}, 0};

    seed(&random);
    assert_int_equal(br_rsa_keygen_get_default()(&random.vtable, &key, private_room, &public_key,
                                                 public_room, RSA_BITS, 65537),
                     1);
    put_number(&pair, public_key.n, public_key.nlen);
    put_number(&pair, public_key.e, public_key.elen);
    put_der(&numbers, 0x30, &pair);
    PUT_LIT(&bits, "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00");
    put_bits(&bits, &numbers);
    put_der(&rsa.info, 0x30, &bits);
    assert_int_equal(br_rsa_compute_privexp_get_default()(d, &key, 65537), sizeof d);
    der.len = br_encode_rsa_raw_der(NULL, &key, &public_key, d, sizeof d);
    assert_in_range(der.len, 1, sizeof der.bytes);
    br_encode_rsa_raw_der(der.bytes, &key, &public_key, d, sizeof d);
    set_key(&rsa, &der, BR_ENCODE_PEM_RSA_RAW);
}

static void make_ec(struct pair *out, int curve)
{
    unsigned char private_room[BR_EC_KBUF_PRIV_MAX_SIZE], point[BR_EC_KBUF_PUB_MAX_SIZE];
    br_hmac_drbg_context random;
    br_ec_private_key key;
    br_ec_public_key public_key;
    struct der bits = {{0}, 0}, info = {{0}, 0}, der = {{0}, 0};

    seed(&random);
    assert_true(br_ec_keygen(&random.vtable, &br_ec_all_m31, &key, private_room, curve) > 0);
    assert_true(br_ec_compute_pub(&br_ec_all_m31, &public_key, point, &key) > 0);
    put(&bits, public_key.q, public_key.qlen);
    if (curve == BR_EC_secp256r1)
        PUT_LIT(&info, "\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
                       "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07");
    else
        PUT_LIT(&info, "\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22");
    put_bits(&info, &bits);
    put_der(&out->info, 0x30, &info);
    der.len = br_encode_ec_raw_der(NULL, &key, &public_key);
    assert_in_range(der.len, 1, sizeof der.bytes);
    br_encode_ec_raw_der(der.bytes, &key, &public_key);
    set_key(out, &der, BR_ENCODE_PEM_EC_RAW);
}

static void make_all(void)
{
    if (made)
        return;
    made = true;
    make_rsa();
    make_ec(&ec, BR_EC_secp256r1);
    make_ec(&ec_p384, BR_EC_secp384r1);
}

/* ---- credentials ---- */

static void add_pem(char *pem, const struct pair *pair)
{
    size_t chain_len = choice.long_chain ? CHAIN_LONG : 1;

    strcat(pem, pair->key);
    for (size_t i = 0; i < chain_len; i++) {
        struct der der = {{0}, 0};
        size_t len = strlen(pem);

        make_certificate(&der, &pair->info, i);
        assert_true(len + br_pem_encode(NULL, NULL, der.len, "CERTIFICATE", BR_PEM_LINE64) <
                    PEM_CAP);
        br_pem_encode(pem + len, der.bytes, der.len, "CERTIFICATE", BR_PEM_LINE64);
    }
}

static void add_group(struct credentials *c, const char *pem)
{
    struct credentials_file file = {"fixture.pem", span_of(pem)};
    struct errbuf err;

    if (credentials_add_group(c, &file, 1, NULL, NULL, &err) < 0)
        fail_msg("%s", err.text);
}

struct credentials *tls_fixture_credentials(void)
{
    struct credentials *c = credentials_new();
    char *pem = calloc(1, PEM_CAP), *named = calloc(1, PEM_CAP);

    assert_non_null(c);
    assert_non_null(pem);
    assert_non_null(named);
    make_all();
    if (choice.rsa)
        add_pem(pem, &rsa);
    if (choice.ec)
        add_pem(pem, &ec);
    if (choice.ec_p384)
        add_pem(pem, &ec_p384);
    add_group(c, pem);
    if (choice.ec_name) {
        add_pem(named, &ec);
        add_group(c, named);
        assert_int_equal(credentials_add_name(c, choice.ec_name, 1), 0);
    }
    free(pem);
    free(named);
    return c;
}

void tls_fixture_choose(struct tls_fixture_choice wanted)
{
    choice = wanted;
}

/* ---- sessions ---- */

struct tls_server *tls_fixture_server(const struct tls_policy *policy)
{
    struct errbuf err;
    struct tls_server *server;

    server = tls_server_new(policy, tls_fixture_credentials(), &err);
    assert_non_null(server);
    return server;
}

struct tls_client *tls_fixture_client(const struct tls_policy *policy)
{
    struct errbuf err;
    struct tls_client *client = tls_client_new(policy, NULL, &err);

    assert_non_null(client);
    return client;
}

struct tls_session *tls_fixture_hello(struct tls_client *client, const char *sni)
{
    struct tls_wanted wanted = {.verify = TLS_VERIFY_NONE, .sni = sni};
    struct tls_session *session = tls_client_session(client, &wanted);

    assert_non_null(session);
    return session;
}

bool tls_fixture_carry(struct tls_session *from, struct tls_session *to, size_t piece)
{
    bool moved = false;

    for (;;) {
        struct span wire = span_first(tls_session_wire(from), piece);
        size_t taken = tls_session_feed(to, wire.ptr, wire.len);

        if (tls_session_state(to) == TLS_ENDED || tls_session_state(to) == TLS_BROKEN)
            taken = wire.len; /* as a socket whose reader is gone */
        tls_session_wrote(from, taken);
        if (taken == 0)
            return moved;
        moved = true;
    }
}

/* Both have something for the wire, and none takes input before it is gone: a's is taken off. */
static bool cross(struct tls_session *a, struct tls_session *b, size_t piece)
{
    struct span wire = tls_session_wire(a);
    char *sent = malloc(wire.len + 1);
    size_t len = wire.len, fed = 0;

    if (len == 0 || tls_session_wire(b).len == 0) {
        free(sent);
        return false;
    }
    assert_non_null(sent);
    memcpy(sent, wire.ptr, len);
    tls_session_wrote(a, len);
    tls_fixture_carry(b, a, piece);
    while (fed < len) {
        size_t n = tls_session_feed(b, sent + fed, len - fed < piece ? len - fed : piece);

        if (n == 0)
            break; /* b has ended */
        fed += n;
    }
    free(sent);
    return true;
}

void tls_fixture_talk(struct tls_session *a, struct tls_session *b, size_t piece)
{
    bool moved = true;

    while (moved) {
        moved = tls_fixture_carry(a, b, piece);
        moved = tls_fixture_carry(b, a, piece) || moved;
        moved = moved || cross(a, b, piece);
    }
}
