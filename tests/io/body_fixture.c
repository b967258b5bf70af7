/* body_fixture - see body_fixture.h */
#include "body_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct disk_fixture body_disk;
struct body_place body_place;
int body_prefix_rc;

int body_setup(void **state)
{
    disk_setup(&body_disk);
    body_place = (struct body_place){
        .incoming_fd = open(body_disk.path, O_RDONLY | O_DIRECTORY),
        .disk = &body_disk.disk,
        .budget = {.limit = 1 << 20},
    };
    assert_true(body_place.incoming_fd >= 0);
    return 0;
}

int body_teardown(void **state)
{
    disk_run(&body_disk);
    assert_int_equal(body_place.budget.used, 0);
    assert_int_equal(disk_names(&body_disk, "."), 0);
    close(body_place.incoming_fd);
    disk_teardown(&body_disk);
    return 0;
}

static int make_prefix(void *ctx, char **bytes_out, size_t *len_out)
{
    if (body_prefix_rc < 0)
        return body_prefix_rc;
    *bytes_out = strdup(FILLING_PREFIX);
    *len_out = FILLING_PREFIX_LEN;
    return 0;
}

static char pattern(uint64_t at)
{
    return (char)(at % 251 + at / 65536);
}

void filling_on_room(void *ctx, int rc)
{
    struct filling *f = ctx;

    f->answers++;
    f->rc = rc;
    if (rc == 0)
        filling_go_on(f);
}

void filling_go_on(struct filling *f)
{
    while (f->left > 0) {
        size_t room;
        char *to;

        if (!body_make_room(f->b, 4096, filling_on_room, f))
            return;
        to = body_room(f->b, &room);
        assert_in_range(room, 4096, BODY_MEMORY_MAX);
        if (room > f->left)
            room = (size_t)f->left;
        for (size_t i = 0; i < room; i++)
            to[i] = pattern(f->b->total + i);
        body_wrote(f->b, room);
        f->left -= room;
    }
}

struct body *filling_body(void)
{
    struct body *b = body_new(&body_place);

    assert_non_null(b);
    strcpy(b->id.text, FILLING_ID);
    b->prefix = make_prefix;
    body_prefix_rc = 0;
    return b;
}

void filling_start(struct filling *f, uint64_t len)
{
    *f = (struct filling){.b = filling_body(), .left = len};
    filling_go_on(f);
}

void filling_check(const struct body *b, uint64_t len)
{
    static char buf[100000];
    static const size_t steps[] = {sizeof buf, 4096, 4097, 999};
    struct span view;

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        uint64_t at = 0;

        for (;;) {
            int n = body_read(b, at, buf, steps[i]);

            assert_true(n >= 0);
            if (n == 0)
                break;
            for (int k = 0; k < n; k++) {
                if (buf[k] != pattern(at + (uint64_t)k))
                    fail_msg("byte %llu", (unsigned long long)at + k);
            }
            at += (uint64_t)n;
        }
        assert_int_equal(at, len);
    }
    assert_int_equal(body_read(b, 0, buf, 0), 0);
    assert_true(body_view(b, len, &view));
    assert_int_equal(view.len, 0);
}
