/*
 * tls_anchors - the CAs whose word we take: PEM bundles as one array for BearSSL
 *
 * Immutable and reference counted (on the loop's thread only); read by validators in other threads.
 * From each certificate only name and public key are kept (1 KB for an RSA-4096 CA). What in a
 * bundle is no certificate is passed over; a certificate that cannot be read, or has a key of a
 * kind that BearSSL does not know, is skipped and counted.
 *
 * A certificate that is no CA's is trusted as itself: a self-signed one of an upstream may stand in
 * the file.
 *
 * Fails:  NULL, with the reason in err: the file cannot be read, is larger than
 * TLS_ANCHORS_FILE_MAX, or has no usable certificate; no memory. Limits: TLS_ANCHORS_MAX
 * certificates, the rest is counted as skipped. Why:    a file is read whole, on the loop: a bundle
 * of 140 CAs takes a few milliseconds, and only at start and reload, if some destination needs it.
 */
#ifndef MXGATE_TLS_TLS_ANCHORS_H
#define MXGATE_TLS_TLS_ANCHORS_H

#include "base/errbuf.h"
#include "base/span.h"

#include <bearssl.h>

#define TLS_ANCHORS_FILE_MAX (4u << 20)
#define TLS_ANCHORS_MAX      2000

struct tls_anchors;

/* The certificates of one PEM text. */
struct tls_anchors *tls_anchors_parse(struct span pem, struct errbuf *err);
/* Of files, all together; those that are NULL or "" count for nothing. */
struct tls_anchors *tls_anchors_load(const char *const *paths, size_t count, struct errbuf *err);
struct tls_anchors *tls_anchors_ref(struct tls_anchors *a);
void tls_anchors_unref(struct tls_anchors *a); /* NULL is fine */

const br_x509_trust_anchor *tls_anchors_array(const struct tls_anchors *a);
size_t tls_anchors_count(const struct tls_anchors *a);
size_t tls_anchors_skipped(const struct tls_anchors *a);
size_t tls_anchors_bytes(const struct tls_anchors *a); /* memory it takes */

#endif
