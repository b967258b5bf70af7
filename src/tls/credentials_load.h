/*
 * credentials_load - PEM texts to certificate chains and keys that fit together
 *
 * Every key must have its certificate, and be whole: an RSA key signs something that the
 * certificate's key verifies. A chain is put in order, from the certificate to what signed it; what
 * is in no chain is not sent, and that is noted. Whether a chain is complete, or has expired, is
 * not looked at. RSA of CREDENTIAL_RSA_MIN to CREDENTIAL_RSA_MAX bits, P-256, P-384.
 *
 * BearSSL is given only numbers whose sizes were checked here: 0.6 trusts them.
 */
#ifndef MXGATE_TLS_CREDENTIALS_LOAD_H
#define MXGATE_TLS_CREDENTIALS_LOAD_H

#include "tls/credentials.h"

#define CREDENTIAL_RSA_MIN   2048
#define CREDENTIAL_RSA_MAX   4096
#define CREDENTIAL_CHAIN_MAX 10 /* certificates in one chain */

struct credential_pair {
    struct credential *rsa, *ec; /* owned; either may be NULL, not both */
};

/* As credentials_add_group(); 0 or negative. Each has one reference. */
int credential_load(const struct credentials_file *files, size_t count, credentials_note_fn note,
                    void *note_ctx, struct credential_pair *out, struct errbuf *err);
struct credential *credential_ref(struct credential *c); /* NULL is fine; any thread */
void credential_unref(struct credential *c);             /* likewise; the last one wipes the key */

#endif
