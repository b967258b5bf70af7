/*
 * scheduler_internal - between scheduler.c (entries, when), scheduler_parts.c (a message and its
 * destinations) and scheduler_run.c (one run of one message)
 *
 * A message has one entry for each destination of its pending recipients: its parts. Nearly every
 * message has one destination, and all that is said of parts does not concern it. Parts are a ring;
 * one of them, the first, is in the hash and stays as long as the message. Each is READY, WAITING
 * or RUNNING by itself, at its own site, with its own back-off; two may run at the same time (each
 * loads the file for itself, looks only at its own recipients, and appends its own results). A part
 * whose recipients are all decided is DONE. One that has none, the teller, is there for a while to
 * tell the sender of something (scheduler_tell).
 *
 * What concerns the message as a whole is decided by one entry that is alone, from what the file
 * says: to remove it, to put it on hold, to give its recipients to other destinations after a
 * reload. To get there the parts are gathered: those at rest are PARKED, and when the last busy one
 * has ended all are merged into the first, which goes to the site that has no destination: its run
 * there reads the file and goes on from that (queue_part_route).
 *
 *   READY, WAITING --gather--> PARKED --the last busy one ends--> first: READY at the site without
 *   RUNNING --ends------------^                                   a destination --> parts again,
 *                                                                 or HOLD, or gone
 */
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
    QUEUE_HOLD,   /* a message that is alone */
    QUEUE_GONE,   /* likewise: its file is being removed for the operator; in no list */
    QUEUE_PARKED, /* a part in no list, until its message is gathered */
    QUEUE_DONE,   /* a part in no list: its recipients are all decided */
};

struct queue_held;   /* scheduler_held.c */
struct queue_report; /* scheduler_report.h */

/* scheduler_bounce.c */
/*
 * Whether somebody is to be told, at its end, of what its file says (e: its envelope): it is on
 * hold as failed or expired, and no operator was told; or nobody is pending, and its sender was not
 * told of those that failed, or that owe a report of success. On hold as failed with somebody
 * pending is one that an operator requeued at that moment.
 */
bool queue_bounce_is_due(const struct spool_file *f, const struct envelope *e);
/* Takes over a run that has loaded such a message. */
void queue_bounce_begin(struct queue_run *run, const struct spool_file *f);

/* scheduler_tell.c */
/* Of a message that goes on: recipients of this part have failed, and its sender wants to know. */
void queue_tell_failure(struct scheduler *s, struct queue_entry *e);
/* Now and again: is it late, or was something not told yet? False: enough are told for now. */
bool queue_tell_check(struct scheduler *s, struct queue_entry *first);
void queue_tell_run(struct queue_run *run); /* of a teller */
void queue_tell_loaded(struct queue_run *run, const struct spool_file *f);

/* scheduler_intent.c */
/* A report that was begun, as its message's file says. False: memory is out. */
bool queue_intent_add(struct scheduler *s, const struct spool_file *f);

/* scheduler_held.c */

struct queue_entry {
    struct due_item due; /* first: found from the heap's item */
    UT_hash_handle hh;
    struct queue_id id;
    int64_t arrival_us;
    int64_t life_us; /* from when on its lifetime counts: arrival, or the last release */
    struct destination *destination; /* borrowed */
    struct queue_site *site; /* whose list it is in, when READY; whose place it has, when RUNNING */
    struct queue_entry *prev, *next;
    struct queue_entry *part; /* the next of the ring; itself when alone */
    /*
     * Which domains its pending recipients have: two bits for each, so that it may seem to have one
     * that it has not; for flushing a site, which harms nobody whose turn it is not.
     */
    uint64_t domains;
    char *sender; /* owned by the first part */
    enum queue_state state;
    unsigned attempts;
    unsigned breaks;    /* conversations about it that broke, in a row */
    bool fresh;         /* never tried */
    bool decided;       /* no recipient is pending: only the file's removal is left */
    bool unrouted;      /* its destination is by former settings */
    uint64_t resume_ms; /* it backed off until then when a reload made it so; 0: it did not */
    bool bounce_due;    /* its end: somebody is to be told; it is alone */
    bool bounce_final;  /* ... and it is on hold, as its file says */
    bool teller;        /* scheduler_tell; what follows is noted at the first */
    bool tell_failure;  /* of what failed, while others are tried */
    bool tell_delay;    /* that it is late */
    bool delay_done;    /* of that it was told, or nobody is to be told */
    bool look;          /* only the file tells what is to be done next */
    bool operator_needed;
    bool destination_trouble; /* why it waits */
    bool handed;              /* its next run is for the fallback: scheduler_drain.h */
    bool spurned;             /* the fallback did not take it */
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
    struct destination *destination; /* borrowed; NULL: see above */
    struct queue_site *prev, *next;
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
    size_t failed_recipients;  /* that nobody was told of */
    bool bounces;              /* the sender of some of them wants to know */
    bool owes;                 /* likewise, of some that were sent */
    struct delivery delivery;
    bool delivering;
    struct records records;
    struct queue_report *report; /* owned; the report that is made */
    size_t cursor;
    uint64_t active_ms;
    bool destination_trouble;
    bool broken;
    bool handed; /* its deliveries go to `to`, which is the fallback */
    struct destination *to;
    bool split;   /* other parts of the message have, or had, recipients of their own */
    bool more;    /* another batch follows this append */
    bool expired; /* the record that says so is in this append */
};

/* scheduler.c */
/* Out of the list of its state; into none. */
void queue_entry_leave(struct scheduler *s, struct queue_entry *e);
/* One that is unrouted, or only the file knows: gathered, and may be gone afterwards. */
void queue_entry_ready(struct scheduler *s, struct queue_entry *e);
void queue_entry_wait(struct scheduler *s, struct queue_entry *e, uint64_t delay_ms);
/* Somebody is told of its end (scheduler_bounce); then it is gone, or on hold. Only when it is
 * alone. */
void queue_entry_bounce(struct scheduler *s, struct queue_entry *e, bool on_hold);
/* It is not its turn, or its destination is down. */
bool queue_entry_waits(const struct queue_entry *e);
void queue_entry_hold(struct scheduler *s, struct queue_entry *e);
/* Gives a place back. */
void queue_place_leave(struct scheduler *s, struct queue_site *site);
/* Its time has come, or is made to come. */
void queue_entry_due(struct scheduler *s, struct queue_entry *e);
/* Only when it is alone. */
void queue_entry_free(struct scheduler *s, struct queue_entry *e);
void queue_dispatch(struct scheduler *s);
bool queue_entry_expired(const struct scheduler *s, const struct queue_entry *e);
/* The first of its parts. */
struct queue_entry *queue_entry_find(const struct scheduler *s, const struct queue_id *id);

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

/* scheduler_parts.c */
/* The part after `e`; NULL when that is `from`, where the walk began. */
struct queue_entry *queue_part_next(const struct queue_entry *from, const struct queue_entry *e);
/* The one that is in the hash; what an operator ordered is noted there. */
struct queue_entry *queue_part_first(struct queue_entry *e);
bool queue_part_alone(const struct queue_entry *e);
bool queue_part_any_runs(const struct queue_entry *e);    /* or is claimed */
bool queue_part_moves(const struct queue_entry *e);       /* to be gathered */
bool queue_part_others_busy(const struct queue_entry *e); /* running, claimed, results to write */
bool queue_part_others_left(const struct queue_entry *e); /* not DONE */
bool queue_part_may_have(const struct queue_entry *e, struct span domain);
/*
 * The first, alone and in no list, becomes as many parts as its pending recipients have
 * destinations, all of them in no list (CLAIMED). False when memory is out: it is as it was, with
 * `look`.
 */
bool queue_part_route(struct scheduler *s, struct queue_entry *first,
                      const struct envelope *envelope);
/* One more, in no list (CLAIMED); NULL: memory is out. */
struct queue_entry *queue_part_add(struct scheduler *s, struct queue_entry *first);
/* Not the first, and in no list: it is gone. */
void queue_part_remove(struct scheduler *s, struct queue_entry *e);
/* In a run's envelope: whoever is not this part's is RECIPIENT_ELSEWHERE. */
void queue_part_mark_own(const struct scheduler *s, const struct queue_entry *e,
                         struct envelope *envelope);
/*
 * All of them at rest are parked, `e` (in no list) with them. Returns the first, alone and in no
 * list, or NULL when something is still under way: then that comes here when it ends.
 */
struct queue_entry *queue_part_gather(struct scheduler *s, struct queue_entry *e);
/* The first, alone, with `look`; the others, which no run and no delivery may have, are gone. */
struct queue_entry *queue_part_merge(struct scheduler *s, struct queue_entry *e);
/* What is at rest of it is gathered, and what is under way when it ends; then its file is read. */
void queue_part_collect(struct scheduler *s, struct queue_entry *first);
void queue_part_free_all(struct scheduler *s, struct queue_entry *e); /* none may be running */
/* After a reload, where who goes where has changed. */
void queue_part_reroute_all(struct scheduler *s);

/* scheduler_drain.c: where a run of a message of this destination goes now. */
struct destination *queue_drain_target(const struct scheduler *s, struct destination *d,
                                       bool handed);
/* Runs that have a place here, and are not with its destination. */
unsigned queue_drain_running(const struct scheduler *s, const struct queue_site *site);

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
/* What a claimed entry's deliveries found out. */
void queue_run_settle(struct scheduler *s, struct queue_entry *e,
                      const struct queue_settlement *settlement);
/* Marks the message expired and on hold. */
void queue_run_expire(struct scheduler *s, struct queue_entry *e);
/* For scheduler_bounce and scheduler_tell: what a run's end may be; each frees it. */
void queue_run_rest(struct queue_run *run); /* all of it again in a minute */
void queue_run_hold(struct queue_run *run);
void queue_run_gone(struct queue_run *run);      /* the file is */
void queue_run_removable(struct queue_run *run); /* the file should be: later */
void queue_run_again(struct queue_run *run);     /* another one, at once */
void queue_run_bounce_again(struct queue_run *run);
void queue_run_look(struct queue_run *run);  /* its message is gathered */
void queue_run_leave(struct queue_run *run); /* the part is gone; the others go on */
void queue_run_load(struct queue_run *run);  /* a teller's, again */
/* The entry waits until its records can be written. False: there are none. */
bool queue_run_unsaved(struct queue_run *run);
void queue_run_append(struct queue_run *run, void (*done)(struct spool_append *a, int rc));
void queue_run_say_expired(const struct queue_run *run, bool returned);
void queue_run_cancel_all(struct scheduler *s);
/* Takes back the deliveries of this message that have not sent their dot. The entry may be gone
 * after. */
void queue_run_cancel(struct scheduler *s, struct queue_entry *e, const char *why);

#endif
