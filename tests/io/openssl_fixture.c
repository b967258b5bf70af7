/* openssl_fixture - see openssl_fixture.h */
#include "openssl_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OUTPUT_MAX 200000

void openssl_setup(struct openssl_fixture *o)
{
    strcpy(o->path, "/tmp/mxgate-openssl-XXXXXX");
    assert_non_null(mkdtemp(o->path));
}

void openssl_teardown(struct openssl_fixture *o)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'", o->path);
    assert_int_equal(system(command), 0);
}

void openssl_run(struct openssl_fixture *o, const char *format, ...)
{
    char command[2048];
    char line[4096];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    snprintf(line, sizeof line, "cd '%s' && { %s; } >log 2>&1 || { cat log; false; }", o->path,
             command);
    if (system(line) != 0)
        fail_msg("%s", command);
}

char *openssl_output(struct openssl_fixture *o, const char *command)
{
    char line[4096];
    char *out = calloc(1, OUTPUT_MAX);
    FILE *pipe;

    snprintf(line, sizeof line, "cd '%s' && %s", o->path, command);
    pipe = popen(line, "r");
    assert_non_null(pipe);
    assert_non_null(out);
    assert_in_range(fread(out, 1, OUTPUT_MAX - 1, pipe), 0, OUTPUT_MAX - 2);
    if (pclose(pipe) != 0)
        fail_msg("%s: %s", command, out);
    return out;
}

char *openssl_read(struct openssl_fixture *o, const char *names)
{
    char command[512];

    snprintf(command, sizeof command, "cat %s", names);
    return openssl_output(o, command);
}
