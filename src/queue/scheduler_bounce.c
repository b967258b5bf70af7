/* scheduler_bounce - see scheduler_bounce.h */
#include "queue/scheduler_bounce.h"

#include "base/clock.h"
#include "base/crash_point.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NOTICE_WINDOW_MS 3600000u
#define PROTOCOL         "local"
#define NOTICE_MARK      "notice" /* as HELO of mail that had none: nobody else can say it */
#define BOUNCE_MARK      "bounce"

/* ---- who is to be told ---- */

enum verdict {
    RELEASE, /* nobody: the message goes */
    GO_ON,   /* nobody: its other recipients are tried */
    TELL_SENDER,
    TELL_OPERATOR,
    TELL_NOBODY, /* it stays on hold */
};

static bool is_notice(const struct envelope *e)
{
    return strcmp(e->protocol, PROTOCOL) == 0 && strcmp(e->helo, NOTICE_MARK) == 0;
}

/* False: nobody. */
static bool notify_address(const struct scheduler *s, char *buf, size_t cap)
{
    const char *set = s->config->notify_recipient;
    struct text t;

    if (strcmp(set, "none") == 0)
        return false;
    text_init(&t, buf, cap);
    if (set[0])
        text_cstr(&t, set);
    else
        text_printf(&t, "postmaster@%s", domain_list_first(&s->config->domains));
    return !t.overflow && relay_way_for(s->relay, SPAN_LIT(""), text_as_span(&t));
}

/* It is the operator himself who does not get his mail. */
static bool is_to_operator(const struct envelope *e, bool expired, const char *address)
{
    for (size_t i = 0; i < e->recipient_count; i++) {
        if (bounce_concerns(BOUNCE_NOTICE, expired, &e->recipients[i]) &&
            span_equal_nocase(span_of(e->recipients[i].address), span_of(address)))
            return true;
    }
    return false;
}

static bool may_notify(struct scheduler *s)
{
    uint64_t now = clock_mono_ms();

    if (s->notices_since_ms == 0 || now - s->notices_since_ms >= NOTICE_WINDOW_MS) {
        s->notices_since_ms = now;
        s->notices = 0;
    }
    return s->notices < s->config->notify_limit;
}

static enum verdict decide_operator(struct queue_run *run, bool expired)
{
    struct scheduler *s = run->s;
    char address[SMTP_ADDRESS_CAP];

    if (!notify_address(s, address, sizeof address) ||
        is_to_operator(run->envelope, expired, address)) {
        log_warning(s->log, "bounce", "%s: cannot be delivered, kept on hold: nobody can be told",
                    run->entry->id.text);
        return TELL_NOBODY;
    }
    if (!may_notify(s)) {
        s->unnoticed++;
        log_warning(s->log, "bounce",
                    "%s: cannot be delivered, kept on hold: more than notify_limit=%ju notices in "
                    "an hour",
                    run->entry->id.text, (uintmax_t)s->config->notify_limit);
        return TELL_NOBODY;
    }
    return TELL_OPERATOR;
}

static enum verdict decide(struct queue_run *run, bool final, bool expired)
{
    const struct envelope *e = run->envelope;

    if (bounce_count(BOUNCE_FAILURE, expired, e) == 0)
        return final ? RELEASE : GO_ON;
    if (is_notice(e)) {
        log_warning(run->s->log, "bounce",
                    "%s: the notice cannot be delivered, and is dropped (mailq shows what it was "
                    "about)",
                    run->entry->id.text);
        return final ? RELEASE : GO_ON;
    }
    if (relay_way_for(run->s->relay, SPAN_LIT(""), span_of(e->sender)))
        return TELL_SENDER;
    return final ? decide_operator(run, expired) : GO_ON;
}

/* ---- the end ---- */

void queue_bounce_free(struct queue_run *run)
{
    struct queue_bounce *b = run->bounce;

    run->bounce = NULL;
    if (!b)
        return;
    body_free(&b->body);
    envelope_free(&b->envelope);
    config_unref(&b->config);
    free(b->chunk);
    free(b);
}

/* What it was about is settled: now the report may go. */
static void release_report(struct queue_run *run)
{
    struct queue_bounce *b = run->bounce;

    CRASH_POINT("bounce-settled");
    if (b)
        scheduler_add_fresh(run->s, &b->envelope, &b->body);
}

/* The disk, or memory: all of it again, later. What was begun is void. */
static void try_later(struct queue_run *run, const char *what, int rc)
{
    if (rc < 0 && !queue_part_first(run->entry)->deleted)
        log_error(run->s->log, "bounce", "%s: %s: %s: tried again later", run->entry->id.text, what,
                  strerror(-rc));
    records_deinit(&run->records);
    queue_run_rest(run);
}

static void on_removed(struct spool_remove *r, int rc);

static void remove_message(struct queue_run *run)
{
    run->remove = (struct spool_remove){.id = run->entry->id, .sync = true, .done = on_removed};
    spool_remove(run->s->spool, &run->remove);
}

static bool is_final(const struct queue_run *run)
{
    return !run->bounce || run->bounce->final;
}

/* The record that the report is in custody is written, or cannot be. */
static void on_told(struct spool_append *a, int rc)
{
    struct queue_run *run = (struct queue_run *)((char *)a - offsetof(struct queue_run, append));
    bool final = is_final(run);
    const struct queue_entry *e = run->entry;
    bool notice = !run->bounce || run->bounce->report.kind == BOUNCE_NOTICE;

    if (rc < 0 && rc != -ENOENT)
        log_error(run->s->log, "bounce",
                  "%s: cannot be recorded: %s (after a restart it may be told of again)",
                  run->entry->id.text, strerror(-rc));
    CRASH_POINT("bounce-recorded");
    records_deinit(&run->records);
    release_report(run);
    if (notice || (final && (e->hold_asked || e->again || e->deleted)))
        queue_run_hold(run); /* where an operator's order is seen to */
    else if (final)
        queue_run_removable(run);
    else
        queue_run_go_on(run);
}

static void record_told(struct queue_run *run, enum spool_report what, const char *id)
{
    if (!records_add_report(&run->records, clock_wall_us() / 1000000, what, id))
        log_error(run->s->log, "bounce", "%s: out of memory: after a restart it may be told again",
                  run->entry->id.text);
    queue_run_append(run, on_told);
}

static void on_removed(struct spool_remove *r, int rc)
{
    struct queue_run *run = (struct queue_run *)((char *)r - offsetof(struct queue_run, remove));

    if (rc == 0 || rc == -ENOENT) {
        log_removed(run->s->log, run->entry->id.text);
        release_report(run);
        queue_run_gone(run);
        return;
    }
    log_error(run->s->log, "qmgr", "%s: its sender is told, but its file cannot be removed: %s",
              run->entry->id.text, strerror(-rc));
    if (run->bounce)
        record_told(run, SPOOL_BOUNCED, run->bounce->envelope->id.text);
    else
        try_later(run, "its file cannot be removed", rc);
}

/* ---- custody of the report ---- */

static void on_committed(struct spool_commit *commit, int rc, const char *step)
{
    struct queue_bounce *b =
        (struct queue_bounce *)((char *)commit - offsetof(struct queue_bounce, commit));
    struct queue_run *run = b->run;
    const struct queue_entry *e = run->entry;
    bool notice = b->report.kind == BOUNCE_NOTICE;
    char message_id[ENVELOPE_NAME_CAP + QUEUE_ID_LEN + 4];
    struct text t;

    CRASH_POINT("bounce-committed");
    if (rc < 0) {
        try_later(run, step, rc);
        return;
    }
    text_init(&t, message_id, sizeof message_id);
    text_printf(&t, "<%s@%.255s>", b->envelope->id.text, b->report.myhostname);
    log_message_id(run->s->log, b->envelope->id.text, message_id);
    log_bounce(run->s->log, e->id.text, notice ? "postmaster non-delivery" : "sender non-delivery",
               b->envelope->id.text);
    if (notice) {
        run->s->notices++;
        run->s->unnoticed -= b->report.unnoticed;
    }
    if (!notice && b->final && !e->again && !e->hold_asked && !e->deleted)
        remove_message(run);
    else
        record_told(run, notice ? SPOOL_NOTICED : SPOOL_BOUNCED, b->envelope->id.text);
}

static void on_made(struct queue_bounce *b, int rc)
{
    if (rc < 0) {
        try_later(b->run, "the report cannot be made", rc);
        return;
    }
    CRASH_POINT("bounce-made");
    b->commit =
        (struct spool_commit){.envelope = b->envelope, .body = b->body, .done = on_committed};
    spool_commit(b->run->s->spool, &b->commit);
}

/* The report's id is in the message's file. */
static void on_begun(struct spool_append *a, int rc)
{
    struct queue_run *run = (struct queue_run *)((char *)a - offsetof(struct queue_run, append));

    if (rc < 0) {
        try_later(run, "the report cannot be recorded", rc);
        return;
    }
    CRASH_POINT("bounce-begun");
    records_deinit(&run->records);
    queue_bounce_make(run->bounce, on_made);
}

static int body_prefix(void *ctx, char **bytes_out, size_t *len_out)
{
    *bytes_out = spool_format_header_new(ctx, 0, len_out);
    return *bytes_out ? 0 : -ENOMEM;
}

static bool has_8bit(const char *s)
{
    for (; *s; s++) {
        if (ascii_is_8bit(*s))
            return true;
    }
    return false;
}

/* The report's own envelope. */
static bool make_envelope(struct queue_bounce *b, const char *to, bool notice)
{
    struct scheduler *s = b->run->s;
    const struct envelope *about = b->run->envelope;
    struct envelope *e = b->envelope = envelope_new();

    if (!e)
        return false;
    e->arrival_us = clock_wall_us();
    queue_id_next(&s->ids, e->arrival_us, &e->id);
    span_copy(SPAN_LIT("localhost"), e->client_name, sizeof e->client_name);
    span_copy(SPAN_LIT("127.0.0.1"), e->client_address, sizeof e->client_address);
    span_copy(SPAN_LIT(PROTOCOL), e->protocol, sizeof e->protocol);
    span_copy(span_of(notice ? NOTICE_MARK : BOUNCE_MARK), e->helo, sizeof e->helo);
    e->smtputf8 = has_8bit(to);
    e->eight_bit = about->eight_bit || about->smtputf8;
    return envelope_set_sender(e, span_of(NULL)) &&
           envelope_add_recipient(e, span_of(to), 0, span_of(NULL));
}

static bool make_body(struct queue_bounce *b)
{
    b->body = body_new(b->run->s->place);
    if (!b->body)
        return false;
    b->body->id = b->envelope->id;
    b->body->prefix = body_prefix;
    b->body->prefix_ctx = b->envelope;
    return true;
}

static void say_why(struct queue_bounce *b)
{
    const char *sender = b->run->envelope->sender;
    struct text t;

    text_init(&t, b->untold, sizeof b->untold);
    if (sender[0])
        text_printf(&t, "there is no way to <%s>", sender);
    else
        text_cstr(&t, "it has none, being a report itself");
}

static bool bounce_new(struct queue_run *run, enum bounce_kind kind, bool final, bool expired)
{
    struct queue_bounce *b = calloc(1, sizeof *b);
    struct scheduler *s = run->s;
    char address[SMTP_ADDRESS_CAP];
    const char *to = run->envelope->sender;

    run->bounce = b;
    if (!b || !due_heap_reserve(&s->waiting, s->part_count + 1))
        return false;
    b->run = run;
    b->final = final;
    b->config = config_ref(s->config);
    if (kind == BOUNCE_NOTICE) {
        notify_address(s, address, sizeof address);
        to = address;
    }
    if (!make_envelope(b, to, kind == BOUNCE_NOTICE) || !make_body(b))
        return false;
    say_why(b);
    b->report = (struct bounce){.kind = kind,
                                .about = run->envelope,
                                .report = b->envelope,
                                .myhostname = b->config->myhostname,
                                .mail_name = b->config->mail_name,
                                .original_len = run->body->total,
                                .size_limit = s->config->bounce_size_limit,
                                .expired = expired,
                                .untold = b->untold,
                                .unnoticed = kind == BOUNCE_NOTICE ? s->unnoticed : 0};
    return uv_random(NULL, NULL, &b->report.unique, sizeof b->report.unique, 0, NULL) == 0;
}

static void begin_report(struct queue_run *run, enum bounce_kind kind, bool final, bool expired)
{
    enum spool_report what = kind == BOUNCE_NOTICE ? SPOOL_NOTICE : SPOOL_BOUNCE;

    if (!bounce_new(run, kind, final, expired) ||
        !records_add_report(&run->records, clock_wall_us() / 1000000, what,
                            run->bounce->envelope->id.text)) {
        try_later(run, "the report cannot be made", -ENOMEM);
        return;
    }
    queue_run_append(run, on_begun);
}

bool queue_bounce_is_due(const struct spool_file *f, size_t pending, size_t untold)
{
    if (!f->on_hold)
        return untold > 0;
    if (f->noticed)
        return false;
    return strcmp(f->hold_why, SPOOL_WHY_EXPIRED) == 0 ||
           (strcmp(f->hold_why, SPOOL_WHY_FAILED) == 0 && pending == 0);
}

/* A crash tore the hold off the results before it. What is noticed is so while on hold: else an
 * operator would be told at every start. False when memory is out. */
static bool hold_anew(struct queue_run *run, enum verdict verdict)
{
    return (verdict != TELL_OPERATOR && verdict != TELL_NOBODY) ||
           records_add_hold(&run->records, clock_wall_us() / 1000000, SPOOL_WHY_FAILED);
}

void queue_bounce_begin(struct queue_run *run, const struct spool_file *f)
{
    bool expired = f->on_hold && strcmp(f->hold_why, SPOOL_WHY_EXPIRED) == 0;
    bool final = expired || run->pending == 0;
    enum verdict verdict = decide(run, final, expired);

    run->expired = expired;
    if (expired)
        queue_run_say_expired(run, verdict == TELL_SENDER);
    if (!f->on_hold && final && !hold_anew(run, verdict)) {
        try_later(run, "out of memory", -ENOMEM);
        return;
    }
    switch (verdict) {
    case RELEASE:
        remove_message(run);
        break;
    case GO_ON:
        queue_run_go_on(run);
        break;
    case TELL_SENDER:
        begin_report(run, BOUNCE_FAILURE, final, expired);
        break;
    case TELL_OPERATOR:
        begin_report(run, BOUNCE_NOTICE, final, expired);
        break;
    case TELL_NOBODY:
        record_told(run, SPOOL_NOTICED, "");
        break;
    }
}
