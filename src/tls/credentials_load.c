/* credentials_load - see credentials_load.h */
#include "tls/credentials_load.h"

#include "base/text.h"
#include "tls/key_check.h"
#include "tls/pem.h"
#include "tls/x509.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CERTIFICATES_MAX 64 /* in all files of a group */
#define KEYS_MAX         8
#define FILES_SHOWN_MAX  200 /* bytes */

struct found_certificate {
    struct x509 x509;
    struct span der;
    size_t file;
    bool used;
};

struct found_key {
    struct private_key key;
    unsigned char point[KEY_POINT_MAX];
    size_t file;
};

struct loader {
    const struct credentials_file *files;
    size_t file_count;
    credentials_note_fn note;
    void *note_ctx;
    struct errbuf *err;
    unsigned char *room; /* owned: all blocks, decoded */
    size_t room_len;
    size_t used;
    struct found_certificate certificates[CERTIFICATES_MAX];
    size_t certificate_count;
    struct found_key keys[KEYS_MAX];
    size_t key_count;
};

/* ---- words ---- */

/* "a.pem, b.pem" */
static void put_files(struct text *t, const struct loader *l)
{
    for (size_t i = 0; i < l->file_count; i++)
        text_printf(t, "%s%s", i > 0 ? ", " : "", l->files[i].name);
}

static int refuse(struct loader *l, size_t file, const char *what, const char *why)
{
    return errbuf_set(l->err, -EINVAL, "%s: the %s %s", l->files[file].name, what, why);
}

/* About all files together. */
static int refuse_all(struct loader *l, const char *format)
{
    char buf[FILES_SHOWN_MAX];
    struct text names;

    text_init(&names, buf, sizeof buf);
    put_files(&names, l);
    return errbuf_set(l->err, -EINVAL, "%s%s", buf, format);
}

static void note(const struct loader *l, const char *name, const char *what)
{
    char buf[ERRBUF_CAP];
    struct text t;

    text_init(&t, buf, sizeof buf);
    text_printf(&t, "%s: %s", name, what);
    if (l->note)
        l->note(l->note_ctx, buf);
}

/* The first name of a certificate, for people. */
static void put_subject(struct text *t, const struct x509 *x)
{
    struct span names = x->names;
    struct span name = x->common_name;

    (void)x509_next_name(&names, &name);
    text_printable_max(t, name, t->cap - 1);
}

/* ---- reading ---- */

static bool is_certificate(struct span label)
{
    return span_equal(label, SPAN_LIT("CERTIFICATE")) ||
           span_equal(label, SPAN_LIT("X509 CERTIFICATE"));
}

static int take_certificate(struct loader *l, size_t file, struct span der)
{
    struct found_certificate *c = &l->certificates[l->certificate_count];
    const char *why;

    if (l->certificate_count == CERTIFICATES_MAX)
        return refuse_all(l, ": too many certificates; at most 64 are read");
    *c = (struct found_certificate){.der = der, .file = file};
    why = x509_parse(der, &c->x509);
    if (why)
        return refuse(l, file, "certificate", why);
    l->certificate_count++;
    return 0;
}

static int take_key(struct loader *l, size_t file, const struct pem_block *block)
{
    struct found_key *k = &l->keys[l->key_count];
    const char *why;

    if (block->encrypted)
        return refuse(l, file, "private key",
                      "is encrypted, which is not supported; write it without a passphrase "
                      "(openssl pkey -in KEY -out NEW), readable for mxgate only");
    if (l->key_count == KEYS_MAX)
        return refuse_all(l, ": too many private keys; at most 8 are read");
    why = private_key_parse(block->content, &k->key);
    if (!why)
        why = key_complete(&k->key, k->point);
    if (why)
        return refuse(l, file, "private key", why);
    for (size_t i = 0; i < l->key_count; i++) {
        if (public_key_equal(&l->keys[i].key.public, &k->key.public))
            return 0;
    }
    k->file = file;
    l->key_count++;
    return 0;
}

/* Other blocks (EC PARAMETERS, DH PARAMETERS, ...) are nothing to us. */
static int take_block(struct loader *l, size_t file, const struct pem_block *block)
{
    if (is_certificate(block->label))
        return take_certificate(l, file, block->content);
    if (span_ends_nocase(block->label, SPAN_LIT("PRIVATE KEY")))
        return take_key(l, file, block);
    return 0;
}

static int read_file(struct loader *l, size_t file)
{
    struct pem_reader reader;
    struct pem_block block;
    enum pem_event event = PEM_END;
    int rc = 0;

    pem_reader_init(&reader, l->files[file].pem);
    while (rc == 0 && (event = pem_next(&reader, l->room + l->used, &block, l->err)) == PEM_BLOCK) {
        l->used += block.content.len;
        rc = take_block(l, file, &block);
    }
    return event == PEM_BAD ? errbuf_prefix(l->err, -EINVAL, l->files[file].name) : rc;
}

/* Binary files are a usual slip. */
static bool looks_like_der(const struct loader *l)
{
    for (size_t i = 0; i < l->file_count; i++) {
        if (span_starts_nocase(l->files[i].pem, SPAN_LIT("0\x82")))
            return true;
    }
    return false;
}

static int read_all(struct loader *l)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < l->file_count; i++)
        rc = read_file(l, i);
    if (rc < 0)
        return rc;
    if (l->certificate_count == 0)
        return refuse_all(l, looks_like_der(l)
                                 ? ": this is DER; write it as PEM (openssl x509 -inform DER)"
                                 : ": there is no certificate in it; give a PEM file with the "
                                   "certificate and its chain");
    if (l->key_count == 0)
        return refuse_all(l, ": there is no private key in it; name the key's file too "
                             "(smtpd_tls_key_file), or put the key into the same file");
    return 0;
}

/* ---- chains ---- */

static struct found_certificate *find_leaf(struct loader *l, const struct found_key *k)
{
    for (size_t i = 0; i < l->certificate_count; i++) {
        if (public_key_equal(&l->certificates[i].x509.key, &k->key.public))
            return &l->certificates[i];
    }
    return NULL;
}

/* What signed it: the next one, else any. */
static struct found_certificate *find_issuer(struct loader *l, struct found_certificate *of)
{
    size_t at = (size_t)(of - l->certificates);

    if (span_equal(of->x509.subject, of->x509.issuer))
        return NULL; /* the end */
    for (size_t i = 1; i < l->certificate_count; i++) {
        struct found_certificate *c = &l->certificates[(at + i) % l->certificate_count];

        if (span_equal(c->x509.subject, of->x509.issuer))
            return c;
    }
    return NULL;
}

static bool add_to_chain(struct credential *c, struct found_certificate *from)
{
    br_x509_certificate *next = &c->chain[c->chain_len];

    next->data = malloc(from->der.len);
    if (!next->data)
        return false;
    memcpy(next->data, from->der.ptr, from->der.len);
    next->data_len = from->der.len;
    from->used = true;
    c->chain_len++;
    return true;
}

static int build_chain(struct loader *l, struct found_certificate *leaf, struct credential *c)
{
    struct found_certificate *next = leaf;
    bool ordered = true;

    c->chain = calloc(CREDENTIAL_CHAIN_MAX, sizeof *c->chain);
    while (c->chain && next && c->chain_len < CREDENTIAL_CHAIN_MAX) {
        struct found_certificate *issuer = find_issuer(l, next);

        if (!add_to_chain(c, next))
            return errbuf_set(l->err, -ENOMEM, "out of memory");
        ordered = ordered && (!issuer || issuer == next + 1 || issuer->file != next->file);
        next = issuer;
    }
    if (!c->chain)
        return errbuf_set(l->err, -ENOMEM, "out of memory");
    if (!ordered)
        note(l, l->files[leaf->file].name,
             "the certificates are in the wrong order and are sent in the right one; write the "
             "server's first, then each one that signed the one before");
    return 0;
}

/* Its intermediate may stand behind each of two certificates. */
static bool is_used(const struct loader *l, const struct found_certificate *c)
{
    for (size_t i = 0; i < l->certificate_count; i++) {
        if (l->certificates[i].used && span_equal(l->certificates[i].der, c->der))
            return true;
    }
    return false;
}

static void note_unused(const struct loader *l)
{
    for (size_t i = 0; i < l->certificate_count; i++) {
        const struct found_certificate *c = &l->certificates[i];
        char subject[128], words[256];
        struct text name, t;

        if (is_used(l, c))
            continue;
        text_init(&name, subject, sizeof subject);
        put_subject(&name, &c->x509);
        text_init(&t, words, sizeof words);
        text_printf(&t, "the certificate of %s belongs to no chain here and is not sent; remove it",
                    subject[0] ? subject : "(no name)");
        note(l, l->files[c->file].name, words);
    }
}

/* ---- pairs ---- */

static int fill(struct loader *l, const struct found_key *k, struct found_certificate *leaf,
                struct credential *c)
{
    const struct x509 *x = &leaf->x509;
    struct text subject;

    c->issuer_key_type = x->signer == KEY_EC ? BR_KEYTYPE_EC : BR_KEYTYPE_RSA;
    c->not_before_s = x->not_before_s;
    c->not_after_s = x->not_after_s;
    c->self_signed = span_equal(x->subject, x->issuer);
    text_init(&subject, c->subject, sizeof c->subject);
    put_subject(&subject, x);
    if (key_install(&k->key, c) < 0)
        return errbuf_set(l->err, -ENOMEM, "out of memory");
    if (!key_works(c, &x->key))
        return refuse(l, k->file, "private key", "is damaged: what it signs does not verify");
    return build_chain(l, leaf, c);
}

static int make_pair(struct loader *l, const struct found_key *k, struct credential_pair *out)
{
    struct credential **slot = k->key.public.kind == KEY_RSA ? &out->rsa : &out->ec;
    struct found_certificate *leaf = find_leaf(l, k);
    struct credential *c;
    int rc;

    if (!leaf)
        return refuse(l, k->file, "private key",
                      "does not fit the certificate; give the key and the chain that were made "
                      "together");
    c = calloc(1, sizeof *c);
    if (!c)
        return errbuf_set(l->err, -ENOMEM, "out of memory");
    atomic_init(&c->references, 1);
    rc = fill(l, k, leaf, c);
    if (rc < 0) {
        credential_unref(c);
        return rc;
    }
    if (*slot)
        note(l, l->files[k->file].name,
             "there is a pair of this kind before, which is not used: there can be one with an RSA "
             "key and one with an EC key");
    credential_unref(*slot);
    *slot = c;
    return 0;
}

static int load(struct loader *l, struct credential_pair *out)
{
    size_t total = 0;
    int rc;

    for (size_t i = 0; i < l->file_count; i++)
        total += PEM_ROOM(l->files[i].pem.len);
    l->room = malloc(total + 1);
    if (!l->room)
        return errbuf_set(l->err, -ENOMEM, "out of memory");
    l->room_len = total + 1;
    rc = read_all(l);
    for (size_t i = 0; rc == 0 && i < l->key_count; i++)
        rc = make_pair(l, &l->keys[i], out);
    if (rc == 0)
        note_unused(l);
    return rc;
}

int credential_load(const struct credentials_file *files, size_t count, credentials_note_fn note_fn,
                    void *note_ctx, struct credential_pair *out, struct errbuf *err)
{
    struct loader *l = calloc(1, sizeof *l);
    int rc;

    *out = (struct credential_pair){NULL, NULL};
    if (!l)
        return errbuf_set(err, -ENOMEM, "out of memory");
    l->files = files;
    l->file_count = count;
    l->note = note_fn;
    l->note_ctx = note_ctx;
    l->err = err;
    rc = load(l, out);
    if (rc < 0) {
        credential_unref(out->rsa);
        credential_unref(out->ec);
        *out = (struct credential_pair){NULL, NULL};
    }
    if (l->room)
        explicit_bzero(l->room, l->room_len);
    free(l->room);
    free(l);
    return rc;
}

struct credential *credential_ref(struct credential *c)
{
    if (c)
        atomic_fetch_add(&c->references, 1);
    return c;
}

void credential_unref(struct credential *c)
{
    if (!c || atomic_fetch_sub(&c->references, 1) > 1)
        return;
    for (size_t i = 0; i < c->chain_len; i++)
        free(c->chain[i].data);
    free(c->chain);
    if (c->secret)
        explicit_bzero(c->secret, c->secret_len);
    free(c->secret);
    free(c);
}
