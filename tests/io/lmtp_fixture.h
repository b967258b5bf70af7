/*
 * lmtp_fixture - an LMTP server on the test's loop that misbehaves when told to
 *
 * By itself it takes everything. Rules change that: the first one that fits an event and has times
 * left decides what is said or done. Events are the commands ("LHLO", "MAIL", "RCPT", ...),
 * "CONNECT" (the greeting), "BODY" (the first byte of a message has come) and "." (once per
 * accepted recipient, with the recipient as its text). After EHLO it is an SMTP server: one reply
 * after the dot, with the first recipient as its text.
 *
 * What got 250 after the dot is counted per recipient: a message that comes twice is seen.
 */
#ifndef MXGATE_TESTS_IO_LMTP_FIXTURE_H
#define MXGATE_TESTS_IO_LMTP_FIXTURE_H

#include "loop_fixture.h"

enum lmtp_action {
    LMTP_SAY,     /* text instead of the usual reply */
    LMTP_DROP,    /* closes the connection; says text before, if there is one */
    LMTP_RESET,   /* the same with a RST */
    LMTP_SILENCE, /* no reply until lmtp_release() */
};

struct lmtp_rule {
    const char *event;
    const char *contains; /* in the command's text; NULL: whatever it is */
    enum lmtp_action action;
    const char *text; /* without CRLF; may hold several lines */
    unsigned skip;    /* lets so many pass first */
    unsigned times;   /* 0: always */
    unsigned used;    /* counted by the fixture */
};

#define LMTP_RULES_MAX       16
#define LMTP_DELIVERED_MAX   400
#define LMTP_CONNECTIONS_MAX 64

struct lmtp_delivered {
    char recipient[80];
    unsigned connection; /* counted from 1 */
    size_t len;
    char *body; /* owned: as sent, stuffed */
};

struct lmtp_connection;

struct lmtp_fixture {
    struct loop_fixture *f;
    uv_tcp_t listener;
    int holder; /* of the port, while nobody listens */
    bool listening;
    uint16_t port;
    struct lmtp_rule rules[LMTP_RULES_MAX];
    size_t rule_count;
    const char *offers; /* lines of the reply to LHLO after the first, "PIPELINING\nSIZE" */
    bool paused;        /* nothing is read */
    struct lmtp_connection *connections; /* owned */
    unsigned open, accepted, most_open;
    unsigned mails, dots, quits; /* events so far */
    struct lmtp_delivered delivered[LMTP_DELIVERED_MAX];
    size_t delivered_count;
    size_t body_bytes; /* received in all */
    char said[65536];  /* all lines of all clients, LF between them; the oldest part */
};

void lmtp_begin(struct lmtp_fixture *l, struct loop_fixture *f);
void lmtp_end(struct lmtp_fixture *l);
/* Connections are reset and refused from now on. */
void lmtp_down(struct lmtp_fixture *l);
/* Refused from now on, but connections go on. */
void lmtp_refuse(struct lmtp_fixture *l);
/* At the same port again. */
void lmtp_up(struct lmtp_fixture *l);
/* Drops every connection and goes on listening. */
void lmtp_drop_all(struct lmtp_fixture *l);
/* Reads nothing, accepts nothing: as a peer behind a dead tunnel. */
void lmtp_pause(struct lmtp_fixture *l, bool paused);
struct lmtp_rule *lmtp_rule(struct lmtp_fixture *l, const char *event, enum lmtp_action action,
                            const char *text);
void lmtp_no_rules(struct lmtp_fixture *l);
/* Says what was held back by LMTP_SILENCE, on connections that still live: the usual replies. */
void lmtp_release(struct lmtp_fixture *l);
/* The same with this line instead of what was held back. */
void lmtp_release_saying(struct lmtp_fixture *l, const char *text);
/* How often this recipient was delivered to. */
unsigned lmtp_delivered_to(const struct lmtp_fixture *l, const char *recipient);
unsigned lmtp_said(const struct lmtp_fixture *l, const char *text); /* how often by clients */

#endif
