/* smtp_line - see line.h */
#include "smtp/line.h"

#include <assert.h>
#include <string.h>

void smtp_line_init(struct smtp_line *line, size_t limit)
{
    assert(limit >= 1 && limit <= SMTP_LINE_CAP);
    line->limit = limit;
    line->done = true;
    line->len = 0;
    line->cr = false;
    line->overflow = false;
    line->bare_lf = false;
}

static void start(struct smtp_line *line)
{
    line->done = false;
    line->len = 0;
    line->cr = false;
    line->overflow = false;
    line->bare_lf = false;
}

static void keep(struct smtp_line *line, struct span s)
{
    size_t room = line->limit - line->len;

    if (s.len > room)
        line->overflow = true;
    s = span_first(s, room);
    if (s.len > 0)
        memcpy(line->text + line->len, s.ptr, s.len);
    line->len += s.len;
}

/* `part` holds no LF. A CR at its end is held back: only the next byte tells what it is. */
static void take(struct smtp_line *line, struct span part)
{
    if (part.len == 0)
        return;
    if (line->cr)
        keep(line, SPAN_LIT("\r"));
    line->cr = part.ptr[part.len - 1] == '\r';
    keep(line, span_first(part, part.len - (line->cr ? 1 : 0)));
}

enum smtp_line_event smtp_line_feed(struct smtp_line *line, struct span *in)
{
    size_t part_len = span_find(*in, '\n');
    bool ended = part_len < in->len;

    if (in->len == 0)
        return SMTP_LINE_MORE; /* a finished line stays readable */
    if (line->done)
        start(line);
    take(line, span_first(*in, part_len));
    *in = span_from(*in, part_len + (ended ? 1 : 0));
    if (!ended)
        return SMTP_LINE_MORE;
    line->bare_lf = !line->cr;
    line->done = true;
    return line->overflow ? SMTP_LINE_TOO_LONG : SMTP_LINE_READY;
}

bool smtp_line_partial(const struct smtp_line *line)
{
    return !line->done;
}
