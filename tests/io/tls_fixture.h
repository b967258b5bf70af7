/*
 * tls_fixture - certificates made on the spot, and two TLS sessions that talk in memory
 *
 * The keys, RSA-2048, EC P-256 and P-384, are made once for a program, the same in every run; the
 * certificates' signatures are nobody's (clients here do not verify).
 */
#ifndef MXGATE_TESTS_IO_TLS_FIXTURE_H
#define MXGATE_TESTS_IO_TLS_FIXTURE_H

#include "tls/credentials.h"
#include "tls/tls_client.h"
#include "tls/tls_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TLS_BEST ((struct tls_policy){BR_TLS12, BR_TLS12, false, 16})

/* What later servers have, until the next call; of two EC keys the second counts. */
struct tls_fixture_choice {
    bool rsa, ec, ec_p384, long_chain;
    const char *ec_name; /* who asks for this name gets the EC P-256 key alone; NULL: nobody */
};
void tls_fixture_choose(struct tls_fixture_choice choice);
struct credentials *tls_fixture_credentials(void);

struct tls_server *tls_fixture_server(const struct tls_policy *policy);
struct tls_client *tls_fixture_client(const struct tls_policy *policy);
struct tls_session *tls_fixture_hello(struct tls_client *client, const char *sni);

/* Moves bytes from one session's wire into the other, in pieces of `piece` bytes at most, until
 * nothing moves. Whether anything did. */
bool tls_fixture_carry(struct tls_session *from, struct tls_session *to, size_t piece);
/* Both ways, until nothing moves. */
void tls_fixture_talk(struct tls_session *a, struct tls_session *b, size_t piece);

#endif
