/*
 * envelope - who sent a message to whom, and what became of each recipient so far
 *
 * Made by the session, moved to intake, written to and read from the spool by queue/spool_format,
 * borrowed by deliveries. One owner at a time; everything in it is owned by it. Recipients are kept
 * as heap strings (not arrays of SMTP_ADDRESS_CAP), so that 1000 recipients cost tens of KB, not a
 * MB.
 *
 * Limits: recipients of envelopes with a budget (those of SMTP sessions, until their messages are
 *         answered for) have ENVELOPE_MEMORY_MAX together. ENVELOPE_MEMORY_MIN is given to each
 *         even past it: else a few senders with long lists could stop all others. The connection
 *         limit bounds that.
 */
#ifndef MXGATE_MESSAGE_ENVELOPE_H
#define MXGATE_MESSAGE_ENVELOPE_H

#include "base/queue_id.h"
#include "smtp/command.h"

enum recipient_state {
    RECIPIENT_PENDING, /* nothing final yet; the only state that is delivered */
    RECIPIENT_SENT,    /* upstream said 2xx after the end of data */
    RECIPIENT_FAILED, /* failed for good; unless `told`, its sender is to be told, or an operator */
    RECIPIENT_ELSEWHERE, /* pending too, but not the business of whoever has this copy of the
                            envelope; never written */
    RECIPIENT_STATE_COUNT
};

/* What a sender who asked for it (NOTIFY=SUCCESS) is to hear of us: only where the upstream sends
 * no such reports. */
enum recipient_owes { RECIPIENT_OWES_NOTHING, RECIPIENT_OWES_DELIVERED, RECIPIENT_OWES_RELAYED };

struct recipient {
    char *address;   /* owned; "local@domain" as accepted */
    char *orcpt;     /* owned; "type;xtext", or NULL */
    unsigned notify; /* enum smtp_notify bits, 0 when not given */
    enum recipient_state state;
    bool told;     /* of a failed one, or one that owes: its sender was, nothing is left to do */
    bool reported; /* in the file: a report that was begun is about it */
    enum recipient_owes owes; /* of a sent one */
    char *
        reason; /* owned; why the last attempt did not deliver, or how one that owes was; or NULL */
    char dsn[12]; /* what goes with it, "5.1.1"; "" when not known */
};

#define ENVELOPE_NAME_CAP   256
#define ENVELOPE_MEMORY_MIN 8192
#define ENVELOPE_MEMORY_MAX (16u << 20)
/* Among how many recipients one is looked for that is named again; Postfix' duplicate_filter_limit.
 */
#define ENVELOPE_DUPLICATES_MAX 1000

/* Memory of the recipients of all envelopes together, one per server. */
struct envelope_budget {
    size_t limit; /* bytes; what ENVELOPE_MEMORY_MIN allows is not counted */
    size_t used;
};

struct envelope {
    struct queue_id id;
    int64_t arrival_us;                  /* wall clock */
    char client_name[ENVELOPE_NAME_CAP]; /* verified PTR name or "unknown" */
    char client_address[48];             /* numeric, no brackets, IPv6 without "IPv6:" */
    uint16_t client_port;
    char helo[ENVELOPE_NAME_CAP]; /* as said, printable; "" for local mail */
    char protocol[12];            /* SMTP, ESMTP, ESMTPS, UTF8SMTP, ..., or "local" */
    char *sender; /* owned; "" is the null sender; never NULL after envelope_set_sender */
    bool smtputf8;
    bool eight_bit; /* BODY=8BITMIME was said */
    enum smtp_ret ret;
    char envid[SMTP_ENVID_CAP];   /* "" when absent */
    struct recipient *recipients; /* owned */
    size_t recipient_count;
    size_t recipient_cap;
    struct envelope_budget *budget; /* borrowed, outlives us; NULL: not counted */
    size_t bytes;                   /* of the recipients, as they are counted */
};

/* All functions that allocate return false (or NULL) when memory is out and change nothing. */
struct envelope *envelope_new(void);
void envelope_free(struct envelope **e); /* NULL-safe, clears the pointer */
bool envelope_set_sender(struct envelope *e, struct span sender);
/* Appends; orcpt may be empty. Also false when the budget is used up. */
bool envelope_add_recipient(struct envelope *e, struct span address, unsigned notify,
                            struct span orcpt);
/* Whether it is there already with the same address, notify and orcpt (by their bytes). */
bool envelope_has_recipient(const struct envelope *e, struct span address, unsigned notify,
                            struct span orcpt);
bool recipient_set_reason(struct recipient *r, struct span reason); /* empty clears */
size_t envelope_pending(const struct envelope *e); /* recipients in RECIPIENT_PENDING */
size_t envelope_untold(const struct envelope *e);  /* failed ones whose sender was not told */
size_t envelope_count(const struct envelope *e, enum recipient_state state);
/* The domain of a recipient's address: after the last "@"; empty when there is none. */
struct span recipient_domain(const struct recipient *r);

#endif
