/*
 * queue_fixture - custody put together: intake, scheduler, relay and a real spool in a temporary
 * folder
 *
 * The file calls fail when disk_fault() says so. Time passes by the settings: back-off is a second
 * at least, so what is to be tried again at once is asked for by scheduler_flush().
 */
#ifndef MXGATE_TESTS_IO_QUEUE_FIXTURE_H
#define MXGATE_TESTS_IO_QUEUE_FIXTURE_H

#include "disk_fixture.h"
#include "relay_fixture.h"

#include "intake/intake.h"

struct queue_fixture {
    struct disk_fixture d;
    struct relay_fixture r;
    struct lmtp_fixture other; /* a second peer, after queue_begin_two() */
    bool has_other;
    struct relay relay;
    struct spool spool;
    struct body_place place;
    struct scheduler scheduler;
    struct intake intake;
    unsigned bad;  /* files that a scan found bad */
    int64_t age_s; /* of what queue_put() puts there */
    bool running;
    bool litter; /* files that could not be removed may be left in incoming/ */
    unsigned closing;
    char ini[1600];
};

/* Somebody who hands over a message and waits for the answer. */
struct asker {
    struct smtp_verdict verdict;
    unsigned answers;
    struct queue_id id;
    void (*then)(struct asker *a); /* from within the answer */
};

void queue_begin(struct queue_fixture *q, const char *ini);
/* Without the peer listening. */
void queue_begin_down(struct queue_fixture *q, const char *ini);
/* With a second peer; ini is a format that takes the ports of both, as two %u. */
void queue_begin_two(struct queue_fixture *q, const char *ini);
/* Stops, as the gateway does it, and waits until nothing is under way. */
void queue_stop(struct queue_fixture *q);
/* Starts again from what is on disk. */
void queue_start(struct queue_fixture *q);
void queue_end(struct queue_fixture *q);
/* Another transport, as a reload brings it. */
void queue_reload(struct queue_fixture *q, const char *ini);
void queue_reload_two(struct queue_fixture *q, const char *ini);

/* Hands over a message of `size` bytes to these recipients. */
void queue_submit(struct queue_fixture *q, struct asker *a, const char *recipients, size_t size);
void queue_submit_envelope(struct queue_fixture *q, struct asker *a, struct envelope *e,
                           size_t size);
/* The same, and waits for the answer; its code. */
unsigned queue_submitted(struct queue_fixture *q, struct asker *a, const char *recipients);
/* A line of the body: numbered, so that a piece in the wrong place is seen. */
#define QUEUE_LINE_LEN 32
void queue_line(char line[QUEUE_LINE_LEN + 1], size_t number);
/* A body of whole lines; large ones are in a file. The prefix is the envelope's header. */
struct body *queue_body(struct queue_fixture *q, const struct envelope *e, size_t size);
/* Whether the n-th delivered message is such a body. */
bool queue_is_body(const struct queue_fixture *q, size_t index, size_t size);
bool queue_is_body_at(const struct lmtp_fixture *l, size_t index, size_t size);

unsigned queue_files(struct queue_fixture *q); /* in queue/ */
/* The spool file, malloc'd. */
char *queue_file(struct queue_fixture *q, const struct queue_id *id);
/* Puts a file into the spool as an earlier process would have left it; `records` after its end. */
void queue_put(struct queue_fixture *q, struct queue_id *id_out, const char *recipients,
               const char *records);
void queue_put_from(struct queue_fixture *q, struct queue_id *id_out, const char *sender,
                    const char *recipients, const char *records);

#endif
