/*
 * control_format - the bytes between the commands and the daemon on the control socket; pure
 *
 *     request  = verb [ SP argument ] LF             reply = *( "text " line LF ) ( ok / error )
 *     ok       = "ok" LF                             error = "error " exit-code SP words LF
 *
 *     IDLE --submit--> FROM --from--> RCPT_FIRST --rcpt--> RCPT --chunk--> BODY --end--> IDLE
 *       ping, status,                                rcpt again |  |end      chunk again
 *       active, flush, ...                                           v
 *                                                                   IDLE
 *
 * "chunk N" is followed by N raw bytes. Only what ends with "end" is a submission: a connection
 * that breaks before it leaves nothing. Commands and daemon are one program; still the daemon takes
 * nothing on trust: anything that is not a request where it stands is a fault, and after a fault
 * the rest of the connection is not read (it might be a message body).
 *
 * Limits: a request line CONTROL_LINE_MAX, a chunk CONTROL_CHUNK_MAX, a reply line
 * CONTROL_REPLY_MAX.
 */
#ifndef MXGATE_CONTROL_CONTROL_FORMAT_H
#define MXGATE_CONTROL_CONTROL_FORMAT_H

#include "base/queue_id.h"
#include "base/text.h"
#include "smtp/verdict.h"

#define CONTROL_LINE_MAX  2048 /* bytes, without the LF */
#define CONTROL_CHUNK_MAX 65536
#define CONTROL_REPLY_MAX 163968 /* the longest is "text " and CONTROL_STATUS_CAP bytes of JSON */

enum control_verb {
    CONTROL_PING,
    CONTROL_STATUS,
    CONTROL_STATUS_JSON,
    CONTROL_ACTIVE,     /* ids under delivery, one text line each */
    CONTROL_FLUSH,      /* everything due now */
    CONTROL_FLUSH_ID,   /* argument: id */
    CONTROL_FLUSH_SITE, /* argument: a domain */
    CONTROL_RELOAD,
    CONTROL_ORDER,      /* argument: see queue/queue_order.h */
    CONTROL_DRAIN,      /* argument: ms of patience; the progress in a text line, as of the next */
    CONTROL_DRAIN_SHOW, /* only the progress: see control_format_drain.h */
    CONTROL_DRAIN_UNDO,
    CONTROL_STOP,   /* ends the daemon; ok comes at once, the connection's end when all is done */
    CONTROL_VERIFY, /* argument: "<address>"; one text line, or the refusal as an error */
    CONTROL_SMTP,   /* no reply: the connection becomes an SMTP session, its greeting comes */
    CONTROL_SUBMIT,
    CONTROL_RESUBMIT, /* argument: id of the queued message whose content comes; else as SUBMIT */
    CONTROL_FROM,     /* argument: "<address>" and parameters as in MAIL */
    CONTROL_RCPT,     /* argument: "<address>" and parameters as in RCPT */
    CONTROL_CHUNK,
    CONTROL_END,
    CONTROL_VERB_COUNT
};

enum control_stage {
    CONTROL_IDLE,
    CONTROL_WANT_FROM,
    CONTROL_WANT_RCPT,
    CONTROL_IN_RCPT,
    CONTROL_IN_BODY,
    CONTROL_BROKEN, /* after a fault */
};

struct control_parser {
    enum control_stage stage;
    uint64_t chunk_left; /* raw bytes still to come */
    size_t len;
    char line[CONTROL_LINE_MAX];
};

struct control_request {
    enum control_verb verb;
    struct span argument; /* points into the parser; valid until the next call */
    struct queue_id id;   /* of FLUSH_ID, RESUBMIT */
};

enum control_event {
    CONTROL_MORE,    /* all input taken, nothing complete */
    CONTROL_REQUEST, /* *request_out */
    CONTROL_BYTES,   /* *bytes_out: what is there of a chunk; see control_take */
    CONTROL_FAULT,   /* *bytes_out: why, in words */
};

void control_parser_init(struct control_parser *p);
/*
 * Takes bytes off `in` up to the next event; the same events for every split of the input. The
 * bytes of a chunk are shown, not taken, and shown again until control_take() says how many were
 * used.
 */
enum control_event control_parse(struct control_parser *p, struct span *in,
                                 struct control_request *request_out, struct span *bytes_out);
void control_take(struct control_parser *p, struct span *in, size_t len);

/* Replies, each a line. Control bytes become '?', so a reply is a line whatever peers said. */
void control_put_text(struct text *t, struct span line);
void control_put_ok(struct text *t);
void control_put_error(struct text *t, int exit_code, struct span words);

enum control_reply { CONTROL_REPLY_TEXT, CONTROL_REPLY_OK, CONTROL_REPLY_ERROR, CONTROL_REPLY_BAD };
/* One reply line without its LF. TEXT: *words_out is the line; ERROR: the words, *exit_code_out >
 * 0. */
enum control_reply control_reply_parse(struct span line, struct span *words_out,
                                       int *exit_code_out);

/*
 * The exit code (sysexits.h) for what the daemon said of a message: 0, EX_TEMPFAIL for 4xx,
 * EX_NOUSER for 5.1.x and for recipients without a domain, EX_DATAERR for the message itself
 * (5.3.4, 5.6.x), else EX_UNAVAILABLE.
 */
int control_exit_code(const struct smtp_verdict *verdict);

#endif
