/* queue_fixture - see queue_fixture.h */
#include "queue_fixture.h"

#include "base/clock.h"
#include "base/crc32c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* ---- start and stop ---- */

static void on_file(void *ctx, struct spool_file *f)
{
    struct queue_fixture *q = ctx;

    scheduler_recover(&q->scheduler, f);
}

static void on_bad(void *ctx, const char *name, const char *why)
{
    struct queue_fixture *q = ctx;

    q->bad++;
}

void queue_start(struct queue_fixture *q)
{
    struct upstream_context context = q->r.context;
    struct errbuf err = {""};

    context.config = q->r.config;
    context.on_up = scheduler_on_up;
    context.on_up_ctx = &q->scheduler;
    assert_int_equal(relay_init(&q->relay, &context, &q->r.disk, &err), 0);
    assert_int_equal(spool_open(&q->spool, q->d.path, &q->r.disk, &err), 0);
    q->place = (struct body_place){.incoming_fd = q->spool.incoming_fd,
                                   .disk = &q->r.disk,
                                   .budget = {.limit = q->r.config->body_memory_limit}};
    scheduler_init(&q->scheduler, &q->r.f.loop, &q->spool, &q->relay, &q->place, q->r.config,
                   &q->r.log);
    assert_int_equal(spool_scan(&q->spool, on_file, on_bad, q), 0);
    scheduler_recovered(&q->scheduler);
    intake_init(&q->intake, &q->scheduler);
    scheduler_flush(&q->scheduler, NULL);
    q->running = true;
}

void queue_begin_down(struct queue_fixture *q, const char *ini)
{
    memset(q, 0, sizeof *q);
    snprintf(q->ini, sizeof q->ini, "queue_minfree = 1\nnotify_recipient = none\n%s", ini);
    disk_setup(&q->d);
    relay_begin(&q->r, q->ini);
    lmtp_down(&q->r.lmtp);
    queue_start(q);
    loop_wait(&q->r.f, q->relay.upstreams->health != UPSTREAM_UNKNOWN);
}

void queue_begin(struct queue_fixture *q, const char *ini)
{
    memset(q, 0, sizeof *q);
    snprintf(q->ini, sizeof q->ini, "queue_minfree = 1\nnotify_recipient = none\n%s", ini);
    disk_setup(&q->d);
    relay_begin(&q->r, q->ini);
    queue_start(q);
    loop_wait(&q->r.f, q->relay.upstreams->health != UPSTREAM_UNKNOWN);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the tests' own formats */
static void ini_of_two(struct queue_fixture *q, const char *ini)
{
    int len =
        snprintf(q->ini, sizeof q->ini, ini, (unsigned)q->r.lmtp.port, (unsigned)q->other.port);

    assert_in_range(len, 1, sizeof q->ini - 60);
    snprintf(q->ini + len, sizeof q->ini - (size_t)len,
             "queue_minfree = 1\nnotify_recipient = none\n");
}
#pragma GCC diagnostic pop

/* Ways out are asked when there is mail for them. */
static bool is_known(const struct queue_fixture *q)
{
    const struct upstream *u;

    LL_FOREACH(q->relay.upstreams, u) {
        if (u->health == UPSTREAM_UNKNOWN && !u->route.out)
            return false;
    }
    return true;
}

void queue_begin_two(struct queue_fixture *q, const char *ini)
{
    memset(q, 0, sizeof *q);
    disk_setup(&q->d);
    relay_begin(&q->r, "");
    lmtp_begin(&q->other, &q->r.f);
    q->has_other = true;
    ini_of_two(q, ini);
    config_unref(&q->r.config);
    q->r.config = relay_config(&q->r, q->ini);
    queue_start(q);
    loop_wait(&q->r.f, is_known(q));
}

void queue_reload_two(struct queue_fixture *q, const char *ini)
{
    ini_of_two(q, ini);
    queue_reload(q, q->ini);
}

static void on_module_closed(void *ctx)
{
    struct queue_fixture *q = ctx;

    q->closing--;
}

static bool is_idle(const struct queue_fixture *q)
{
    return q->intake.in_flight == 0 && scheduler_idle(&q->scheduler) && lane_idle(&q->r.disk) &&
           spool_idle(&q->spool);
}

void queue_stop(struct queue_fixture *q)
{
    intake_stop(&q->intake);
    scheduler_stop(&q->scheduler);
    loop_wait(&q->r.f, is_idle(q));
    q->closing = 3;
    relay_close(&q->relay, on_module_closed, q);
    scheduler_close(&q->scheduler, on_module_closed, q);
    intake_close(&q->intake, on_module_closed, q);
    loop_wait(&q->r.f, q->closing == 0 && lane_idle(&q->r.disk));
    assert_int_equal(q->place.budget.used, 0);
    if (!q->litter)
        assert_int_equal(disk_names(&q->d, "incoming"), 0);
    spool_close(&q->spool);
    q->running = false;
}

void queue_end(struct queue_fixture *q)
{
    disk_fault_none();
    if (q->running)
        queue_stop(q);
    if (q->has_other)
        lmtp_end(&q->other);
    relay_end(&q->r);
    disk_teardown(&q->d);
}

void queue_reload(struct queue_fixture *q, const char *ini)
{
    struct config *next = relay_config(&q->r, ini);
    struct errbuf err = {""};

    assert_int_equal(relay_set_config(&q->relay, next, &err), 0);
    scheduler_set_config(&q->scheduler, next);
    intake_set_config(&q->intake, next);
    config_unref(&q->r.config);
    q->r.config = next;
}

/* ---- messages ---- */

void queue_line(char line[QUEUE_LINE_LEN + 1], size_t number)
{
    snprintf(line, QUEUE_LINE_LEN + 1, "%08u this line: 32 bytes..\r\n",
             (unsigned)number % 100000000);
}

static void on_room(void *ctx, int rc)
{
    bool *there = ctx;

    assert_int_equal(rc, 0);
    *there = true;
}

struct body *queue_body(struct queue_fixture *q, const struct envelope *e, size_t size)
{
    struct body *b = intake_body_new(&q->intake, e);
    char line[QUEUE_LINE_LEN + 1];

    assert_non_null(b);
    for (size_t i = 0; i < size / QUEUE_LINE_LEN; i++) {
        bool there = false;
        size_t cap;

        body_room(b, &cap);
        if (cap < QUEUE_LINE_LEN && !body_make_room(b, QUEUE_LINE_LEN, on_room, &there))
            loop_wait(&q->r.f, there);
        queue_line(line, i);
        memcpy(body_room(b, &cap), line, QUEUE_LINE_LEN);
        body_wrote(b, QUEUE_LINE_LEN);
    }
    return b;
}

bool queue_is_body(const struct queue_fixture *q, size_t index, size_t size)
{
    return queue_is_body_at(&q->r.lmtp, index, size);
}

bool queue_is_body_at(const struct lmtp_fixture *l, size_t index, size_t size)
{
    const struct lmtp_delivered *d = &l->delivered[index];
    char line[QUEUE_LINE_LEN + 1];

    if (index >= l->delivered_count || d->len != size / QUEUE_LINE_LEN * QUEUE_LINE_LEN)
        return false;
    for (size_t i = 0; i < size / QUEUE_LINE_LEN; i++) {
        queue_line(line, i);
        if (memcmp(d->body + i * QUEUE_LINE_LEN, line, QUEUE_LINE_LEN) != 0)
            return false;
    }
    return true;
}

static void on_answer(void *ctx, const struct smtp_verdict *verdict)
{
    struct asker *a = ctx;

    assert_int_equal(a->answers, 0);
    a->answers++;
    a->verdict = *verdict;
    if (a->then)
        a->then(a);
}

void queue_submit_envelope(struct queue_fixture *q, struct asker *a, struct envelope *e,
                           size_t size)
{
    intake_queue_id(&q->intake, &e->id, &e->arrival_us);
    a->id = e->id;
    intake_submit(&q->intake, e, queue_body(q, e, size), on_answer, a);
}

void queue_submit(struct queue_fixture *q, struct asker *a, const char *recipients, size_t size)
{
    queue_submit_envelope(q, a, relay_envelope("bob@example.org", recipients), size);
}

unsigned queue_submitted(struct queue_fixture *q, struct asker *a, const char *recipients)
{
    queue_submit(q, a, recipients, 320);
    loop_wait(&q->r.f, a->answers == 1);
    return a->verdict.code;
}

/* ---- files ---- */

unsigned queue_files(struct queue_fixture *q)
{
    return disk_names(&q->d, "queue");
}

char *queue_file(struct queue_fixture *q, const struct queue_id *id)
{
    char name[60];
    size_t len;

    snprintf(name, sizeof name, "queue/%s", id->text);
    return disk_content(&q->d, name, &len);
}

void queue_put(struct queue_fixture *q, struct queue_id *id_out, const char *recipients,
               const char *records)
{
    queue_put_from(q, id_out, "bob@example.org", recipients, records);
}

void queue_put_from(struct queue_fixture *q, struct queue_id *id_out, const char *sender,
                    const char *recipients, const char *records)
{
    static const char body[] = "Subject: from before\r\n\r\nhello\r\n";
    struct envelope *e = relay_envelope(sender, recipients);
    char file[8000], name[60], end[SPOOL_END_CAP];
    struct text t;
    size_t header_len;
    char *header;
    uint32_t crc;
    int len;

    e->arrival_us -= q->age_s * 1000000;
    header = spool_format_header_new(e, sizeof body - 1, &header_len);
    assert_non_null(header);
    crc = crc32c(crc32c(0, body, sizeof body - 1), header, header_len);
    text_init(&t, end, sizeof end);
    spool_format_end(&t, crc);
    len = snprintf(file, sizeof file, "%s%s%s%s", header, body, end, records);
    assert_in_range(len, 1, sizeof file - 1);
    snprintf(name, sizeof name, "queue/%s", e->id.text);
    disk_put(&q->d, name, file, (size_t)len);
    *id_out = e->id;
    free(header);
    envelope_free(&e);
}
