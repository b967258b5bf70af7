/*
 * sendmail_options - the command line of sendmail, as scripts and programs write it
 *
 * The options, their words and what excludes what are those of Postfix's sendmail(1). Options that
 * only make sense for the sendmail of old (debugging, error reporting, another configuration file)
 * are taken and mean nothing, with or without their argument: cron and PHP pass them by habit. What
 * would change where mail goes, or who hears of it, and is not supported is an error. Options end
 * at the first recipient.
 *
 * Fails:  EX_USAGE, told on stderr. (Postfix's source says so too, its program ends with 75.)
 */
#include "commands/commands.h"
#include "commands/sendmail.h"
#include "smtp/command.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* "+" stops at the first recipient, ":" tells a missing argument from an unknown option. */
#define OPTIONS   "+:A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q:tvx"
#define ENVID_MAX 100 /* RFC 3461 4.4 */

static int fail(const struct sendmail_options *o, const char *words)
{
    return command_fatal(o->name, EX_USAGE, "%s", words);
}

static int set_mode(struct sendmail_options *o, const char *argument)
{
    static const struct {
        char letter;
        enum sendmail_mode mode;
    } modes[] = {
        {'d', SENDMAIL_DAEMON },
        {'h', SENDMAIL_NOTHING},
        {'H', SENDMAIL_NOTHING},
        {'i', SENDMAIL_ALIASES},
        {'m', SENDMAIL_DELIVER},
        {'p', SENDMAIL_LIST   },
        {'s', SENDMAIL_SMTP   },
        {'v', SENDMAIL_VERIFY },
    };

    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (argument[0] == modes[i].letter) {
            o->mode = modes[i].mode;
            return EX_OK;
        }
    }
    return command_fatal(o->name, EX_USAGE, "unsupported: -b%c", argument[0]);
}

/* -q alone is no option that getopt knows: see parse_all. */
static int set_queue_run(struct sendmail_options *o, const char *argument)
{
    if (ascii_is_digit(argument[0])) /* an interval, for a daemon that we do not become */
        o->mode = o->mode == SENDMAIL_DAEMON ? SENDMAIL_DAEMON : SENDMAIL_NOTHING;
    else if (argument[0] == 'R')
        o->flush_site = argument + 1;
    else if (argument[0] == 'I')
        o->flush_id = argument + 1;
    else
        return command_fatal(o->name, EX_USAGE, "-q%c is not implemented", argument[0]);
    if (o->flush_site && !o->flush_site[0])
        return fail(o, "specify: -qRsitename");
    if (o->flush_id && !o->flush_id[0])
        return fail(o, "specify: -qIqueueid");
    return EX_OK;
}

static int set_body(struct sendmail_options *o, const char *argument)
{
    if (strcmp(argument, "7BIT") != 0 && strcmp(argument, "8BITMIME") != 0)
        return fail(o, "-B option needs 8BITMIME or 7BIT");
    o->body = argument;
    return EX_OK;
}

/* "success,failure,delay" or "never"; RFC 3461 has the grammar, and smtp/command reads it. */
static void set_notify(struct sendmail_options *o, const char *argument)
{
    struct smtp_rcpt_params params;
    char buf[128];
    struct text t;

    text_init(&t, buf, sizeof buf);
    text_printf(&t, "TO:<x@example.com> NOTIFY=%s", argument);
    if (!t.overflow && smtp_command_rcpt(text_as_span(&t), false, &params) == SMTP_PARAM_OK &&
        params.notify != 0)
        o->notify = argument;
    else
        command_warning(o->name, "bad -N option value -- ignored");
}

/* What a bounce brings back. Postfix ignores it (bounce_size_limit is its setting); a wrong word
 * must not stop the mail. */
static void set_ret(struct sendmail_options *o, const char *argument)
{
    struct span word = span_of(argument);

    if (span_equal_nocase(word, SPAN_LIT("HDRS")) || span_equal_nocase(word, SPAN_LIT("FULL")))
        o->ret = argument;
}

static void set_envid(struct sendmail_options *o, const char *argument)
{
    bool printable = argument[0] != '\0';

    for (const char *c = argument; *c; c++)
        printable = printable && !ascii_is_control(*c) && !ascii_is_8bit(*c);
    if (strlen(argument) > ENVID_MAX)
        command_warning(o->name, "too long -V option value -- ignored");
    else if (!printable)
        command_warning(o->name, "bad syntax in -V option value -- ignored");
    else
        o->envid = argument;
}

static int set_old_option(struct sendmail_options *o, const char *argument)
{
    if (strcmp(argument, "A") == 0)
        return fail(o, "-oA requires pathname");
    o->ignore_dot = o->ignore_dot || argument[0] == 'i';
    return EX_OK;
}

/* Options with a meaning of their own. */
static int take_valued(struct sendmail_options *o, int option, const char *argument)
{
    switch (option) {
    case 'B':
        return set_body(o, argument);
    case 'N':
        set_notify(o, argument);
        return EX_OK;
    case 'R':
        set_ret(o, argument);
        return EX_OK;
    case 'V':
        set_envid(o, argument);
        return EX_OK;
    case 'X': /* V: a sender address for each recipient, which a log file must not be taken for */
        return command_fatal(o->name, EX_USAGE, "unsupported: -X%c", argument[0]);
    case 'b':
        return set_mode(o, argument);
    case 'o':
        return set_old_option(o, argument);
    case 'q':
        return set_queue_run(o, argument);
    case 'f':
    case 'r':
        o->sender = argument;
        return EX_OK;
    case 'F':
        o->full_name = argument;
        return EX_OK;
    default:
        return EX_OK; /* taken, means nothing */
    }
}

static int take_option(struct sendmail_options *o, int option, const char *argument)
{
    switch (option) {
    case 'G':
        o->gateway = true;
        return EX_OK;
    case 'I':
        o->mode = SENDMAIL_ALIASES;
        return EX_OK;
    case 'i':
        o->ignore_dot = true;
        return EX_OK;
    case 't':
        o->extract = true;
        return EX_OK;
    case 'v':
        o->verbose = true;
        return EX_OK;
    case 'n':
        return fail(o, "-n option not supported");
    case ':':
    case '?':
        fprintf(stderr,
                option == ':' ? "%s: option requires an argument -- '%c'\n"
                              : "%s: invalid option -- '%c'\n",
                o->name, optopt);
        return command_fatal(o->name, EX_USAGE, "usage: %s [options]", o->name);
    default:
        return take_valued(o, option, argument);
    }
}

static int parse_all(int argc, char **argv, struct sendmail_options *o)
{
    int rc = EX_OK;

    opterr = 0; /* we tell it, under our name */
    while (rc == EX_OK && optind < argc) {
        int at = optind > 0 ? optind : 1; /* 0: getopt starts anew */
        int option;

        if (at < argc && strcmp(argv[at], "-q") == 0) {
            if (o->mode == SENDMAIL_DAEMON)
                command_warning(o->name, "ignoring -q option in daemon mode");
            else
                o->mode = SENDMAIL_FLUSH;
            optind = at + 1;
            continue;
        }
        option = getopt(argc, argv, OPTIONS);
        if (option == -1)
            break;
        rc = take_option(o, option, optarg);
    }
    o->recipients = argv + optind;
    o->recipient_count = argc - optind;
    return rc;
}

/* What a mode has no use for. */
static int check_mode(const struct sendmail_options *o)
{
    static const char *const no_recipient[] = {
        [SENDMAIL_LIST] = "display queue mode requires no recipient",
        [SENDMAIL_FLUSH] = "flush queue mode requires no recipient",
        [SENDMAIL_ALIASES] = "alias initialization mode requires no recipient",
        [SENDMAIL_SMTP] = "stand-alone mode requires no recipient",
        [SENDMAIL_DAEMON] = "daemon mode requires no recipient",
        [SENDMAIL_NOTHING] = NULL,
    };
    bool verify = o->mode == SENDMAIL_VERIFY;

    if (o->extract && verify)
        return fail(o, "-t option cannot be used with -bv");
    if (o->extract && o->mode != SENDMAIL_DELIVER)
        return fail(o, "-t can be used only in delivery mode");
    if (o->flush_site && o->mode != SENDMAIL_DELIVER)
        return fail(o, "-qR can be used only in delivery mode");
    if (o->flush_id && o->mode != SENDMAIL_DELIVER)
        return fail(o, "-qI can be used only in delivery mode");
    if (verify && o->notify)
        return fail(o, "-N option cannot be used with -bv");
    if (verify && o->verbose)
        return fail(o, "-v option cannot be used with -bv");
    if (o->flush_site && o->recipient_count > 0)
        return fail(o, "flush site requires no recipient");
    if (o->flush_id && o->recipient_count > 0)
        return fail(o, "flush queue_id requires no recipient");
    if (o->recipient_count > 0 && !verify && o->mode != SENDMAIL_DELIVER && no_recipient[o->mode])
        return fail(o, no_recipient[o->mode]);
    return EX_OK;
}

int sendmail_options_parse(int argc, char **argv, struct sendmail_options *out)
{
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    int rc;

    *out = (struct sendmail_options){.name = slash ? slash + 1 : argc > 0 ? argv[0] : "sendmail"};
    if (strcmp(out->name, "newaliases") == 0)
        out->mode = SENDMAIL_ALIASES;
    rc = parse_all(argc, argv, out);
    if (rc == EX_OK)
        rc = check_mode(out);
    if (rc == EX_OK && (out->flush_id || out->flush_site))
        out->mode = SENDMAIL_FLUSH;
    return rc;
}
