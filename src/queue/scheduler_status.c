/* scheduler_status - what the queue says of itself and of its destinations; see scheduler.h */
#include "queue/scheduler_internal.h"

#include <string.h>

static void put(char *dst, size_t cap, const char *src)
{
    struct text t;

    text_init(&t, dst, cap);
    text_cstr(&t, src);
}

/* Whom it is for, where not all have the same: "example.net, .example.org". */
static void put_serves(const struct relay *r, const struct destination *d,
                       struct status_destination *out)
{
    const struct transport_map *map = &r->context.config->transports;
    static const char cut[] = "...";
    struct text t;

    text_init(&t, out->serves, sizeof out->serves);
    for (size_t i = 0; i < map->count; i++) {
        if (r->routes[i] == d)
            text_printf(&t, "%s%s", t.len > 0 ? ", " : "", map->entries[i].name);
    }
    if (d == r->fallback)
        text_printf(&t, "%sfallback_relay", t.len > 0 ? ", " : "");
    for (size_t i = 0; i <= r->context.config->sender_relayhosts.count; i++) {
        if (r->relayhosts[i] == d) {
            text_printf(&t, "%s%s", t.len > 0 ? ", " : "", "other domains");
            break;
        }
    }
    if (map->count > 0 && d == r->main)
        text_cstr(&t, t.len > 0 ? ", all others" : "all others");
    if (t.overflow)
        memcpy(out->serves + sizeof out->serves - sizeof cut, cut, sizeof cut);
}

static void put_target(const struct scheduler *s, const struct destination *d, size_t i,
                       struct status_destination *out)
{
    const struct upstream *u = d->targets[i];
    const struct queue_site *site;

    *out = (struct status_destination){.order = (unsigned)i + 1,
                                       .of = (unsigned)d->count,
                                       .up = u->health == UPSTREAM_UP,
                                       .known = u->health != UPSTREAM_UNKNOWN,
                                       .since_s = u->since_s,
                                       .active = u->active};
    out->covered = u->health == UPSTREAM_DOWN && !destination_is_down(d);
    put(out->name, sizeof out->name, u->route.text);
    put(out->why, sizeof out->why, u->why);
    put(out->mismatch, sizeof out->mismatch, u->mismatch);
    put(out->tls, sizeof out->tls, u->tls_now);
    put_serves(s->relay, d, out);
    site = d->site;
    out->queued = site && i == 0 ? site->queued + site->running : 0;
}

static void put_destination(const struct scheduler *s, const struct destination *d,
                            struct status *out)
{
    for (size_t i = 0; i < d->count; i++) {
        if (out->destinations < STATUS_DESTINATIONS_MAX) {
            put_target(s, d, i, &out->destination[out->destinations++]);
        } else {
            out->more++;
            out->more_down += d->targets[i]->health == UPSTREAM_DOWN;
        }
    }
}

unsigned scheduler_count(const struct scheduler *s)
{
    return HASH_COUNT(s->entries);
}

/* ---- ways out ---- */

static void put_direct(void *ctx, const struct destination *d)
{
    struct status *out = ctx;
    const struct upstream *u = d->targets[0];
    const struct queue_site *site = d->site;
    struct status_direct *direct = &out->direct[out->direct_down % STATUS_DIRECT_MAX];

    out->direct_domains++;
    if (u->health != UPSTREAM_DOWN)
        return;
    if (out->direct_down++ >= STATUS_DIRECT_MAX)
        return;
    direct->since_s = u->since_s;
    direct->queued = site ? site->queued + site->running : 0;
    put(direct->name, sizeof direct->name, u->route.text);
    put(direct->why, sizeof direct->why, u->why);
}

static bool has_part_at(const struct queue_entry *first, const struct destination *d)
{
    for (const struct queue_entry *e = first; e; e = queue_part_next(first, e)) {
        if (e->destination == d && e->state != QUEUE_HOLD && e->state != QUEUE_GONE &&
            e->state != QUEUE_DONE && !e->decided)
            return true;
    }
    return false;
}

static void count_dead_ends(const struct relay *r, const struct queue_entry *first,
                            struct status *out)
{
    out->no_way += has_part_at(first, &r->dead_ends[RELAY_NO_WAY].destination);
    out->no_room += has_part_at(first, &r->dead_ends[RELAY_NO_ROOM].destination);
}

/* ---- what is on hold ---- */

static void count_held(const struct queue_entry *e, struct status *out)
{
    int64_t arrival_s = e->arrival_us / 1000000;

    if (e->state != QUEUE_HOLD)
        return;
    if (e->hold_expired)
        out->held_expired++;
    else if (e->operator_needed)
        out->held_failed++;
    else
        out->held_ordered++;
    if (out->held_oldest_id[0] && arrival_s >= out->held_oldest_s)
        return;
    out->held_oldest_s = arrival_s;
    put(out->held_oldest_id, sizeof out->held_oldest_id, e->id.text);
}

void scheduler_status(const struct scheduler *s, struct status *out)
{
    struct queue_entry *e, *next;
    const struct destination *d;
    int64_t oldest = 0;

    HASH_ITER(hh, s->entries, e, next) {
        if (!oldest || e->arrival_us < oldest)
            oldest = e->arrival_us;
        count_held(e, out);
        count_dead_ends(s->relay, e, out);
    }
    out->queued = HASH_COUNT(s->entries);
    out->on_hold = s->on_hold;
    out->operator_needed = s->operator_needed;
    out->oldest_s = oldest / 1000000;
    out->delivered += s->delivered;
    out->deferred += s->deferred;
    out->failed += s->failed;
    out->corrupt = s->corrupt;
    out->destinations = 0;
    out->more = out->more_down = 0;
    LL_FOREACH(s->relay->destinations, d) {
        if (!d->retired)
            put_destination(s, d, out);
    }
    relay_each_direct(s->relay, put_direct, out);
}
