/*
 * client - one LMTP or SMTP session with an upstream, as its client (RFC 2033, RFC 5321); pure
 *
 *   GREETING -> HELLO [-> STARTTLS -> TLS -> HELLO] [-> AUTH] -> IDLE
 *   IDLE --begin--> [XCLIENT -> HELLO ->] MAIL -> RCPT -> DATA -> BODY -> END
 *                         ^                                     |       |       |              |
 *                         |                                     +-------+-> RSET (probe, or    |
 *                         +----------------------------------------------------+ nobody left)  |
 *                         +--------------------------------------------------------------------+
 *   any --trouble--> BROKEN;   IDLE --quit--> QUIT -> BROKEN
 *
 * STARTTLS (RFC 3207): said once, after the first hello, where it is offered and wanted. What the
 * peer said before is forgotten after it. A byte behind its reply was not protected: BROKEN. Where
 * TLS is required nothing but STARTTLS and QUIT is said in clear text; where it may be used, a
 * refusal (4xx, 5xx) means going on without.
 *
 * HELO is said where EHLO is refused for good (RFC 5321 3.2). Elsewhere than towards ways out the
 * other protocol's hello may be tried (settings.fallback): LHLO for EHLO first, EHLO for LHLO.
 *
 * AUTH (RFC 4954): after the last hello, where a login is set: XOAUTH2, PLAIN or LOGIN, of which
 * settings say what is allowed inside TLS and in clear text. Without a usable one, and when it is
 * refused, BROKEN: no mail goes out without the login that it needs. Never pipelined; a byte behind
 * a reply: BROKEN. What the peer says while it hears the login is hidden where it repeats it.
 *
 * Bytes in, calls of client_ops out. Nothing is sent that the peer did not offer: SIZE,
 * BODY=8BITMIME, SMTPUTF8, DSN parameters, XCLIENT, pipelining. At most one transaction at a time.
 * QUIT is sent only from IDLE, after the last reply is in. A line that is no reply, a reply nobody
 * asked for, a reply to more commands than were sent: BROKEN.
 *
 * Whose fault (P3), decided by client_blame() alone:
 *   - 5xx to RCPT, or after the end of data: the recipient's, for good. Except 500, 502, 503, 504
 *     (the peer does not understand us) and 530 (it wants a login or TLS first): the destination's
 *     trouble; 521, 421 (it is going away): BROKEN; 5.5.3 (too many recipients, RFC 5321
 *     4.5.3.1.10): later.
 *   - 5xx to DATA likewise counts for every accepted recipient.
 *   - 5xx to MAIL: for good only when it speaks of this message or sender: 5.1.7, 5.1.8, 5.2.3,
 *     5.3.4, 5.6.x; everything else is the destination's trouble.
 *   - 4xx to MAIL, RCPT, DATA, end of data: this message's or recipient's, to be tried later.
 *   - Greeting, LHLO/EHLO, anything broken or late: the destination's trouble, never a bounce.
 *   - A code that cannot answer the command (354 to RCPT, 250 to DATA): BROKEN.
 *   - XCLIENT refused: nobody's, the mail goes on without it.
 *   - TLS required, and not offered or refused; no login: the destination's trouble.
 * Towards ways out (settings.out) servers of others answer, as they answer Postfix:
 *   - 5xx to MAIL: of this sender or message, for good; in doubt whether our syntax or login is
 * meant (501, 555, 5.7.0, unless the enhanced code speaks of the message) later.
 *   - 504: later, this message only.
 *   - 534, 535, 538, and 5.7.8 to 5.7.14 (login, account, encryption): the destination's trouble.
 *   - 552 to RCPT without 5.5.3 is for good, as in Postfix (RFC 5321 4.5.3.1.10 would have it
 * later). LMTP: one reply per accepted recipient after the dot, in RCPT order. SMTP: one reply for
 * all of them.
 */
#ifndef MXGATE_RELAY_CLIENT_H
#define MXGATE_RELAY_CLIENT_H

#include "config/relay_login.h"
#include "message/envelope.h"
#include "smtp/dot.h"
#include "smtp/reply.h"

enum client_protocol { CLIENT_LMTP, CLIENT_SMTP };

/* What is awaited; each has its own timeout. */
enum client_step {
    CLIENT_STEP_GREETING,
    CLIENT_STEP_HELLO,
    CLIENT_STEP_STARTTLS,
    CLIENT_STEP_TLS, /* the handshake; its end is told by client_secured() */
    CLIENT_STEP_AUTH,
    CLIENT_STEP_XCLIENT,
    CLIENT_STEP_IDLE, /* nothing awaited */
    CLIENT_STEP_MAIL,
    CLIENT_STEP_RCPT,
    CLIENT_STEP_DATA,
    CLIENT_STEP_BODY, /* ours: sending; the timeout is for the peer taking a block */
    CLIENT_STEP_END,  /* replies after the dot */
    CLIENT_STEP_RSET,
    CLIENT_STEP_QUIT,
    CLIENT_STEP_BROKEN,
    CLIENT_STEP_COUNT
};
/*
 * Postfix's words: "initial server greeting", "LHLO command", "MAIL FROM command", "RCPT TO
 * command", "DATA command", "end of DATA command", ... as in "(in reply to RCPT TO command)".
 * LHLO or EHLO by protocol.
 */
const char *client_step_words(enum client_step step, enum client_protocol protocol);

/* How on_broken's text begins when a login failed; "host" follows. */
#define CLIENT_LOGIN_FAILED "SASL authentication failed; server "

enum client_blame {
    CLIENT_BLAME_NONE,        /* 2xx: delivered (after END), accepted (RCPT) */
    CLIENT_BLAME_RECIPIENT,   /* for good */
    CLIENT_BLAME_LATER,       /* this message or recipient, try later */
    CLIENT_BLAME_DESTINATION, /* nobody's fault here: the destination is in trouble */
};
enum client_blame client_blame(enum client_step step, const struct smtp_reply *reply, bool out);

/* Bits, from the reply to LHLO/EHLO. */
enum client_capability {
    CLIENT_CAN_PIPELINING = 1,
    CLIENT_CAN_SIZE = 2,
    CLIENT_CAN_8BITMIME = 4,
    CLIENT_CAN_SMTPUTF8 = 8,
    CLIENT_CAN_DSN = 16,
    CLIENT_CAN_XCLIENT = 32,
    CLIENT_CAN_STARTTLS = 64,
    CLIENT_CAN_ENHANCED = 128,
    CLIENT_CAN_CHUNKING = 256,
    CLIENT_CAN_AUTH = 512,
};
enum client_tls {
    CLIENT_TLS_NONE, /* also where TLS is there from the first byte on */
    CLIENT_TLS_MAY,
    CLIENT_TLS_REQUIRED,
};

/* Bits: attributes named after XCLIENT. */
enum client_xclient {
    CLIENT_XCLIENT_ADDR = 1,
    CLIENT_XCLIENT_PORT = 2,
    CLIENT_XCLIENT_PROTO = 4,
    CLIENT_XCLIENT_HELO = 8,
    CLIENT_XCLIENT_NAME = 16,
    CLIENT_XCLIENT_SESSION = 32,
    CLIENT_XCLIENT_TIMEOUT = 64,
};

/* Borrowed until idle or broken; never copied, never shown. */
struct client_login {
    struct span user;
    struct span secret; /* the password, or the token of XOAUTH2 */
};

struct client_settings {
    enum client_protocol protocol;
    bool out;               /* a server of others; see the top */
    bool fallback;          /* try the other hello when this one is not understood (500, 502) */
    const char *hello_name; /* borrowed */
    const char *discard;    /* borrowed; words of the hello reply to pass over; may be NULL */
    enum client_tls tls;
    bool wrapped;           /* inside TLS from the first byte on */
    bool login;             /* nothing goes without */
    unsigned auth_in_clear; /* enum relay_mechanism: those that may be used */
    unsigned auth_in_tls;
    bool xclient;               /* send XCLIENT where offered */
    unsigned xclient_timeout_s; /* for TIMEOUT=: our own limit for the reply after the dot */
};

#define CLIENT_RCPT_MAX 50 /* recipients in one transaction */

/* Borrowed until on_finished or on_broken. */
struct client_transaction {
    const struct envelope *envelope; /* may be NULL for a probe */
    const size_t *indices; /* which of envelope->recipients, in this order; NULL for a probe */
    size_t count;          /* 1..CLIENT_RCPT_MAX; 1 for a probe */
    uint64_t size;         /* of the body, for SIZE= */
    /*
     * Probe: MAIL FROM:<>, one RCPT, RSET; nothing is sent as data. Result by on_result with
     * position 0. NULL for a delivery.
     */
    const char *probe_recipient;
};

/*
 * Called from within client_*() only. on_idle may call client_begin or client_quit, on_body may
 * call client_body and client_body_end, and each may call client_fail. None may call client_input,
 * or free the client: its memory must last until the outermost call returns.
 */
struct client_ops {
    void (*send)(void *ctx, struct span bytes);
    /*
     * A new thing is awaited, be it the next of several replies: restart the deadline with this
     * step's limit (IDLE: none). Not called for BROKEN.
     */
    void (*on_step)(void *ctx, enum client_step step);
    /*
     * The peer awaits a TLS handshake, and has said nothing after its reply. Start it; in the end
     * client_secured() or client_fail(). NULL where settings.tls is NONE.
     */
    void (*starttls)(void *ctx);
    /*
     * The peer awaits AUTH. In the end client_login() or client_fail(). NULL where settings.login
     * is false.
     */
    void (*login)(void *ctx);
    /*
     * Greeting, LHLO/EHLO, TLS and AUTH are done, or a transaction has ended and was cleaned up:
     * client_begin() may be called.
     */
    void (*on_idle)(void *ctx);
    /*
     * The final word about the recipient at `position` (0..count-1) of the transaction: reply, and
     * the step it answered. Exactly once per recipient unless on_broken comes first. blame NONE is
     * delivered (or, in a probe, accepted).
     */
    void (*on_result)(void *ctx, size_t position, enum client_blame blame, enum client_step step,
                      const struct smtp_reply *reply);
    /* 354 came: give the body by client_body() in parts of any size, then client_body_end(). */
    void (*on_body)(void *ctx);
    /*
     * Every recipient has its result. on_idle follows when the session is clean again (or
     * on_broken); only then may others begin.
     */
    void (*on_finished)(void *ctx);
    /*
     * The session is over; undecided recipients have no result. step: what was awaited; reply:
     * what was said, or NULL; text: in words, the reply included ("host closed the connection",
     * "host said: 421 4.3.2 bye (in reply to RCPT TO command)", "malformed reply: ..."). The
     * caller closes the connection.
     */
    void (*on_broken)(void *ctx, enum client_step step, const struct smtp_reply *reply,
                      const char *text);
};

struct client {
    const struct client_ops *ops; /* borrowed */
    void *ctx;
    struct client_settings settings;
    enum client_step step;         /* written by one function only */
    enum client_protocol protocol; /* in use; differs from settings.protocol after a fallback */
    bool mismatch;                 /* the fallback was needed: the setting is wrong */
    bool hello_retried;            /* the other protocol's hello was said */
    bool helo;                     /* HELO is said instead of EHLO */
    bool hello_done;               /* one was answered by 2xx */
    bool secured;                  /* TLS was started */
    bool tls_refused;              /* STARTTLS got 4xx or 5xx: not said again */
    bool logged_in;                /* AUTH got 2xx */
    bool xclient_refused;          /* XCLIENT got 5xx: not sent again in this session */
    bool xclient_used;             /* XCLIENT got 2xx: the peer remembers a client */
    unsigned can;                  /* enum client_capability */
    unsigned can_xclient;          /* enum client_xclient */
    unsigned can_auth;             /* enum relay_mechanism */
    uint64_t size_limit;           /* from SIZE, 0 unknown */
    char peer_name[256];           /* first word of the greeting or hello reply, printable */
    unsigned uses;                 /* transactions begun */
    /* transaction */
    struct client_transaction t; /* zeroed by on_finished */
    bool in_transaction;         /* from client_begin until idle again */
    bool finished;               /* on_finished was called; replies still out are swallowed */
    size_t sent_rcpt;            /* RCPT commands sent */
    size_t replied_rcpt;         /* replies to them */
    size_t accepted;
    size_t replied_end;
    bool data_sent;                      /* DATA was sent (pipelined or not) */
    bool rset_sent;                      /* RSET likewise */
    bool dot_sent;                       /* and not all replies to it are in */
    bool rcpt_accepted[CLIENT_RCPT_MAX]; /* per position: accepted and undecided */
    struct smtp_dot_encoder dot;
    /* private */
    unsigned char todo;      /* enum client_todo: done when the input at hand is used up */
    unsigned char auth;      /* enum client_auth_stage */
    unsigned char mechanism; /* enum relay_mechanism: chosen */
    struct client_login login;
    unsigned hello_lines;    /* of the reply to the hello, so far */
    char hello_refusal[200]; /* answer to the first hello, while the other one is tried */
    unsigned xclient_left;   /* enum client_xclient: still to be said before this MAIL */
    bool xclient_said;       /* XCLIENT got 2xx before this MAIL: the hello must be said again */
    struct smtp_reply_parser parser;
};

void client_init(struct client *c, const struct client_ops *ops, void *ctx,
                 const struct client_settings *settings);
/* The connection stands: awaits the greeting. */
void client_start(struct client *c);
void client_input(struct client *c, struct span bytes);
/* The handshake that ops->starttls() began is over, and well: says hello again. */
void client_secured(struct client *c);
/* Who ops->login() was asked for; says AUTH. */
void client_login(struct client *c, const struct client_login *login);
/* The peer closed, or the deadline passed, or a write failed: on_broken with these words, once. */
void client_fail(struct client *c, const char *text);
/* Only when IDLE. May end in on_broken at once. */
void client_begin(struct client *c, const struct client_transaction *t);
/*
 * Only between on_body and client_body_end (after on_broken they do nothing). Bytes are canonical;
 * dots are stuffed here.
 */
void client_body(struct client *c, struct span canonical);
void client_body_end(struct client *c);
/* From IDLE: QUIT; then on_broken with step QUIT when it is answered or fails. */
void client_quit(struct client *c);
/*
 * Whether the peer may have stored the message though we have no reply: the dot was sent. Stays
 * true after on_broken, so that it can be asked there.
 */
bool client_may_be_sent(const struct client *c);

#endif
