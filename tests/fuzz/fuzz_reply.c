/* Fuzz smtp/reply: the same events however the input is cut; a reply is one clean line that parses
 * again. */
#include "input.h"
#include "smtp/reply.h"

#include <assert.h>
#include <string.h>

static bool is_printable(const char *s)
{
    while (*s && !ascii_is_control(*s))
        s++;
    return *s == '\0';
}

static void check_reply(const struct smtp_reply *r)
{
    static struct smtp_reply_parser parser;
    char line[SMTP_REPLY_TEXT_CAP + 2];
    struct text t;
    struct span in;

    assert(r->code >= 200 && r->code <= 559 && is_printable(r->text) && is_printable(r->enhanced));
    assert(r->enhanced[0] == '\0' || r->enhanced[0] == (char)('0' + r->code / 100));
    text_init(&t, line, sizeof line);
    text_printf(&t, "%s\r\n", r->text);
    assert(!t.overflow);
    in = text_as_span(&t);
    smtp_reply_parser_init(&parser);
    assert(smtp_reply_feed(&parser, &in) == SMTP_REPLY_READY && in.len == 0);
    assert(parser.reply.code == r->code && strcmp(parser.reply.text, r->text) == 0);
}

static void note_events(struct smtp_reply_parser *p, struct span in, struct text *out)
{
    static const char marks[] = "?-=!";

    while (in.len > 0) {
        size_t before = in.len;
        enum smtp_reply_event event = smtp_reply_feed(p, &in);

        assert(in.len < before);
        if (event == SMTP_REPLY_MORE)
            break;
        assert(strlen(p->line) == p->line_len && p->line_len <= SMTP_REPLY_LINE_MAX + 1);
        assert(is_printable(p->line));
        assert(event == SMTP_REPLY_READY || smtp_reply_partial(p));
        text_char(out, marks[event]);
        text_cstr(out, p->line);
        if (event == SMTP_REPLY_READY) {
            check_reply(&p->reply);
            text_cstr(out, p->reply.text);
            text_cstr(out, p->reply.enhanced);
        }
        text_char(out, '\n');
        if (event == SMTP_REPLY_BAD)
            return;
    }
    assert(in.len == 0);
}

static void run(struct span in, size_t cut, struct text *out)
{
    static struct smtp_reply_parser parser;

    smtp_reply_parser_init(&parser);
    note_events(&parser, span_first(in, cut), out);
    if (!parser.bad)
        note_events(&parser, span_from(in, cut), out);
    text_cstr(out, smtp_reply_partial(&parser) ? "partial" : "");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char whole_buf[INPUT_MAX * 3];
    static char split_buf[INPUT_MAX * 3];
    struct span in = span_make((const char *)data, size);
    struct text whole;
    struct text split;
    size_t cut = input_choice(&in, INPUT_MAX);

    if (size > INPUT_MAX)
        return 0;
    text_init(&whole, whole_buf, sizeof whole_buf);
    text_init(&split, split_buf, sizeof split_buf);
    run(in, in.len, &whole);
    run(in, cut % (in.len + 1), &split);
    assert(!whole.overflow && span_equal(text_as_span(&whole), text_as_span(&split)));
    return 0;
}
