/*
 * log - the text of every log line, in Postfix's shape (FACTS 5.1, 5.2); pure
 *
 * Nobody else composes a log line. Each function makes one line, `postfix/smtpd[PID]: ...`, and
 * hands it to the sink with its severity; the sink (log_writer) puts time and severity in front and
 * never blocks. Peer bytes are cut and shown printable here, so no caller can forget: control bytes
 * become '?', and addresses what `mask` makes of them. One event, one line, at most LOG_LINE_MAX,
 * or with `json` one object of at most LOG_OBJECT_MAX (log_json.h).
 */
#ifndef MXGATE_OBSERVE_LOG_H
#define MXGATE_OBSERVE_LOG_H

#include "base/span.h"
#include "observe/log_mask.h"
#include "tls/tls_facts.h"

#define LOG_LINE_MAX   8192 /* bytes without prefix; Docker splits at 16 KB */
#define LOG_OBJECT_MAX 15900

enum log_severity {
    LOG_SEVERITY_INFO,
    LOG_SEVERITY_WARNING,
    LOG_SEVERITY_ERROR,
    LOG_SEVERITY_FATAL
};

struct log {
    const char *syslog_name; /* borrowed; "postfix" */
    long pid;
    void (*sink)(void *ctx, enum log_severity severity,
                 struct span line); /* line without newline */
    void *sink_ctx;
    bool json;
    const struct log_mask *mask; /* borrowed; NULL: addresses are shown */
};

/* A peer as written in lines: name "unknown" when it has none, address numeric (IPv6 without
 * brackets). */
struct log_peer {
    const char *name;
    const char *address;
};

/* "postfix/PROGRAM[PID]: text"; for what has no function of its own. program: "smtpd", "qmgr",
 * "lmtp", "master", ... */
void log_info(const struct log *l, const char *program, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void log_warning(const struct log *l, const char *program, const char *format, ...)
    __attribute__((format(printf, 3, 4))); /* "warning: text" */
void log_error(const struct log *l, const char *program, const char *format, ...)
    __attribute__((format(printf, 3, 4))); /* "error: text" */
void log_fatal(const struct log *l, const char *program, const char *format, ...)
    __attribute__((format(printf, 3, 4))); /* "fatal: text"; does not exit */
/* Start-up lines, boky-style, no program: "‣ INFO  text", "‣ WARN  text", "‣ ERROR text". */
void log_startup(const struct log *l, enum log_severity severity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* smtpd */
void log_connect(const struct log *l, const struct log_peer *p);
void log_lost_connection(
    const struct log *l, const char *queue_id, const char *after,
    const struct log_peer *p); /* queue_id "" or NULL: none; after: "RCPT", "DATA (N bytes)" */
void log_timeout(const struct log *l, const char *queue_id, const char *after,
                 const struct log_peer *p);
void log_too_many_errors(const struct log *l, const char *queue_id, const char *after,
                         const struct log_peer *p);
void log_improper_pipelining(const struct log *l, const char *after, const struct log_peer *p,
                             struct span input);
/*
 * "< NAME[ADDR]: EHLO x" and "> NAME[ADDR]: 250 mx.example.com": one line of the dialogue with a
 * client of debug_peer_list, in Postfix's verbose words. Never for bodies and secrets: the caller
 * knows which these are.
 */
void log_dialogue(const struct log *l, const struct log_peer *p, bool from_client,
                  struct span text);
/* "warning: WHAT limit exceeded: N from NAME[ADDR] for service smtp"; what: "Connection
 * concurrency", "Connection rate", "Message delivery request rate", "Recipient address rate". user:
 * whose it is, ", sasl_username=USER" behind it; NULL: the client's. */
void log_client_limit(const struct log *l, const char *what, uint64_t count,
                      const struct log_peer *p, const char *user);
/* counts: "ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4" */
void log_disconnect(const struct log *l, const struct log_peer *p, const char *counts);
void log_client(const struct log *l, const char *queue_id, const struct log_peer *p);
/* The same, and ", sasl_method=PLAIN, sasl_username=ann". */
void log_client_login(const struct log *l, const char *queue_id, const struct log_peer *p,
                      const char *method, const char *user);
/* "warning: NAME[ADDR]: SASL PLAIN authentication failed: WHY, sasl_username=ann" */
void log_auth_failed(const struct log *l, const struct log_peer *p, const char *method,
                     const char *why, const char *user);
/* "warning: NAME[ADDR]: SASL PLAIN authentication aborted" */
void log_auth_aborted(const struct log *l, const struct log_peer *p, const char *method);
/* "Anonymous TLS connection established from NAME[ADDR]: TLSv1.2 with cipher C (128/128 bits)";
 * " to SNI" behind the peer where `server_name` is not NULL. */
void log_tls_client(const struct log *l, const struct log_peer *p, const struct tls_facts *tls,
                    const char *server_name);
/* "WHAT error from NAME[ADDR]: WHY"; what: "SSL_accept", "SSL_read". */
void log_tls_error(const struct log *l, const char *what, const struct log_peer *p,
                   const char *why);
/*
 * QID|NOQUEUE: reject: STAGE from NAME[ADDR]: REPLY; from=<s> to=<r> proto=P helo=<h>
 * stage "MAIL", "RCPT", "DATA", "END-OF-MESSAGE", "CONNECT"; reply: the reply line as sent. sender,
 * recipient and helo may be NULL: left out. The reply is cut at 250 bytes.
 */
struct log_reject {
    const char *queue_id;
    const char *stage;
    struct log_peer peer;
    const char *reply;
    const char *sender;
    const char *recipient;
    const char *protocol;
    const char *helo;
    bool warning; /* "reject_warning": it was let through */
};
void log_reject(const struct log *l, const struct log_reject *r);

/* pickup: mail that a local command brought; sender "" is the null sender; original: the id of the
 * message that was resent, "" none */
void log_pickup(const struct log *l, const char *queue_id, unsigned uid, struct span sender,
                const char *original);

/* cleanup, qmgr, lmtp */
void log_message_id(const struct log *l, const char *queue_id,
                    const char *message_id); /* "<...>" or "" */
void log_queue_active(const struct log *l, const char *queue_id, const char *sender, uint64_t size,
                      size_t recipients);
void log_removed(const struct log *l, const char *queue_id);
void log_expired(const struct log *l, const char *queue_id, const char *sender, bool returned);
/* The same because an operator wanted it. */
void log_force_expired(const struct log *l, const char *queue_id, const char *sender,
                       bool returned);
/* bounce: the report about a message that was taken into custody. "sender non-delivery
 * notification: NEWID"; to the operator "postmaster non-delivery notification". */
void log_bounce(const struct log *l, const char *queue_id, const char *what, const char *report_id);
/* postsuper: what an operator's order did to one message ("placed on hold"), and to how many
 * ("Placed on hold"). */
void log_order(const struct log *l, const char *queue_id, const char *done);
void log_order_total(const struct log *l, const char *total, uint64_t messages);
void log_connect_failed(const struct log *l, const char *program, const char *where,
                        const char *why); /* connect to HOST[ADDR]:2525: Connection refused */

enum log_status { LOG_STATUS_SENT, LOG_STATUS_DEFERRED, LOG_STATUS_BOUNCED };
struct log_delivery {
    const char *program; /* "lmtp", "smtp", "virtual" (maildir) */
    const char *queue_id;
    const char *recipient;
    const char *relay; /* "HOST[ADDR]:2525" or "none" */
    unsigned conn_use; /* 1 for a fresh connection: then not shown */
    /* seconds: before the queue manager, in it, connection set-up, transmission; "delay" is their
     * sum */
    double delays[4];
    const char *dsn;
    enum log_status status;
    const char *text; /* in parentheses; cut at 1024 bytes */
};
void log_delivery(const struct log *l, const struct log_delivery *d);
/* Writes a delay as Postfix does: up to 2 significant digits, at most 2 decimals ("0.42", "12",
 * "0"). */
struct text;
void log_text_delay(struct text *t, double seconds);

#endif
