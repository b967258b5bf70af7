/*
 * session - the SMTP server dialogue (RFC 5321 and extensions); pure: bytes in, calls of
 * session_ops out
 *
 *      CONNECTED --HELO/EHLO--> READY --MAIL--> MAIL --RCPT--> RCPT --DATA--> DATA --end--> READY
 *          |(MAIL too, unless                    |              |---BDAT--> BDAT --LAST--> READY
 *          | smtpd_helo_required)                +--RSET, EHLO--+--> READY
 *          +--QUIT, 421, limit--> CLOSING
 *
 * While an answer from outside is due (session.busy) no input is taken: session_input() returns how
 * many bytes it took, the caller keeps the rest, stops reading, and calls session_input() again
 * after the answer (ops->resume tells it to).
 *
 * Replies go out through one function (session_reply_line), which makes them printable, cuts them
 * to 512 bytes and hangs up after 221, 421 and 521. session_done() ends every command: it counts,
 * and answers too many errors. The session never sees sockets, files, clocks or DNS; what it needs
 * is in session_ops; tests and fuzzers link fakes.
 *
 * The log stays silent about a client that said nothing but QUIT, or nothing at all (a health
 * check).
 *
 * STARTTLS (RFC 3207): after the 220 the session is busy (SESSION_BUSY_TLS) until session_secured()
 * or session_tls_failed(); what was said before is forgotten, and nothing that came with STARTTLS
 * in clear text is ever read as a command (CVE-2011-0411): the session ends then. A session on a
 * wrapped port begins with the handshake, and greets afterwards.
 *
 * AUTH (RFC 4954): a dialogue of its own (SESSION_AUTH), in which the client's lines go to the back
 * end and the back end's words to the client, until one of both ends it. What the client says there
 * is secret: it is in no log line, and overwritten as soon as the back end has it. On a submission
 * port (RFC 6409) nothing but STARTTLS can be said in clear text, and no mail sent without a login.
 *
 * A client that made smtpd_soft_error_limit errors waits smtpd_error_sleep_time before each of its
 * commands is run: that is a pause (SESSION_WAIT_PAUSE), as the restriction `sleep` is; what it
 * sent meanwhile waits unread.
 *
 * Limits: command line SMTP_LINE_CAP, smtpd_recipient_limit, message_size_limit,
 *         smtpd_hard_error_limit, smtpd_junk_command_limit, smtpd_sasl_response_limit, the rates. A
 * refused message is swallowed up to SESSION_SWALLOW times message_size_limit, then the client is
 * hung up on.
 *
 * Memory: struct session is fixed; an envelope exists from MAIL to the end of the transaction.
 */
#ifndef MXGATE_SERVER_SESSION_H
#define MXGATE_SERVER_SESSION_H

#include "config/config.h"
#include "message/envelope.h"
#include "message/header_complete.h"
#include "message/trace.h"
#include "net/dns_answer.h"
#include "observe/log.h"
#include "smtp/dot.h"
#include "smtp/line.h"
#include "smtp/sasl.h"
#include "smtp/verdict.h"
#include "tls/tls_facts.h"

enum session_state {
    SESSION_CONNECTED,
    SESSION_READY,
    SESSION_AUTH, /* a client logs in: its next line is no command */
    SESSION_MAIL,
    SESSION_RCPT,
    SESSION_DATA,
    SESSION_BDAT,      /* inside the bytes of a chunk */
    SESSION_BDAT_NEXT, /* between chunks; refused ones too (data_discard), even without MAIL before
                        */
    SESSION_CLOSING,
    SESSION_STATE_COUNT
};

enum session_busy {
    SESSION_FREE,
    SESSION_BUSY_PEER,   /* ops->peer */
    SESSION_BUSY_PAUSE,  /* s->pause_ms are over */
    SESSION_BUSY_LOOKUP, /* ops->lookup */
    SESSION_BUSY_RCPT,   /* ops->recipient */
    SESSION_BUSY_ROOM,   /* ops->body_room had none */
    SESSION_BUSY_SUBMIT, /* ops->submit */
    SESSION_BUSY_TLS,    /* ops->tls_start */
    SESSION_BUSY_AUTH,   /* ops->auth_start, ops->auth_next */
};

enum session_wait {
    SESSION_WAIT_COMMAND, /* a command line: smtpd_timeout, not extended by parts of a line */
    SESSION_WAIT_DATA,    /* the next SESSION_BLOCK bytes of data, or its end: smtpd_timeout, not
                             extended by fewer */
    SESSION_WAIT_US,      /* our turn: no deadline for the client */
    SESSION_WAIT_PAUSE,   /* our turn in s->pause_ms: session_timeout() */
    SESSION_WAIT_TLS,     /* the client's part of the handshake: smtpd_starttls_timeout */
};

#define SESSION_BLOCK   4096 /* bytes of data that buy a new deadline */
#define SESSION_SWALLOW 8    /* times message_size_limit */

/* What is counted per client and time; the last two per user who logged in. */
enum session_event {
    SESSION_EVENT_MESSAGE,
    SESSION_EVENT_RECIPIENT,
    SESSION_EVENT_AUTH,
    SESSION_EVENT_USER_MESSAGE,
    SESSION_EVENT_USER_RECIPIENT,
    SESSION_EVENT_COUNT
};

/* What a client says to log in. All borrowed, and secret. */
struct session_auth_request {
    const char *mechanism; /* one of those that auth_mechanisms() gives */
    const char *service;   /* "smtp" */
    struct span initial;   /* base64; of `has_initial` it may be empty */
    bool has_initial;
    bool secured; /* inside TLS */
};

enum session_auth_outcome {
    SESSION_AUTH_MORE,    /* challenge */
    SESSION_AUTH_DONE,    /* login */
    SESSION_AUTH_FAILED,  /* reason, and login if it is known whose */
    SESSION_AUTH_TROUBLE, /* nobody can tell now: reason */
};

struct session_auth_answer {
    enum session_auth_outcome outcome;
    struct span challenge; /* base64, at most SESSION_CHALLENGE_MAX bytes */
    const char *login;     /* "" not known */
    const char *reason;    /* "" none */
};
#define SESSION_CHALLENGE_MAX 500 /* a reply has 512 bytes */

enum session_rcpt_answer { SESSION_RCPT_ACCEPT, SESSION_RCPT_REJECT, SESSION_RCPT_DEFER };

/*
 * All borrowed; called on the session's thread. Calls that answer "later" may answer before they
 * return. None of them may call session_deinit(): the session is still on the stack.
 */
struct session_ops {
    /* Queues bytes for the client; sent when session_input() has returned. */
    void (*send)(void *ctx, struct span bytes);
    /* Sends what is queued, then closes. No input is given afterwards. */
    void (*hang_up)(void *ctx);
    /* Each call starts the deadline anew (or stops it); nothing else does, input least of all. */
    void (*wait)(void *ctx, enum session_wait what);
    /* An answer came while session_input() was not running: the caller gives the kept input again.
     */
    void (*resume)(void *ctx);
    /*
     * The client's verified name is wanted: session_peer_name() follows. Asked once, at the first
     * command other than QUIT; the first MAIL waits for it.
     */
    void (*peer)(void *ctx);
    /*
     * May mail come in now (free space, spool writable, shutting down)? True, or false with the
     * reply in *verdict_out. size: of the SIZE parameter, 0 when unknown.
     */
    bool (*mail)(void *ctx, uint64_t size, struct smtp_verdict *verdict_out);
    /*
     * Counts one more; how many there were from this client (of its user) in
     * anvil_rate_time_unit, this one too, or 0 when it has no limit.
     */
    unsigned (*event)(void *ctx, enum session_event event);
    /* Policy wants to know something of the DNS: session_lookup_answer() follows. */
    void (*lookup)(void *ctx, enum dns_question question, const char *name);
    /*
     * A recipient that policy admits: does the upstream want it? session_rcpt_answer() follows.
     * `must`: ask even where verify_recipients says no.
     */
    void (*recipient)(void *ctx, const struct envelope *e, const struct smtp_address *recipient,
                      bool must);
    void (*queue_id)(void *ctx, struct queue_id *id_out, int64_t *arrival_us_out);
    /* Data begins; the envelope is complete but for what DATA brings. False: verdict_out is the
     * reply to DATA/BDAT. */
    bool (*body_begin)(void *ctx, const struct envelope *e, struct smtp_verdict *verdict_out);
    /*
     * At least `need` (<= 4096) bytes to write body bytes into, or NULL: session_room() follows.
     * May be called with need 0: never NULL-with-answer then.
     */
    char *(*body_room)(void *ctx, size_t need, size_t *cap_out);
    void (*body_wrote)(void *ctx, size_t len);
    void (*body_abort)(void *ctx); /* forget the body; also called when nothing was begun */
    /* The message is complete: takes over the envelope. session_submitted() follows. */
    void (*submit)(void *ctx, struct envelope *e, const char *message_id);
    /* Whether there is a certificate, so that STARTTLS can be offered. */
    bool (*tls_offered)(void *ctx);
    /*
     * Makes ready for a handshake. False with the reply in *verdict_out (454: no certificate, too
     * many TLS sessions, no memory). tls_start() follows, or the session ends.
     */
    bool (*tls_prepare)(void *ctx, struct smtp_verdict *verdict_out);
    /* What was sent so far goes out, and from here on the client speaks TLS: session_secured(),
     * session_tls_failed() or session_lost() follows, not before this returns. */
    void (*tls_start)(void *ctx);
    /* What the back end can do; NULL: there is none, nobody can log in. */
    const struct sasl_mechanisms *(*auth_mechanisms)(void *ctx);
    /* session_auth_answer() follows each of these, perhaps before it returns, or auth_cancel(). */
    void (*auth_start)(void *ctx, const struct session_auth_request *request);
    void (*auth_next)(void *ctx, struct span response); /* base64; may be empty */
    /* The client gave up, or is gone. */
    void (*auth_cancel)(void *ctx);
};

/* Who logged in, and how. */
struct session_login {
    char user[SASL_LOGIN_CAP];
    char method[SASL_NAME_CAP];
};

#define SESSION_LEAD_CAP 96 /* no header name is longer */

enum session_lead {
    SESSION_LEAD_READING,
    SESSION_LEAD_HEADER,
    SESSION_LEAD_BODY,
    SESSION_LEAD_WRITTEN
};

struct session {
    const struct session_ops *ops; /* borrowed */
    void *ctx;                     /* borrowed: given to ops */
    struct config *config;         /* a reference is held */
    const struct log *log;         /* borrowed */
    enum session_state state;      /* written by session_enter() only */
    enum session_busy busy;
    bool in_input; /* the session is on the stack: answers do not call resume */
    bool esmtp;    /* EHLO was said */
    bool trusted;  /* in mynetworks */
    bool connect_logged;
    bool peer_known;
    bool peer_asked;
    bool all_lf;   /* every line since connect ended in bare LF */
    bool any_line; /* something other than QUIT was said: the log tells of this client */
    bool stopping; /* session_shutdown() came: 421 at the next chance */
    bool forgiven; /* the reply under way does not count as an error */
    bool pipelining_logged;
    bool pipelined; /* more came with the command under way than may */
    bool too_long;  /* the line under way was */
    bool debugged;  /* in debug_peer_list: the dialogue is logged */
    bool greeting_logged;
    bool secret;      /* AUTH came last, or what is no command and followed it */
    bool wrapped;     /* TLS before the greeting */
    bool no_tls;      /* a local program: TLS is neither offered nor asked for */
    bool submission;  /* a port for users who log in */
    bool auth_hidden; /* in smtpd_sasl_exceptions_networks */
    bool tls_logged;
    bool tls_refused;          /* by 454: the client cannot help being in clear text */
    enum session_wait waiting; /* what ops->wait was told last */
    bool wait_fresh;           /* tell it again: a line or a block has ended */
    struct log_peer peer;      /* points into the next two */
    char peer_name[ENVELOPE_NAME_CAP];
    char peer_address[48];
    uint16_t peer_port;
    enum dns_found peer_reverse;  /* whether its address has a name */
    enum dns_found peer_verified; /* whether that name has the address */
    char helo[ENVELOPE_NAME_CAP];
    uint64_t pause_ms;
    unsigned errors;
    unsigned rejects; /* commands and messages refused, as logged; for status */
    unsigned junk;
    unsigned overshoot;  /* recipients over a limit in this transaction */
    unsigned duplicates; /* recipients of this transaction that were named again */
    unsigned reply_code; /* of the last reply */
    unsigned count_ok[SMTP_VERB_COUNT];
    unsigned count_all[SMTP_VERB_COUNT];
    const char *where;   /* the last command's name in capitals, for "lost connection after RCPT" */
    enum smtp_verb verb; /* under way */
    struct queue_id queue_id;  /* of the transaction; "" before its first recipient */
    struct envelope *envelope; /* owned between MAIL and submit */
    char *sender;              /* owned between submit and its answer, for the log; may be NULL */
    struct smtp_rcpt_params *rcpt;     /* owned while a recipient is being decided about */
    struct session_check *check;       /* owned while restrictions are being run */
    struct envelope_budget *envelopes; /* borrowed */
    struct tls_facts *tls;             /* owned; NULL: in clear text */
    struct session_auth *auth;         /* owned while a client logs in */
    struct session_login *login;       /* owned; NULL: nobody has logged in */
    struct header_complete *complete;  /* owned during data; NULL: no header is added */
    const char *ehlo_discarded;        /* words that EHLO leaves out for this client; from config */
    /* data under way */
    struct smtp_dot_decoder dot;
    struct smtp_normaliser normaliser;
    struct header_scan headers;
    uint64_t data_bytes; /* canonical bytes of this message so far, without our Received */
    uint64_t swallowed;  /* bytes of a refused message */
    size_t block_bytes;  /* taken since the deadline was started */
    uint64_t chunk_left; /* BDAT */
    uint64_t chunk_size;
    uint64_t chunks_bytes; /* of all chunks of this message, as sent */
    bool chunk_last;
    bool data_discard; /* the message is refused already: swallow it */
    bool body_begun;
    enum session_lead lead_state;
    unsigned lead_len;
    char lead[SESSION_LEAD_CAP]; /* the message's first bytes, until it is known whether they are a
                                    header */
    struct smtp_verdict data_verdict; /* why, when data_discard */
    struct smtp_line line;
};

struct session_client {
    const char *address; /* numeric */
    uint16_t port;
    bool trusted;                      /* in mynetworks */
    struct envelope_budget *envelopes; /* outlives the session's envelopes; NULL: no limit */
    bool wrapped;                      /* it speaks TLS before it is greeted */
    bool no_tls;                       /* a local program, over a unix socket */
    bool submission;                   /* on a port for users who log in */
};

/* Takes a reference of config; sends nothing yet. */
void session_init(struct session *s, const struct session_ops *ops, void *ctx,
                  struct config *config, const struct log *log,
                  const struct session_client *client);
/* Sends the greeting; on a wrapped port after the handshake, which begins at once. */
void session_start(struct session *s);
/* Instead of session_start: 421 (too many connections, shutting down) and hang up; a client of a
 * wrapped port is hung up on without a word. */
void session_refuse(struct session *s, const char *reply_line);
/*
 * Instead of session_start: the client sent `input` before it was greeted, as only spam senders do.
 * Logged, 421; clients in mynetworks (probes) are greeted all the same. The input is not taken.
 */
void session_start_early(struct session *s, struct span input);
/* Returns the number of bytes taken, fewer than len only when busy or closing. */
size_t session_input(struct session *s, const char *bytes, size_t len);
/* The handshake is over, and well. `facts` are copied. */
void session_secured(struct session *s, const struct tls_facts *facts);
/* It failed, or TLS broke later: logs why, in words; then as session_lost(). */
void session_tls_failed(struct session *s, const char *why);
/* The client closed or the connection broke: logs "lost connection after X", frees the transaction.
 */
void session_lost(struct session *s);
/* The deadline of session_wait passed: 421 4.4.2, log, hang up; or a pause is over. Nothing while
 * the session waits for us. */
void session_timeout(struct session *s);
/* We are stopping: 421 4.3.2 when between commands (else after the transaction under way), hang up.
 */
void session_shutdown(struct session *s);
/* The connection is gone (after hang_up, lost, ...): logs "disconnect from ..." if anything was
 * said; frees everything. */
void session_deinit(struct session *s);

/* Verified name or "unknown"; whether the address has a name, and whether that name has the
 * address. */
void session_peer_name(struct session *s, const char *name, enum dns_found reverse,
                       enum dns_found verified);
void session_auth_answer(struct session *s, const struct session_auth_answer *answer);
void session_lookup_answer(struct session *s, const struct dns_answer *answer);
/* REJECT and DEFER: code and dsn as the upstream said ("5.1.1"; "" none), why in words ("host h[a]
 * said: 550 ..."). */
void session_rcpt_answer(struct session *s, enum session_rcpt_answer answer, unsigned code,
                         const char *dsn, const char *why);
void session_room(struct session *s, int rc); /* 0, or -errno: the message is refused with 4xx */
void session_submitted(struct session *s, const struct smtp_verdict *verdict);

const char *session_state_name(enum session_state state);

#endif
