/*
 * check - mxgate check [-c FILE]: the words of a start, without starting
 *
 * Reads the settings as serve does and says what serve would say of them, to standard output. Exit
 * codes: 0, or 78 (EX_CONFIG) when serve would refuse to start.
 */
#include "commands/check.h"

#include "base/text.h"
#include "commands/commands.h"
#include "commands/settings.h"
#include "commands/surroundings.h"
#include "commands/zone.h"
#include "config/way.h"
#include "server/server_tls.h"

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

/* Whether this word may refuse a stranger's mail for our domains. */
static bool may_refuse(const struct restriction *r)
{
    return !r->warn && r->word != RESTRICTION_PERMIT_MYNETWORKS &&
           r->word != RESTRICTION_PERMIT_SASL_AUTHENTICATED &&
           r->word != RESTRICTION_REJECT_UNAUTH_DESTINATION &&
           r->word != RESTRICTION_DEFER_UNAUTH_DESTINATION && r->word != RESTRICTION_SLEEP;
}

static bool list_may_refuse(const struct restriction_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        enum restriction_word word = list->items[i].word;

        if (word == RESTRICTION_PERMIT || word == RESTRICTION_PERMIT_AUTH_DESTINATION)
            return false; /* the rest is not looked at */
        if (may_refuse(&list->items[i]))
            return true;
    }
    return false;
}

/* Whom mail is taken from. */
static void put_senders(struct text *t, const struct config *c)
{
    bool restricted = false;

    for (size_t i = 0; i < RESTRICT_STAGE_COUNT; i++)
        restricted = restricted || list_may_refuse(&c->restrictions[i]);
    if (c->senders.count > 0)
        text_printf(t, "senders in %s", c->allowed_sender_domains);
    else
        text_cstr(t, restricted ? "whom its restrictions admit" : "everybody");
}

/* Whom mail to other domains is taken from, and where it leaves. */
static void put_ways_out(struct text *t, const struct config *c)
{
    bool by_sender = c->sender_relayhosts.count > 0;

    if (!way_out_exists(c)) {
        text_cstr(t, "relays for nobody");
        return;
    }
    text_printf(t, "relays for %s%s", c->mynetworks[0] ? c->mynetworks : "programs of this machine",
                config_has_logins(c) ? " and users who log in" : "");
    if (c->relayhost[0])
        text_printf(t, " through %s", c->relayhost);
    else if (c->outbound == OUTBOUND_DIRECT)
        text_cstr(t, " to the MX hosts of each domain");
    if (by_sender)
        text_printf(t, "%s where sender_dependent_relayhost_maps says",
                    c->relayhost[0] || c->outbound == OUTBOUND_DIRECT ? ", or" : "");
}

void check_say_summary(const struct log *log, const struct config *config)
{
    bool ours = config->domains.count > 0; /* else there is only what leaves */
    char senders_buf[1024], out_buf[2048];
    struct text senders, out;

    text_init(&senders, senders_buf, sizeof senders_buf);
    if (ours) {
        text_cstr(&senders, " from ");
        put_senders(&senders, config);
    }
    text_init(&out, out_buf, sizeof out_buf);
    put_ways_out(&out, config);
    log_startup(log, LOG_SEVERITY_INFO,
                "%s accepts mail for %s%s, %s%s%s%s (delivery_mode=%s, queue in %s)",
                config->myhostname, ours ? config->relay_domains : "no domain of its own",
                senders_buf, out_buf, ours ? ", and delivers to " : "",
                ours ? config->relay_transport : "",
                ours && config->transports.count > 0 ? ", or where transport_maps says" : "",
                config->delivery_mode == DELIVERY_MODE_DIRECT ? "direct" : "queue",
                config->queue_directory);
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
    server_tls_check(*config_out, note, ctx);
    return 0;
}

static int run(struct check *check, const char *ini)
{
    struct errbuf err = {""};
    struct config *config = NULL;
    int rc;

    zone_advise(on_note, check);
    rc = check_settings(ini, on_note, check, &err, &config);
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
