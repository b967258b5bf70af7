/*
 * check - mxgate check [-c FILE]: the words of a start, without starting
 *
 * Reads the settings as serve does and says what serve would say of them, to standard output. Exit
 * codes: 0, or 78 (EX_CONFIG) when serve would refuse to start.
 */
#include "commands/check.h"

#include "commands/commands.h"
#include "commands/settings.h"
#include "commands/surroundings.h"
#include "relay/route.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

struct check {
    struct log log;
    bool had_errors;
};

static void print_line(void *ctx, enum log_severity severity, struct span line)
{
    (void)severity;
    fwrite(line.ptr, 1, line.len, ctx);
    fputc('\n', ctx);
}

enum log_severity check_severity(enum config_note_kind kind)
{
    switch (kind) {
    case CONFIG_NOTE_APPLIED:
    case CONFIG_NOTE_INFO:
        return LOG_SEVERITY_INFO;
    case CONFIG_NOTE_WARNING:
        return LOG_SEVERITY_WARNING;
    case CONFIG_NOTE_ERROR:
        break;
    }
    return LOG_SEVERITY_ERROR;
}

static void on_note(void *ctx, enum config_note_kind kind, const char *text)
{
    struct check *check = ctx;

    check->had_errors = check->had_errors || kind == CONFIG_NOTE_ERROR;
    log_startup(&check->log, check_severity(kind), "%s", text);
}

void check_say_summary(const struct log *log, const struct config *config)
{
    log_startup(log, LOG_SEVERITY_INFO,
                "%s accepts mail for %s from everybody, relays for nobody, and delivers to %s "
                "(delivery_mode=%s, queue in %s)",
                config->myhostname, config->relay_domains, config->relay_transport,
                config->delivery_mode == DELIVERY_MODE_DIRECT ? "direct" : "queue",
                config->queue_directory);
}

/* What serve finds out only when it makes its modules. */
static int check_transport(const struct config *config, struct errbuf *err)
{
    struct route route;

    return route_parse(span_of(config->relay_transport), &route, err);
}

int check_settings(const char *ini, config_note_fn note, void *ctx, struct errbuf *err,
                   struct config **config_out)
{
    struct settings_request request = {.ini = ini, .note = note, .note_ctx = ctx};
    int rc = settings_load(&request, config_out, err);

    if (rc < 0) {
        surroundings_advise_refused(ini, note, ctx);
        return rc;
    }
    surroundings_advise(*config_out, note, ctx);
    rc = check_transport(*config_out, err);
    if (rc < 0)
        config_unref(config_out);
    return rc;
}

static int run(struct check *check, const char *ini)
{
    struct errbuf err = {""};
    struct config *config = NULL;
    int rc = check_settings(ini, on_note, check, &err, &config);

    if (rc < 0 && !check->had_errors)
        log_startup(&check->log, LOG_SEVERITY_ERROR, "%s", err.text);
    if (rc == 0)
        check_say_summary(&check->log, config);
    config_unref(&config);
    return rc < 0 ? EX_CONFIG : EX_OK;
}

int command_check(int argc, char **argv)
{
    struct check check = {
        .log = {.syslog_name = "postfix",
                .pid = (long)getpid(),
                .sink = print_line,
                .sink_ctx = stdout}
    };
    const char *ini = NULL;
    int code;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-c") != 0 || i + 1 == argc)
            return command_fatal("mxgate", EX_USAGE, "usage: mxgate check [-c FILE]");
        ini = argv[++i];
    }
    code = run(&check, ini);
    if (fflush(stdout) != 0 || ferror(stdout))
        return command_fatal("mxgate", EX_IOERR, "cannot write to standard output");
    return code;
}
