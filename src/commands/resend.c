/*
 * resend - an operator sends a queued message again, or its content to somebody else
 *
 *     mxgate resend ID                     tries all its recipients that were not reached now,
 * those that failed included (postsuper -r, and a flush) mxgate resend ID to ADDRESS ...      a new
 * message with its content; see resend_copy.c
 *         --sender ADDRESS                 not from its sender: this one gets what comes back
 *
 * Through the daemon alone: the first is durable when it is told, the second is in custody.
 *
 * Fails:  by sysexits.h: 64 the command line, 65 a damaged file, 66 no such message, 67 and 69 a
 * recipient (69 also: no daemon), 75 later. Nothing was done then.
 */
#include "commands/resend.h"

#include "commands/commands.h"
#include "commands/daemon.h"
#include "commands/settings.h"
#include "queue/queue_order.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define NAME   "mxgate"
#define USAGE  "usage: mxgate resend [-c file] ID [to ADDRESS...] [--sender ADDRESS]"
#define QUEUES "active,deferred,hold"

void resend_put_state(struct text *t, const struct spool_file *f)
{
    text_cstr(t, f->on_hold ? "on hold" : f->attempts > 0 ? "deferred" : "not tried yet");
    if (f->on_hold && f->hold_why[0]) {
        text_cstr(t, " (");
        text_printable(t, span_of(f->hold_why));
        text_char(t, ')');
    }
}

/* ---- to whom it was for ---- */

static void tell_recipient(const struct recipient *r)
{
    char buf[4096];
    struct text t;

    if (r->state == RECIPIENT_SENT)
        return;
    text_init(&t, buf, sizeof buf);
    text_cstr(&t, "    <");
    text_printable(&t, span_of(r->address));
    text_char(&t, '>');
    if (r->told)
        text_cstr(&t, ": not tried: its sender was told that it failed");
    else if (r->reason) {
        text_cstr(&t, ": until now: ");
        text_printable(&t, span_of(r->reason));
    }
    printf("%s\n", buf);
}

static void tell_again(const struct resend *r)
{
    const struct envelope *e = r->load.file.envelope;
    char state[128];
    struct text t;

    text_init(&t, state, sizeof state);
    resend_put_state(&t, &r->load.file);
    printf("%s: was %s, is tried again now\n", r->load.id.text, state);
    for (size_t i = 0; i < e->recipient_count; i++)
        tell_recipient(&e->recipients[i]);
}

static void on_done(void *ctx, struct span line)
{
    struct text *t = ctx;

    text_init(t, t->ptr, t->cap);
    text_span(t, line);
}

/* "ID requeued", "ID failed: why", or nothing: it is not there any more. */
static int judge(const struct resend *r, const struct text *said)
{
    struct span rest = span_from(text_as_span(said), QUEUE_ID_LEN + 1);

    if (said->len == 0)
        return command_fatal(NAME, EX_NOINPUT,
                             "%s: nothing is left to try: it was delivered, returned or deleted",
                             r->load.id.text);
    if (!span_equal(rest, span_of(queue_order_done(QUEUE_ORDER_REQUEUE))))
        return command_fatal(NAME, EX_TEMPFAIL, "%s", said->ptr);
    return EX_OK;
}

/* Durable with the order; the flush makes a destination that is down be asked at once. */
static int try_again(struct resend *r)
{
    char request[128];
    char line[512] = "";
    struct errbuf err;
    struct text said;
    int rc;

    text_init(&said, line, sizeof line);
    snprintf(request, sizeof request, "order %s " QUEUES " %s",
             queue_order_name(QUEUE_ORDER_REQUEUE), r->load.id.text);
    rc = control_client_ask(&r->client, request, on_done, &said, &err);
    if (rc != 0)
        return command_fatal(NAME, rc > 0 ? rc : EX_TEMPFAIL, "%s: %s", r->load.id.text, err.text);
    rc = judge(r, &said);
    if (rc != EX_OK)
        return rc;
    tell_again(r);
    snprintf(request, sizeof request, "flush %s", r->load.id.text);
    if (control_client_ask(&r->client, request, NULL, NULL, &err) != 0)
        command_warning(NAME, "%s: it is due, but: %s", r->load.id.text, err.text);
    return EX_OK;
}

/* ---- the message and the daemon ---- */

static int load(struct resend *r)
{
    struct errbuf err;
    int rc = spool_load_now(&r->spool, &r->load);

    if (rc == 0)
        return EX_OK;
    errbuf_set(&err, rc, "%s", r->load.err.text[0] ? r->load.err.text : strerror(-rc));
    if (rc == -ENOENT)
        return command_fatal(NAME, EX_NOINPUT, "%s: there is no such message in the queue",
                             r->load.id.text);
    return command_fatal(NAME, rc == -EBADMSG ? EX_DATAERR : EX_TEMPFAIL, "%s: %s%s",
                         r->load.id.text, err.text,
                         rc == -EBADMSG ? " (postcat shows what can be read)" : "");
}

static int no_daemon(const struct resend *r, int rc, const struct errbuf *err)
{
    if (!daemon_is_down(rc))
        return command_fatal(NAME, EX_UNAVAILABLE, "nothing was done: %s", err->text);
    if (r->to.count > 0)
        return command_fatal(NAME, EX_TEMPFAIL,
                             "the mail system is down: nothing was sent, try again later");
    return command_fatal(NAME, EX_UNAVAILABLE,
                         "the mail system is down: nothing was done (postsuper -r %s makes it due "
                         "for when it runs)",
                         r->load.id.text);
}

static int with_message(struct resend *r)
{
    struct errbuf err;
    int rc = control_client_open(&r->client, r->config->control_socket, &err);

    if (rc < 0)
        return no_daemon(r, rc, &err);
    rc = load(r);
    if (rc == EX_OK) {
        rc = r->to.count > 0 ? resend_copy(r) : try_again(r);
        close(r->load.fd);
        spool_file_deinit(&r->load.file);
    }
    control_client_close(&r->client);
    if (rc == EX_OK && (fflush(stdout) != 0 || ferror(stdout)))
        return command_fatal(NAME, EX_IOERR, "cannot write to standard output");
    return rc;
}

static int with_spool(struct resend *r)
{
    struct errbuf err;
    int rc = spool_open_readonly(&r->spool, r->config->queue_directory, &err);

    if (rc < 0)
        return command_fatal(NAME, EX_UNAVAILABLE, "%s", err.text);
    rc = with_message(r);
    spool_close(&r->spool);
    return rc;
}

/* ---- the command line ---- */

static int take_recipients(struct resend *r, char **words)
{
    struct errbuf err;

    for (; *words; words++) {
        if (sendmail_recipients_add(&r->to, span_of(*words), &err) != EX_OK)
            return command_fatal(NAME, EX_USAGE, "%s", err.text);
    }
    return r->to.count > 0 ? EX_OK : command_fatal(NAME, EX_USAGE, USAGE);
}

static int take_words(struct resend *r, char **words)
{
    if (!words[0])
        return command_fatal(NAME, EX_USAGE, USAGE);
    if (!queue_id_plausible(span_of(words[0])))
        return command_fatal(NAME, EX_USAGE, "bad mail queue ID: %s", words[0]);
    if (!queue_id_parse(span_of(words[0]), &r->load.id))
        return command_fatal(NAME, EX_NOINPUT, "%s: there is no such message in the queue",
                             words[0]);
    if (!words[1])
        return r->sender ? command_fatal(NAME, EX_USAGE, USAGE) : EX_OK;
    if (strcmp(words[1], "to") != 0)
        return command_fatal(NAME, EX_USAGE, USAGE);
    return take_recipients(r, words + 2);
}

static int parse(struct resend *r, int argc, char **argv)
{
    static const struct option options[] = {
        {"sender", required_argument, NULL, 's'},
        {NULL,     0,                 NULL, 0  }
    };
    int option;

    while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
        if (option == 'c')
            r->ini = optarg;
        else if (option == 's')
            r->sender = optarg;
        else
            return command_fatal(NAME, EX_USAGE, USAGE);
    }
    return take_words(r, argv + optind);
}

int command_resend(int argc, char **argv)
{
    struct resend r = {.client = {.fd = -1}, .load = {.fd = -1}};
    struct config *config = NULL;
    int rc = parse(&r, argc, argv);

    if (rc == EX_OK)
        rc = settings_for_command(NAME, r.ini, &config);
    r.config = config;
    if (rc == EX_OK)
        rc = with_spool(&r);
    config_unref(&config);
    sendmail_recipients_free(&r.to);
    return rc;
}
