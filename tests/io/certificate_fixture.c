/* certificate_fixture - see certificate_fixture.h */
#include "certificate_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char folder[64];

int certificate_setup(void **state)
{
    char command[128];

    snprintf(folder, sizeof folder, "/tmp/mxgate-certificates-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(command, sizeof command, "tests/certificates.sh %s", folder);
    assert_int_equal(system(command), 0); /* run where the Makefile is */
    return 0;
}

int certificate_teardown(void **state)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
    return 0;
}

const char *certificate_path(const char *name)
{
    static char paths[4][160];
    static unsigned turn;
    char *path = paths[turn++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

struct span certificate_read(const char *name)
{
    FILE *f = fopen(certificate_path(name), "r");
    struct stat st;
    char *bytes;

    if (!f)
        fail_msg("no file %s", name);
    assert_int_equal(fstat(fileno(f), &st), 0);
    bytes = malloc((size_t)st.st_size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)st.st_size, f), st.st_size);
    bytes[st.st_size] = '\0';
    fclose(f);
    return span_make(bytes, (size_t)st.st_size);
}

struct growing {
    char *bytes;
    size_t len;
};

static void on_bytes(void *ctx, const void *bytes, size_t len)
{
    struct growing *g = ctx;

    g->bytes = realloc(g->bytes, g->len + len);
    assert_non_null(g->bytes);
    memcpy(g->bytes + g->len, bytes, len);
    g->len += len;
}

struct certificate_chain certificate_chain_read(const char *name)
{
    struct certificate_chain chain = {.count = 0};
    br_pem_decoder_context pem;
    char file[64];
    struct span all, rest;
    struct growing g = {NULL, 0};

    snprintf(file, sizeof file, "%s.pem", name);
    all = rest = certificate_read(file);
    br_pem_decoder_init(&pem);
    while (rest.len > 0) {
        rest = span_from(rest, br_pem_decoder_push(&pem, rest.ptr, rest.len));
        switch (br_pem_decoder_event(&pem)) {
        case BR_PEM_BEGIN_OBJ:
            g = (struct growing){NULL, 0};
            br_pem_decoder_setdest(&pem, on_bytes, &g);
            break;
        case BR_PEM_END_OBJ:
            assert_true(chain.count < CERTIFICATE_CHAIN_MAX);
            chain.der[chain.count++] = span_make(g.bytes, g.len);
            break;
        case BR_PEM_ERROR:
            fail_msg("%s is not PEM", file);
            break;
        default:
            break;
        }
    }
    free((void *)(uintptr_t)all.ptr);
    return chain;
}

void certificate_chain_free(struct certificate_chain *chain)
{
    for (size_t i = 0; i < chain->count; i++)
        free((void *)(uintptr_t)chain->der[i].ptr);
    chain->count = 0;
}
