/*
 * sendmail_options - the command line of sendmail, as scripts and programs write it
 *
 * Options that only make sense for the sendmail of old (queueing, debugging, error reporting) are
 * taken and mean nothing, with or without their argument: cron and PHP pass them by habit. What
 * would change where mail goes and is not supported is an error.
 */
#include "commands/commands.h"
#include "commands/sendmail.h"

#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define OPTIONS "A:B:C:F:GIL:N:O:R:TUV:X:b:ce:f:h:imno:p:r:tvx"

static int set_mode(const char *argument, struct sendmail_options *out)
{
    if (strcmp(argument, "m") == 0)
        out->mode = SENDMAIL_DELIVER;
    else if (strcmp(argument, "p") == 0)
        out->mode = SENDMAIL_LIST;
    else
        return command_fatal("sendmail", EX_USAGE, "unsupported: -b%s", argument);
    return EX_OK;
}

static int take_option(int option, const char *argument, struct sendmail_options *out)
{
    switch (option) {
    case 'b':
        return set_mode(argument, out);
    case 'f':
    case 'r':
        out->sender = argument;
        break;
    case 'F':
        out->full_name = argument;
        break;
    case 't':
        out->extract = true;
        break;
    case 'i':
        out->ignore_dot = true;
        break;
    case 'o':
        out->ignore_dot = out->ignore_dot || strcmp(argument, "i") == 0;
        break;
    case 'v':
        out->verbose = true;
        break;
    case 'N':
        out->notify = argument;
        break;
    case 'R':
        out->ret = argument;
        break;
    case 'V':
        out->envid = argument;
        break;
    case '?':
        return command_fatal("sendmail", EX_USAGE, "usage: sendmail [options] [recipient ...]");
    default:
        break; /* taken, means nothing */
    }
    return EX_OK;
}

/* "-q", "-q15m": Postfix, too, takes what getopt cannot express out of the way first. */
static bool is_queue_run(const char *argument)
{
    return argument[0] == '-' && argument[1] == 'q';
}

int sendmail_options_parse(int argc, char **argv, struct sendmail_options *out)
{
    int option;
    int rc = EX_OK;

    *out = (struct sendmail_options){.mode = SENDMAIL_DELIVER};
    if (argc == 2 && is_queue_run(argv[1])) {
        out->mode = SENDMAIL_FLUSH;
        return EX_OK;
    }
    /* "+" stops at the first recipient, as POSIX says: what follows is never an option. */
    while (rc == EX_OK && (option = getopt(argc, argv, "+" OPTIONS)) != -1)
        rc = take_option(option, optarg, out);
    out->recipients = argv + optind;
    out->recipient_count = argc - optind;
    return rc;
}
