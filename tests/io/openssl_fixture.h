/*
 * openssl_fixture - keys and certificates made by OpenSSL while the test runs, in a folder of its
 * own
 *
 * No private key is kept in the tree, and what is read is what people's tools write today.
 */
#ifndef MXGATE_TESTS_IO_OPENSSL_FIXTURE_H
#define MXGATE_TESTS_IO_OPENSSL_FIXTURE_H

#include <stddef.h>

struct openssl_fixture {
    char path[64];
};

void openssl_setup(struct openssl_fixture *o);
void openssl_teardown(struct openssl_fixture *o);
/* Runs a shell command in the folder; the test fails when it does. */
void openssl_run(struct openssl_fixture *o, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Files put together, "a.pem b.pem": malloc'd and NUL-terminated. */
char *openssl_read(struct openssl_fixture *o, const char *names);
/* What a command prints, the same. */
char *openssl_output(struct openssl_fixture *o, const char *command);

#endif
