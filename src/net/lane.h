/*
 * lane - a share of the thread pool, or threads of its own for work that is all processor
 *
 * The pool is libuv's. A lane lets at most `limit` of its jobs be in the pool at the same time and
 * queues the rest in order, so that a flood in one lane (TLS handshakes) leaves threads to the
 * other (fsync). The pool's size is the sum of the lanes' limits (set by serve before the loop
 * starts).
 *
 * Handshakes have threads of their own, which give way to all others of the process (LANE_NICE):
 * where they take all the processor there is, the loop and what waits for the disk are first in
 * line all the same. libuv's threads cannot be that, each of them serves every lane.
 *
 * A job is embedded in its owner and must stay alive until done() was called, which happens on the
 * loop thread exactly once. work() runs on a pool thread and touches nothing but the job's own
 * data.
 */
#ifndef MXGATE_NET_LANE_H
#define MXGATE_NET_LANE_H

#include <stdbool.h>
#include <uv.h>

struct lane_job {
    uv_work_t request;
    struct lane *lane;
    void (*work)(struct lane_job *job);
    void (*done)(struct lane_job *job);
    struct lane_job *next;
};

struct lane_threads;

struct lane {
    uv_loop_t *loop;
    struct lane_threads *threads; /* owned; NULL: libuv's pool */
    unsigned limit;
    unsigned running;
    unsigned waiting;
    struct lane_job *first; /* borrowed: waiting jobs, oldest first */
    struct lane_job *last;
};

#define LANE_NICE 10 /* added to the process's */

/* Makes the pool's threads, which the first job would do else: libuv ends the process when one
 * cannot be had, and that is for the start, not for the middle of a mail. Once, before the loop
 * runs. */
void lane_start_pool(uv_loop_t *loop);
void lane_init(struct lane *lane, uv_loop_t *loop, unsigned limit);
/* `limit` threads of its own. 0 or negative, and then nothing needs closing. */
int lane_init_threads(struct lane *lane, uv_loop_t *loop, unsigned limit);
/* For such a lane, idle: its threads end. on_closed comes in a later turn of the loop. */
void lane_close(struct lane *lane, void (*on_closed)(void *ctx), void *ctx);
/* job->work and job->done must be set. */
void lane_submit(struct lane *lane, struct lane_job *job);
bool lane_idle(const struct lane *lane); /* nothing running, nothing waiting */

#endif
