/* client_reply - replies to the commands of a transaction, and whose fault they tell (P3) */
#include "relay/client_internal.h"

#include <string.h>

/* 5.1.7 and 5.1.8 sender address, 5.2.3 and 5.3.4 size, 5.6.x content (RFC 3463). */
static bool is_about_message(const char *enhanced)
{
    static const char *const codes[] = {"5.1.7", "5.1.8", "5.2.3", "5.3.4"};

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (strcmp(enhanced, codes[i]) == 0)
            return true;
    }
    return strncmp(enhanced, "5.6.", 4) == 0;
}

/* Said of the session, whatever command they answer: not understood, out of order, going away, log
 * in first. */
static bool is_about_session(unsigned code)
{
    return code == 500 || code == 502 || code == 503 || code == 504 || code == 521 || code == 530;
}

/*
 * The same of a server of others, which knows us by a login: 534, 535, 538, and what RFC 4954 and
 * 5248 have of a login, an account and encryption (5.7.8 to 5.7.14). Not 5.7.0 and 5.7.1, which are
 * said of senders and of content above all. 504 is left out: a parameter that it does not know is
 * of this message.
 */
static bool is_about_session_out(const struct smtp_reply *reply)
{
    static const char *const codes[] = {"5.7.8",  "5.7.9",  "5.7.10", "5.7.11",
                                        "5.7.12", "5.7.13", "5.7.14"};

    if (reply->code == 534 || reply->code == 535 || reply->code == 538)
        return true;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (strcmp(reply->enhanced, codes[i]) == 0)
            return true;
    }
    return is_about_session(reply->code) && reply->code != 504;
}

/* Our syntax may be at fault, or our login; or not. */
static bool is_in_doubt(const struct smtp_reply *reply)
{
    return reply->code == 501 || reply->code == 504 || reply->code == 555 ||
           strcmp(reply->enhanced, "5.7.0") == 0;
}

static enum client_blame blame_5xx_out(enum client_step step, const struct smtp_reply *reply)
{
    if (is_about_session_out(reply))
        return CLIENT_BLAME_DESTINATION;
    if (reply->code == 504 || strcmp(reply->enhanced, "5.5.3") == 0)
        return CLIENT_BLAME_LATER;
    if (step == CLIENT_STEP_MAIL && is_in_doubt(reply) && !is_about_message(reply->enhanced))
        return CLIENT_BLAME_LATER;
    return CLIENT_BLAME_RECIPIENT;
}

static enum client_blame blame_5xx(enum client_step step, const struct smtp_reply *reply)
{
    if (is_about_session(reply->code))
        return CLIENT_BLAME_DESTINATION;
    if (step == CLIENT_STEP_MAIL)
        return is_about_message(reply->enhanced) ? CLIENT_BLAME_RECIPIENT
                                                 : CLIENT_BLAME_DESTINATION;
    return strcmp(reply->enhanced, "5.5.3") == 0 ? CLIENT_BLAME_LATER : CLIENT_BLAME_RECIPIENT;
}

/* The reply that means yes. */
static bool is_success(enum client_step step, unsigned code)
{
    switch (step) {
    case CLIENT_STEP_DATA:
        return code == 354;
    case CLIENT_STEP_IDLE:
    case CLIENT_STEP_BODY:
    case CLIENT_STEP_TLS:
    case CLIENT_STEP_BROKEN:
    case CLIENT_STEP_COUNT:
        return false; /* nothing was asked */
    case CLIENT_STEP_GREETING:
    case CLIENT_STEP_HELLO:
    case CLIENT_STEP_STARTTLS:
    case CLIENT_STEP_AUTH:
    case CLIENT_STEP_XCLIENT:
    case CLIENT_STEP_MAIL:
    case CLIENT_STEP_RCPT:
    case CLIENT_STEP_END:
    case CLIENT_STEP_RSET:
    case CLIENT_STEP_QUIT:
        break;
    }
    return code / 100 == 2;
}

enum client_blame client_blame(enum client_step step, const struct smtp_reply *reply, bool out)
{
    if (is_success(step, reply->code))
        return CLIENT_BLAME_NONE;
    if (step != CLIENT_STEP_MAIL && step != CLIENT_STEP_RCPT && step != CLIENT_STEP_DATA &&
        step != CLIENT_STEP_END)
        return CLIENT_BLAME_DESTINATION;
    switch (reply->code / 100) {
    case 4:
        return reply->code == 421 ? CLIENT_BLAME_DESTINATION : CLIENT_BLAME_LATER;
    case 5:
        return out ? blame_5xx_out(step, reply) : blame_5xx(step, reply);
    default:
        return CLIENT_BLAME_DESTINATION;
    }
}

/* The caller's transaction is no longer touched after this. */
static void finish(struct client *c)
{
    c->finished = true;
    c->dot_sent = false;
    c->t = (struct client_transaction){.count = 0};
    c->ops->on_finished(c->ctx);
}

static void give_result(struct client *c, size_t position, const struct smtp_reply *reply)
{
    c->rcpt_accepted[position] = false;
    c->ops->on_result(c->ctx, position, client_blame(c->step, reply, c->settings.out), c->step,
                      reply);
}

/* What is awaited after a reply to MAIL or RCPT; when nothing more was sent, the next command. */
static void await_next(struct client *c)
{
    if (c->replied_rcpt < c->sent_rcpt)
        client_enter(c, CLIENT_STEP_RCPT);
    else if (c->data_sent)
        client_enter(c, CLIENT_STEP_DATA);
    else if (c->rset_sent)
        client_enter(c, CLIENT_STEP_RSET);
    else
        c->todo = CLIENT_TODO_COMMAND;
}

static void mail_reply(struct client *c, const struct smtp_reply *reply)
{
    size_t count = c->t.count;

    if (!is_success(CLIENT_STEP_MAIL, reply->code)) {
        for (size_t i = 0; i < count && c->step == CLIENT_STEP_MAIL; i++)
            give_result(c, i, reply);
        if (c->step == CLIENT_STEP_MAIL)
            finish(c);
    }
    await_next(c);
}

static void rcpt_reply(struct client *c, const struct smtp_reply *reply)
{
    size_t position = c->replied_rcpt++;

    if (!c->finished) {
        bool last = c->replied_rcpt == c->t.count;

        if (is_success(CLIENT_STEP_RCPT, reply->code) && !c->t.probe_recipient) {
            c->rcpt_accepted[position] = true;
            c->accepted++;
        } else {
            give_result(c, position, reply);
        }
        if (last && c->accepted == 0 && c->step == CLIENT_STEP_RCPT)
            finish(c);
    }
    await_next(c);
}

/* The same word for every recipient that is still undecided. */
static void settle_all(struct client *c, const struct smtp_reply *reply)
{
    enum client_step step = c->step;

    for (size_t i = 0; i < CLIENT_RCPT_MAX && c->step == step; i++) {
        if (c->rcpt_accepted[i])
            give_result(c, i, reply);
    }
    if (c->step == step)
        finish(c);
}

static void data_reply(struct client *c, const struct smtp_reply *reply)
{
    bool go = is_success(CLIENT_STEP_DATA, reply->code);

    if (go && c->finished) {
        /* It waits for a body that is for nobody. A lone dot would be an empty message at a peer
         * that counts wrongly. */
        client_break_reply(c, "host wants a message for no recipient", reply);
        return;
    }
    if (!go && !c->finished)
        settle_all(c, reply);
    c->todo = go ? CLIENT_TODO_BODY : CLIENT_TODO_COMMAND;
}

static size_t first_undecided(const struct client *c)
{
    size_t i = 0;

    while (i < CLIENT_RCPT_MAX - 1 && !c->rcpt_accepted[i])
        i++;
    return i;
}

static void end_reply(struct client *c, const struct smtp_reply *reply)
{
    c->replied_end++;
    if (c->protocol == CLIENT_SMTP) {
        settle_all(c, reply);
    } else {
        give_result(c, first_undecided(c), reply);
        if (c->replied_end == c->accepted && c->step == CLIENT_STEP_END)
            finish(c);
    }
    if (c->finished)
        c->todo = CLIENT_TODO_IDLE;
    else
        client_enter(c, CLIENT_STEP_END); /* the next recipient's reply has its own time */
}

static void rset_reply(struct client *c, const struct smtp_reply *reply)
{
    if (is_success(CLIENT_STEP_RSET, reply->code))
        c->todo = CLIENT_TODO_IDLE;
    else
        client_break_reply(c, "host refused a reset", reply);
}

/* RFC 5321 4.2.1: 3yz answers DATA only, and DATA is not answered by 2yz. */
static bool fits_command(enum client_step step, unsigned code)
{
    return code >= 400 || is_success(step, code);
}

void client_transaction_reply(struct client *c, const struct smtp_reply *reply)
{
    if (!fits_command(c->step, reply->code))
        client_break_reply(c, "unexpected reply", reply);
    else if (c->step == CLIENT_STEP_MAIL)
        mail_reply(c, reply);
    else if (c->step == CLIENT_STEP_RCPT)
        rcpt_reply(c, reply);
    else if (c->step == CLIENT_STEP_DATA)
        data_reply(c, reply);
    else if (c->step == CLIENT_STEP_END)
        end_reply(c, reply);
    else
        rset_reply(c, reply);
}
