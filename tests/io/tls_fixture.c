/* tls_fixture - see tls_fixture.h */
#include "tls_fixture.h"

#include "tls/tls_session.h"

#include <stdlib.h>
#include <string.h>

#define RSA_BITS   2048
#define CHAIN_LONG 8 /* more than one of our records holds */

/* Stands for the one of tls/credentials.c. */
struct credentials {
    unsigned references;
};

struct der {
    unsigned char bytes[2048];
    size_t len;
};

static struct credentials the_credentials;
static struct tls_fixture_choice choice = {.rsa = true, .ec = true};
static struct credential rsa, ec, ec_p384;
static unsigned char rsa_private[BR_RSA_KBUF_PRIV_SIZE(RSA_BITS)];
static unsigned char rsa_public[BR_RSA_KBUF_PUB_SIZE(RSA_BITS)];
static unsigned char ec_private[2][BR_EC_KBUF_PRIV_MAX_SIZE];
static struct der rsa_der, ec_der[2];
static br_x509_certificate chains[3][CHAIN_LONG];
static bool made;
static char asked[256];

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
#define NAME         "\x30\x10\x31\x0e\x30\x0c\x06\x03\x55\x04\x03\x0c\x05test1"
#define VALIDITY                                                                                   \
    "\x30\x1e\x17\x0d"                                                                             \
    "250101000000Z"                                                                                \
    "\x17\x0d"                                                                                     \
    "450101000000Z"

/* A certificate (RFC 5280, 4.1) with this SubjectPublicKeyInfo and a signature of zeros. */
static void make_certificate(struct der *out, const struct der *key)
{
    struct der body = {{0}, 0}, whole = {{0}, 0}, signature = {{0}, 8};

    PUT_LIT(&body, VERSION_3 SERIAL ECDSA_SHA256 NAME VALIDITY NAME);
    put(&body, key->bytes, key->len);
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

static void set_chain(struct credential *c, br_x509_certificate *chain, struct der *der)
{
    for (size_t i = 0; i < CHAIN_LONG; i++)
        chain[i] = (br_x509_certificate){der->bytes, der->len};
    c->chain = chain;
    c->chain_len = 1;
}

static void make_rsa(void)
{
    br_rsa_keygen generate = br_rsa_keygen_get_default();
    br_hmac_drbg_context random;
    br_rsa_public_key public_key;
    struct der numbers = {{0}, 0}, key = {{0}, 0}, info = {{0}, 0}, pair = {{0}, 0};

    seed(&random);
    assert_int_equal(generate(&random.vtable, &rsa.key.rsa, rsa_private, &public_key, rsa_public,
                              RSA_BITS, 65537),
                     1);
    put_number(&pair, public_key.n, public_key.nlen);
    put_number(&pair, public_key.e, public_key.elen);
    put_der(&numbers, 0x30, &pair);
    PUT_LIT(&info, "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00");
    put_bits(&info, &numbers);
    put_der(&key, 0x30, &info);
    make_certificate(&rsa_der, &key);
    rsa.key_type = BR_KEYTYPE_RSA;
    set_chain(&rsa, chains[0], &rsa_der);
}

static void make_ec(struct credential *c, int curve, size_t i)
{
    br_hmac_drbg_context random;
    unsigned char point[BR_EC_KBUF_PUB_MAX_SIZE];
    br_ec_public_key public_key;
    struct der bits = {{0}, 0}, key = {{0}, 0}, info = {{0}, 0};

    seed(&random);
    assert_true(br_ec_keygen(&random.vtable, &br_ec_all_m31, &c->key.ec, ec_private[i], curve) > 0);
    assert_true(br_ec_compute_pub(&br_ec_all_m31, &public_key, point, &c->key.ec) > 0);
    put(&bits, public_key.q, public_key.qlen);
    if (curve == BR_EC_secp256r1)
        PUT_LIT(&info, "\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
                       "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07");
    else
        PUT_LIT(&info, "\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22");
    put_bits(&info, &bits);
    put_der(&key, 0x30, &info);
    make_certificate(&ec_der[i], &key);
    c->key_type = BR_KEYTYPE_EC;
    set_chain(c, chains[1 + i], &ec_der[i]);
}

static void make_all(void)
{
    if (made)
        return;
    made = true;
    make_rsa();
    make_ec(&ec, BR_EC_secp256r1, 0);
    make_ec(&ec_p384, BR_EC_secp384r1, 1);
}

/* ---- what stands for tls/credentials.c ---- */

__attribute__((weak)) struct credentials *credentials_ref(struct credentials *c)
{
    c->references++;
    return c;
}

__attribute__((weak)) void credentials_unref(struct credentials *c)
{
    if (c)
        c->references--;
}

__attribute__((weak)) struct credential_choice credentials_choose(const struct credentials *c,
                                                                  const char *server_name)
{
    size_t len = strlen(server_name);

    memcpy(asked, server_name, len + 1);
    return (struct credential_choice){choice.rsa ? &rsa : NULL, choice.ec_p384 ? &ec_p384
                                                                : choice.ec    ? &ec
                                                                               : NULL};
}

void tls_fixture_choose(struct tls_fixture_choice wanted)
{
    size_t len = wanted.long_chain ? CHAIN_LONG : 1;

    choice = wanted;
    rsa.chain_len = ec.chain_len = ec_p384.chain_len = len;
}

unsigned tls_fixture_references(void)
{
    return the_credentials.references;
}

const char *tls_fixture_asked(void)
{
    return asked;
}

/* ---- sessions ---- */

struct tls_server *tls_fixture_server(const struct tls_policy *policy)
{
    struct errbuf err;
    struct tls_server *server;

    make_all();
    server = tls_server_new(policy, credentials_ref(&the_credentials), &err);
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
