/*
 * verify - does the upstream want this recipient? Asked during the SMTP session, remembered
 * (DESIGN 2.3)
 *
 *   fresh answer remembered  -> that
 *   destination up          -> MAIL FROM:<>, RCPT, RSET on a pooled session, verify_timeout; of
 *                              several targets the first that is not down, then the next
 *   down, late, no answer   -> an older answer, if not expired; else unverified_recipient_action
 *
 * Fresh: 1 h when positive, 5 min when negative. Expired: 31 d and 3 d. A 4xx is passed on and not
 * remembered. The memory is bounded (address_verify_cache_limit): the answer used longest ago goes
 * first. It is lost at a restart.
 */
#ifndef MXGATE_RELAY_VERIFY_H
#define MXGATE_RELAY_VERIFY_H

#include "relay/destination.h"

struct verify_entry;

struct verify {
    struct upstream_context *context; /* borrowed */
    struct verify_entry *entries;     /* owned hash, oldest use first */
    uint64_t asked, remembered;       /* questions to the upstream; answers from memory */
};

enum verify_answer {
    VERIFY_ACCEPT,
    VERIFY_REJECT, /* code, dsn and why are the upstream's, now or remembered */
    VERIFY_DEFER,  /* likewise, or no answer where the setting says defer */
};

struct verify_query {
    void (*done)(struct verify_query *q, enum verify_answer answer, unsigned code, const char *dsn,
                 const char *why);
    void *owner;
    /* private */
    struct verify *verify;
    const struct destination *destination; /* borrowed */
    struct upstream *upstream;             /* borrowed; the target that is asked */
    unsigned tried;                        /* bits: targets that were asked */
    struct upstream_job job;
    struct envelope *envelope; /* owned: the probe's, empty */
    char *address;             /* owned */
    uv_timer_t timer;
    bool active; /* a job is with the upstream */
    bool has_result;
    bool about_recipient;
    enum client_blame blame;
    unsigned code;
    char dsn[12];
    char *why; /* owned */
    void (*on_closed)(struct verify_query *q);
};

void verify_init(struct verify *v, struct upstream_context *context);
void verify_deinit(struct verify *v);
/* Once per owner; the timer's handle lives until verify_query_close's callback. */
void verify_query_init(struct verify_query *q, struct verify *v);
/* One at a time per query. done() comes exactly once unless cancelled, maybe before this returns.
 */
void verify_ask(struct verify_query *q, const struct destination *d, const char *address);
/* Forgets the question under way, if any: done() does not come. */
void verify_cancel(struct verify_query *q);
/* The same, and closes the timer; then on_closed. */
void verify_query_close(struct verify_query *q, void (*on_closed)(struct verify_query *q));

#endif
