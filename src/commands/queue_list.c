/* queue_list - see queue_list.h */
#include "commands/queue_list.h"

#include "commands/commands.h"
#include "commands/daemon.h"
#include "control/control_format_queue.h"
#include "queue/spool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

struct listing {
    const char *name;
    struct queue_id *active; /* owned; sorted */
    size_t active_count;
    size_t active_cap;
    struct queue_report report;
};

static int by_text(const void *a, const void *b)
{
    const struct queue_id *x = a;
    const struct queue_id *y = b;

    return strcmp(x->text, y->text);
}

/* Out of memory only costs the marks. */
static void on_active(void *ctx, struct span line)
{
    struct listing *l = ctx;
    struct queue_id id;

    if (!queue_id_parse(line, &id))
        return;
    if (l->active_count == l->active_cap) {
        size_t cap = l->active_cap > 0 ? l->active_cap * 2 : 64;
        struct queue_id *more = realloc(l->active, cap * sizeof *more);

        if (!more)
            return;
        l->active = more;
        l->active_cap = cap;
    }
    l->active[l->active_count++] = id;
}

/* 0, or why the daemon could not be asked. */
static int ask_active(struct listing *l, const char *socket)
{
    struct control_client client;
    int rc = control_client_open(&client, socket, NULL);

    if (rc < 0)
        return rc;
    control_client_ask(&client, "active", on_active, l, NULL); /* else without marks */
    control_client_close(&client);
    if (l->active_count > 0)
        qsort(l->active, l->active_count, sizeof *l->active, by_text);
    return 0;
}

static void on_message(void *ctx, struct spool_file *f)
{
    struct listing *l = ctx;
    bool active = l->active_count > 0 && bsearch(&f->envelope->id, l->active, l->active_count,
                                                 sizeof *l->active, by_text) != NULL;

    queue_report_message(&l->report, f, active);
}

static void on_bad(void *ctx, const char *file, const char *why)
{
    struct listing *l = ctx;

    command_warning(l->name, "queue file %s: %s", file, why);
}

static void write_out(void *ctx, struct span bytes)
{
    fwrite(bytes.ptr, 1, bytes.len, ctx);
}

static int list_spool(struct listing *l, struct spool *spool, bool json)
{
    int rc;

    queue_report_begin(&l->report, json, write_out, stdout);
    rc = spool_scan(spool, on_message, on_bad, l);
    if (rc < 0)
        return command_fatal(l->name, EX_UNAVAILABLE, "Queue report unavailable - %s",
                             strerror(-rc));
    queue_report_end(&l->report);
    if (fflush(stdout) != 0 || ferror(stdout))
        return command_fatal(l->name, EX_IOERR, "cannot write to standard output");
    return EX_OK;
}

/*
 * Without a daemon the spool is read by those who may. Everybody else hears the same from Postfix;
 * where the socket is out of reach for us, a daemon may well be there.
 */
static int fail_to_open(const char *name, int asked, const struct errbuf *err)
{
    if (daemon_is_down(asked) && geteuid() != 0)
        return command_fatal(name, EX_UNAVAILABLE,
                             "Queue report unavailable - mail system is down");
    if (asked == -EACCES)
        return command_fatal(name, EX_UNAVAILABLE,
                             "Queue report unavailable - mail system is down or not open to uid "
                             "%u: %s",
                             (unsigned)geteuid(), err->text);
    return command_fatal(name, EX_UNAVAILABLE, "Queue report unavailable - %s", err->text);
}

int queue_list(const char *name, const struct config *config, bool json)
{
    struct listing *l = calloc(1, sizeof *l);
    struct spool spool;
    struct errbuf err;
    int asked;
    int rc;

    if (!l)
        return command_fatal(name, EX_OSERR, "out of memory");
    l->name = name;
    asked = ask_active(l, config->control_socket);
    if (spool_open_readonly(&spool, config->queue_directory, &err) < 0) {
        rc = fail_to_open(name, asked, &err);
    } else {
        if (daemon_is_down(asked))
            command_warning(name, "Mail system is down -- accessing queue directly");
        else if (asked < 0)
            command_warning(name, "the mail system does not answer: %s", strerror(-asked));
        rc = list_spool(l, &spool, json);
        spool_close(&spool);
    }
    free(l->active);
    free(l);
    return rc;
}
