/*
 * key_check - private keys as BearSSL wants them, and whether their numbers belong together
 *
 * Everything that BearSSL takes for granted about a key is looked at before it gets one.
 */
#ifndef MXGATE_TLS_KEY_CHECK_H
#define MXGATE_TLS_KEY_CHECK_H

#include "tls/credentials.h"
#include "tls/private_key.h"

#define KEY_POINT_MAX 97 /* P-384 */

/* Computes an EC key's public point into `room`. NULL, or why the key cannot be used. An RSA key
 * has its public half already. Cheap. */
const char *key_complete(struct private_key *key, unsigned char room[KEY_POINT_MAX]);
/* Copies the key into the credential. 0, or -ENOMEM. */
int key_install(const struct private_key *key, struct credential *c);
/* Signs with the credential's key and verifies with the public one. RSA: milliseconds. */
bool key_works(const struct credential *c, const struct public_key *public);

#endif
