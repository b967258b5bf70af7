/*
 * postqueue - list and flush the queue, with Postfix's options and words; and mailq
 *
 *     postqueue -p | -j            list            postqueue -f          try everything now
 *     postqueue -i ID              try one         postqueue -s SITE     try what is for a domain
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

struct postqueue {
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
        .name = "postqueue",
        .socket = socket,
        .request = request,
        .down = "Cannot flush mail queue - mail system is down",
    };

    text_init(&t, request, sizeof request);
    text_cstr(&t, "flush");
    if (p->mode == 'i' && !queue_id_parse(argument, &id))
        return command_fatal("postqueue", EX_USAGE, "Cannot flush queue ID: invalid name: \"%s\"",
                             p->argument);
    if (p->mode == 's' && !smtp_domain_valid(argument, true))
        return command_fatal("postqueue", EX_USAGE,
                             "Cannot flush mail queue - invalid destination: \"%s\"", p->argument);
    if (p->mode == 's')
        text_cstr(&t, "-site");
    if (p->mode != 'f') {
        text_char(&t, ' ');
        text_span(&t, argument);
    }
    return daemon_ask(&question);
}

int command_postqueue(int argc, char **argv)
{
    struct postqueue p = {.mode = 0};
    struct config *config;
    int rc;

    if (!parse_options(argc, argv, &p))
        return command_fatal("postqueue", EX_USAGE, USAGE);
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

/* As `sendmail -bp`: options of sendmail that have to do with how the queue is shown are taken and
 * mean nothing. */
int command_mailq(int argc, char **argv)
{
    struct config *config;
    int rc;

    (void)argc;
    (void)argv;
    rc = settings_for_command("postqueue", NULL, &config);
    if (rc != EX_OK)
        return rc;
    rc = queue_list("postqueue", config, false);
    config_unref(&config);
    return rc;
}
