/*
 * self_signed_store - where self-signed pairs are kept: queue_directory/tls
 *
 *     self-signed-rsa.pem, self-signed-ec.pem   key and certificate, 0600, whole at all times:
 *                                               replaced by rename, then synced
 *     *.new                                     being written
 *
 * A pair is kept for as long as it is for these names (tls/self_signed.h); another one takes its
 * place then. Callable from any thread, one at a time.
 */
#ifndef MXGATE_SERVER_SELF_SIGNED_STORE_H
#define MXGATE_SERVER_SELF_SIGNED_STORE_H

#include "base/errbuf.h"
#include "tls/self_signed.h"

#define SELF_SIGNED_FOLDER "tls"

struct self_signed_order {
    const char *directory; /* queue_directory */
    enum key_kind kind;
    struct self_signed_names names;
    int64_t now_s;
    bool make; /* when there is none that fits */
    /* the outcome */
    char *pem; /* owned, NUL-terminated: to be wiped; NULL: there is none */
    bool made;
    struct errbuf why;     /* why another one was made: "" there was none */
    struct errbuf trouble; /* why it could not be made, or (pem is there) not be kept */
};

void self_signed_get(struct self_signed_order *o);

#endif
