/*
 * session_internal - what the files of server/session* share; nobody else includes it
 *
 *   session.c          entry points, the loop over input, deadlines, the end of a session
 *   session_reply.c    the one door for replies, and what the log says of them
 *   session_command.c  command lines: the table, and the commands that start no transaction
 *   session_hello.c    HELO and EHLO
 *   session_mail.c     MAIL, RCPT and the answers they wait for
 *   session_auth.c     AUTH
 *   session_rate.c     limits of how much in which time
 *   session_check.c    the restrictions, before RCPT and DATA are answered
 *   session_tls.c      STARTTLS, and what is refused without it
 *   session_data.c     DATA and BDAT: framing, limits, the end of a message
 *   session_body.c     where body bytes go: our Received first, then room by room
 */
#ifndef MXGATE_SERVER_SESSION_INTERNAL_H
#define MXGATE_SERVER_SESSION_INTERNAL_H

#include "server/session.h"

#include "base/text.h"

#define SESSION_EOM "END-OF-MESSAGE" /* as "where", and as the stage of a reject */

/* session.c */
void session_enter(struct session *s, enum session_state next);
/* Forgets the transaction and its body; HELO is remembered. */
void session_reset(struct session *s);
/* The command under way has had its last reply: counts it, and hangs up on too many errors. */
void session_done(struct session *s);
/* The session goes on after an answer: takes up what waited, then asks for the input that was kept.
 */
void session_answered(struct session *s);
/* True when `what` was due; it is not any more. */
bool session_take_answer(struct session *s, enum session_busy what);

/* session_reply.c */
void session_reply(struct session *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void session_reply_line(struct session *s, const char *line);
/* The same, and "reject: STAGE from ..." in the log; sender and recipient may be NULL. */
void session_reject(struct session *s, const char *stage, const char *sender, const char *recipient,
                    const char *line);
/* "reject_warning: STAGE from ...", and nothing to the client. */
void session_reject_warning(struct session *s, const char *stage, const char *sender,
                            const char *recipient, const char *line);
void session_hang_up(struct session *s);
/* To be called before any line about this client: "connect from ..." comes first. */
void session_log_connect(struct session *s);
void session_log_disconnect(struct session *s);
/* For clients in debug_peer_list: the command line under way; never the arguments of AUTH. */
void session_log_command(struct session *s);
/* Likewise: a line of AUTH's dialogue, which is never shown. */
void session_log_response(struct session *s);
/* The input up to an AUTH in it, for lines that show input. */
struct span session_without_secret(const struct session *s, struct span input);
/* "lost connection", "timeout" or "too many errors" after what the client did last. */
void session_log_end(struct session *s,
                     void (*log_end)(const struct log *l, const char *queue_id, const char *after,
                                     const struct log_peer *p));

/* session_command.c: these take from `in` what they use and return false when they need more, or an
 * answer */
bool session_command_step(struct session *s, struct span *in);
/* A command's handler; `c` points into s->line. */
typedef void session_command_fn(struct session *s, const struct smtp_command *c);
/* Refuses MAIL and VRFY before HELO where the settings want it. */
bool session_wants_helo(struct session *s);
/* Whether a list of words has this one. */
bool session_is_listed(const char *list, struct span wanted);
/* More came with a command that must be answered first: told in the log, and hung up on. */
void session_refuse_pipelining(struct session *s);
/* The command in s->line is run after all: its pause is over. */
void session_command_resume(struct session *s);

/* session_hello.c */
session_command_fn session_helo;
session_command_fn session_ehlo;
/* Whether EHLO names it: what it stands for is refused otherwise. */
bool session_offers(const struct session *s, const char *keyword);

/* session_tls.c */
session_command_fn session_starttls;
/* Whether EHLO offers STARTTLS now. */
bool session_offers_tls(const struct session *s);
/* The reply to what must not be said in clear text; NULL: it may. */
const char *session_tls_demand(const struct session *s);
/* On a wrapped port: begins the handshake, or hangs up. */
void session_start_wrapped(struct session *s);
/* "TLS connection established from ...", once, when "connect from" has been logged. */
void session_log_tls(struct session *s);

/* session_rate.c: true when the client, or its user, has reached a limit and was told so. */
bool session_over_rate(struct session *s, enum session_event event, uint64_t limit);
bool session_over_mail_rate(struct session *s);
bool session_over_rcpt_rate(struct session *s);

/* session_auth.c */
session_command_fn session_auth;
/* One line of the dialogue. */
bool session_auth_step(struct session *s, struct span *in);
/* A dialogue that is under way is over; nothing is said. */
void session_auth_forget(struct session *s);
/* "PLAIN LOGIN": what may be used now. False: nothing. */
bool session_put_mechanisms(const struct session *s, struct text *t);
/* Refuses MAIL where a login is needed first. */
bool session_wants_auth(struct session *s);

/* session_mail.c */
session_command_fn session_mail;
session_command_fn session_rcpt;
void session_ask_peer(struct session *s); /* once */
/* What the lists said of the recipient in s->rcpt; line NULL: nothing against it. */
void session_rcpt_checked(struct session *s, const char *line, bool ask_upstream);

/* session_check.c */
enum session_check_stage { SESSION_CHECK_RCPT, SESSION_CHECK_DATA };
/* Runs the lists; session_rcpt_checked() or session_data_checked() has come, or will. False when
 * memory is out: neither will. */
bool session_check(struct session *s, enum session_check_stage stage);
void session_check_resume(struct session *s); /* after a pause */

/* session_data.c */
session_command_fn session_data;
session_command_fn session_bdat;
/* What the lists said of DATA or the first BDAT; line NULL: nothing against it. */
void session_data_checked(struct session *s, const char *line);
/* Whom the log names at DATA, or NULL: a line that names one of several would mislead. */
const char *session_only_recipient(const struct session *s);
bool session_data_step(struct session *s, struct span *in);
bool session_bdat_step(struct session *s, struct span *in);
/* The message is refused with this reply; its bytes are swallowed. */
void session_data_refuse(struct session *s, const char *line);

/* session_body.c */
#define SESSION_SCRATCH 4096

struct session_room {
    char *ptr;
    size_t cap;
    char *target; /* where the bytes go when ptr is scratch and the message is not refused */
    size_t target_cap;
    char scratch[SESSION_SCRATCH]; /* for bytes of a message that is refused; and of headers */
};

/* False when body bytes are due, or room for them, and there is none now (BUSY_ROOM). */
bool session_body_room(struct session *s, struct session_room *room);
/* `len` canonical bytes were written at room->ptr. */
void session_body_took(struct session *s, struct session_room *room, size_t len);
/* No more bytes come. False as above: call again. */
bool session_body_end(struct session *s);

#endif
