/*
 * credentials - certificate chains with their private keys, and which name gets which
 *
 * Immutable once built, and reference counted (on the loop's thread only; it may be built on
 * another). Chains and keys are decoded once; sessions point into them, so a session's tls_server
 * keeps its credentials.
 *
 *     credentials_new, credentials_add_group (0: for everybody), more groups, credentials_add_name
 *
 * A group is what Postfix calls chain files: an RSA pair, an EC pair, or both.
 */
#ifndef MXGATE_TLS_CREDENTIALS_H
#define MXGATE_TLS_CREDENTIALS_H

#include "base/errbuf.h"
#include "base/span.h"

#include <bearssl.h>
#include <stdatomic.h>
#include <stdint.h>

struct credential {
    atomic_uint references;     /* groups may share it, also on several threads */
    br_x509_certificate *chain; /* owned DER, the end entity's first */
    size_t chain_len;
    int key_type;        /* BR_KEYTYPE_RSA or BR_KEYTYPE_EC: the key's own */
    int issuer_key_type; /* the key that signed it: a suite with static ECDH would ask */
    union {
        br_rsa_private_key rsa;
        br_ec_private_key ec;
    } key;                 /* points into secret */
    unsigned char *secret; /* owned; wiped when it goes */
    size_t secret_len;
    int64_t not_before_s, not_after_s; /* the end entity's, seconds since 1970, UTC */
    char subject[256];                 /* its first name (SAN, else CN), printable; "" none */
    bool self_signed;                  /* its issuer is itself */
};

struct credentials;

/* One PEM text; name is for messages. */
struct credentials_file {
    const char *name;
    struct span pem;
};
typedef void (*credentials_note_fn)(void *ctx, const char *text);

/* Empty, with one reference; NULL: no memory. */
struct credentials *credentials_new(void);
/*
 * Takes chains and keys from these texts, which may stand in any order: what belongs together is
 * seen from the keys. The number of the group, from 0; or negative, and err names the file and what
 * to do. -EINVAL: the texts; -ENOMEM. note: what can be used, but was hardly meant.
 */
int credentials_add_group(struct credentials *c, const struct credentials_file *files, size_t count,
                          credentials_note_fn note, void *note_ctx, struct errbuf *err);
/* The same pairs as this group of another one: when its files cannot be used any more. The number
 * of the group, or -ENOMEM. */
int credentials_share_group(struct credentials *c, const struct credentials *from, size_t group);
/* A server name in lower case, or .parent for all below it, gets this group. Names come in strcmp's
 * order, each once. 0 or -ENOMEM. */
int credentials_add_name(struct credentials *c, const char *name, size_t group);

struct credentials *credentials_ref(struct credentials *c);
void credentials_unref(struct credentials *c); /* NULL is fine; the last one wipes the keys */

/* For a client that asked for server_name ("" none): the RSA and the EC pair to choose from by what
 * it offers; either may be NULL, not both. Any thread. */
struct credential_choice {
    const struct credential *rsa, *ec;
};
struct credential_choice credentials_choose(const struct credentials *c, const char *server_name);
/* All groups, to look at. */
size_t credentials_groups(const struct credentials *c);
struct credential_choice credentials_group(const struct credentials *c, size_t group);

#endif
