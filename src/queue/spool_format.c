/* spool_format - see spool_format.h; reading is in spool_format_parse.c */
#include "queue/spool_format.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Everything in a header line but its texts: verbs, numbers, flags,
 * "NOTIFY=NEVER,SUCCESS,FAILURE,DELAY". */
#define LINE_OVERHEAD 128
#define ESCAPED_MAX   4 /* bytes for one */
#define DSN_MAX       32

/* ---- escaping -------------------------------------------------------------- */

static bool is_plain(char c, bool in_quotes)
{
    return !ascii_is_control(c) && c != '"' && c != '\\' && (c != ' ' || in_quotes);
}

static void put_escaped(struct text *t, char c)
{
    text_printf(t, "\\x%02X", (unsigned)(unsigned char)c);
}

/* At most `room` bytes; what does not fit any more is left out. */
static void put_text(struct text *t, struct span s, bool in_quotes, size_t room)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i] ? s.ptr[i] : '?';
        size_t need = is_plain(c, in_quotes) ? 1 : ESCAPED_MAX;

        if (need > room)
            return;
        room -= need;
        if (need == 1)
            text_char(t, c);
        else
            put_escaped(t, c);
    }
}

static void put_word(struct text *t, const char *word)
{
    if (strcmp(word, "-") == 0)
        put_escaped(t, '-');
    else
        put_text(t, span_of(word[0] ? word : "-"), false, SIZE_MAX);
}

/* ---- header ---------------------------------------------------------------- */

static size_t text_room(const char *s)
{
    return s ? strlen(s) * ESCAPED_MAX : 0;
}

size_t spool_format_header_size(const struct envelope *e)
{
    size_t size = 6 * LINE_OVERHEAD; /* the lines that are there once, and the NUL */

    size += text_room(e->client_name) + text_room(e->client_address) + text_room(e->helo) +
            text_room(e->protocol) + text_room(e->sender) + text_room(e->envid);
    for (size_t i = 0; i < e->recipient_count; i++) {
        size +=
            LINE_OVERHEAD + text_room(e->recipients[i].address) + text_room(e->recipients[i].orcpt);
    }
    return size;
}

static void put_sender(struct text *t, const struct envelope *e)
{
    text_cstr(t, "sender <");
    put_text(t, span_of(e->sender), false, SIZE_MAX);
    text_char(t, '>');
    if (e->eight_bit)
        text_cstr(t, " 8BITMIME");
    if (e->smtputf8)
        text_cstr(t, " SMTPUTF8");
    if (e->ret != SMTP_RET_NONE)
        text_cstr(t, e->ret == SMTP_RET_FULL ? " RET=FULL" : " RET=HDRS");
    if (e->envid[0]) {
        text_cstr(t, " ENVID=");
        put_word(t, e->envid);
    }
    text_char(t, '\n');
}

static void put_notify(struct text *t, unsigned notify)
{
    static const struct {
        unsigned bit;
        const char *word;
    } words[] = {
        {SMTP_NOTIFY_NEVER,   "NEVER"  },
        {SMTP_NOTIFY_SUCCESS, "SUCCESS"},
        {SMTP_NOTIFY_FAILURE, "FAILURE"},
        {SMTP_NOTIFY_DELAY,   "DELAY"  },
    };
    const char *before = " NOTIFY=";

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!(notify & words[i].bit))
            continue;
        text_cstr(t, before);
        text_cstr(t, words[i].word);
        before = ",";
    }
}

static void put_recipient(struct text *t, size_t index, const struct recipient *r)
{
    text_cstr(t, "rcpt ");
    text_u64(t, index);
    text_cstr(t, " <");
    put_text(t, span_of(r->address), false, SIZE_MAX);
    text_char(t, '>');
    put_notify(t, r->notify);
    if (r->orcpt) {
        text_cstr(t, " ORCPT=");
        put_word(t, r->orcpt);
    }
    text_char(t, '\n');
}

void spool_format_header(struct text *t, const struct envelope *e, uint64_t body_len)
{
    text_printf(t, "mxgate-spool 1\nid %s\n", e->id.text);
    text_printf(t, "arrival %" PRId64 ".%06" PRId64 "\nclient ", e->arrival_us / 1000000,
                e->arrival_us % 1000000);
    put_word(t, e->client_name);
    text_char(t, ' ');
    put_word(t, e->client_address);
    text_printf(t, " %u helo=", (unsigned)e->client_port);
    put_word(t, e->helo);
    text_cstr(t, " proto=");
    put_word(t, e->protocol);
    text_char(t, '\n');
    put_sender(t, e);
    for (size_t i = 0; i < e->recipient_count; i++)
        put_recipient(t, i, &e->recipients[i]);
    text_printf(t, "body %013" PRIu64 "\n", body_len);
}

char *spool_format_header_new(const struct envelope *e, uint64_t body_len, size_t *len_out)
{
    size_t cap = spool_format_header_size(e);
    char *bytes = malloc(cap);
    struct text t;

    if (!bytes)
        return NULL;
    text_init(&t, bytes, cap);
    spool_format_header(&t, e, body_len);
    *len_out = t.len;
    return bytes;
}

/* ---- what follows the body ------------------------------------------------- */

void spool_format_end(struct text *t, uint32_t crc)
{
    text_printf(t, "end crc32c=%08" PRIx32 "\n", crc);
}

/* ` "why"` and the LF, the record's `used` bytes so far counted against SPOOL_RECORD_CAP. */
static void put_quoted_end(struct text *t, struct span why, size_t used)
{
    text_cstr(t, " \"");
    put_text(t, why, true, SPOOL_RECORD_CAP - 1 - used - sizeof " \"\"\n" + 1);
    text_cstr(t, "\"\n");
}

static void put_attempt(struct text *t, const char *name, int64_t wall_s, size_t rcpt,
                        const char *result, const char *dsn, struct span reason)
{
    char head[256];
    struct text h;

    text_init(&h, head, sizeof head);
    text_printf(&h, "%s %" PRId64 " rcpt=%zu %s ", name, wall_s, rcpt, result);
    put_text(&h, span_of(dsn[0] ? dsn : "-"), false, DSN_MAX);
    text_span(t, text_as_span(&h));
    put_quoted_end(t, reason, h.len);
}

void spool_format_attempt(struct text *t, int64_t wall_s, size_t rcpt, enum spool_result result,
                          const char *dsn, struct span reason)
{
    static const char *const names[] = {"sent", "deferred", "failed"};

    put_attempt(t, "attempt", wall_s, rcpt, names[result], dsn, reason);
}

static void put_order(struct text *t, const char *name, int64_t wall_s, struct span why)
{
    char head[64];
    struct text h;

    text_init(&h, head, sizeof head);
    text_printf(&h, "%s %" PRId64, name, wall_s);
    text_span(t, text_as_span(&h));
    put_quoted_end(t, why, h.len);
}

void spool_format_hold(struct text *t, int64_t wall_s, struct span why)
{
    put_order(t, "hold", wall_s, why);
}

void spool_format_release(struct text *t, int64_t wall_s, struct span why)
{
    put_order(t, "release", wall_s, why);
}

void spool_format_requeue(struct text *t, int64_t wall_s, struct span why)
{
    put_order(t, "requeue", wall_s, why);
}

void spool_format_expire(struct text *t, int64_t wall_s, struct span why)
{
    put_order(t, "expire", wall_s, why);
}

void spool_format_report(struct text *t, int64_t wall_s, enum spool_report what, const char *id)
{
    static const char *const names[] = {"bounce", "bounced", "notice",  "noticed",
                                        "delay",  "delayed", "success", "succeeded"};

    put_order(t, names[what], wall_s, span_of(id));
}

void spool_format_owed(struct text *t, int64_t wall_s, size_t rcpt, enum recipient_owes owes,
                       const char *dsn, struct span how)
{
    put_attempt(t, "owed", wall_s, rcpt, owes == RECIPIENT_OWES_DELIVERED ? "delivered" : "relayed",
                dsn, how);
}
