/* operator - see operator.h */
#include "commands/operator.h"

#include "base/clock.h"
#include "commands/commands.h"
#include "commands/daemon.h"
#include "queue/spool_operator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define FAILED          1   /* Postfix's code for a command that ends by a fatal error */
#define LIVE_PATIENCE_S 600 /* a long queue, and each message is made durable */
#define RETRY_MS        100

/* ---- opening ---- */

static int refuse(const struct operator_link *o, int rc, const struct errbuf *err)
{
    if (rc == -EACCES || rc == -EPERM)
        return command_fatal(o->name, FAILED,
                             "use of this command is reserved for the superuser and the user that "
                             "mxgate runs as: %s",
                             err->text);
    return command_fatal(o->name, FAILED, "%s", err->text);
}

static void pause_a_moment(void)
{
    struct timespec moment = {.tv_nsec = RETRY_MS * 1000000L};

    nanosleep(&moment, NULL);
}

int operator_open(struct operator_link *o, const char *name, const struct config *config)
{
    uint64_t until_ms = clock_mono_ms() + OPERATOR_PATIENCE_MS;
    struct errbuf err;
    int rc;

    *o = (struct operator_link){.name = name};
    for (;;) {
        rc = control_client_open(&o->client, config->control_socket, &err);
        o->live = rc == 0;
        if (rc == 0)
            control_client_patience(&o->client, LIVE_PATIENCE_S);
        if (!daemon_is_down(rc))
            break;
        rc = spool_open_operator(&o->spool, config->queue_directory, &err);
        if (rc != -EBUSY || clock_mono_ms() > until_ms)
            break;
        pause_a_moment();
    }
    return rc == 0 ? 0 : refuse(o, rc, &err);
}

void operator_close(struct operator_link *o)
{
    if (o->live)
        control_client_close(&o->client);
    else
        spool_close(&o->spool);
}

/* ---- what was done ---- */

static void tell_failure(struct operator_link *o, const char *id, const char *why)
{
    o->failed = true;
    command_warning(o->name, "%s: %s", id, why);
}

static void tell(struct operator_link *o, const char *id, enum queue_order done)
{
    o->totals[done]++;
    fprintf(stderr, "%s: %s: %s\n", o->name, id, queue_order_done(done));
}

/* ---- by the daemon ---- */

static bool done_word(struct span words, enum queue_order *done_out)
{
    for (int i = 0; i < QUEUE_ORDER_EXPIRE_RELEASE; i++) {
        if (!span_equal(words, span_of(queue_order_done((enum queue_order)i))))
            continue;
        *done_out = (enum queue_order)i;
        return true;
    }
    return false;
}

/* "ID removed", "ID failed: why"; of ALL, "12 removed". */
static void on_line(void *ctx, struct span line)
{
    struct operator_link *o = ctx;
    struct span first = span_first(line, span_find(line, ' '));
    struct span words = span_from(line, first.len + 1);
    enum queue_order done;
    struct queue_id id;
    uint64_t count;

    if (!done_word(words, &done)) {
        o->failed = true;
        command_warning(o->name, "%.*s", (int)line.len, line.ptr);
    } else if (queue_id_parse(first, &id)) {
        tell(o, id.text, done);
    } else if (span_to_u64(first, UINT64_MAX, &count)) {
        o->totals[done] += count;
    }
}

static int order_live(struct operator_link *o, enum queue_order order, unsigned queues,
                      const struct queue_id *ids, size_t count)
{
    char request[CONTROL_LINE_MAX + 1];
    struct errbuf err;
    struct text t;
    int rc;

    text_init(&t, request, sizeof request);
    text_cstr(&t, "order ");
    queue_order_format(&t, order, queues);
    if (count == 0)
        text_cstr(&t, "ALL");
    for (size_t i = 0; i < count; i++) {
        text_cstr(&t, i > 0 ? " " : "");
        text_cstr(&t, ids[i].text);
    }
    rc = control_client_ask(&o->client, request, on_line, o, &err);
    return rc == 0 ? 0 : command_fatal(o->name, FAILED, "%s", err.text);
}

/* ---- by ourselves ---- */

static void on_failed(void *ctx, const char *id, const char *why)
{
    tell_failure(ctx, id, why);
}

static int order_all(struct operator_link *o, const struct queue_order_request *r)
{
    uint64_t counts[QUEUE_ORDER_COUNT];
    int rc = spool_order_all(&o->spool, r, counts, on_failed, o);

    for (int i = 0; i < QUEUE_ORDER_COUNT; i++)
        o->totals[i] += counts[i];
    return rc == 0 ? 0 : command_fatal(o->name, FAILED, "queue directory: %s", uv_strerror(rc));
}

static void order_one(struct operator_link *o, const struct queue_order_request *r,
                      const struct queue_id *id)
{
    struct errbuf err;
    unsigned done;

    if (spool_order(&o->spool, r, id, &done, &err) < 0)
        tell_failure(o, id->text, err.text);
    for (int i = 0; i < QUEUE_ORDER_COUNT; i++) {
        if (done & QUEUE_ORDER_BIT(i))
            tell(o, id->text, (enum queue_order)i);
    }
}

int operator_order(struct operator_link *o, enum queue_order order, unsigned queues,
                   const struct queue_id *ids, size_t count)
{
    struct queue_order_request r = {.order = order, .queues = queues, .all = count == 0};

    if (o->live)
        return order_live(o, order, queues, ids, count);
    if (count == 0)
        return order_all(o, &r);
    for (size_t i = 0; i < count; i++)
        order_one(o, &r, &ids[i]);
    return 0;
}
