/*
 * client_internal - what the files of relay/client share; nobody else includes it
 *
 * client.c holds the machine (states, input, what is done next), client_hello.c greeting, LHLO/EHLO
 * and XCLIENT, client_starttls.c and client_auth.c what their names say, client_transaction.c the
 * commands of a transaction and the body, client_reply.c the replies to them and the blame.
 *
 * Replies and actions are kept apart: a reply only notes in `todo` what is to be done next, and
 * client_input() does it after the last byte of its input. So a reply that was not asked for is
 * seen before the command that it would be taken for.
 */
#ifndef MXGATE_RELAY_CLIENT_INTERNAL_H
#define MXGATE_RELAY_CLIENT_INTERNAL_H

#include "relay/client.h"

enum client_todo {
    CLIENT_TODO_NONE,
    CLIENT_TODO_HELLO, /* say LHLO, EHLO or HELO */
    CLIENT_TODO_STARTTLS,
    CLIENT_TODO_TLS,     /* ops->starttls */
    CLIENT_TODO_LOGIN,   /* ops->login */
    CLIENT_TODO_AUTH,    /* the next part of the login */
    CLIENT_TODO_BEGIN,   /* the transaction: XCLIENT, hello after it, MAIL */
    CLIENT_TODO_COMMAND, /* the next one of RCPT, DATA, RSET */
    CLIENT_TODO_BODY,    /* on_body */
    CLIENT_TODO_IDLE,    /* on_idle */
};

/* client.c */
/* The only writer of c->step; calls on_step, except for BROKEN. Nothing leads out of BROKEN. */
void client_enter(struct client *c, enum client_step step);
void client_send(struct client *c, struct span bytes);
/* Ends the session: on_broken, once. */
void client_break(struct client *c, const struct smtp_reply *reply, const char *text);
/* The same with "WORDS: REPLY (in reply to STEP)" as text. */
void client_break_reply(struct client *c, const char *words, const struct smtp_reply *reply);
/* "HELO command" where that was said, else client_step_words(). */
const char *client_asked_words(const struct client *c);
/* Part of a reply is here although nothing was asked: whatever is sent next would be answered by
 * it. Ends the session. */
bool client_has_surplus(struct client *c);

/* client_hello.c */
void client_greeting_reply(struct client *c, const struct smtp_reply *reply);
void client_hello_send(struct client *c);
void client_hello_line(struct client *c, struct span line);
void client_hello_reply(struct client *c, const struct smtp_reply *reply);
/* Decides what this transaction's XCLIENT will say, if anything. */
void client_xclient_plan(struct client *c);
void client_xclient_send(struct client *c);
void client_xclient_reply(struct client *c, const struct smtp_reply *reply);

/* client_starttls.c */
/* What comes after a hello outside of a transaction; may end the session. */
void client_starttls_plan(struct client *c);
void client_starttls_send(struct client *c);
void client_starttls_reply(struct client *c, const struct smtp_reply *reply);
void client_starttls_begin(struct client *c);

/* client_auth.c */
/* Where the login is. */
enum client_auth_stage {
    CLIENT_AUTH_NONE,
    CLIENT_AUTH_ASKED,   /* ops->login was called */
    CLIENT_AUTH_COMMAND, /* AUTH is out, without a response */
    CLIENT_AUTH_USER,    /* the first of two responses is out */
    CLIENT_AUTH_WHOLE,   /* all of it is out */
    CLIENT_AUTH_REFUSED, /* XOAUTH2: an error came as a challenge, the refusal is to follow */
};
/* What comes after the last hello outside of a transaction; may end the session. */
void client_auth_plan(struct client *c);
void client_auth_ask(struct client *c);
void client_auth_send(struct client *c);
void client_auth_reply(struct client *c, const struct smtp_reply *reply);
/* Takes out of the reply at hand what repeats the login. */
void client_auth_mask(struct client *c);

/* client_transaction.c */
/* Whether everything that MAIL and RCPT would say can be said safely. */
bool client_transaction_is_safe(const struct client_transaction *t);
/* MAIL, and with pipelining all that follows it up to DATA (in a probe, RSET). */
void client_mail_send(struct client *c);
/* One of RCPT, DATA, RSET. */
void client_command_send(struct client *c);

/* client_reply.c */
void client_transaction_reply(struct client *c, const struct smtp_reply *reply);

#endif
