/* header_complete - see header_complete.h */
#include "message/header_complete.h"

#include "base/clock.h"

#include <string.h>
#include <time.h>

enum {
    FOUND_MESSAGE_ID = 1,
    FOUND_DATE = 2,
    FOUND_FROM = 4,
    FOUND_RESENT = 8 /* times the same */
};

#define NAME_PART_MAX 255 /* bytes of a host name */

enum judgement { MORE, FIELD, CONTINUED, EMPTY_LINE, TEXT };

void header_complete_init(struct header_complete *h, const struct envelope *envelope,
                          const char *myhostname, uint64_t limit)
{
    *h = (struct header_complete){.envelope = envelope, .myhostname = myhostname, .limit = limit};
}

static bool is_name_byte(char c)
{
    return c > 32 && c < 127 && c != ':';
}

/* What a line is that begins so. */
static enum judgement judge(const struct header_complete *h)
{
    struct span line = span_make(h->held, h->held_len);
    size_t len = 0;
    size_t colon;

    if (line.ptr[0] == '\r')
        return EMPTY_LINE;
    if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
        return h->any ? CONTINUED : TEXT;
    while (len < line.len && is_name_byte(line.ptr[len]))
        len++;
    colon = len;
    while (colon < line.len && (line.ptr[colon] == ' ' || line.ptr[colon] == '\t'))
        colon++;
    if (len > 0 && colon < line.len && line.ptr[colon] == ':')
        return FIELD;
    if (!h->any && colon > len && /* of a mailbox, which some senders leave in */
        (span_equal_nocase(span_first(line, len), SPAN_LIT("From")) ||
         span_equal_nocase(span_first(line, len), SPAN_LIT(">From"))))
        return CONTINUED;
    return colon == line.len && line.len < sizeof h->held ? MORE : TEXT;
}

static void note_field(struct header_complete *h)
{
    static const struct {
        const char *name;
        unsigned bit;
    } names[] = {
        {"Message-Id", FOUND_MESSAGE_ID},
        {"Date",       FOUND_DATE      },
        {"From",       FOUND_FROM      },
    };
    struct span name = span_make(h->held, h->held_len);
    struct span prefix = SPAN_LIT("Resent-");
    bool resent;

    name = span_trim(span_first(name, span_find(name, ':')));
    resent = span_starts_nocase(name, prefix);
    h->any = true;
    h->resent = h->resent || resent;
    if (resent)
        name = span_from(name, prefix.len);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (span_equal_nocase(name, span_of(names[i].name)))
            h->found |= resent ? names[i].bit * FOUND_RESENT : names[i].bit;
    }
}

static bool is_missing(const struct header_complete *h, unsigned bit)
{
    return (h->found & (h->resent ? bit * FOUND_RESENT : bit)) == 0;
}

/* "<20261126065053.QUEUEID@mx.example.com>", as Postfix makes them. */
static void make_id(struct header_complete *h)
{
    time_t seconds = (time_t)(h->envelope->arrival_us / 1000000);
    struct tm utc;
    struct text t;

    text_init(&t, h->message_id, sizeof h->message_id);
    if (!gmtime_r(&seconds, &utc))
        memset(&utc, 0, sizeof utc);
    text_printf(&t, "<%04d%02d%02d%02d%02d%02d.%s@", utc.tm_year + 1900, utc.tm_mon + 1,
                utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, h->envelope->id.text);
    text_printable_max(&t, span_of(h->myhostname), NAME_PART_MAX);
    text_char(&t, '>');
}

static void put_missing(struct header_complete *h, struct text *out)
{
    const char *prefix = h->resent ? "Resent-" : "";
    const char *sender = h->envelope->sender;

    if (is_missing(h, FOUND_MESSAGE_ID)) {
        make_id(h);
        text_printf(out, "%sMessage-Id: %s\r\n", prefix, h->message_id);
    }
    if (is_missing(h, FOUND_DATE)) {
        text_printf(out, "%sDate: ", prefix);
        clock_text_rfc5322(out, h->envelope->arrival_us);
        text_cstr(out, "\r\n");
    }
    if (is_missing(h, FOUND_FROM)) {
        text_printf(out, "%sFrom: ", prefix);
        text_printable(out, sender && sender[0] ? span_of(sender) : SPAN_LIT("MAILER-DAEMON"));
        text_cstr(out, "\r\n");
    }
}

static void put_held(struct header_complete *h, struct text *out)
{
    text_span(out, span_make(h->held, h->held_len));
    h->held_len = 0;
}

static bool lacks_any(const struct header_complete *h)
{
    return is_missing(h, FOUND_MESSAGE_ID) || is_missing(h, FOUND_DATE) ||
           is_missing(h, FOUND_FROM);
}

static void end_header(struct header_complete *h, bool separate, struct text *out)
{
    bool lacks = lacks_any(h);

    put_missing(h, out);
    if (separate && lacks)
        text_cstr(out, "\r\n");
    put_held(h, out);
    h->state = HEADER_COMPLETE_DONE;
}

/* One more byte of a line's beginning. */
static void take(struct header_complete *h, char c, struct text *out)
{
    h->held[h->held_len++] = c;
    switch (judge(h)) {
    case MORE:
        return;
    case FIELD:
        if (h->seen > h->limit) {
            end_header(h, false, out);
            return;
        }
        note_field(h);
        break;
    case CONTINUED:
        break;
    case EMPTY_LINE:
        end_header(h, false, out);
        return;
    case TEXT:
        end_header(h, true, out);
        return;
    }
    put_held(h, out);
    h->state = HEADER_COMPLETE_REST;
}

void header_complete_feed(struct header_complete *h, struct span canonical, struct text *out)
{
    while (canonical.len > 0) {
        size_t end = span_find(canonical, '\n');
        size_t n =
            h->state == HEADER_COMPLETE_REST && end < canonical.len ? end + 1 : canonical.len;

        if (h->state == HEADER_COMPLETE_LINE) {
            h->seen++;
            take(h, canonical.ptr[0], out);
            canonical = span_from(canonical, 1);
            continue;
        }
        text_span(out, span_first(canonical, n));
        h->seen += n;
        if (h->state == HEADER_COMPLETE_REST && end < canonical.len)
            h->state = HEADER_COMPLETE_LINE;
        canonical = span_from(canonical, n);
    }
}

void header_complete_none(struct header_complete *h, struct text *out)
{
    put_missing(h, out);
    h->state = HEADER_COMPLETE_DONE;
}

void header_complete_end(struct header_complete *h, struct text *out)
{
    if (h->state != HEADER_COMPLETE_DONE)
        end_header(h, false, out);
}
