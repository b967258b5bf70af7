/*
 * spool_format - the bytes of a spool file (DESIGN 5); pure
 *
 *     mxgate-spool 1
 *     id 06401F3A9C2E7001
 *     arrival 1763770000.123456
 *     client mail.example.org 203.0.113.9 51234 helo=mail.example.org proto=ESMTPS
 *     sender <bob@example.org> [8BITMIME] [SMTPUTF8] [RET=FULL|HDRS] [ENVID=xtext]
 *     rcpt 0 <ann@example.com> [NOTIFY=SUCCESS,FAILURE] [ORCPT=rfc822;ann@example.com]
 *     rcpt 1 <joe@example.com>
 *     body 0000000012345
 *     ...12345 bytes, canonical (CRLF lines), exactly as they will be sent, before dot-stuffing...
 *     end crc32c=89abcdef
 *     attempt 1763770300 rcpt=0 sent 2.0.0 "250 2.0.0 <ann@example.com> Saved"
 *     attempt 1763770300 rcpt=1 deferred 4.2.2 "452 4.2.2 <joe@example.com> Quota exceeded"
 *     hold 1763770300 "expired"
 *     release 1763770300 "by the operator"
 *     requeue 1763770300 "by the operator"
 *     expire 1763770300 "by the operator"
 *     bounce 1763770300 "06401F3A9C2E8001"
 *     bounced 1763770300 "06401F3A9C2E8001"
 *     notice 1763770300 "06401F3A9C2E9001"
 *     noticed 1763770300 "06401F3A9C2E9001"
 *     delay 1763770300 "06401F3A9C2EA001"
 *     delayed 1763770300 "06401F3A9C2EA001"
 *     owed 1763770300 rcpt=0 delivered 2.0.0 "delivery via mail[192.0.2.1]:24: 250 2.0.0 Saved"
 *     success 1763770300 "06401F3A9C2EB001"
 *     succeeded 1763770300 "06401F3A9C2EB001"
 *
 * Lines of the file end in LF. The body's length is written with thirteen digits (any
 * message_size_limit fits) so that a file begun while the message arrives can be completed in
 * place. "end" stands on its own line after the body (the body is canonical, so it ends in CRLF or
 * is empty). The sum covers the body's bytes, then the header's bytes from "mxgate-spool" to the LF
 * of the body line: in that order, since the header is completed last.
 *
 * Escaping: '"', '\', control bytes and DEL are written \xHH, in words outside quotes blanks too;
 * so a line is a line and a word a word, whatever peers say. A word that is empty is "-" (and a "-"
 * is \x2D). No text holds NUL.
 *
 * The header is read strictly, but for words with "=" that are not known (a newer version's): they
 * are skipped. After "end" the file is only appended to. A record that is torn (no LF at the very
 * end) is ignored, and so is a line with NUL in it: records that say nothing final are not synced,
 * and power loss may leave a hole where one was, before others; any other complete line that is not
 * understood makes the file corrupt, except that unknown record names (lower-case letters) are
 * skipped. A recipient that was sent stays sent whatever records follow; one that failed for good
 * (attempt ... failed 5.1.1 "...") stays failed or becomes sent, unless the operator wants it tried
 * again: "requeue" makes all that failed pending, and so does "release" where nothing else is
 * pending (there would be nothing to release). Both begin the message's life anew: it expires that
 * much later. "expire" lets it expire now, or, while it is on hold, as soon as it is released;
 * releasing what is on hold because it has expired takes that back.
 *
 * "bounce ID" says that a report to the sender is about to be taken into custody under this id,
 * about all that failed before this line (and, of a message on hold because it has expired, all
 * that are pending); "bounced ID" that it was: their sender has been told, and they stay failed
 * whatever an operator orders. "delay" and "delayed" say the same of the report that it is late,
 * which comes once ("delayed" without an id: nobody is to be told); "success" and "succeeded" of
 * the one that it was delivered, about all that were sent before that line and owe such a report.
 * "owed", just before the line that a recipient was sent, says that it does: it asked for it by
 * NOTIFY=SUCCESS, and the upstream ("delivered": its mail store; "relayed": another mail system)
 * sends none. "notice" and "noticed" say the same of a notice to the operator, who is told
 * once of what is on hold; "noticed" without an id that there was none to be sent. Which of the two
 * holds after a crash is told by whether queue/ has the report: it is not delivered before the
 * second record is written, or the message removed.
 */
#ifndef MXGATE_QUEUE_SPOOL_FORMAT_H
#define MXGATE_QUEUE_SPOOL_FORMAT_H

#include "base/errbuf.h"
#include "base/text.h"
#include "message/envelope.h"

/* Room for the header of this envelope and a NUL, in bytes: what to allocate for
 * spool_format_header. */
size_t spool_format_header_size(const struct envelope *e);
/* Writes the header, up to and including the LF of the body line. body_len in bytes. */
void spool_format_header(struct text *t, const struct envelope *e, uint64_t body_len);
/* The same on the heap. Its length does not depend on body_len below 10^13. NULL when memory is
 * out. */
char *spool_format_header_new(const struct envelope *e, uint64_t body_len, size_t *len_out);
#define SPOOL_END_CAP 32
/* "end crc32c=...\n"; crc as described above. */
void spool_format_end(struct text *t, uint32_t crc);

enum spool_result { SPOOL_SENT, SPOOL_DEFERRED, SPOOL_FAILED };
#define SPOOL_RECORD_CAP 2048 /* one record and a NUL always fit: long reasons are cut */
void spool_format_attempt(struct text *t, int64_t wall_s, size_t rcpt, enum spool_result result,
                          const char *dsn, struct span reason);
void spool_format_hold(struct text *t, int64_t wall_s, struct span why);
void spool_format_release(struct text *t, int64_t wall_s, struct span why);
void spool_format_requeue(struct text *t, int64_t wall_s, struct span why);
void spool_format_expire(struct text *t, int64_t wall_s, struct span why);
#define SPOOL_WHY_EXPIRED "expired" /* of a hold */
#define SPOOL_WHY_FAILED  "failed"
/* A report is begun; the next is: it is in custody. */
enum spool_report {
    SPOOL_BOUNCE,
    SPOOL_BOUNCED,
    SPOOL_NOTICE,
    SPOOL_NOTICED,
    SPOOL_DELAY,
    SPOOL_DELAYED,
    SPOOL_SUCCESS,
    SPOOL_SUCCEEDED,
};
void spool_format_report(struct text *t, int64_t wall_s, enum spool_report what, const char *id);
void spool_format_owed(struct text *t, int64_t wall_s, size_t rcpt, enum recipient_owes owes,
                       const char *dsn, struct span how);

/* What a file says. */
struct spool_file {
    struct envelope *envelope; /* owned; states and reasons as of the last complete record */
    uint64_t body_offset;      /* of the body's first byte */
    uint64_t body_len;
    bool on_hold;
    char hold_why[64];         /* cut */
    bool forced_expire;        /* it is to expire now; or did, and lies on hold */
    bool noticed;              /* an operator was told why it is on hold */
    bool delayed;              /* its sender was told that it is late, or need not be */
    enum spool_report report;  /* of report_id: the one that says that it is begun */
    struct queue_id report_id; /* begun, not known to be in custody; "": none */
    int64_t released_s;        /* wall seconds of the last release or requeue, 0 when none */
    unsigned attempts;         /* distinct attempt times in the records */
    int64_t last_attempt_s;    /* wall seconds, 0 when none */
};
void spool_file_deinit(struct spool_file *f);

enum spool_parse {
    SPOOL_PARSE_OK,
    SPOOL_PARSE_MORE,    /* header: more bytes are needed */
    SPOOL_PARSE_CORRUPT, /* err says what, with the line */
    SPOOL_PARSE_NO_MEMORY,
};
/*
 * The header: `bytes` starts at the file's first byte. OK fills a zeroed *f: envelope, body_offset,
 * body_len; anything else leaves it zeroed. A header over SPOOL_HEADER_MAX, or with a line over
 * SPOOL_LINE_MAX, is corrupt, so the caller may read on as long as the answer is MORE and the file
 * has bytes.
 */
#define SPOOL_HEADER_MAX (64u << 20)
#define SPOOL_LINE_MAX   16384u
enum spool_parse spool_parse_header(struct span bytes, struct spool_file *f, struct errbuf *err);
/*
 * What follows the body, "end" line first: checks it against `crc` if given (NULL: not checked) and
 * applies the records to f->envelope. `bytes` is all of it to the end of the file. Never MORE.
 * Unless OK, some records may have been applied.
 */
enum spool_parse spool_parse_tail(struct span bytes, const uint32_t *crc, struct spool_file *f,
                                  struct errbuf *err);

#endif
