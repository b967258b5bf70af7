/* scheduler_internal - between scheduler.c (entries, when) and scheduler_run.c (one run of one
 * message) */
#ifndef MXGATE_QUEUE_SCHEDULER_INTERNAL_H
#define MXGATE_QUEUE_SCHEDULER_INTERNAL_H

#include "base/retry.h"
#include "queue/queue_order.h"
#include "queue/scheduler.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

#define QUEUE_BREAKS_MAX 3
#define QUEUE_CHORES_MAX 100 /* runs at a time that deliver nothing: each has a few KB */

enum queue_state {
    QUEUE_READY,
    QUEUE_WAITING,
    QUEUE_RUNNING,
    QUEUE_CLAIMED,
    QUEUE_HOLD,
    QUEUE_GONE, /* its file is being removed for the operator; in no list */
};

struct queue_held; /* scheduler_held.c */

struct queue_entry {
    struct due_item due; /* first: found from the heap's item */
    UT_hash_handle hh;
    struct queue_id id;
    int64_t arrival_us;
    int64_t life_us;           /* from when on its lifetime counts: arrival, or the last release */
    struct upstream *upstream; /* borrowed */
    struct queue_site *site; /* whose list it is in, when READY; whose place it has, when RUNNING */
    struct queue_entry *prev, *next;
    char *sender; /* owned */
    enum queue_state state;
    unsigned attempts;
    unsigned breaks; /* conversations about it that broke, in a row */
    bool fresh;      /* never tried */
    bool decided;    /* no recipient is pending: only the file's removal is left */
    bool operator_needed;
    bool destination_trouble; /* why it waits */
    /* what the operator ordered: scheduler_effect.c */
    bool deleted;       /* its file goes, or is gone: nothing more is begun */
    bool removing;      /* the file's removal is under way */
    bool hold_asked;    /* while busy: on hold when that ends */
    bool again;         /* while busy: due when that ends, whatever came out */
    bool forced_expire; /* expires now; on hold: when it is released */
    bool hold_expired;  /* on hold because it has expired */
    struct records
        unsaved; /* results that could not be written: written before it is tried again */
    struct queue_held *held; /* owned; NULL: read from the file */
};

struct queue_site {
    struct upstream *upstream; /* borrowed */
    struct queue_site *next;
    struct queue_entry *fresh, *old;
    unsigned running;
    unsigned queued;
    unsigned picks;
};

struct queue_run {
    struct scheduler *s;
    struct queue_entry *entry;
    struct queue_run *prev, *next;
    struct spool_load load;
    struct spool_append append;
    struct spool_remove remove;
    struct envelope *envelope; /* owned; NULL in a settling run */
    struct body *body;         /* owned; likewise */
    size_t pending;            /* recipients, as of the last batch */
    size_t failed_recipients;
    struct delivery delivery;
    bool delivering;
    struct records records;
    size_t cursor;
    uint64_t active_ms;
    bool destination_trouble;
    bool broken;
    bool more;    /* another batch follows this append */
    bool expired; /* the record that says so is in this append */
};

/* scheduler.c */
void queue_entry_ready(struct scheduler *s, struct queue_entry *e);
void queue_entry_wait(struct scheduler *s, struct queue_entry *e, uint64_t delay_ms);
void queue_entry_hold(struct scheduler *s, struct queue_entry *e);
void queue_entry_free(struct scheduler *s, struct queue_entry *e);
void queue_dispatch(struct scheduler *s);
bool queue_entry_expired(const struct scheduler *s, const struct queue_entry *e);
struct queue_entry *queue_entry_find(const struct scheduler *s, const struct queue_id *id);
/* Out of the list of its state; into none. */
void queue_entry_leave(struct scheduler *s, struct queue_entry *e);

/* scheduler_effect.c */
/* QUEUE_ORDER_BITs of what is to be done to it. */
unsigned queue_effect_wanted(const struct queue_order_request *r, const struct queue_entry *e);
/* The record of these orders is in the file. False: it goes anyway. The entry may be gone after. */
bool queue_effect_apply(struct scheduler *s, struct queue_entry *e, unsigned orders);
/* Its file is being removed; then: it was, or could not be. The entry may be gone after both. */
void queue_effect_remove(struct scheduler *s, struct queue_entry *e);
void queue_effect_removed(struct scheduler *s, struct queue_entry *e, bool removed,
                          bool was_on_hold);
/*
 * To be asked before an entry goes into READY, WAITING or HOLD: true when the operator wants it
 * elsewhere, and there it is (or it was freed).
 */
bool queue_effect_overrules(struct scheduler *s, struct queue_entry *e, enum queue_state next);

/* scheduler_held.c */
/*
 * A message that was just committed need not be read back for its first run, which is usually a
 * moment away: it is kept in memory while it is READY, as long as there is room for such (1 MiB),
 * and for a second at most, since only the file tells what an operator did to it. Keeps (takes over
 * and sets NULL) or leaves both.
 */
void queue_held_keep(struct scheduler *s, struct queue_entry *e, struct envelope **envelope,
                     struct body **body);
/* False: it is to be read from its file. */
bool queue_held_take(struct scheduler *s, struct queue_entry *e, struct envelope **envelope_out,
                     struct body **body_out);
void queue_held_drop(struct scheduler *s, struct queue_entry *e);

/* scheduler_run.c */
/* The entry is RUNNING and has a place at its site, or (for a chore) is in no list. */
void queue_run_start(struct scheduler *s, struct queue_entry *e);
/* What a claimed message's deliveries found out. */
void queue_run_settle(struct scheduler *s, struct queue_entry *e, const struct envelope *envelope,
                      struct records *records, bool trouble, bool broken);
/* Marks the message expired and on hold. */
void queue_run_expire(struct scheduler *s, struct queue_entry *e);
void queue_run_cancel_all(struct scheduler *s);
/* Takes back the delivery of this entry, if there is one that has not sent its dot. The entry may
 * be gone after. */
void queue_run_cancel(struct scheduler *s, struct queue_entry *e, const char *why);

#endif
