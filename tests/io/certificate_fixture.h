/*
 * certificate_fixture - certificates for tests, made once per program by tests/certificates.sh in a
 * folder that certificate_teardown() removes
 */
#ifndef MXGATE_TESTS_IO_CERTIFICATE_FIXTURE_H
#define MXGATE_TESTS_IO_CERTIFICATE_FIXTURE_H

#include "base/span.h"

#include <bearssl.h>

#define CERTIFICATE_CHAIN_MAX 12

/* cmocka's group functions. */
int certificate_setup(void **state);
int certificate_teardown(void **state);

/* "FOLDER/NAME"; good until the next call but three. */
const char *certificate_path(const char *name);
/* The file's bytes, malloc'd. */
struct span certificate_read(const char *name);

/* The certificates of "NAME.pem", decoded. */
struct certificate_chain {
    struct span der[CERTIFICATE_CHAIN_MAX]; /* owned */
    size_t count;
};
struct certificate_chain certificate_chain_read(const char *name);
void certificate_chain_free(struct certificate_chain *chain);

#endif
