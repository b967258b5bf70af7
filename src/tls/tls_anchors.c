/* tls_anchors - see tls_anchors.h */
#include "tls/tls_anchors.h"

#include "tls/pem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DN_MAX 4096 /* of one certificate */

struct tls_anchors {
    unsigned references;
    br_x509_trust_anchor *list; /* owned, with what its entries point to */
    size_t count;
    size_t skipped;
    size_t bytes;
};

/* One certificate being read. */
struct reading {
    unsigned char dn[DN_MAX];
    size_t dn_len;
    bool too_long;
};

static void on_dn(void *ctx, const void *bytes, size_t len)
{
    struct reading *r = ctx;

    if (len > DN_MAX - r->dn_len) {
        r->too_long = true;
        return;
    }
    memcpy(r->dn + r->dn_len, bytes, len);
    r->dn_len += len;
}

/* One block for everything an anchor points to: name, then the key's two numbers or its point. */
static bool copy_anchor(const struct reading *r, const br_x509_pkey *key, bool is_ca,
                        br_x509_trust_anchor *out, size_t *size_out)
{
    bool rsa = key->key_type == BR_KEYTYPE_RSA;
    size_t first = rsa ? key->key.rsa.nlen : key->key.ec.qlen;
    size_t second = rsa ? key->key.rsa.elen : 0;
    unsigned char *block = malloc(r->dn_len + first + second);

    if (!block)
        return false;
    *size_out = r->dn_len + first + second;
    memcpy(block, r->dn, r->dn_len);
    *out = (br_x509_trust_anchor){
        .dn = {block, r->dn_len},
          .flags = is_ca ? BR_X509_TA_CA : 0, .pkey = *key
    };
    block += r->dn_len;
    if (rsa) {
        memcpy(block, key->key.rsa.n, first);
        memcpy(block + first, key->key.rsa.e, second);
        out->pkey.key.rsa.n = block;
        out->pkey.key.rsa.e = block + first;
    } else {
        memcpy(block, key->key.ec.q, first);
        out->pkey.key.ec.q = block;
    }
    return true;
}

/* Room for one more, doubling; the count is bounded. */
static bool grow(struct tls_anchors *a)
{
    br_x509_trust_anchor *grown;

    if (a->count & (a->count - 1)) /* there is room until the next power of two */
        return true;
    grown = realloc(a->list, (a->count ? 2 * a->count : 1) * sizeof *grown);
    if (!grown)
        return false;
    a->list = grown;
    return true;
}

/* False when memory is out. */
static bool add_anchor(struct tls_anchors *a, struct span der)
{
    br_x509_decoder_context decoder;
    struct reading r = {.dn_len = 0};
    br_x509_pkey *key;
    size_t size;

    br_x509_decoder_init(&decoder, on_dn, &r);
    br_x509_decoder_push(&decoder, der.ptr, der.len);
    key = br_x509_decoder_get_pkey(&decoder);
    if (!key || r.too_long || r.dn_len == 0 || a->count == TLS_ANCHORS_MAX) {
        a->skipped++;
        return true;
    }
    if (!grow(a) ||
        !copy_anchor(&r, key, br_x509_decoder_isCA(&decoder) != 0, &a->list[a->count], &size))
        return false;
    a->count++;
    a->bytes += size + sizeof *a->list;
    return true;
}

static bool is_certificate(struct span label)
{
    return span_equal(label, SPAN_LIT("CERTIFICATE")) ||
           span_equal(label, SPAN_LIT("X509 CERTIFICATE"));
}

static bool read_pem(struct tls_anchors *a, struct span pem, unsigned char *room)
{
    struct pem_reader reader;
    struct pem_block block;
    bool ok = true;

    pem_reader_init(&reader, pem);
    while (ok) {
        switch (pem_next(&reader, room, &block, NULL)) {
        case PEM_BLOCK:
            ok = !is_certificate(block.label) || add_anchor(a, block.content);
            break;
        case PEM_BAD: /* the next one may be good */
            a->skipped += is_certificate(block.label);
            break;
        case PEM_END:
            return true;
        }
    }
    return false;
}

static int add_pem(struct tls_anchors *a, struct span pem, struct errbuf *err)
{
    unsigned char *room = malloc(PEM_ROOM(pem.len));
    bool ok = room && read_pem(a, pem, room);

    free(room);
    return ok ? 0 : errbuf_set(err, -ENOMEM, "out of memory");
}

/* ---- files ---- */

static int read_all(int fd, char *bytes, size_t len)
{
    size_t have = 0;

    while (have < len) {
        ssize_t n = read(fd, bytes + have, len - have);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        have += (size_t)n;
    }
    return 0;
}

static int read_file(int fd, char **bytes_out, size_t *len_out)
{
    struct stat st;
    char *bytes;
    int rc;

    if (fstat(fd, &st) != 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    if (st.st_size > TLS_ANCHORS_FILE_MAX)
        return -EFBIG;
    bytes = malloc((size_t)st.st_size + 1);
    if (!bytes)
        return -ENOMEM;
    rc = read_all(fd, bytes, (size_t)st.st_size);
    if (rc < 0) {
        free(bytes);
        return rc;
    }
    *bytes_out = bytes;
    *len_out = (size_t)st.st_size;
    return 0;
}

static int add_file(struct tls_anchors *a, const char *path, struct errbuf *err)
{
    size_t before = a->count;
    char *bytes = NULL;
    size_t len = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int rc = fd < 0 ? -errno : read_file(fd, &bytes, &len);

    if (fd >= 0)
        close(fd);
    if (rc < 0)
        return errbuf_set(err, rc, "CA file %s: %s", path, strerror(-rc));
    rc = add_pem(a, span_make(bytes, len), err);
    free(bytes);
    if (rc == 0 && a->count == before)
        return errbuf_set(err, -EINVAL, "CA file %s: it has no certificate in PEM", path);
    return rc;
}

/* ---- the surface ---- */

static struct tls_anchors *anchors_new(struct errbuf *err)
{
    struct tls_anchors *a = calloc(1, sizeof *a);

    if (!a)
        errbuf_set(err, -ENOMEM, "out of memory");
    else
        a->references = 1;
    return a;
}

struct tls_anchors *tls_anchors_parse(struct span pem, struct errbuf *err)
{
    struct tls_anchors *a = anchors_new(err);

    if (a && add_pem(a, pem, err) == 0) {
        if (a->count > 0)
            return a;
        errbuf_set(err, -EINVAL, "it has no certificate in PEM");
    }
    tls_anchors_unref(a);
    return NULL;
}

struct tls_anchors *tls_anchors_load(const char *const *paths, size_t count, struct errbuf *err)
{
    struct tls_anchors *a = anchors_new(err);

    for (size_t i = 0; a && i < count; i++) {
        if (!paths[i] || !paths[i][0] || add_file(a, paths[i], err) == 0)
            continue;
        tls_anchors_unref(a);
        return NULL;
    }
    return a;
}

struct tls_anchors *tls_anchors_ref(struct tls_anchors *a)
{
    a->references++;
    return a;
}

void tls_anchors_unref(struct tls_anchors *a)
{
    if (!a || --a->references > 0)
        return;
    for (size_t i = 0; i < a->count; i++)
        free(a->list[i].dn.data); /* the block; the key is in it */
    free(a->list);
    free(a);
}

const br_x509_trust_anchor *tls_anchors_array(const struct tls_anchors *a)
{
    return a->list;
}

size_t tls_anchors_count(const struct tls_anchors *a)
{
    return a->count;
}

size_t tls_anchors_skipped(const struct tls_anchors *a)
{
    return a->skipped;
}

size_t tls_anchors_bytes(const struct tls_anchors *a)
{
    return sizeof *a + a->bytes;
}
