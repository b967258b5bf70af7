/* gateway - see gateway.h */
#include "commands/gateway.h"

#include "commands/gateway_drain.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STOP_POLL_MS 20

/* ---- what the control socket asks ---- */

static void status_spool(const struct gateway *g, struct status *out)
{
    int rc = spool_probe(&g->spool);
    struct text t;

    out->spool_writable = rc == 0;
    if (rc < 0) {
        text_init(&t, out->spool_trouble, sizeof out->spool_trouble);
        text_printf(&t, "queue_directory is not writable: %s", strerror(-rc));
    }
    out->free_bytes = spool_free_bytes(&g->spool);
    out->floor_bytes = (int64_t)intake_floor_bytes(&g->intake);
}

static void status_listeners(const struct gateway *g, struct status *out)
{
    struct text listen;
    struct text proxy;

    text_init(&listen, out->listen, sizeof out->listen);
    text_init(&proxy, out->listen_proxy, sizeof out->listen_proxy);
    for (size_t i = 0; i < g->server.listener_count; i++) {
        const struct listener *l = &g->server.listeners[i];

        text_printf(&listen, "%s%s", i > 0 ? ", " : "", l->text);
        if (listener_wants_header(l))
            text_printf(&proxy, "%s%s", proxy.len > 0 ? ", " : "", l->text);
    }
}

static void on_status(void *ctx, struct status *out)
{
    struct gateway *g = ctx;
    struct text name;

    out->started_s = g->started_s;
    out->pid = (long)getpid();
    text_init(&name, out->myhostname, sizeof out->myhostname);
    text_cstr(&name, g->config->myhostname);
    status_listeners(g, out);
    out->sessions = g->server.limits.total;
    out->sessions_limit = (unsigned)g->config->smtpd_connection_limit;
    out->messages_in = g->intake.messages_in;
    out->delivered = g->intake.sent_directly;
    out->deferred = g->intake.deferred_directly;
    out->failed = g->intake.failed_directly;
    out->rejected = smtp_server_rejected(&g->server);
    scheduler_status(&g->scheduler, out);
    out->on_hold_limit = SCHEDULER_HELD_TIMES * g->config->queue_message_limit;
    status_spool(g, out);
    server_tls_status(&g->certificates, out);
    sasl_server_status(&g->sasl, out);
    out->log_dropped = g->log_dropped(g->log_dropped_ctx);
    out->draining = g->stopping || g->drain.since_s > 0;
    out->draining_since_s = g->stopping ? 0 : g->drain.since_s;
}

static size_t on_active(void *ctx, struct queue_id *ids, size_t cap)
{
    struct gateway *g = ctx;

    return scheduler_active(&g->scheduler, ids, cap);
}

static size_t on_flush(void *ctx, const struct queue_id *id, const char *site)
{
    struct gateway *g = ctx;

    if (site)
        return scheduler_flush_site(&g->scheduler, site);
    return scheduler_flush(&g->scheduler, id);
}

static bool on_order(void *ctx, const struct queue_order_request *r, struct queue_asker *asker)
{
    struct gateway *g = ctx;

    return scheduler_order(&g->scheduler, r, asker);
}

static int on_reload(void *ctx, struct errbuf *err)
{
    struct gateway *g = ctx;

    return g->reload(g->asked_ctx, err);
}

static void on_stop(void *ctx)
{
    struct gateway *g = ctx;

    g->stop(g->asked_ctx);
}

static bool on_drain(void *ctx, enum control_drain_order order, uint64_t patience_ms,
                     struct control_drain *out)
{
    struct gateway *g = ctx;

    if (g->stopping && order != CONTROL_DRAIN_LOOK)
        return false;
    if (order == CONTROL_DRAIN_BEGIN)
        gateway_drain_begin(g, patience_ms);
    else if (order == CONTROL_DRAIN_END)
        gateway_drain_cancel(g);
    gateway_drain_look(g, out);
    return true;
}

static int on_smtp(void *ctx, int fd)
{
    struct gateway *g = ctx;

    return connection_adopt(&g->server, fd);
}

/* ---- start ---- */

static void on_recovered(void *ctx, struct spool_file *f)
{
    struct gateway *g = ctx;

    scheduler_recover(&g->scheduler, f);
}

static void on_bad_file(void *ctx, const char *name, const char *why)
{
    struct gateway *g = ctx;

    g->scheduler.corrupt++;
    log_error(g->log, "qmgr", "%s: corrupt or unreadable, kept: %s", name, why);
}

static int start_relay(struct gateway *g, struct errbuf *err)
{
    struct upstream_context context = {.loop = g->loop,
                                       .streams = &g->streams,
                                       .resolver = &g->resolver,
                                       .config = g->config,
                                       .log = g->log,
                                       .on_up = scheduler_on_up,
                                       .on_up_ctx = &g->scheduler};

    return relay_init(&g->relay, &context, &g->disk, err);
}

static int start_queue(struct gateway *g, struct errbuf *err)
{
    int rc = spool_open(&g->spool, g->config->queue_directory, &g->disk, err);

    if (rc < 0)
        return rc;
    g->place = (struct body_place){.incoming_fd = g->spool.incoming_fd,
                                   .disk = &g->disk,
                                   .budget = {.limit = g->config->body_memory_limit}};
    scheduler_init(&g->scheduler, g->loop, &g->spool, &g->relay, &g->place, g->config, g->log);
    rc = spool_scan(&g->spool, on_recovered, on_bad_file, g);
    if (rc < 0)
        return errbuf_set(err, rc, "cannot read the queue in %s: %s", g->config->queue_directory,
                          strerror(-rc));
    scheduler_recovered(&g->scheduler);
    intake_init(&g->intake, &g->scheduler);
    return 0;
}

static int start_certificates(struct gateway *g, struct errbuf *err)
{
    g->certificates.loop = g->loop;
    g->certificates.disk = &g->disk;
    g->certificates.heavy = &g->tls;
    g->certificates.log = g->log;
    return server_tls_start(&g->certificates, g->config, err);
}

static void start_logins(struct gateway *g)
{
    g->sasl.loop = g->loop;
    g->sasl.streams = &g->streams;
    g->sasl.resolver = &g->resolver;
    g->sasl.config = g->config;
    g->sasl.log = g->log;
    sasl_server_init(&g->sasl);
    g->server.sasl = &g->sasl;
}

static int start_control(struct gateway *g, struct errbuf *err)
{
    struct control_setup setup = {.pool = &g->streams,
                                  .path = g->config->control_socket,
                                  .ops = &g->control_ops,
                                  .intake = &g->intake,
                                  .relay = &g->relay,
                                  .config = g->config,
                                  .log = g->log};

    g->control_ops = (struct control_ops){.ctx = g,
                                          .status = on_status,
                                          .active = on_active,
                                          .flush = on_flush,
                                          .reload = on_reload,
                                          .order = on_order,
                                          .stop = on_stop,
                                          .smtp = on_smtp,
                                          .drain = on_drain};
    return control_server_start(&g->control, &setup, err);
}

int gateway_bind(struct gateway *g, struct errbuf *err)
{
    g->bound = true;
    g->server.loop = g->loop;
    g->server.config = g->config;
    g->server.log = g->log;
    return smtp_server_bind(&g->server, err);
}

int gateway_start(struct gateway *g, struct errbuf *err)
{
    int rc = g->bound ? 0 : gateway_bind(g, err);

    if (rc < 0)
        return rc;

    g->started_s = clock_wall_us() / 1000000;
    stream_pool_init(&g->streams, g->loop);
    lane_init(&g->disk, g->loop, GATEWAY_DISK_THREADS);
    g->streams.tls_lane = &g->tls;
    uv_timer_init(g->loop, &g->stop_timer);
    g->stop_timer.data = g;
    gateway_drain_init(g);
    rc = lane_init_threads(&g->tls, g->loop, GATEWAY_TLS_THREADS);
    if (rc < 0)
        return errbuf_set(err, rc, "cannot start the threads of TLS: %s", uv_strerror(rc));
    rc = resolver_init(&g->resolver, g->loop, g->config->dns_servers, err);
    if (rc == 0)
        rc = start_relay(g, err);
    if (rc == 0)
        rc = start_queue(g, err);
    g->server.streams = &g->streams;
    g->server.resolver = &g->resolver;
    g->server.relay = &g->relay;
    g->server.intake = &g->intake;
    g->server.tls = &g->certificates;
    start_logins(g);
    if (rc == 0)
        rc = start_certificates(g, err);
    if (rc == 0)
        rc = start_control(g, err);
    if (rc == 0)
        rc = smtp_server_start(&g->server, err);
    if (rc == 0)
        scheduler_flush(&g->scheduler, NULL); /* at start everything in the spool is due at once */
    return rc;
}

int gateway_set_config(struct gateway *g, struct config *config, struct errbuf *err)
{
    int rc = relay_set_config(&g->relay, config, err);

    if (rc < 0) {
        config_unref(&config);
        return rc;
    }
    scheduler_set_config(&g->scheduler, config);
    intake_set_config(&g->intake, config);
    server_tls_set_config(&g->certificates, config);
    sasl_server_set_config(&g->sasl, config);
    smtp_server_set_config(&g->server, config);
    control_server_set_config(&g->control, config);
    config_unref(&g->config);
    g->config = config;
    gateway_drain_reloaded(g);
    return 0;
}

/* ---- stop ---- */

static void module_closed(struct gateway *g)
{
    if (--g->closing > 0)
        return;
    spool_close(&g->spool);
    config_unref(&g->config);
    g->on_stopped(g->on_stopped_ctx);
}

static void on_module_closed(void *ctx)
{
    module_closed(ctx);
}

static void on_timer_closed(uv_handle_t *handle)
{
    module_closed(handle->data);
}

/* Nothing is under way any more: handles go, each module tells when its memory may. */
static void close_modules(struct gateway *g)
{
    g->closing = 9;
    uv_close((uv_handle_t *)&g->drain.timer, on_timer_closed);
    uv_close((uv_handle_t *)&g->stop_timer, on_timer_closed);
    relay_close(&g->relay, on_module_closed, g);
    scheduler_close(&g->scheduler, on_module_closed, g);
    intake_close(&g->intake, on_module_closed, g);
    sasl_server_close(&g->sasl, on_module_closed, g);
    resolver_close(&g->resolver, on_module_closed, g);
    server_tls_close(&g->certificates, on_module_closed, g);
    lane_close(&g->tls, on_module_closed, g);
}

static void on_server_closed(void *ctx)
{
    struct gateway *g = ctx;

    g->server.on_closed = NULL;
}

static bool all_idle(const struct gateway *g)
{
    return g->server.connection_count == 0 && g->server.holds == 0 && g->intake.in_flight == 0 &&
           scheduler_idle(&g->scheduler) && lane_idle(&g->disk) && lane_idle(&g->tls) &&
           spool_idle(&g->spool);
}

static void on_control_stopped(void *ctx)
{
    struct gateway *g = ctx;

    g->control_stopped = true;
}

/*
 * The control socket goes last, so that the end can be watched; but before the spool: a submission
 * that is cut off there still has a file to remove.
 */
static void end_when_idle(struct gateway *g)
{
    if (!g->control_stopping) {
        g->control_stopping = true;
        control_server_stop(&g->control, on_control_stopped, g);
    } else if (g->control_stopped) {
        uv_timer_stop(&g->stop_timer);
        close_modules(g);
    }
}

static void on_stop_tick(uv_timer_t *timer)
{
    struct gateway *g = timer->data;
    uint64_t now = clock_mono_ms();

    if (!g->server.on_closed && g->server.connection_count == 0 && g->server.holds > 0)
        smtp_server_close(&g->server, on_server_closed, g);
    if (all_idle(g)) {
        end_when_idle(g);
    } else if (now >= g->stop_at_ms + GATEWAY_STOP_MS) {
        log_warning(
            g->log, "master",
            "stopped with %u sessions and %u messages under way; what was accepted is in the spool",
            g->server.connection_count, g->intake.in_flight + g->scheduler.run_count);
        g->on_stopped(g->on_stopped_ctx);
        uv_timer_stop(timer);
    } else if (now >= g->stop_at_ms + GATEWAY_PATIENCE_MS && !g->server.on_closed &&
               g->server.holds > 0) {
        smtp_server_close(&g->server, on_server_closed, g);
    }
}

void gateway_stop(struct gateway *g, void (*on_stopped)(void *ctx), void *ctx)
{
    if (g->stopping)
        return;
    g->stopping = true;
    gateway_drain_end(g);
    g->on_stopped = on_stopped;
    g->on_stopped_ctx = ctx;
    g->stop_at_ms = clock_mono_ms();
    smtp_server_stop(&g->server);
    intake_stop(&g->intake);
    scheduler_stop(&g->scheduler);
    uv_timer_start(&g->stop_timer, on_stop_tick, 0, STOP_POLL_MS);
}
