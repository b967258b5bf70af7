/* lane - see lane.h */
#include "net/lane.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/resource.h>

static void lane_start(struct lane *lane);

/* ---- libuv's pool ---- */

static void on_work(uv_work_t *request)
{
    struct lane_job *job = request->data;

    job->work(job);
}

static void on_done(uv_work_t *request, int status)
{
    struct lane_job *job = request->data;
    struct lane *lane = job->lane;

    (void)status; /* jobs are never cancelled: what is begun on disk is finished */
    lane->running--;
    lane_start(lane); /* before done(): it may free the job, or submit again */
    job->done(job);
}

static void run_in_pool(struct lane_job *job)
{
    int rc;

    job->request.data = job;
    rc = uv_queue_work(job->lane->loop, &job->request, on_work, on_done);
    assert(rc == 0); /* fails only without a work function */
    (void)rc;
}

static void nothing(uv_work_t *request)
{
    (void)request;
}

void lane_start_pool(uv_loop_t *loop)
{
    static uv_work_t request;

    uv_queue_work(loop, &request, nothing, NULL);
}

/* ---- threads of its own ---- */

struct lane_threads {
    struct lane *lane; /* borrowed: it owns this */
    uv_async_t back;   /* something is done; keeps the loop alive while a job runs */
    void (*on_closed)(void *ctx);
    void *ctx;
    uv_mutex_t lock; /* of the following three */
    uv_cond_t wake;
    struct lane_job *todo; /* a thread is free for each of them: the order does not matter */
    struct lane_job *done;
    bool stop;
    unsigned count;
    uv_thread_t threads[];
};

static void thread_main(void *arg)
{
    struct lane_threads *t = arg;

    /* In Linux it is the thread's alone; if it fails the lane is only less polite. */
    (void)setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + LANE_NICE);
    uv_mutex_lock(&t->lock);
    while (!t->stop) {
        struct lane_job *job = t->todo;

        if (!job) {
            uv_cond_wait(&t->wake, &t->lock);
            continue;
        }
        t->todo = job->next;
        uv_mutex_unlock(&t->lock);
        job->work(job);
        uv_mutex_lock(&t->lock);
        job->next = t->done;
        t->done = job;
        uv_async_send(&t->back);
    }
    uv_mutex_unlock(&t->lock);
}

static void run_in_thread(struct lane_threads *t, struct lane_job *job)
{
    uv_ref((uv_handle_t *)&t->back);
    uv_mutex_lock(&t->lock);
    job->next = t->todo;
    t->todo = job;
    uv_cond_signal(&t->wake);
    uv_mutex_unlock(&t->lock);
}

static void on_back(uv_async_t *back)
{
    struct lane_threads *t = back->data;
    struct lane *lane = t->lane;
    struct lane_job *job;

    uv_mutex_lock(&t->lock);
    job = t->done;
    t->done = NULL;
    uv_mutex_unlock(&t->lock);
    while (job) {
        struct lane_job *next = job->next;

        lane->running--;
        lane_start(lane); /* before done(): it may free the job, or submit again */
        if (lane->running == 0)
            uv_unref((uv_handle_t *)back);
        job->done(job);
        job = next;
    }
}

static void stop_threads(struct lane_threads *t)
{
    uv_mutex_lock(&t->lock);
    t->stop = true;
    uv_cond_broadcast(&t->wake);
    uv_mutex_unlock(&t->lock);
    while (t->count > 0)
        uv_thread_join(&t->threads[--t->count]);
    uv_cond_destroy(&t->wake);
    uv_mutex_destroy(&t->lock);
}

static void on_back_closed(uv_handle_t *handle)
{
    struct lane_threads *t = handle->data;
    void (*on_closed)(void *ctx) = t->on_closed;
    void *ctx = t->ctx;

    free(t);
    if (on_closed)
        on_closed(ctx);
}

static int start_threads(struct lane_threads *t, unsigned count)
{
    int rc = 0;

    while (rc == 0 && t->count < count) {
        rc = uv_thread_create(&t->threads[t->count], thread_main, t);
        t->count += rc == 0;
    }
    if (rc < 0)
        stop_threads(t);
    return rc;
}

/* ---- both ---- */

static void lane_start(struct lane *lane)
{
    while (lane->first && lane->running < lane->limit) {
        struct lane_job *job = lane->first;

        lane->first = job->next;
        if (!lane->first)
            lane->last = NULL;
        lane->waiting--;
        lane->running++;
        if (lane->threads)
            run_in_thread(lane->threads, job);
        else
            run_in_pool(job);
    }
}

void lane_init(struct lane *lane, uv_loop_t *loop, unsigned limit)
{
    *lane = (struct lane){.loop = loop, .limit = limit};
}

int lane_init_threads(struct lane *lane, uv_loop_t *loop, unsigned limit)
{
    struct lane_threads *t = calloc(1, sizeof *t + limit * sizeof t->threads[0]);
    int rc;

    lane_init(lane, loop, limit);
    if (!t)
        return UV_ENOMEM;
    t->lane = lane;
    if (uv_mutex_init(&t->lock) < 0) {
        free(t);
        return UV_ENOMEM;
    }
    if (uv_cond_init(&t->wake) < 0) {
        uv_mutex_destroy(&t->lock);
        free(t);
        return UV_ENOMEM;
    }
    rc = uv_async_init(loop, &t->back, on_back);
    if (rc < 0) {
        stop_threads(t); /* none */
        free(t);
        return rc;
    }
    t->back.data = t;
    uv_unref((uv_handle_t *)&t->back);
    rc = start_threads(t, limit);
    if (rc < 0) {
        uv_close((uv_handle_t *)&t->back, on_back_closed);
        return rc;
    }
    lane->threads = t;
    return 0;
}

void lane_close(struct lane *lane, void (*on_closed)(void *ctx), void *ctx)
{
    struct lane_threads *t = lane->threads;

    assert(t && lane_idle(lane));
    lane->threads = NULL;
    t->on_closed = on_closed;
    t->ctx = ctx;
    stop_threads(t);
    uv_close((uv_handle_t *)&t->back, on_back_closed);
}

void lane_submit(struct lane *lane, struct lane_job *job)
{
    job->lane = lane;
    job->next = NULL;
    if (lane->last)
        lane->last->next = job;
    else
        lane->first = job;
    lane->last = job;
    lane->waiting++;
    lane_start(lane);
}

bool lane_idle(const struct lane *lane)
{
    return lane->running == 0 && lane->waiting == 0;
}
