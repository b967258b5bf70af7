/* tls_profile - see tls_profile.h */
#include "tls/tls_profile.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

enum kind { KIND_AES_GCM, KIND_CHACHA20, KIND_AES_CBC };

static const struct {
    enum kind kind;
    struct tls_suite suite;
} suites[] = {
    {KIND_AES_GCM,
     {BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, 128, "ECDHE-ECDSA-AES128-GCM-SHA256"}           },
    {KIND_AES_GCM,  {BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, 128, "ECDHE-RSA-AES128-GCM-SHA256"}},
    {KIND_AES_GCM,
     {BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, 256, "ECDHE-ECDSA-AES256-GCM-SHA384"}           },
    {KIND_AES_GCM,  {BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, 256, "ECDHE-RSA-AES256-GCM-SHA384"}},
    {KIND_CHACHA20,
     {BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, 256, "ECDHE-ECDSA-CHACHA20-POLY1305"}     },
    {KIND_CHACHA20,
     {BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, 256, "ECDHE-RSA-CHACHA20-POLY1305"}         },
    {KIND_AES_CBC,  {BR_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, 128, "ECDHE-ECDSA-AES128-SHA256"}},
    {KIND_AES_CBC,  {BR_TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, 128, "ECDHE-RSA-AES128-SHA256"}    },
    {KIND_AES_CBC,  {BR_TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384, 256, "ECDHE-ECDSA-AES256-SHA384"}},
    {KIND_AES_CBC,  {BR_TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384, 256, "ECDHE-RSA-AES256-SHA384"}    },
    {KIND_AES_CBC,  {BR_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, 128, "ECDHE-ECDSA-AES128-SHA"}      },
    {KIND_AES_CBC,  {BR_TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, 128, "ECDHE-RSA-AES128-SHA"}          },
    {KIND_AES_CBC,  {BR_TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, 256, "ECDHE-ECDSA-AES256-SHA"}      },
    {KIND_AES_CBC,  {BR_TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, 256, "ECDHE-RSA-AES256-SHA"}          },
};

/* ---- the code: the fastest constant-time one of those that this build and processor have ---- */

static void set_aes(br_ssl_engine_context *engine)
{
    const br_block_ctr_class *ctr = br_aes_x86ni_ctr_get_vtable();
    const br_block_cbcenc_class *cbc_encrypt = br_aes_x86ni_cbcenc_get_vtable();
    const br_block_cbcdec_class *cbc_decrypt = br_aes_x86ni_cbcdec_get_vtable();

    if (!ctr) {
        ctr = br_aes_pwr8_ctr_get_vtable();
        cbc_encrypt = br_aes_pwr8_cbcenc_get_vtable();
        cbc_decrypt = br_aes_pwr8_cbcdec_get_vtable();
    }
    if (!ctr) {
        ctr = &br_aes_ct64_ctr_vtable;
        cbc_encrypt = &br_aes_ct64_cbcenc_vtable;
        cbc_decrypt = &br_aes_ct64_cbcdec_vtable;
    }
    br_ssl_engine_set_aes_ctr(engine, ctr);
    br_ssl_engine_set_aes_cbc(engine, cbc_encrypt, cbc_decrypt);
}

static bool aes_is_fast(void)
{
    return br_aes_x86ni_ctr_get_vtable() || br_aes_pwr8_ctr_get_vtable();
}

static br_ghash ghash(void)
{
    br_ghash code = br_ghash_pclmul_get();

    if (!code)
        code = br_ghash_pwr8_get();
    return code ? code : &br_ghash_ctmul64;
}

static void set_ciphers(br_ssl_engine_context *engine)
{
    br_chacha20_run chacha20 = br_chacha20_sse2_get();
    br_poly1305_run poly1305 = br_poly1305_ctmulq_get();

    set_aes(engine);
    br_ssl_engine_set_ghash(engine, ghash());
    br_ssl_engine_set_gcm(engine, &br_sslrec_in_gcm_vtable, &br_sslrec_out_gcm_vtable);
    br_ssl_engine_set_chacha20(engine, chacha20 ? chacha20 : &br_chacha20_ct_run);
    br_ssl_engine_set_poly1305(engine, poly1305 ? poly1305 : &br_poly1305_ctmul_run);
    br_ssl_engine_set_chapol(engine, &br_sslrec_in_chapol_vtable, &br_sslrec_out_chapol_vtable);
    br_ssl_engine_set_cbc(engine, &br_sslrec_in_cbc_vtable, &br_sslrec_out_cbc_vtable);
}

const br_ec_impl *tls_profile_ec(void)
{
    return &br_ec_all_m31;
}

br_rsa_pkcs1_sign tls_profile_rsa_sign(void)
{
    br_rsa_pkcs1_sign code = br_rsa_i62_pkcs1_sign_get();

    return code ? code : &br_rsa_i31_pkcs1_sign;
}

br_rsa_pkcs1_vrfy tls_profile_rsa_verify(void)
{
    br_rsa_pkcs1_vrfy code = br_rsa_i62_pkcs1_vrfy_get();

    return code ? code : &br_rsa_i31_pkcs1_vrfy;
}

/* ---- what is spoken ---- */

/*
 * The hash functions are those of signatures, of the key derivation and of CBC's MAC alike, so
 * SHA-1 comes in only with what cannot do without it.
 */
static void set_hashes(br_ssl_engine_context *engine, bool old)
{
    if (old) {
        br_ssl_engine_set_hash(engine, br_md5_ID, &br_md5_vtable); /* only in TLS 1.0 and 1.1 */
        br_ssl_engine_set_hash(engine, br_sha1_ID, &br_sha1_vtable);
        br_ssl_engine_set_prf10(engine, &br_tls10_prf);
    }
    br_ssl_engine_set_hash(engine, br_sha256_ID, &br_sha256_vtable);
    br_ssl_engine_set_hash(engine, br_sha384_ID, &br_sha384_vtable);
    br_ssl_engine_set_hash(engine, br_sha512_ID, &br_sha512_vtable);
    br_ssl_engine_set_prf_sha256(engine, &br_tls12_sha256_prf);
    br_ssl_engine_set_prf_sha384(engine, &br_tls12_sha384_prf);
}

static size_t add_kind(uint16_t *ids, size_t count, enum kind kind)
{
    for (size_t i = 0; i < COUNT(suites); i++) {
        if (suites[i].kind == kind)
            ids[count++] = suites[i].suite.id;
    }
    return count;
}

static void set_suites(br_ssl_engine_context *engine, bool cbc)
{
    uint16_t ids[COUNT(suites)];
    bool aes_first = aes_is_fast();
    size_t count = add_kind(ids, 0, aes_first ? KIND_AES_GCM : KIND_CHACHA20);

    count = add_kind(ids, count, aes_first ? KIND_CHACHA20 : KIND_AES_GCM);
    if (cbc)
        count = add_kind(ids, count, KIND_AES_CBC);
    br_ssl_engine_set_suites(engine, ids, count);
}

void tls_profile_apply(br_ssl_engine_context *engine, const struct tls_policy *policy)
{
    bool old = policy->medium || policy->min_version < BR_TLS12; /* these have nothing but CBC */

    br_ssl_engine_set_versions(engine, policy->min_version, policy->max_version);
    br_ssl_engine_add_flags(engine, BR_OPT_NO_RENEGOTIATION | BR_OPT_ENFORCE_SERVER_PREFERENCES);
    set_hashes(engine, old);
    set_suites(engine, old);
    set_ciphers(engine);
    br_ssl_engine_set_ec(engine, tls_profile_ec());
    br_ssl_engine_set_rsavrfy(engine, tls_profile_rsa_verify());
    br_ssl_engine_set_ecdsa(engine, &br_ecdsa_i31_vrfy_asn1);
}

bool tls_profile_seed(br_ssl_engine_context *engine)
{
    unsigned char seed[32];
    ssize_t n;

    do { /* so few bytes come whole, or not at all */
        n = getrandom(seed, sizeof seed, 0);
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof seed)
        return false;
    br_ssl_engine_inject_entropy(engine, seed, sizeof seed);
    explicit_bzero(seed, sizeof seed);
    return true;
}

const struct tls_suite *tls_profile_suite(unsigned id)
{
    for (size_t i = 0; i < COUNT(suites); i++) {
        if (suites[i].suite.id == id)
            return &suites[i].suite;
    }
    return NULL;
}

const char *tls_profile_protocol(unsigned version)
{
    if (version == BR_TLS10)
        return "TLSv1";
    return version == BR_TLS11 ? "TLSv1.1" : "TLSv1.2";
}
