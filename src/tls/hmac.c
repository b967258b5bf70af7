/* hmac - see hmac.h */
#include "tls/hmac.h"

#include <bearssl.h>

void hmac_sha256(struct span key, struct span text, unsigned char out[HMAC_SHA256_LEN])
{
    br_hmac_key_context key_context;
    br_hmac_context context;

    br_hmac_key_init(&key_context, &br_sha256_vtable, key.ptr, key.len);
    br_hmac_init(&context, &key_context, 0);
    br_hmac_update(&context, text.ptr, text.len);
    br_hmac_out(&context, out);
}
