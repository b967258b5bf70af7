/*
 * control_submission - one message from a local program on its way into intake
 *
 *     NONE --begin--> ENVELOPE --bytes--> BODY --end--> SUBMITTED --verdict--> NONE
 *                         \---- abort, any failure ---- /  (nothing is kept)
 *
 * The caller feeds what the control parser gives, in the parser's order. Where body memory must be
 * written out first, submission_bytes() and submission_end() answer SUBMISSION_WAIT: on_ready()
 * comes, and the call is to be repeated with the bytes that were not taken.
 *
 * What is resent (an operator sends the content of a queued message to somebody else) is in custody
 * here already: message_size_limit, which may be another by now, does not stop it.
 *
 * Policy: a local program is trusted like a client in mynetworks, no more: recipients outside
 * relay_domains are refused where there is no way out for them (DESIGN P5).
 */
#ifndef MXGATE_CONTROL_CONTROL_SUBMISSION_H
#define MXGATE_CONTROL_CONTROL_SUBMISSION_H

#include "intake/intake.h"
#include "message/trace.h"
#include "smtp/dot.h"

enum submission_step {
    SUBMISSION_OK,
    SUBMISSION_WAIT,
    SUBMISSION_FAILED, /* failure and exit_code say why; the submission is gone */
};

struct submission_events {
    void (*on_ready)(void *ctx);
    /* The verdict after submission_end(); the submission is over. May come before submission_end()
     * returns. */
    void (*on_verdict)(void *ctx, const struct smtp_verdict *verdict);
};

struct control_submission {
    const struct submission_events *events; /* borrowed */
    void *ctx;
    struct intake *intake;     /* borrowed */
    struct config *config;     /* a reference is held while under way; NULL: none is */
    const struct log *log;     /* borrowed */
    struct envelope *envelope; /* owned until submitted */
    struct body *body;         /* owned until submitted */
    size_t sender_given;       /* bytes of the sender as it was given; the rest we added */
    bool received;             /* our Received header was written */
    bool ended;                /* the last line's end was written */
    bool submitted;            /* the verdict is due */
    int body_error;            /* what on_ready's cause was told: 0 or -errno */
    unsigned uid;
    struct queue_id original; /* whose content it is; "": nobody's */
    uint64_t size;            /* canonical bytes, without our Received header */
    struct smtp_normaliser normaliser;
    struct header_scan headers;
    int exit_code; /* sysexits.h */
    struct smtp_verdict failure;
};

struct submission_setup {
    const struct submission_events *events;
    void *ctx;
    struct intake *intake;
    struct config *config;
    const struct log *log;
    unsigned uid;
    struct queue_id original; /* the message that is resent; "": none is */
};

enum submission_step submission_begin(struct control_submission *s,
                                      const struct submission_setup *setup);
/* "<address> [parameters]" as in MAIL and RCPT. A name without a domain gets
 * "@myorigin"; BODY=7BIT is believed, SMTPUTF8 is not needed for the addresses' sake. */
enum submission_step submission_from(struct control_submission *s, struct span argument);
enum submission_step submission_rcpt(struct control_submission *s, struct span argument);
enum submission_step submission_bytes(struct control_submission *s, struct span *bytes);
enum submission_step submission_end(struct control_submission *s);
/* Forgets it: what was not submitted is gone, what was goes on without us. No event comes any more.
 */
void submission_abort(struct control_submission *s);
bool submission_is_under_way(const struct control_submission *s);

#endif
