/*
 * drain - mxgate drain: has the gateway emptied, watches, and says by its exit code whether it is
 *
 *     mxgate drain [-c FILE] [--timeout TIME] [--fallback-after TIME] [--leave-held] | --cancel
 *
 * 0: empty, the machine may go. 75 (EX_TEMPFAIL): something is left when the time is up, or only
 * what is on hold or damaged is (unless --leave-held): counts and list are printed. The gateway
 * goes on draining in that case, and when this command is interrupted: it does so by itself.
 */
#include "base/clock.h"
#include "commands/commands.h"
#include "commands/daemon.h"
#include "commands/queue_list.h"
#include "commands/settings.h"
#include "control/control_format_drain.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#define USAGE                                                                                      \
    "usage: mxgate drain [-c file] [--timeout time] [--fallback-after time] [--leave-held] | "     \
    "mxgate drain --cancel"
#define TIMEOUT_MS        60000
#define FALLBACK_AFTER_MS 10000
#define POLL_MS           100
#define TELL_MS           2000 /* between two lines of progress */
#define LIST_MAX          100  /* more are counted only */

struct drain {
    const char *ini;
    uint64_t timeout_ms;
    uint64_t fallback_after_ms;
    bool leave_held;
    bool cancel;
    struct control_client client;
    struct control_drain progress;
    bool understood;
};

static bool parse_time(const char *text, uint64_t *ms_out)
{
    return config_parse_time(span_of(text), ms_out) && *ms_out <= CONTROL_DRAIN_WAIT_MAX;
}

/* False when the options make no sense. */
static bool parse_options(struct drain *d, int argc, char **argv)
{
    static const struct option options[] = {
        {"timeout",        required_argument, NULL, 't'},
        {"fallback-after", required_argument, NULL, 'f'},
        {"leave-held",     no_argument,       NULL, 'l'},
        {"cancel",         no_argument,       NULL, 'x'},
        {NULL,             0,                 NULL, 0  }
    };
    int option;

    while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
        if (option == 'c')
            d->ini = optarg;
        else if (option == 'l')
            d->leave_held = true;
        else if (option == 'x')
            d->cancel = true;
        else if ((option != 't' || !parse_time(optarg, &d->timeout_ms)) &&
                 (option != 'f' || !parse_time(optarg, &d->fallback_after_ms)))
            return false;
    }
    return optind == argc;
}

static void on_progress(void *ctx, struct span line)
{
    struct drain *d = ctx;

    d->understood = control_drain_parse(line, &d->progress);
}

/* 0, or the exit code after telling. */
static int ask(struct drain *d, const char *request)
{
    struct errbuf err = {""};
    int rc;

    d->understood = false;
    rc = control_client_ask(&d->client, request, on_progress, d, &err);
    if (rc > 0)
        return command_fatal("mxgate", rc, "%s", err.text);
    if (rc < 0)
        return command_fatal("mxgate", EX_TEMPFAIL,
                             "the mail system went away while it was draining (%s); what it had "
                             "not delivered is in its queue",
                             err.text);
    if (!d->understood)
        return command_fatal("mxgate", EX_PROTOCOL, "its answer is not understood");
    return 0;
}

static void say_progress(const struct control_drain *p)
{
    printf("draining: %ju to deliver (%ju under way), %ju sessions still sending, %ju on hold; "
           "%ju recipients delivered",
           (uintmax_t)p->queued, (uintmax_t)p->active, (uintmax_t)p->arriving,
           (uintmax_t)p->on_hold, (uintmax_t)p->delivered);
    if (p->handing_over)
        printf(", %ju of them to fallback_relay", (uintmax_t)p->handed_over);
    putchar('\n');
    fflush(stdout);
}

static void pause_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}

/* Until nothing is left to deliver, or the time is up. 0, or an exit code after telling. */
static int watch(struct drain *d)
{
    uint64_t end = clock_mono_ms() + d->timeout_ms;
    uint64_t tell = 0;
    struct control_drain told = {0};
    int rc = 0;

    while (rc == 0 && !control_drain_is_over(&d->progress)) {
        uint64_t now = clock_mono_ms();

        if (now >= tell && memcmp(&told, &d->progress, sizeof told) != 0) {
            say_progress(&d->progress);
            told = d->progress;
            tell = now + TELL_MS;
        }
        if (now >= end)
            return 0;
        pause_ms(POLL_MS);
        rc = ask(d, "drain");
        if (rc == 0 && d->progress.since_s == 0)
            return command_fatal("mxgate", EX_TEMPFAIL,
                                 "the drain was cancelled by somebody: mail is taken again");
    }
    return rc;
}

static void list_left(const struct drain *d, const struct config *config)
{
    uint64_t left = d->progress.queued + d->progress.on_hold;

    if (left == 0)
        return;
    if (left <= LIST_MAX)
        queue_list("mxgate", config, false);
    else
        printf("mailq lists them\n");
}

/* What nothing but an operator moves. EX_OK, or the exit code after telling. */
static int report_stuck(const struct drain *d, const struct config *config)
{
    const struct control_drain *p = &d->progress;

    if (p->corrupt > 0)
        command_warning(
            "mxgate",
            "%ju queue files are damaged, or only a restart finds them: see the log, and "
            "%s/corrupt",
            (uintmax_t)p->corrupt, config->queue_directory);
    if (d->leave_held)
        return EX_OK;
    if (p->on_hold > 0) {
        list_left(d, config);
        return command_fatal("mxgate", EX_TEMPFAIL,
                             "nothing is left to deliver, but %ju messages are on hold and would "
                             "be lost with the queue: release (postsuper -H) or delete them "
                             "(postsuper -d), or leave them with --leave-held",
                             (uintmax_t)p->on_hold);
    }
    if (p->corrupt > 0)
        return command_fatal("mxgate", EX_TEMPFAIL,
                             "nothing is left to deliver, but these files would be lost with the "
                             "queue: take them elsewhere, or leave them with --leave-held");
    return EX_OK;
}

/* The last words, and the exit code. */
static int report(const struct drain *d, const struct config *config)
{
    const struct control_drain *p = &d->progress;
    int rc;

    say_progress(p);
    if (!control_drain_is_over(p)) {
        list_left(d, config);
        return command_fatal("mxgate", EX_TEMPFAIL,
                             "not empty in time: %ju messages are left, %ju sessions are still "
                             "sending, %ju messages are on hold; the gateway goes on draining "
                             "(mxgate drain --cancel ends that)",
                             (uintmax_t)p->queued, (uintmax_t)p->arriving, (uintmax_t)p->on_hold);
    }
    rc = report_stuck(d, config);
    if (rc != EX_OK)
        return rc;
    printf("drained: nothing is left to deliver\n");
    if (fflush(stdout) != 0 || ferror(stdout))
        return command_fatal("mxgate", EX_IOERR, "cannot write to standard output");
    return EX_OK;
}

static int run(struct drain *d, const struct config *config)
{
    char request[64];
    int rc;

    if (d->cancel) {
        rc = ask(d, "undrain");
        if (rc == 0)
            printf("mail is taken again\n");
        return rc;
    }
    snprintf(request, sizeof request, "drain %ju", (uintmax_t)d->fallback_after_ms);
    rc = ask(d, request);
    if (rc == 0)
        rc = watch(d);
    return rc == 0 ? report(d, config) : rc;
}

int command_drain(int argc, char **argv)
{
    struct drain d = {.timeout_ms = TIMEOUT_MS, .fallback_after_ms = FALLBACK_AFTER_MS};
    struct config *config;
    struct errbuf err;
    int rc;

    if (!parse_options(&d, argc, argv))
        return command_fatal("mxgate", EX_USAGE, USAGE);
    rc = settings_for_command("mxgate", d.ini, &config);
    if (rc != EX_OK)
        return rc;
    rc = control_client_open(&d.client, config->control_socket, &err);
    if (rc < 0) {
        rc = command_fatal("mxgate", EX_UNAVAILABLE, "the mail system is down%s%s",
                           daemon_is_down(rc) ? "" : ", or not reachable for us: ",
                           daemon_is_down(rc) ? "" : err.text);
    } else {
        rc = run(&d, config);
        control_client_close(&d.client);
    }
    config_unref(&config);
    return rc;
}
