/*
 * spool_fixture - an open spool in a temporary folder, and messages to put into it
 */
#ifndef MXGATE_TESTS_IO_SPOOL_FIXTURE_H
#define MXGATE_TESTS_IO_SPOOL_FIXTURE_H

#include "disk_fixture.h"
#include "queue/spool.h"

#define SPOOL_NAME_CAP 200

struct spool_fixture {
    struct disk_fixture disk;
    struct spool spool;
    struct body_place place;
};

/* A message on its way into the spool. */
struct spool_message {
    struct spool_fixture *fixture;
    struct envelope *envelope;
    struct body *body;
    uint64_t left; /* bytes of the body still to be made */
    struct spool_commit commit;
    unsigned done; /* times that the commit called back */
    int rc;
    const char *step;
};

/* What a scan came upon. */
struct spool_seen {
    unsigned files;
    unsigned bad;
    char last[QUEUE_ID_LEN + 1];
    char why[ERRBUF_CAP];   /* of the last bad one */
    struct spool_file file; /* what the last one said, but for the envelope */
    size_t pending;         /* recipients of all */
};

void spool_setup(struct spool_fixture *f);
void spool_teardown(struct spool_fixture *f); /* nothing may be left in incoming/ */
void spool_reopen(struct spool_fixture *f);   /* as after a restart */

/* Two recipients, a body of `len` bytes, id number `n`. Run the loop when it is longer than
 * BODY_MEMORY_MAX. */
void spool_message_init(struct spool_message *m, struct spool_fixture *f, unsigned n, uint64_t len);
void spool_message_commit(struct spool_message *m); /* starts it */
void spool_message_deinit(struct spool_message *m);
/* All of it: made, committed with success, freed. */
void spool_store(struct spool_fixture *f, unsigned n, uint64_t len);
void spool_id(unsigned n, struct queue_id *id_out);
/* "folder/ID" */
const char *spool_name(char name[SPOOL_NAME_CAP], const char *folder, unsigned n);
/* Scans, and checks the order. The result of the scan. */
int spool_scan_all(struct spool_fixture *f, struct spool_seen *seen);
/* Loads message n and compares it with what spool_message_init() made. The result of the load. */
int spool_check(struct spool_fixture *f, unsigned n, uint64_t len);

#endif
