/*
 * sendmail - the command by which local programs send, list and flush; also newaliases
 *
 * There are no aliases and no local mailboxes here: newaliases succeeds and does nothing.
 */
#include "commands/sendmail.h"

#include "commands/commands.h"
#include "commands/daemon.h"
#include "commands/postfix.h"
#include "commands/queue_list.h"
#include "commands/settings.h"
#include "smtp/domain.h"

#include <sysexits.h>

/* As `postqueue -f`, -i and -s, which Postfix runs for it: under that name, too. */
static int flush(const struct sendmail_options *o, const struct config *config)
{
    char request[CONTROL_LINE_MAX];
    struct text t;
    struct queue_id id;
    struct daemon_question question = {
        .name = "postqueue",
        .socket = config->control_socket,
        .request = request,
        .down = "Cannot flush mail queue - mail system is down",
    };

    text_init(&t, request, sizeof request);
    if (o->flush_id && !queue_id_parse(span_of(o->flush_id), &id))
        return command_fatal("postqueue", EX_USAGE, "Cannot flush queue ID: invalid name: \"%s\"",
                             o->flush_id);
    if (o->flush_site && !smtp_domain_valid(span_of(o->flush_site), true))
        return command_fatal("postqueue", EX_USAGE,
                             "Cannot flush mail queue - invalid destination: \"%s\"",
                             o->flush_site);
    if (o->flush_id)
        text_printf(&t, "flush %s", o->flush_id);
    else if (o->flush_site)
        text_printf(&t, "flush-site %s", o->flush_site);
    else
        text_cstr(&t, "flush");
    return daemon_ask(&question);
}

static int run(const struct sendmail_options *o, const struct config *config)
{
    switch (o->mode) {
    case SENDMAIL_DELIVER:
        return sendmail_submit(o, config);
    case SENDMAIL_LIST:
        return queue_list("postqueue", config, false);
    case SENDMAIL_FLUSH:
        return flush(o, config);
    case SENDMAIL_VERIFY:
        return sendmail_verify(o, config);
    case SENDMAIL_SMTP:
        return sendmail_smtp(o, config);
    case SENDMAIL_DAEMON:
        return postfix_start(config);
    case SENDMAIL_ALIASES:
    case SENDMAIL_NOTHING:
        break;
    }
    return EX_OK;
}

int command_sendmail(int argc, char **argv)
{
    struct sendmail_options options;
    struct config *config;
    int rc = sendmail_options_parse(argc, argv, &options);

    if (rc != EX_OK)
        return rc;
    rc = settings_for_command(options.name, NULL, &config);
    if (rc != EX_OK)
        return rc;
    rc = run(&options, config);
    config_unref(&config);
    return rc;
}
