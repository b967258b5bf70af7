/* control_format_status - see control_format_status.h */
#include "control/control_format_status.h"

#include "base/clock.h"
#include "control/control_format_json.h"

/* ---- for people ---- */

/* "3d 4h", "4h 12m", "12m 5s", "5s": the two largest units, as in uptime. */
static void put_duration(struct text *t, int64_t seconds)
{
    static const struct {
        int64_t seconds;
        char name;
    } units[] = {
        {86400, 'd'},
        {3600,  'h'},
        {60,    'm'},
        {1,     's'}
    };
    size_t i = 0;

    if (seconds < 0)
        seconds = 0; /* the clock was set back */
    while (i < 3 && seconds < units[i].seconds)
        i++;
    text_printf(t, "%lld%c", (long long)(seconds / units[i].seconds), units[i].name);
    if (i < 3 && seconds % units[i].seconds >= units[i + 1].seconds)
        text_printf(t, " %lld%c", (long long)(seconds % units[i].seconds / units[i + 1].seconds),
                    units[i + 1].name);
}

static void put_since(struct text *t, int64_t since_s, int64_t now_s)
{
    text_cstr(t, " since ");
    clock_text_asctime(t, since_s * 1000000);
    text_cstr(t, " (");
    put_duration(t, now_s - since_s);
    text_char(t, ')');
}

/* "7.5 GiB" */
static void put_bytes(struct text *t, int64_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t i = 0;

    while (value >= 1024 && i + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        i++;
    }
    text_printf(t, i == 0 ? "%.0f %s" : "%.1f %s", value, units[i]);
}

static void put_destination(struct text *t, const struct status_destination *d, int64_t now_s)
{
    text_printf(t, "destination %s", d->name);
    if (d->of > 1)
        text_printf(t, ", %u of %u", d->order, d->of);
    if (d->serves[0])
        text_printf(t, " (for %s)", d->serves);
    text_cstr(t, ": ");
    text_cstr(t, !d->known ? "not tried yet" : d->up ? "up" : "DOWN");
    if (d->since_s > 0)
        put_since(t, d->since_s, now_s);
    if (d->known && !d->up && d->why[0])
        text_printf(t, ": %s", d->why);
    if (d->covered)
        text_cstr(t, "; mail goes to another of them");
    text_printf(t, "; %u waiting, %u under delivery\n", d->queued, d->active);
    if (d->tls[0])
        text_printf(t, "  TLS: %s\n", d->tls);
    if (d->mismatch[0])
        text_printf(t, "  WRONG SETTING: %s\n", d->mismatch);
}

/* Domains of others: that some of them cannot be reached is nothing out of the ordinary. */
static void put_direct(struct text *t, const struct status *s, int64_t now_s)
{
    unsigned shown = s->direct_down < STATUS_DIRECT_MAX ? s->direct_down : STATUS_DIRECT_MAX;

    if (s->direct_domains == 0)
        return;
    text_printf(t, "direct: %u domain%s, %u not reached\n", s->direct_domains,
                s->direct_domains == 1 ? "" : "s", s->direct_down);
    for (unsigned i = 0; i < shown; i++) {
        text_printf(t, "  %s", s->direct[i].name);
        put_since(t, s->direct[i].since_s, now_s);
        text_printf(t, ": %s; %u waiting\n", s->direct[i].why, s->direct[i].queued);
    }
    if (s->direct_down > shown)
        text_printf(t, "  and %u more\n", s->direct_down - shown);
}

static void put_dead_ends(struct text *t, const struct status *s)
{
    if (s->no_way > 0)
        text_printf(t,
                    "NO WAY OUT: for %u message%s; set relayhost or outbound=direct, or add the "
                    "domain to relay_domains\n",
                    s->no_way, s->no_way == 1 ? "" : "s");
    if (s->no_room > 0)
        text_printf(t, "TOO MANY DOMAINS at a time: %u message%s wait%s for room\n", s->no_room,
                    s->no_room == 1 ? "" : "s", s->no_room == 1 ? "s" : "");
}

static void put_count(struct text *t, unsigned count, const char *what, const char **before)
{
    if (count == 0)
        return;
    text_printf(t, "%s%u %s", *before, count, what);
    *before = ", ";
}

/* Why, since when, and what ends it: nothing of it ends by itself. */
static void put_held(struct text *t, const struct status *s, int64_t now_s)
{
    const char *before = "on hold: ";

    if (!s->held_oldest_id[0])
        return;
    put_count(t, s->held_failed, "failed", &before);
    put_count(t, s->held_expired, "expired", &before);
    put_count(t, s->held_ordered, "by an operator's order", &before);
    text_printf(t, "; the oldest is %s,", s->held_oldest_id);
    put_since(t, s->held_oldest_s, now_s);
    text_cstr(t,
              "\n  mailq shows them (with !), postcat -q ID what is in one; mxgate resend ID tries "
              "it again, mxgate resend ID to ADDRESS sends it elsewhere, postsuper -d ID deletes "
              "it\n");
}

static void put_queue(struct text *t, const struct status *s, int64_t now_s)
{
    text_printf(t, "queue: %u message%s", s->queued, s->queued == 1 ? "" : "s");
    if (s->oldest_s > 0) {
        text_cstr(t, ", oldest");
        put_since(t, s->oldest_s, now_s);
    }
    text_printf(t, ", %u on hold, %u for an operator to decide\n", s->on_hold, s->operator_needed);
    put_held(t, s, now_s);
    if (s->on_hold_limit > 0 && s->on_hold >= s->on_hold_limit)
        text_cstr(t, "OPERATOR NEEDED: too much is on hold, mail is refused until some of it is "
                     "decided\n");
    if (s->corrupt > 0)
        text_printf(t, "CORRUPT: %ju file%s found damaged and kept in corrupt/\n",
                    (uintmax_t)s->corrupt, s->corrupt == 1 ? "" : "s");
}

static void put_certificate(struct text *t, const struct status_certificate *c, int64_t now_s)
{
    text_printf(t, "certificate %s (%s%s): ", c->name, c->rsa ? "RSA" : "EC",
                c->self_signed ? ", self-signed" : "");
    if (c->state == STATUS_CERTIFICATE_EARLY) {
        text_cstr(t, "NOT GOOD YET: is the clock right?\n");
        return;
    }
    if (c->state == STATUS_CERTIFICATE_EXPIRED)
        text_cstr(t, "EXPIRED on ");
    else
        text_cstr(t, c->state == STATUS_CERTIFICATE_SOON ? "EXPIRES SOON, on " : "good until ");
    clock_text_asctime_year(t, c->not_after_s * 1000000);
    if (c->state == STATUS_CERTIFICATE_SOON) {
        text_cstr(t, ", in ");
        put_duration(t, c->not_after_s - now_s);
    }
    text_char(t, '\n');
}

static void put_certificates(struct text *t, const struct status *s, int64_t now_s)
{
    for (size_t i = 0; i < s->certificates && i < STATUS_CERTIFICATES_MAX; i++)
        put_certificate(t, &s->certificate[i], now_s);
    if (s->certificate_trouble[0])
        text_printf(t, "CERTIFICATE NOT USABLE: %s\n", s->certificate_trouble);
}

static void put_logins(struct text *t, const struct status_logins *l, int64_t now_s)
{
    if (!l->path[0])
        return;
    text_printf(t, "logins by %s: %s", l->path,
                !l->known ? "not tried yet"
                : l->up   ? "up"
                          : "DOWN");
    if (l->since_s > 0)
        put_since(t, l->since_s, now_s);
    if (l->known && !l->up)
        text_printf(t, ": %s; nobody can log in", l->why);
    text_char(t, '\n');
}

static void put_spool(struct text *t, const struct status *s)
{
    text_cstr(t, s->spool_writable ? "spool: writable, " : "spool: NOT WRITABLE");
    if (!s->spool_writable)
        text_printf(t, " (%s), ", s->spool_trouble[0] ? s->spool_trouble : "reason unavailable");
    put_bytes(t, s->free_bytes);
    text_cstr(t, " free, ");
    put_bytes(t, s->floor_bytes);
    text_cstr(t, " must stay free");
    text_cstr(t, s->free_bytes < s->floor_bytes ? ": TOO FULL, mail is refused for now\n" : "\n");
}

void control_format_status_text(struct text *t, const struct status *s, int64_t now_s)
{
    text_printf(t, "%s: %s", s->myhostname,
                s->draining && s->draining_since_s == 0 ? "stopping, up" : "up");
    put_since(t, s->started_s, now_s);
    text_printf(t, ", pid %ld\nlistening on %s; %u of %u sessions\n", s->pid,
                s->listen[0] ? s->listen : "nothing", s->sessions, s->sessions_limit);
    if (s->draining_since_s > 0) {
        text_cstr(t, "DRAINING");
        put_since(t, s->draining_since_s, now_s);
        text_cstr(t, ": no mail is taken (mxgate drain --cancel ends that)\n");
    }
    for (size_t i = 0; i < s->destinations && i < STATUS_DESTINATIONS_MAX; i++)
        put_destination(t, &s->destination[i], now_s);
    if (s->more > 0)
        text_printf(t, "and %u more destinations, %u of them DOWN\n", s->more, s->more_down);
    put_direct(t, s, now_s);
    put_certificates(t, s, now_s);
    put_logins(t, &s->logins, now_s);
    put_queue(t, s, now_s);
    put_dead_ends(t, s);
    put_spool(t, s);
    text_printf(t,
                "since start: %ju messages taken, %ju recipients delivered, %ju failed; "
                "%ju deferrals, %ju refusals\n",
                (uintmax_t)s->messages_in, (uintmax_t)s->delivered, (uintmax_t)s->failed,
                (uintmax_t)s->deferred, (uintmax_t)s->rejected);
    if (s->log_dropped > 0)
        text_printf(t, "LOG: %ju lines dropped because nobody took them\n",
                    (uintmax_t)s->log_dropped);
}

/* ---- for programs ---- */

static void put_string(struct text *t, const char *name, const char *value)
{
    json_put_name(t, name);
    json_put_string(t, span_of(value));
    text_cstr(t, ", ");
}

static void put_number(struct text *t, const char *name, int64_t value)
{
    json_put_name(t, name);
    text_printf(t, "%jd, ", (intmax_t)value);
}

static void put_flag(struct text *t, const char *name, bool value)
{
    json_put_name(t, name);
    text_cstr(t, value ? "true, " : "false, ");
}

/* What follows the last member: its ", " goes. */
static void close_with(struct text *t, const char *end)
{
    if (t->len >= 2 && t->ptr[t->len - 2] == ',')
        t->len -= 2;
    text_cstr(t, end);
}

static void put_listen(struct text *t, const char *name, const char *list)
{
    struct span rest = span_of(list);
    struct span word;

    json_put_name(t, name);
    text_char(t, '[');
    while (span_next_word(&rest, ", ", &word)) {
        json_put_string(t, word);
        text_cstr(t, ", ");
    }
    close_with(t, "], ");
}

static void put_destination_json(struct text *t, const struct status_destination *d)
{
    text_char(t, '{');
    put_string(t, "name", d->name);
    put_string(t, "serves", d->serves);
    put_number(t, "order", d->order);
    put_number(t, "of", d->of);
    put_flag(t, "covered", d->covered);
    put_flag(t, "up", d->up);
    put_flag(t, "known", d->known);
    put_number(t, "since", d->since_s);
    put_string(t, "why", d->why);
    put_string(t, "mismatch", d->mismatch);
    put_string(t, "tls", d->tls);
    put_number(t, "queued", d->queued);
    put_number(t, "active", d->active);
    close_with(t, "}, ");
}

static void put_certificates_json(struct text *t, const struct status *s)
{
    static const char *const states[] = {"good", "soon", "expired", "early"};

    put_string(t, "certificate_trouble", s->certificate_trouble);
    json_put_name(t, "certificates");
    text_char(t, '[');
    for (size_t i = 0; i < s->certificates && i < STATUS_CERTIFICATES_MAX; i++) {
        const struct status_certificate *c = &s->certificate[i];

        text_char(t, '{');
        put_string(t, "name", c->name);
        put_string(t, "key", c->rsa ? "RSA" : "EC");
        put_flag(t, "self_signed", c->self_signed);
        put_number(t, "not_after", c->not_after_s);
        put_string(t, "state", states[c->state]);
        close_with(t, "}, ");
    }
    close_with(t, "], ");
}

static void put_logins_json(struct text *t, const struct status_logins *l)
{
    json_put_name(t, "logins");
    text_char(t, '{');
    if (l->path[0]) {
        put_string(t, "by", l->path);
        put_flag(t, "up", l->up);
        put_flag(t, "known", l->known);
        put_number(t, "since", l->since_s);
        put_string(t, "why", l->why);
    }
    close_with(t, "}, ");
}

static void put_counts_json(struct text *t, const struct status *s)
{
    put_number(t, "messages_in", (int64_t)s->messages_in);
    put_number(t, "delivered", (int64_t)s->delivered);
    put_number(t, "deferred", (int64_t)s->deferred);
    put_number(t, "failed", (int64_t)s->failed);
    put_number(t, "rejected", (int64_t)s->rejected);
    put_number(t, "queued", s->queued);
    put_number(t, "on_hold", s->on_hold);
    put_number(t, "operator_needed", s->operator_needed);
    put_number(t, "held_failed", s->held_failed);
    put_number(t, "held_expired", s->held_expired);
    put_number(t, "held_ordered", s->held_ordered);
    put_string(t, "held_oldest_id", s->held_oldest_id);
    put_number(t, "held_oldest", s->held_oldest_s);
    put_number(t, "on_hold_limit", (int64_t)s->on_hold_limit);
    put_number(t, "oldest", s->oldest_s);
    put_number(t, "corrupt", (int64_t)s->corrupt);
    put_number(t, "log_dropped", (int64_t)s->log_dropped);
}

static void put_direct_json(struct text *t, const struct status *s)
{
    put_number(t, "no_way", s->no_way);
    put_number(t, "no_room", s->no_room);
    put_number(t, "direct_domains", s->direct_domains);
    put_number(t, "direct_down", s->direct_down);
    json_put_name(t, "direct");
    text_char(t, '[');
    for (size_t i = 0; i < s->direct_down && i < STATUS_DIRECT_MAX; i++) {
        const struct status_direct *d = &s->direct[i];

        text_char(t, '{');
        put_string(t, "name", d->name);
        put_number(t, "since", d->since_s);
        put_string(t, "why", d->why);
        put_number(t, "queued", d->queued);
        close_with(t, "}, ");
    }
    close_with(t, "], ");
}

void control_format_status_json(struct text *t, const struct status *s)
{
    text_char(t, '{');
    put_string(t, "myhostname", s->myhostname);
    put_number(t, "pid", s->pid);
    put_number(t, "started", s->started_s);
    put_listen(t, "listen", s->listen);
    put_listen(t, "listen_proxy", s->listen_proxy);
    put_flag(t, "draining", s->draining);
    put_number(t, "draining_since", s->draining_since_s);
    put_number(t, "sessions", s->sessions);
    put_number(t, "sessions_limit", s->sessions_limit);
    put_counts_json(t, s);
    put_flag(t, "spool_writable", s->spool_writable);
    put_string(t, "spool_trouble", s->spool_trouble);
    put_number(t, "free_bytes", s->free_bytes);
    put_number(t, "floor_bytes", s->floor_bytes);
    put_certificates_json(t, s);
    put_logins_json(t, &s->logins);
    put_direct_json(t, s);
    put_number(t, "more_destinations", s->more);
    put_number(t, "more_down", s->more_down);
    json_put_name(t, "destinations");
    text_char(t, '[');
    for (size_t i = 0; i < s->destinations && i < STATUS_DESTINATIONS_MAX; i++)
        put_destination_json(t, &s->destination[i]);
    close_with(t, "]}");
}
