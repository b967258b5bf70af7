/* delivery_maildir - a delivery whose target is a folder; see delivery.h */
#include "relay/delivery_internal.h"

#include "base/clock.h"
#include "relay/maildir.h"

#include <string.h>

static void write_maildir(struct lane_job *job)
{
    struct delivery *d = (struct delivery *)((char *)job - offsetof(struct delivery, read_job));
    const char *step = "";
    char buf[400];
    struct text t;
    int rc = maildir_write(d->upstream->route.path, d->config->myhostname, d->envelope, d->asked,
                           d->asked_count, d->body, &step);

    text_init(&t, buf, sizeof buf);
    if (rc == 0)
        text_cstr(&t, "delivered to maildir");
    else
        text_printf(&t, "maildir %s: %s: %s", d->upstream->route.path, step, strerror(-rc));
    for (size_t i = 0; i < d->asked_count; i++) {
        size_t position = d->position[i];

        delivery_set_result(d, position, rc == 0 ? DELIVERY_SENT : DELIVERY_DEFERRED,
                            rc == 0 ? "2.0.0" : "4.2.0", buf);
        d->results[position].code = rc == 0 ? 250 : 0;
        d->results[position].owes = RECIPIENT_OWES_DELIVERED;
        if (rc < 0)
            d->movable |= UINT64_C(1) << position;
    }
}

static void on_maildir_written(struct lane_job *job)
{
    struct delivery *d = (struct delivery *)((char *)job - offsetof(struct delivery, read_job));

    config_unref(&d->config);
    d->reading = false;
    if (delivery_ask_next(d, UPSTREAM_END_FINISHED, ""))
        return;
    d->job_over = true;
    delivery_finish_when_over(d);
}

void delivery_start_maildir(struct delivery *d)
{
    struct text t;

    text_init(&t, d->relay, sizeof d->relay);
    text_cstr(&t, "maildir");
    d->job.program = "virtual"; /* Postfix's maildir delivery agent */
    d->job.conn_use = 1;
    d->job.asked_ms = d->job.begun_ms = clock_mono_ms();
    d->config = config_ref(d->upstream->context->config); /* a reload may come meanwhile */
    d->reading = true;
    d->read_job.work = write_maildir;
    d->read_job.done = on_maildir_written;
    lane_submit(d->disk, &d->read_job);
}
