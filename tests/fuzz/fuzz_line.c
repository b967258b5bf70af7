/* Fuzz smtp/line: the same lines however the input is cut, none longer than the limit, none with
 * LF. */
#include "base/text.h"
#include "input.h"
#include "smtp/line.h"

#include <assert.h>
#include <string.h>

static void note_lines(struct smtp_line *line, struct span in, struct text *out)
{
    enum smtp_line_event event;

    while ((event = smtp_line_feed(line, &in)) != SMTP_LINE_MORE) {
        struct span text = span_make(line->text, line->len);

        assert(line->len <= line->limit);
        assert(span_find(text, '\n') == text.len);
        assert(!smtp_line_partial(line));
        text_char(out, event == SMTP_LINE_READY ? '=' : '!');
        text_span(out, event == SMTP_LINE_READY ? text : (struct span){NULL, 0});
        text_cstr(out, line->bare_lf ? "|\n" : "|\r\n");
    }
    assert(in.len == 0);
}

static void run(struct span in, size_t limit, size_t cut, struct text *out)
{
    static struct smtp_line line;

    smtp_line_init(&line, limit);
    note_lines(&line, span_first(in, cut), out);
    note_lines(&line, span_from(in, cut), out);
    text_cstr(out, smtp_line_partial(&line) ? "partial" : "");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char whole_buf[INPUT_MAX * 4];
    static char split_buf[INPUT_MAX * 4];
    struct span in = span_make((const char *)data, size);
    struct text whole;
    struct text split;
    size_t limit = 1 + input_choice(&in, SMTP_LINE_CAP - 1);
    size_t cut = input_choice(&in, INPUT_MAX);

    if (size > INPUT_MAX)
        return 0;
    text_init(&whole, whole_buf, sizeof whole_buf);
    text_init(&split, split_buf, sizeof split_buf);
    run(in, limit, in.len, &whole);
    run(in, limit, cut % (in.len + 1), &split);
    assert(!whole.overflow && span_equal(text_as_span(&whole), text_as_span(&split)));
    return 0;
}
