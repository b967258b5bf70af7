/*
 * pem - the blocks of a PEM text (RFC 7468), decoded; pure
 *
 *     -----BEGIN CERTIFICATE-----
 *     base64
 *     -----END CERTIFICATE-----
 *
 * What stands between blocks is skipped: OpenSSL and others explain there what comes next. Lines
 * may end in LF or CRLF and have blanks around them; headers (RFC 1421) are skipped, and tell
 * whether the block is encrypted.
 *
 * Fails:  PEM_BAD with the line in words: a block that does not end, or is no base64.
 */
#ifndef MXGATE_TLS_PEM_H
#define MXGATE_TLS_PEM_H

#include "base/errbuf.h"
#include "base/span.h"

struct pem_reader {
    struct span rest;
    unsigned line; /* of what comes next, from 1 */
};

struct pem_block {
    struct span label;   /* "CERTIFICATE"; points into the text */
    struct span content; /* decoded; points into the caller's room */
    bool encrypted;
    unsigned line; /* where it begins */
};

enum pem_event { PEM_BLOCK, PEM_END, PEM_BAD };

void pem_reader_init(struct pem_reader *r, struct span text);
/* `room` has PEM_ROOM(length of the text) bytes at least. */
#define PEM_ROOM(len) ((len) / 4 * 3 + 3)
enum pem_event pem_next(struct pem_reader *r, unsigned char *room, struct pem_block *out,
                        struct errbuf *err);

#endif
