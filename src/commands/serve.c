/*
 * serve - mxgate serve: the daemon as a process: settings, log, signals, start-up words, exit code
 *
 * Exit codes by sysexits.h: 78 (EX_CONFIG) for settings that cannot work, 75 (EX_TEMPFAIL) when
 * another daemon has the spool, 71 (EX_OSERR) for what the system refuses, 0 after SIGTERM or
 * SIGINT.
 */
#include "base/clock.h"
#include "commands/check.h"
#include "commands/commands.h"
#include "commands/confine.h"
#include "commands/gateway.h"
#include "commands/overrides_file.h"
#include "commands/settings.h"
#include "commands/surroundings.h"
#include "commands/zone.h"
#include "net/lane.h"
#include "observe/log_writer.h"
#include "sandbox/identity.h"
#include "tls/hmac.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define LOG_FLUSH_MS 1000

struct serve {
    uv_loop_t loop;
    struct gateway gateway;
    struct confine confine;
    struct log log;
    struct log_mask mask;
    struct log_writer *writer;
    const char *ini; /* option -c, or NULL */
    uv_signal_t term, interrupt, hangup, child;
    bool stopped;
    bool had_errors;
    struct errbuf first_error; /* while had_errors */
    char *overrides;           /* owned: as load() found them last; NULL: none */
};

static int close_and_exit(struct serve *s, int code)
{
    free(s->overrides);
    confine_paths_free(&s->confine.admitted);
    log_writer_free(&s->writer, LOG_FLUSH_MS);
    return code;
}

/* ---- settings ---- */

static void on_note(void *ctx, enum config_note_kind kind, const char *text)
{
    struct serve *s = ctx;

    if (kind == CONFIG_NOTE_ERROR && !s->had_errors)
        errbuf_set(&s->first_error, 0, "%s", text);
    s->had_errors = s->had_errors || kind == CONFIG_NOTE_ERROR;
    log_startup(&s->log, check_severity(kind), "%s", text);
}

static void on_quiet_note(void *ctx, enum config_note_kind kind, const char *text)
{
    (void)ctx;
    (void)kind;
    (void)text;
}

/* What is wrong was told then; the first of it is in err. */
static int load(struct serve *s, struct config **config_out, struct errbuf *err)
{
    struct settings_request request = {
        .ini = s->ini, .note = on_note, .note_ctx = s, .overrides_out = &s->overrides};
    int rc;

    free(s->overrides);
    s->had_errors = false;
    rc = settings_load(&request, config_out, err);
    if (rc < 0 && !s->had_errors)
        log_startup(&s->log, LOG_SEVERITY_ERROR, "%s", err->text);
    else if (rc < 0)
        *err = s->first_error;
    return rc;
}

static void use_mask(struct serve *s, const struct config *config)
{
    s->mask = (struct log_mask){config->anonymize, hmac_sha256};
    s->log.mask = &s->mask;
}

/* Read once without a word, since the notes themselves are log lines. False when memory is out. */
static bool prepare_log(struct serve *s)
{
    struct settings_request request = {.ini = s->ini, .lenient = true, .note = on_quiet_note};
    struct config *config = NULL;
    struct errbuf err;

    s->log = (struct log){.syslog_name = "postfix", .pid = (long)getpid(), .sink = log_writer_sink};
    if (settings_load(&request, &config, &err) == 0) {
        s->log.syslog_name = strdup(config->syslog_name); /* ours for good: it is FIXED */
        s->log.json = config->log_format == LOG_FORMAT_JSON;
        use_mask(s, config);
    }
    config_unref(&config);
    if (s->log.syslog_name)
        s->writer = log_writer_new(STDOUT_FILENO, s->log.json ? LOG_FORMAT_JSON : LOG_FORMAT_PLAIN,
                                   s->log.syslog_name);
    s->log.sink_ctx = s->writer;
    return s->writer != NULL;
}

static const char *ini_name(const struct serve *s)
{
    const char *named = s->ini ? s->ini : getenv("MXGATE_INI");

    return named ? named : SETTINGS_INI;
}

static void warn_fixed(const struct serve *s, const struct config *now, const struct config *next)
{
    for (size_t i = 0; i < settings_count; i++) {
        char a[1024], b[1024];
        struct text ta, tb;

        if (settings[i].live)
            continue;
        text_init(&ta, a, sizeof a);
        text_init(&tb, b, sizeof b);
        config_value_text(now, &settings[i], &ta);
        config_value_text(next, &settings[i], &tb);
        if (strcmp(a, b) != 0)
            log_warning(&s->log, "master", "%s changed: that needs a restart", settings[i].name);
    }
}

/* 0, or an exit code and why: then the old settings stay in force. */
static int reload(void *ctx, struct errbuf *err)
{
    struct serve *s = ctx;
    struct config *next = NULL;
    int rc;

    if (s->gateway.stopping)
        return errbuf_set(err, EX_UNAVAILABLE, "the mail system is stopping");
    log_info(&s->log, "master", "reload -- version %s, configuration %s", MXGATE_VERSION,
             ini_name(s));
    rc = load(s, &next, err);
    if (rc < 0) {
        log_error(&s->log, "master", "the new settings cannot be used: the old ones stay in force");
        return rc == -EINVAL ? EX_CONFIG : EX_OSERR;
    }
    warn_fixed(s, s->gateway.config, next);
    rc = confine_admits(&s->confine, next, err);
    if (rc < 0)
        config_unref(&next);
    else
        rc = gateway_set_config(&s->gateway, next, err);
    if (rc == 0) {
        use_mask(s, s->gateway.config);
        return EX_OK;
    }
    log_error(&s->log, "master", "%s: the old settings stay in force", err->text);
    return EX_CONFIG;
}

/*
 * A `postconf -e` that came between our reading and our control socket took us for dead: it wrote
 * the file and told nobody. One that comes later finds the socket.
 */
static void catch_up(struct serve *s)
{
    struct errbuf err;
    char *now;

    if (overrides_file_read(s->gateway.config->queue_directory, &now, &err) < 0)
        return; /* the next reload says why */
    if (!span_equal(span_of(now), span_of(s->overrides)))
        reload(s, &err); /* what is wrong is in the log */
    free(now);
}

/* ---- signals ---- */

static void on_stopped(void *ctx)
{
    struct serve *s = ctx;

    s->stopped = true;
    uv_close((uv_handle_t *)&s->term, NULL);
    uv_close((uv_handle_t *)&s->interrupt, NULL);
    uv_close((uv_handle_t *)&s->hangup, NULL);
    uv_close((uv_handle_t *)&s->child, NULL);
    uv_stop(&s->loop);
}

static void on_stop_signal(uv_signal_t *handle, int number)
{
    struct serve *s = handle->data;

    log_info(&s->log, "master", "terminating on signal %d", number);
    gateway_stop(&s->gateway, on_stopped, s);
}

/* Asked for by a command, with the line that Postfix's command would log. */
static int reload_asked(void *ctx, struct errbuf *err)
{
    const struct serve *s = ctx;

    log_info(&s->log, "postfix-script", "refreshing the Postfix mail system");
    return reload(ctx, err);
}

/* Likewise; as SIGTERM does it. */
static void stop(void *ctx)
{
    struct serve *s = ctx;

    log_info(&s->log, "postfix-script", "stopping the Postfix mail system");
    gateway_stop(&s->gateway, on_stopped, s);
}

static void on_hangup(uv_signal_t *handle, int number)
{
    struct errbuf err;

    (void)number;
    reload(handle->data, &err); /* what is wrong is in the log */
}

/* As PID 1 we are the parent of every orphan in the container. */
static void on_child(uv_signal_t *handle, int number)
{
    (void)handle;
    (void)number;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
}

static void watch(struct serve *s, uv_signal_t *handle, int number, uv_signal_cb callback)
{
    uv_signal_init(&s->loop, handle);
    handle->data = s;
    uv_signal_start(handle, callback, number);
}

/* ---- words at the start ---- */

/* What makes the log differ from what its readers know. */
static void say_log(const struct serve *s)
{
    const struct config *c = s->gateway.config;

    if (c->anonymize.filter != ANONYMIZE_OFF)
        log_startup(&s->log, LOG_SEVERITY_INFO,
                    "Addresses in the log are shown by the filter %s (ANONYMIZE_EMAILS)",
                    anonymize_name(c->anonymize.filter));
    if (c->debug_peer_list[0])
        log_startup(&s->log, LOG_SEVERITY_INFO,
                    "Commands and replies of clients in %s are logged (debug_peer_list)",
                    c->debug_peer_list);
}

static void say_summary(const struct serve *s)
{
    const struct gateway *g = &s->gateway;

    for (size_t i = 0; i < g->server.listener_count; i++)
        log_startup(&s->log, LOG_SEVERITY_INFO, "Listening on %s", g->server.listeners[i].text);
    check_say_summary(&s->log, g->config);
    log_info(&s->log, "postfix-script", "starting the Postfix mail system");
    log_info(&s->log, "master", "daemon started -- version %s, configuration %s", MXGATE_VERSION,
             ini_name(s));
}

static uint64_t log_dropped(void *ctx)
{
    struct serve *s = ctx;

    return log_writer_dropped(s->writer);
}

/* ---- the command ---- */

/* Each client takes a descriptor, and one more while it sends a large message; 1024 is soon used
 * up. */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit); /* when it fails, clients beyond it are turned away */
}

/* What must be so before any thread or socket exists. */
static void prepare_process(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    unsigned seed = 1;
    char threads[16];
    struct text t;

    umask(077);
    raise_descriptors();
    sigaction(SIGPIPE, &ignore, NULL); /* libuv writes without MSG_NOSIGNAL */
    sigaction(SIGXFSZ, &ignore, NULL); /* a file too large is a failed write (EFBIG) like others */
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        seed = (unsigned)clock_wall_us();
    srandom(seed); /* for jitter only */
    text_init(&t, threads, sizeof threads);
    text_u64(&t, GATEWAY_DISK_THREADS + SPOOL_THREADS);
    setenv("UV_THREADPOOL_SIZE", threads, 1);
}

static int start_code(int rc)
{
    if (rc == -EINVAL)
        return EX_CONFIG;
    return rc == -EBUSY ? EX_TEMPFAIL : EX_OSERR;
}

/* From here on the process may only what a mail server needs; and only then it has threads. */
static int confine(struct serve *s, struct errbuf *err)
{
    int rc;

    identity_return(); /* the settings are read */
    s->confine.log = &s->log;
    rc = gateway_bind(&s->gateway, err);
    if (rc == 0)
        rc = confine_user(&s->confine, s->gateway.config, err);
    if (rc == 0)
        rc = confine_lock(&s->confine, s->gateway.config, ini_name(s), err);
    if (rc < 0)
        return rc;
    lane_start_pool(&s->loop);
    rc = log_writer_start(s->writer);
    return rc < 0 ? errbuf_set(err, rc, "no thread for the log: %s", strerror(-rc)) : 0;
}

static int run(struct serve *s)
{
    struct errbuf err = {""};
    int rc;

    confine_prepare(s->gateway.config);
    uv_loop_init(&s->loop);
    s->gateway.loop = &s->loop;
    s->gateway.log = &s->log;
    s->gateway.log_dropped = log_dropped;
    s->gateway.log_dropped_ctx = s;
    s->gateway.reload = reload_asked;
    s->gateway.stop = stop;
    s->gateway.asked_ctx = s;
    watch(s, &s->child, SIGCHLD, on_child);
    watch(s, &s->hangup, SIGHUP, on_hangup);
    watch(s, &s->term, SIGTERM, on_stop_signal);
    watch(s, &s->interrupt, SIGINT, on_stop_signal);
    rc = confine(s, &err);
    if (rc == 0)
        rc = gateway_start(&s->gateway, &err);
    if (rc < 0) {
        log_startup(&s->log, LOG_SEVERITY_ERROR, "%s", err.text);
        return start_code(rc);
    }
    say_summary(s);
    catch_up(s);
    while (!s->stopped)
        uv_run(&s->loop, UV_RUN_DEFAULT);
    uv_run(&s->loop, UV_RUN_NOWAIT); /* the signals' close callbacks */
    if (uv_loop_close(&s->loop) != 0)
        return EX_OK; /* something hangs; it was said */
    return EX_OK;
}

int command_serve(int argc, char **argv)
{
    static struct serve serve; /* too large for a stack, and there is one */
    struct serve *s = &serve;
    struct errbuf err;
    int rc;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-c") != 0 || i + 1 == argc)
            return command_fatal("mxgate", EX_USAGE, "usage: mxgate serve [-c FILE]");
        s->ini = argv[++i];
    }
    prepare_process();
    if (!prepare_log(s))
        return command_fatal("mxgate", EX_OSERR, "no memory for the log");
    zone_advise(on_note, s);
    rc = load(s, &s->gateway.config, &err);
    if (rc < 0) {
        surroundings_advise_refused(s->ini, on_note, s);
        return close_and_exit(s, EX_CONFIG);
    }
    surroundings_advise(s->gateway.config, on_note, s);
    say_log(s);
    return close_and_exit(s, run(s));
}
