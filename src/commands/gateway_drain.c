/* gateway_drain - see gateway_drain.h */
#include "commands/gateway_drain.h"

#include "base/clock.h"
#include "queue/scheduler_drain.h"

#include <string.h>

static uint64_t delivered(const struct gateway *g)
{
    return g->intake.sent_directly + g->scheduler.delivered;
}

static void put_progress(const struct gateway *g, struct control_drain *out)
{
    unsigned all = scheduler_count(&g->scheduler);
    unsigned on_hold = g->scheduler.on_hold;

    *out = (struct control_drain){.since_s = (uint64_t)g->drain.since_s,
                                  .queued = all > on_hold ? all - on_hold : 0,
                                  .active = g->scheduler.run_count + g->intake.in_flight,
                                  .on_hold = on_hold,
                                  .arriving = smtp_server_busy(&g->server) + g->control.submissions,
                                  .corrupt = g->scheduler.corrupt,
                                  .handing_over = g->scheduler.fallback != NULL};
    if (out->since_s == 0)
        return;
    out->delivered = delivered(g) - g->drain.delivered_before;
    out->handed_over = g->scheduler.handed_over - g->drain.handed_before;
}

/*
 * Mail in the spool that is no entry of the queue: damaged, put aside by whatever process; or its
 * file is there and memory was out. Only where nothing is under way: what is being committed is in
 * the spool before it is in the queue.
 */
static uint64_t count_astray(const struct gateway *g)
{
    unsigned known = scheduler_count(&g->scheduler);
    uint64_t messages, corrupt;
    int rc = spool_count(&g->spool, &messages, &corrupt);

    if (rc < 0) {
        log_error(g->log, "master", "draining: cannot look what is left in queue_directory: %s",
                  strerror(-rc));
        return g->scheduler.corrupt > 0 ? g->scheduler.corrupt : 1;
    }
    return corrupt + (messages > known ? messages - known : 0);
}

void gateway_drain_look(const struct gateway *g, struct control_drain *out)
{
    put_progress(g, out);
    if (out->since_s > 0 && control_drain_is_over(out))
        out->corrupt = count_astray(g);
}

static void say_end(struct gateway *g)
{
    struct control_drain d;

    put_progress(g, &d);
    if (g->drain.over_said == control_drain_is_over(&d))
        return;
    g->drain.over_said = !g->drain.over_said; /* an operator may release what is on hold */
    if (!g->drain.over_said)
        return;
    log_info(g->log, "master", "drained: nothing is left to deliver, %ju messages are on hold",
             (uintmax_t)d.on_hold);
}

static void hand_over_to(struct gateway *g, struct destination *fallback)
{
    log_info(g->log, "master", "draining: what is not taken goes to fallback_relay %s",
             g->config->fallback_relay);
    scheduler_hand_over(&g->scheduler, fallback);
    g->drain.flush_at_ms = 0; /* now */
    g->drain.flush_wait_ms = DRAIN_FLUSH_MS;
}

/* The patience is over. A fallback_relay that comes by a reload is used as well. */
static void hand_over(struct gateway *g)
{
    struct errbuf err = {""};

    if (g->scheduler.fallback || g->config->fallback_relay[0] == '\0')
        return;
    if (relay_use_fallback(&g->relay, true, &err) < 0) {
        log_error(g->log, "master", "fallback_relay: %s", err.text);
        g->drain.hand_over_at_ms = clock_mono_ms() + DRAIN_FLUSH_MAX_MS;
        return;
    }
    hand_over_to(g, g->relay.fallback);
}

static void on_tick(uv_timer_t *timer)
{
    struct gateway *g = timer->data;
    uint64_t now = clock_mono_ms();

    if (now >= g->drain.hand_over_at_ms)
        hand_over(g);
    scheduler_hand_over(&g->scheduler, g->scheduler.fallback);
    if (now >= g->drain.flush_at_ms) {
        scheduler_drain_flush(&g->scheduler);
        g->drain.flush_at_ms = now + g->drain.flush_wait_ms;
        g->drain.flush_wait_ms *= 2;
        if (g->drain.flush_wait_ms > DRAIN_FLUSH_MAX_MS)
            g->drain.flush_wait_ms = DRAIN_FLUSH_MAX_MS;
    }
    say_end(g);
}

void gateway_drain_init(struct gateway *g)
{
    uv_timer_init(g->loop, &g->drain.timer);
    g->drain.timer.data = g;
}

void gateway_drain_begin(struct gateway *g, uint64_t patience_ms)
{
    uint64_t now = clock_mono_ms();

    if (g->stopping)
        return;
    g->drain.hand_over_at_ms = now + patience_ms;
    g->drain.flush_at_ms = 0;
    g->drain.flush_wait_ms = DRAIN_FLUSH_MS;
    if (g->drain.since_s > 0)
        return;
    g->drain.since_s = clock_wall_us() / 1000000;
    g->drain.delivered_before = delivered(g);
    g->drain.handed_before = g->scheduler.handed_over;
    g->drain.over_said = false;
    log_info(g->log, "master", "draining: no mail is taken any more, %u messages are in the queue",
             scheduler_count(&g->scheduler));
    g->intake.draining = true;
    smtp_server_drain(&g->server, true);
    uv_timer_start(&g->drain.timer, on_tick, 0, DRAIN_TICK_MS);
}

void gateway_drain_cancel(struct gateway *g)
{
    struct errbuf err;

    if (g->drain.since_s == 0 || g->stopping)
        return;
    uv_timer_stop(&g->drain.timer);
    g->drain.since_s = 0;
    scheduler_hand_over(&g->scheduler, NULL);
    relay_use_fallback(&g->relay, false, &err); /* else it is only probed in vain */
    scheduler_flush(&g->scheduler, NULL);       /* each attempt has put the next one off */
    g->intake.draining = false;
    smtp_server_drain(&g->server, false);
    log_info(g->log, "master", "the drain is cancelled: mail is taken again");
}

void gateway_drain_reloaded(struct gateway *g)
{
    if (!g->scheduler.fallback || g->scheduler.fallback == g->relay.fallback)
        return;
    if (g->relay.fallback)
        hand_over_to(g, g->relay.fallback);
    else
        scheduler_hand_over(&g->scheduler, NULL);
}

void gateway_drain_end(struct gateway *g)
{
    uv_timer_stop(&g->drain.timer);
}
