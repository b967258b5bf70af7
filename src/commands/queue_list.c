/* queue_list - see queue_list.h */
#include "commands/queue_list.h"

#include "commands/commands.h"
#include "commands/daemon.h"
#include "commands/queue_active.h"
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
    struct queue_active active;
    struct queue_report report;
};

static void on_message(void *ctx, struct spool_file *f)
{
    struct listing *l = ctx;

    queue_report_message(&l->report, f, queue_active_has(&l->active, &f->envelope->id));
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
    asked = queue_active_ask(&l->active, config->control_socket);
    if (spool_open_readonly(&spool, config->queue_directory, &err) < 0) {
        rc = fail_to_open(name, asked, &err);
    } else {
        if (daemon_is_down(asked))
            command_warning(name,
                            "Mail system is down -- accessing queue directly (connect to %s: %s)",
                            config->control_socket, strerror(-asked));
        else if (asked < 0)
            command_warning(name, "the mail system does not answer: %s", strerror(-asked));
        rc = list_spool(l, &spool, json);
        spool_close(&spool);
    }
    queue_active_deinit(&l->active);
    free(l);
    return rc;
}
