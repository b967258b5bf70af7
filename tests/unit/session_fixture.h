/*
 * session_fixture - a session with everything around it faked: what it says, logs and submits can
 * be read, and each of its questions is answered at once, later, or not at all
 *
 * Owns: all of it; fixture_free() ends the session first, so that a leak in it is seen by the
 * sanitizer.
 */
#ifndef MXGATE_TESTS_SESSION_FIXTURE_H
#define MXGATE_TESTS_SESSION_FIXTURE_H

#include "server/sasl_login.h"
#include "server/session.h"

struct bytes {
    char *ptr; /* owned, NUL-terminated once something was added */
    size_t len;
    size_t cap;
};

void bytes_add(struct bytes *b, struct span s);
void bytes_free(struct bytes *b);
const char *bytes_text(const struct bytes *b); /* "" when empty */

#define FIXTURE_MESSAGES_MAX 8

struct fixture_message {
    struct envelope *envelope; /* owned */
    struct bytes body;         /* with our Received */
    char message_id[TRACE_MESSAGE_ID_CAP];
};

enum fixture_when {
    FIXTURE_NOW,   /* within the call */
    FIXTURE_LATER, /* as soon as session_input has returned */
    FIXTURE_HELD,  /* when the test says so: fixture_answer() */
};

struct fixture {
    struct session session;
    bool live; /* session is initialised */
    struct config *config;
    struct envelope_budget envelopes; /* without a limit unless the test sets one */
    struct log log;
    struct bytes heard;  /* as fixture_heard gave it out last */
    struct bytes said;   /* replies */
    struct bytes logged; /* lines, each with '\n' */
    struct bytes body;   /* of the message under way */
    struct fixture_message messages[FIXTURE_MESSAGES_MAX];
    size_t message_count; /* submitted and answered with 250; also those over the array */
    size_t submits;
    size_t aborts;
    size_t waits; /* calls of ops->wait */
    size_t resumes;
    size_t hang_ups;
    enum session_wait waiting;
    struct bytes input; /* given, not taken yet */
    uint64_t ids;
    enum fixture_when when;
    /* what waits for its answer */
    bool peer_due;
    bool room_due;
    bool tls_due; /* fixture_secure() */
    bool lookup_due;
    bool auth_due;
    struct session_auth_answer auth_answer;
    struct sasl_login login; /* the back end: the users of smtpd_sasl_users */
    enum dns_question question;
    char asked_name[400]; /* the last one asked for */
    size_t lookups;
    char recipient_due[SMTP_ADDRESS_CAP];
    struct envelope *envelope_due; /* owned */
    /* what is answered */
    const char *peer_name;
    enum dns_found peer_reverse;          /* TROUBLE: as peer_name has it */
    unsigned events[SESSION_EVENT_COUNT]; /* counted */
    const char *mail_refused;             /* reply, or NULL */
    bool no_certificate;
    const char *tls_refused; /* reply, or NULL */
    size_t tls_prepares;
    size_t tls_starts;
    const char *auth_trouble; /* what the back end says instead, or NULL */
    size_t auth_starts;
    size_t auth_cancels;
    const char *data_refused;
    const char *submit_reply; /* NULL: as the upstream model has it */
    bool endless_room;        /* else `room` bytes at a time */
    size_t room;
    size_t room_left;
    int room_rc;
};

extern const struct session_ops fixture_ops;

/* pairs: "name=value" pairs, NULL-terminated, or NULL; over myhostname=mx.example.com and
 * relay_domains=example.com. */
void fixture_init(struct fixture *f, const char *const *pairs);
void fixture_free(struct fixture *f);
/* A new connection in the same fixture; what was said, logged and submitted is forgotten. */
void fixture_connect(struct fixture *f, bool trusted);
void fixture_connect_submission(struct fixture *f); /* on a submission port; not started */
void fixture_connect_wrapped(struct fixture *f);    /* on a wrapped port, untrusted; not started */
void fixture_greet(struct fixture *f); /* connect, untrusted, and take the greeting off `said` */
/* The connection is gone; the log stays. */
void fixture_end(struct fixture *f);
/* Gives bytes; answers that are due LATER are given, until nothing moves. */
void fixture_send(struct fixture *f, struct span bytes);
void fixture_say(struct fixture *f, const char *text);
/* Gives the answer that is due. False when none is. */
bool fixture_answer(struct fixture *f);
/* Gives the kept input again, as a caller does on resume. */
void fixture_pump(struct fixture *f);
/* The handshake that is due is over, and well, unless bytes in clear text are waiting: then it
 * fails, as net/stream makes it. */
void fixture_secure(struct fixture *f);
/* Removes and returns what was said since; valid until the next call. */
const char *fixture_heard(struct fixture *f);
/* Says and hears; the test fails when it hears anything else. */
void fixture_talk(struct fixture *f, const char *say, const char *hear);
/* Up to and with RCPT, by HELO; nothing of it is left in `said`. */
void fixture_transaction(struct fixture *f);
/* Whether all body bytes are canonical: lines in CRLF, no other CR or LF, no NUL. */
bool fixture_is_canonical(const struct bytes *body);
/* The body without our Received header. */
struct span fixture_text(const struct fixture_message *m);

#endif
