/*
 * postfix - the command by which operators steer the mail system: status, check, reload, flush,
 * stop; and mxgate reload, mxgate stop
 *
 * Words and exit codes are those of Postfix's postfix-script: what it logs stands on stderr as
 * "postfix/postfix-script: words" (Postfix itself says it on a terminal only), and every failure is
 * exit code 1. mxgate's own two say "mxgate: fatal: words" and use sysexits.h.
 *
 * In a container the daemon is the process that the container lives by: stop ends the container,
 * and is told so; start has nothing to put into the background.
 */
#include "commands/postfix.h"

#include "commands/check.h"
#include "commands/commands.h"
#include "commands/daemon.h"
#include "commands/settings.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define STOP_PATIENCE 15 /* seconds; the daemon gives itself 9 (GATEWAY_STOP_MS) */
#define NOT_RUNNING   "the Postfix mail system is not running"
#define USAGE                                                                                      \
    "Usage: postfix start (or stop, reload, abort, flush, check, status, set-permissions, "        \
    "upgrade-configuration, logrotate)"

static void say(const struct config *config, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void say(const struct config *config, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fflush(stdout);
    fprintf(stderr, "%s/postfix-script: ", config->syslog_name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

/* ---- is it there ---- */

/* Opens a connection to the daemon; false, and told unless `quiet`, when none answers. */
static bool open_daemon(struct control_client *client, const struct config *config, bool quiet)
{
    struct errbuf err;
    int rc = control_client_open(client, config->control_socket, &err);

    if (rc == 0)
        return true;
    if (!quiet && daemon_is_down(rc))
        say(config, "fatal: " NOT_RUNNING);
    else if (!quiet)
        say(config, "fatal: " NOT_RUNNING ", or not reachable for us: %s", err.text);
    return false;
}

static bool is_running(const struct config *config)
{
    struct control_client client;

    if (!open_daemon(&client, config, true))
        return false;
    control_client_close(&client);
    return true;
}

static int status(const struct config *config)
{
    struct control_client client;
    struct errbuf err;
    long pid;
    int rc = control_client_open(&client, config->control_socket, &err);

    if (daemon_is_down(rc))
        say(config, NOT_RUNNING);
    else if (rc < 0)
        say(config, "cannot ask the Postfix mail system: %s", err.text);
    if (rc < 0)
        return 1;
    pid = control_client_pid(&client);
    control_client_close(&client);
    say(config, "the Postfix mail system is running: PID: %ld", pid);
    return 0;
}

/* ---- starting ---- */

int postfix_start(const struct config *config)
{
    if (is_running(config))
        say(config, "fatal: the Postfix mail system is already running");
    else
        say(config,
            "fatal: there is no daemon to put into the background here: start the container, "
            "or run `mxgate serve` (or `postfix start-fg`), which stays in the foreground");
    return 1;
}

static int start_foreground(const struct config *config)
{
    char serve[] = "serve";
    char *argv[] = {serve, NULL};

    if (is_running(config))
        return postfix_start(config);
    return command_serve(1, argv);
}

/* ---- reload, stop, flush ---- */

static int reload(const struct config *config)
{
    struct control_client client;
    struct errbuf err;
    int rc;

    if (!open_daemon(&client, config, false))
        return 1;
    say(config, "refreshing the Postfix mail system");
    rc = control_client_ask(&client, "reload", NULL, NULL, &err);
    control_client_close(&client);
    if (rc == 0)
        return 0;
    say(config, "fatal: the old settings stay in force: %s", err.text);
    return 1;
}

/* Asks it to stop and waits for the end. 0, or an exit code with words in err. */
static int stop_daemon(struct control_client *client, struct errbuf *err)
{
    int rc = control_client_ask(client, "stop", NULL, NULL, err);

    if (rc != 0)
        return rc < 0 ? EX_UNAVAILABLE : rc;
    control_client_patience(client, STOP_PATIENCE);
    if (control_client_wait_end(client))
        return EX_OK;
    return errbuf_set(err, EX_TEMPFAIL, "the mail system did not stop within %d seconds",
                      STOP_PATIENCE);
}

static int stop(const struct config *config)
{
    struct control_client client;
    struct errbuf err;
    int rc;

    if (!open_daemon(&client, config, false))
        return 1;
    say(config, "stopping the Postfix mail system");
    if (control_client_pid(&client) == 1)
        say(config, "warning: it is the main process of this container, which ends with it");
    rc = stop_daemon(&client, &err);
    control_client_close(&client);
    if (rc == EX_OK)
        return 0;
    say(config, "fatal: %s", err.text);
    return 1;
}

static int flush(const struct config *config)
{
    struct daemon_question question = {
        .name = "postqueue",
        .socket = config->control_socket,
        .request = "flush",
        .down = "Cannot flush mail queue - mail system is down",
    };

    return daemon_ask(&question);
}

/* ---- what needs no daemon ---- */

struct checking {
    const struct config *config; /* the one that is in use for our own words */
    bool had_errors;
};

static void on_note(void *ctx, enum config_note_kind kind, const char *text)
{
    struct checking *c = ctx;

    c->had_errors = c->had_errors || kind == CONFIG_NOTE_ERROR;
    if (kind == CONFIG_NOTE_WARNING)
        say(c->config, "warning: %s", text);
    else if (kind == CONFIG_NOTE_ERROR)
        say(c->config, "fatal: %s", text);
}

/* What `mxgate check` says, without what is in order: as Postfix's, it is silent then. */
static int check(const struct config *config)
{
    struct checking checking = {.config = config};
    struct config *strict = NULL;
    struct errbuf err = {""};
    int rc = check_settings(NULL, on_note, &checking, &err, &strict);

    config_unref(&strict);
    if (rc < 0 && !checking.had_errors)
        say(config, "fatal: %s", err.text);
    return rc < 0 ? 1 : 0;
}

static int nothing(const struct config *config)
{
    return 0;
}

static int logrotate(const struct config *config)
{
    say(config, "fatal: not rotating '/dev/stdout'");
    return 1;
}

static int version(const struct config *config)
{
    return command_version(0, NULL);
}

static const struct action {
    const char *name;
    int (*run)(const struct config *config);
} actions[] = {
    {"status",                status          },
    {"check",                 check           },
    {"reload",                reload          },
    {"flush",                 flush           },
    {"stop",                  stop            },
    {"quick-stop",            stop            },
    {"drain",                 stop            },
    {"abort",                 stop            },
    {"start",                 postfix_start   },
    {"start-fg",              start_foreground},
    {"set-permissions",       nothing         },
    {"upgrade-configuration", nothing         },
    {"logrotate",             logrotate       },
    {"version",               version         },
};

static int run(const char *name, const struct config *config)
{
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(name, actions[i].name) == 0)
            return actions[i].run(config);
    }
    say(config, "fatal: unknown command: '%s'. " USAGE, name);
    return 1;
}

int command_postfix(int argc, char **argv)
{
    struct config *config;
    int option;
    int rc;

    while ((option = getopt(argc, argv, "c:Dv")) != -1) {
        if (option == '?') /* -c: there is no folder of Postfix's files here */
            return command_fatal("postfix", 1, "usage: postfix [-c config_dir] [-Dv] command");
    }
    rc = settings_for_command("postfix", NULL, &config);
    if (rc != EX_OK)
        return 1;
    rc = run(optind < argc ? argv[optind] : "", config);
    config_unref(&config);
    return rc;
}

/* ---- mxgate reload, mxgate stop ---- */

/* [-c FILE] and nothing else; 0, or the exit code after telling. */
static int load(int argc, char **argv, struct config **config_out)
{
    const char *ini = NULL;
    bool good = true;
    int option;

    while ((option = getopt(argc, argv, "c:")) != -1) {
        good = good && option == 'c';
        ini = optarg;
    }
    if (!good || optind < argc) {
        command_fatal("mxgate", EX_USAGE, "usage: mxgate %s [-c file]", argv[0]);
        return EX_USAGE;
    }
    return settings_for_command("mxgate", ini, config_out);
}

int command_reload(int argc, char **argv)
{
    struct daemon_question question = {
        .name = "mxgate", .request = "reload", .down = "the mail system is down"};
    struct config *config;
    int rc = load(argc, argv, &config);

    if (rc != EX_OK)
        return rc;
    question.socket = config->control_socket;
    rc = daemon_ask(&question);
    config_unref(&config);
    return rc;
}

int command_stop(int argc, char **argv)
{
    struct control_client client;
    struct config *config;
    struct errbuf err;
    int rc = load(argc, argv, &config);

    if (rc != EX_OK)
        return rc;
    rc = control_client_open(&client, config->control_socket, &err);
    if (rc == 0) {
        rc = stop_daemon(&client, &err);
        control_client_close(&client);
    } else {
        rc = errbuf_set(&err, EX_UNAVAILABLE, "the mail system is down");
    }
    config_unref(&config);
    return rc == EX_OK ? EX_OK : command_fatal("mxgate", rc, "%s", err.text);
}
