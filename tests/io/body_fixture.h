/*
 * body_fixture - bodies in a temporary folder, filled with a pattern as fast as they take it
 */
#ifndef MXGATE_TESTS_IO_BODY_FIXTURE_H
#define MXGATE_TESTS_IO_BODY_FIXTURE_H

#include "disk_fixture.h"
#include "message/body.h"

#define FILLING_PREFIX     "prefix of the file\n"
#define FILLING_PREFIX_LEN (sizeof FILLING_PREFIX - 1)
#define FILLING_ID         "06401F3A9C2E7001"

extern struct disk_fixture body_disk;
extern struct body_place body_place;
/* What the owner's prefix function answers; filling_body() sets it to 0. */
extern int body_prefix_rc;

/* One body being filled. */
struct filling {
    struct body *b;
    uint64_t left;
    unsigned answers; /* of on_room */
    int rc;           /* the last */
};

int body_setup(void **state);
int body_teardown(void **state); /* no name and no budget may be left */
struct body *filling_body(void);
/* Goes on until there is no room at once; then from on_room, while the loop runs. */
void filling_go_on(struct filling *f);
void filling_start(struct filling *f, uint64_t len);
void filling_on_room(void *ctx, int rc);
/* Reads the whole body in pieces of every kind and compares. */
void filling_check(const struct body *b, uint64_t len);

#endif
