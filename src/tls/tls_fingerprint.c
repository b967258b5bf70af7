/* tls_fingerprint - see tls_fingerprint.h */
#include "tls/tls_fingerprint.h"

#include <string.h>

/* DER of what stands before the key in its SubjectPublicKeyInfo. */
struct spki {
    unsigned char bytes[64];
    size_t len;
};

static void put(struct spki *s, const unsigned char *bytes, size_t len)
{
    memcpy(s->bytes + s->len, bytes, len);
    s->len += len;
}

/* Tag and length, shortest form; below 64 KiB. */
static void put_head(struct spki *s, unsigned char tag, size_t len)
{
    unsigned char head[4] = {tag, (unsigned char)len};
    size_t used = 2;

    if (len > 0xff) {
        head[1] = 0x82;
        head[2] = (unsigned char)(len >> 8);
        head[3] = (unsigned char)len;
        used = 4;
    } else if (len > 0x7f) {
        head[1] = 0x81;
        head[2] = (unsigned char)len;
        used = 3;
    }
    put(s, head, used);
}

static size_t head_len(size_t len)
{
    return len > 0xff ? 4 : len > 0x7f ? 3 : 2;
}

/* Without leading zeroes; whether a zero must stand before it, lest it be negative. */
struct number {
    const unsigned char *bytes;
    size_t len;
    size_t pad;
};

static struct number number_of(const unsigned char *bytes, size_t len)
{
    struct number n;

    while (len > 1 && bytes[0] == 0) {
        bytes++;
        len--;
    }
    n = (struct number){bytes, len, len > 0 && bytes[0] >= 0x80};
    return n;
}

static size_t number_size(const struct number *n)
{
    return head_len(n->len + n->pad) + n->pad + n->len;
}

static void hash_number(br_sha256_context *hash, const struct number *n)
{
    struct spki s = {.len = 0};

    put_head(&s, 0x02, n->len + n->pad);
    put(&s, (const unsigned char *)"", n->pad);
    br_sha256_update(hash, s.bytes, s.len);
    br_sha256_update(hash, n->bytes, n->len);
}

/* RFC 3279 2.3.1: rsaEncryption with NULL; BIT STRING of SEQUENCE { n, e }. */
static bool hash_rsa(br_sha256_context *hash, const br_rsa_public_key *key)
{
    static const unsigned char algorithm[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                              0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
    struct number n = number_of(key->n, key->nlen);
    struct number e = number_of(key->e, key->elen);
    size_t inner = number_size(&n) + number_size(&e);
    size_t bits = 1 + head_len(inner) + inner;
    struct spki s = {.len = 0};

    put_head(&s, 0x30, sizeof algorithm + head_len(bits) + bits);
    put(&s, algorithm, sizeof algorithm);
    put_head(&s, 0x03, bits);
    put(&s, (const unsigned char *)"", 1);
    put_head(&s, 0x30, inner);
    br_sha256_update(hash, s.bytes, s.len);
    hash_number(hash, &n);
    hash_number(hash, &e);
    return true;
}

/* RFC 5480: id-ecPublicKey with a named curve; BIT STRING of the point. */
static bool hash_ec(br_sha256_context *hash, const br_ec_public_key *key)
{
    static const unsigned char public_key[] = {0x06, 0x07, 0x2a, 0x86, 0x48,
                                               0xce, 0x3d, 0x02, 0x01};
    static const unsigned char p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48,
                                         0xce, 0x3d, 0x03, 0x01, 0x07};
    static const unsigned char p384[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};
    static const unsigned char p521[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23};
    const unsigned char *curve = key->curve == BR_EC_secp256r1   ? p256
                                 : key->curve == BR_EC_secp384r1 ? p384
                                                                 : p521;
    size_t curve_len = key->curve == BR_EC_secp256r1 ? sizeof p256 : sizeof p384;
    size_t algorithm = sizeof public_key + curve_len;
    struct spki s = {.len = 0};

    if (key->curve != BR_EC_secp256r1 && key->curve != BR_EC_secp384r1 &&
        key->curve != BR_EC_secp521r1)
        return false;
    put_head(&s, 0x30, head_len(algorithm) + algorithm + head_len(1 + key->qlen) + 1 + key->qlen);
    put_head(&s, 0x30, algorithm);
    put(&s, public_key, sizeof public_key);
    put(&s, curve, curve_len);
    put_head(&s, 0x03, 1 + key->qlen);
    put(&s, (const unsigned char *)"", 1);
    br_sha256_update(hash, s.bytes, s.len);
    br_sha256_update(hash, key->q, key->qlen);
    return true;
}

bool tls_fingerprint_key(const br_x509_pkey *key, unsigned char out[br_sha256_SIZE])
{
    br_sha256_context hash;
    bool known;

    br_sha256_init(&hash);
    known = key->key_type == BR_KEYTYPE_RSA ? hash_rsa(&hash, &key->key.rsa)
                                            : hash_ec(&hash, &key->key.ec);
    br_sha256_out(&hash, out);
    return known;
}
