/*
 * session_check - the restrictions (server/policy), run before RCPT and DATA are answered; see
 * session_internal.h
 *
 * A run may wait for the DNS or pause; the session is busy meanwhile. Answers that come from inside
 * ops->lookup are taken by the loop that asked.
 */
#include "server/session_internal.h"

#include "server/policy.h"

#include <stdlib.h>

struct session_check {
    enum session_check_stage stage;
    bool running; /* check_run is on the stack */
    struct policy_run run;
};

static struct policy_facts gather_facts(const struct session *s)
{
    return (struct policy_facts){
        .config = s->config,
        .client_name = s->peer_name,
        .client_address = s->peer_address,
        .client_reverse = s->peer_reverse,
        .client_verified = s->peer_verified,
        .helo = s->helo,
        .sender = s->envelope->sender,
        .recipient = s->check->stage == SESSION_CHECK_RCPT ? &s->rcpt->recipient : NULL,
        .recipient_count = s->envelope->recipient_count,
        .trusted = s->trusted,
        .login = s->login ? s->login->user : "",
        .secured = s->tls != NULL,
        .pipelined = s->pipelined,
    };
}

static const char *shown_recipient(const struct session *s)
{
    return s->check->stage == SESSION_CHECK_RCPT ? s->rcpt->recipient.text
                                                 : session_only_recipient(s);
}

/* The lists have decided; line NULL: nothing against it. */
static void check_end(struct session *s, bool refused)
{
    struct session_check *check = s->check;
    const char *line = refused ? check->run.verdict.line : NULL;

    s->check = NULL;
    if (check->stage == SESSION_CHECK_RCPT)
        session_rcpt_checked(s, line, check->run.ask_upstream);
    else
        session_data_checked(s, line);
    free(check);
}

static void ask(struct session *s)
{
    struct session_check *check = s->check;

    s->busy = SESSION_BUSY_LOOKUP;
    check->running = true;
    s->ops->lookup(s->ctx, check->run.question, check->run.name);
    check->running = false;
}

static void check_run(struct session *s)
{
    struct policy_facts facts = gather_facts(s);
    struct policy_run *run = &s->check->run;

    while (s->busy == SESSION_FREE) {
        switch (policy_next(run, &facts)) {
        case POLICY_ACCEPT:
            check_end(s, false);
            return;
        case POLICY_REFUSE:
            check_end(s, true);
            return;
        case POLICY_WARN:
            session_reject_warning(s, s->where, facts.sender, shown_recipient(s),
                                   run->verdict.line);
            break;
        case POLICY_NOTE:
            session_log_connect(s);
            log_warning(s->log, "smtpd", "%s", run->verdict.line);
            break;
        case POLICY_ASK:
            ask(s);
            break;
        case POLICY_PAUSE:
            s->pause_ms = run->pause_ms;
            s->busy = SESSION_BUSY_PAUSE;
            break;
        }
    }
}

bool session_check(struct session *s, enum session_check_stage stage)
{
    bool rcpt = stage == SESSION_CHECK_RCPT;
    /* Users send from wherever they are: dial-up addresses, names that are none. */
    enum restriction_stage first = s->submission ? RESTRICT_SENDER : RESTRICT_CLIENT;

    s->check = calloc(1, sizeof *s->check);
    if (!s->check)
        return false;
    s->check->stage = stage;
    policy_begin(&s->check->run, rcpt ? first : RESTRICT_DATA,
                 rcpt ? RESTRICT_RECIPIENT : RESTRICT_DATA);
    check_run(s);
    return true;
}

void session_check_resume(struct session *s)
{
    check_run(s);
}

void session_lookup_answer(struct session *s, const struct dns_answer *answer)
{
    bool inside = s->in_input;

    if (!session_take_answer(s, SESSION_BUSY_LOOKUP))
        return;
    policy_answer(&s->check->run, answer);
    if (s->check->running)
        return;
    s->in_input = true; /* what check_run calls may answer at once: the session goes on here */
    check_run(s);
    s->in_input = inside;
    session_answered(s);
}
