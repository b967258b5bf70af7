/* lane - see lane.h */
#include "net/lane.h"

#include <assert.h>
#include <stddef.h>

static void lane_start(struct lane *lane);

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

static void lane_start(struct lane *lane)
{
    while (lane->first && lane->running < lane->limit) {
        struct lane_job *job = lane->first;
        int rc;

        lane->first = job->next;
        if (!lane->first)
            lane->last = NULL;
        lane->waiting--;
        lane->running++;
        job->request.data = job;
        rc = uv_queue_work(lane->loop, &job->request, on_work, on_done);
        assert(rc == 0); /* fails only without a work function */
        (void)rc;
    }
}

void lane_init(struct lane *lane, uv_loop_t *loop, unsigned limit)
{
    *lane = (struct lane){.loop = loop, .limit = limit};
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
