/*
 * postqueue - list and flush the queue, with Postfix's options and words; and mailq
 *
 *     postqueue -p | -j            list            postqueue -f          try everything now
 *     postqueue -i ID              try one         postqueue -s SITE     try what is for a domain
 *     mxgate flush [ID]            the same as -f and -i
 *
 * Every failure is 69 (EX_UNAVAILABLE), a wrong option too, as Postfix's postqueue has it. An id
 * that is not there is none.
 */
#include "commands/commands.h"
#include "commands/daemon.h"
#include "commands/queue_list.h"
#include "commands/settings.h"
#include "smtp/domain.h"

#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#define USAGE                                                                                      \
    "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site"
#define SENDMAIL_OPTIONS "A:B:C:F:GIL:N:O:R:TUV:X:b:ce:f:h:imno:p:q:r:tvx"

struct postqueue {
    const char *name;
    int mode; /* the option's letter; 0: none yet */
    const char *argument;
    const char *ini;
};

/* False when the options make no sense. */
static bool parse_options(int argc, char **argv, struct postqueue *out)
{
    int option;

    while ((option = getopt(argc, argv, "c:fi:jps:v")) != -1) {
        switch (option) {
        case 'c':
            out->ini = optarg;
            break;
        case 'v':
            break;
        case 'f':
        case 'i':
        case 'j':
        case 'p':
        case 's':
            if (out->mode != 0)
                return false;
            out->mode = option;
            out->argument = optarg;
            break;
        default:
            return false;
        }
    }
    return out->mode != 0 && optind == argc;
}

static int flush(const struct postqueue *p, const char *socket)
{
    char request[CONTROL_LINE_MAX];
    struct text t;
    struct queue_id id;
    struct span argument = span_of(p->argument);
    struct daemon_question question = {
        .name = p->name,
        .socket = socket,
        .request = request,
        .down = "Cannot flush mail queue - mail system is down",
    };

    if (p->mode == 'i' && !queue_id_plausible(argument))
        return command_fatal(p->name, EX_UNAVAILABLE,
                             "Cannot flush queue ID - invalid name: \"%s\"", p->argument);
    if (p->mode == 's' && !smtp_domain_valid(argument, true))
        return command_fatal(p->name, EX_UNAVAILABLE,
                             "Cannot flush mail queue - invalid destination: \"%s\"", p->argument);
    text_init(&t, request, sizeof request);
    if (p->mode == 'i' && !queue_id_parse(argument, &id))
        text_cstr(&t, "ping"); /* no id of ours: nothing to try, if somebody is there */
    else
        text_cstr(&t, p->mode == 's' ? "flush-site" : "flush");
    if (p->mode == 's' || (p->mode == 'i' && queue_id_parse(argument, &id))) {
        text_char(&t, ' ');
        text_span(&t, argument);
    }
    return daemon_ask(&question);
}

int command_postqueue(int argc, char **argv)
{
    struct postqueue p = {.name = "postqueue"};
    struct config *config;
    int rc;

    if (!parse_options(argc, argv, &p))
        return command_fatal("postqueue", EX_UNAVAILABLE, USAGE);
    rc = settings_for_command("postqueue", p.ini, &config);
    if (rc != EX_OK)
        return rc;
    if (p.mode == 'p' || p.mode == 'j')
        rc = queue_list("postqueue", config, p.mode == 'j');
    else
        rc = flush(&p, config->control_socket);
    config_unref(&config);
    return rc;
}

int command_flush(int argc, char **argv)
{
    struct postqueue p = {.name = "mxgate", .mode = argc > 1 ? 'i' : 'f'};
    struct config *config;
    int rc;

    if (argc > 2 || (argc == 2 && argv[1][0] == '-'))
        return command_fatal("mxgate", EX_USAGE, "usage: mxgate flush [queueid]");
    p.argument = argv[1];
    rc = settings_for_command("mxgate", NULL, &config);
    if (rc != EX_OK)
        return rc;
    rc = flush(&p, config->control_socket);
    config_unref(&config);
    return rc;
}

/* As `sendmail -bp`: its options are taken and mean nothing. */
int command_mailq(int argc, char **argv)
{
    struct config *config;
    int rc;

    opterr = 0;
    while (getopt(argc, argv, SENDMAIL_OPTIONS) != -1)
        continue;
    if (optind < argc)
        return command_fatal("mailq", EX_TEMPFAIL, "display queue mode requires no recipient");
    rc = settings_for_command("postqueue", NULL, &config);
    if (rc != EX_OK)
        return rc;
    rc = queue_list("postqueue", config, false);
    config_unref(&config);
    return rc;
}
