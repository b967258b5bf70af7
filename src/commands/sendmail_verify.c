/*
 * sendmail_verify - sendmail -bv: what would happen to mail for these recipients; see sendmail.h
 *
 *     <ann@example.com>: deliverable: host 10.8.0.2[10.8.0.2]:2400 said: 250 2.1.5 OK (...)
 *     <joe@example.com>: undeliverable: host ... said: 550 5.1.1 ...
 *     <x@example.net>: undeliverable: 554 5.7.1 <x@example.net>: Relay access denied
 *     <eve@example.com>: deferred: ...
 *
 * On standard output, where Postfix mails a report: there is no local mailbox to mail it to.
 *
 * Exit code: 0 when all are deliverable; that of the first refusal, mostly EX_NOUSER; EX_TEMPFAIL
 * when the worst is "later", or no daemon runs.
 */
#include "commands/commands.h"
#include "commands/daemon.h"
#include "commands/sendmail.h"

#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

static void on_text(void *ctx, struct span line)
{
    printf("<%s>: %.*s\n", (const char *)ctx, (int)line.len, line.ptr);
}

/* One connection for each question: a refusal ends it. 0, or an exit code after telling. */
static int verify_one(const struct sendmail_options *o, const struct config *config, char *address)
{
    struct control_client client;
    struct errbuf err;
    char request[CONTROL_LINE_MAX];
    struct text t;
    int rc = control_client_open(&client, config->control_socket, &err);

    if (rc < 0)
        return command_fatal(o->name, EX_TEMPFAIL, "%s",
                             daemon_is_down(rc) ? "mail system is down" : err.text);
    text_init(&t, request, sizeof request);
    text_printf(&t, "verify <%s>", address);
    rc = control_client_ask(&client, request, on_text, address, &err);
    control_client_close(&client);
    if (rc < 0)
        return command_fatal(o->name, EX_TEMPFAIL, "%s", err.text);
    if (rc > 0)
        printf("<%s>: %s: %s\n", address, rc == EX_TEMPFAIL ? "deferred" : "undeliverable",
               err.text);
    return rc;
}

/* A refusal is worse than "later". */
static int worse(int a, int b)
{
    if (a == EX_OK || a == EX_TEMPFAIL)
        return b == EX_OK ? a : b;
    return a;
}

static int verify_all(const struct sendmail_options *o, const struct config *config,
                      const struct sendmail_recipients *recipients)
{
    int rc = EX_OK;

    for (size_t i = 0; i < recipients->count; i++)
        rc = worse(rc, verify_one(o, config, recipients->list[i]));
    if (fflush(stdout) != 0 && rc == EX_OK)
        return command_fatal(o->name, EX_IOERR, "cannot write to standard output");
    return rc;
}

int sendmail_verify(const struct sendmail_options *options, const struct config *config)
{
    struct sendmail_recipients recipients = {NULL, 0, 0};
    struct errbuf err;
    int rc = EX_OK;

    for (int i = 0; i < options->recipient_count && rc == EX_OK; i++)
        rc = sendmail_recipients_add(&recipients, span_of(options->recipients[i]), &err);
    if (rc == EX_OK && recipients.count == 0)
        rc =
            errbuf_set(&err, EX_USAGE, "Recipient addresses must be specified on the command line");
    if (rc == EX_OK)
        rc = verify_all(options, config, &recipients);
    else
        command_fatal(options->name, rc, "%s", err.text);
    sendmail_recipients_free(&recipients);
    return rc;
}
