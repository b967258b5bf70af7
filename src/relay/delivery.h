/*
 * delivery - one attempt of one message at one destination, for some of its recipients (DESIGN 2.6)
 *
 *   START --> WAITING (for a session) --> ENVELOPE --> BODY --> END --> done()
 *      ^          |down, broken                                   |
 *      |next      +--> every undecided recipient DEFERRED --------+--> done()
 *      |target         |
 *      `---------------+ before the dot only
 *
 * A destination may have several targets (destination.h). Trouble of one before the final dot takes
 * the recipients without a result to the next that is not down, at once: no session, a conversation
 * that broke, and a reply that speaks of the target or of the whole message (4xx to MAIL and DATA).
 * What a target said of a recipient (5xx, or 4xx to RCPT or after the dot) is its result. After a
 * dot without a reply nothing is taken elsewhere: it may have been stored. Such a message of a
 * destination with several targets backs off, so that the one that may have it is asked again if it
 * comes back soon.
 *
 * Streams the body from memory or from its file (read on the disk lane, 64 KiB at a time), so
 * memory does not depend on its size. Ends in exactly one done(), with one result per recipient;
 * nothing is logged here except by delivery_log(). Maildir destinations have the same surface.
 */
#ifndef MXGATE_RELAY_DELIVERY_H
#define MXGATE_RELAY_DELIVERY_H

#include "message/body.h"
#include "message/envelope.h"
#include "relay/destination.h"

#define DELIVERY_CHUNK          65536
#define DELIVERY_RECIPIENTS_MAX 50 /* RFC 5321 asks servers for 100; DESIGN 2.8 */

enum delivery_outcome {
    DELIVERY_UNDECIDED,
    DELIVERY_SENT,
    DELIVERY_DEFERRED,             /* this recipient or message: own back-off */
    DELIVERY_DEFERRED_DESTINATION, /* the destination's trouble: due when it is up */
    DELIVERY_FAILED,               /* for good, by the upstream's word */
};

struct delivery_result {
    enum delivery_outcome outcome;
    unsigned code; /* the reply's, 0 when nobody said anything */
    char dsn[12];  /* "2.0.0", "4.4.1", "5.1.1" */
    char *text;    /* owned; in words, as in the log's parentheses; NULL when memory was out */
    unsigned char target;     /* which of the destination's targets it comes from */
    enum recipient_owes owes; /* of a sent one, should its sender have asked to hear of that */
};

struct delivery {
    /* filled by the owner */
    const struct envelope *envelope;         /* borrowed until done */
    const struct body *body;                 /* borrowed until done */
    size_t indices[DELIVERY_RECIPIENTS_MAX]; /* into envelope->recipients */
    size_t count;
    bool urgent;        /* a client waits */
    bool never_final;   /* a refusal for good counts as one for now */
    uint64_t active_ms; /* monotonic: when the message became active, for delays */
    double before_s;    /* seconds spent before that */
    void (*done)(struct delivery *d);
    void *owner;
    /* the outcome */
    struct delivery_result results[DELIVERY_RECIPIENTS_MAX];
    bool broken; /* a conversation about this message broke (a poison message does that every time)
                  */
    /* private */
    struct destination *destination;       /* borrowed */
    bool counted;                          /* among its users */
    struct upstream *upstream;             /* borrowed; the target that is asked now */
    size_t target;                         /* its index */
    unsigned tried;                        /* bits: targets that were asked, it included */
    size_t asked[DELIVERY_RECIPIENTS_MAX]; /* of it: into envelope->recipients */
    unsigned char position[DELIVERY_RECIPIENTS_MAX]; /* of each of these: in results */
    size_t asked_count;
    uint64_t movable; /* bits, by position: its result is the target's trouble, before the dot */
    char *relays[ROUTE_TARGETS_MAX]; /* owned; "HOST[ADDR]:port" of the targets before it */
    struct upstream_job job;
    struct lane *disk;
    struct config *config; /* a reference, while a maildir is written */
    struct lane_job read_job;
    char *chunk; /* owned; while a file is streamed */
    int chunk_len;
    uint64_t offset;
    bool body_begun; /* the upstream said 354: what it said of the recipients holds */
    bool reading;
    bool sending;   /* between on_body and the end of the body */
    bool dot_given; /* the end of the body was handed over: it may be stored */
    bool aborted;   /* the trouble is ours: another target would not help */
    bool moving;    /* the next target is asked when the read that is under way has ended */
    bool job_over;
    bool cancelled;
    uint64_t done_ms;
    char relay[400];
};

/* disk: the lane for reading body files. done() may come before this returns. */
void delivery_start(struct delivery *d, struct destination *destination, struct lane *disk);
/*
 * True: no result will come from the upstream any more; done() comes (maybe later) with the
 * undecided recipients DEFERRED_DESTINATION and `why`. False: the final dot is out (or everything
 * is decided): done() comes in its time.
 */
bool delivery_cancel(struct delivery *d, const char *why);
/* "HOST[ADDR]:port" (or "maildir", or "none") where the result at `position` comes from. */
const char *delivery_relay(const struct delivery *d, size_t position);
/* The log line of the recipient at `position`, in Postfix's shape. */
void delivery_log(const struct delivery *d, const struct log *log, size_t position);
/* Frees what the results own. */
void delivery_deinit(struct delivery *d);

#endif
