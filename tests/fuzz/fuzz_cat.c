/*
 * Fuzz control/control_format_cat: the same text however a message is cut; of a file that is a
 * spool file by its header, every line has its margin and nothing of it is lost.
 */
#include "control/control_format_cat.h"
#include "input.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static char whole_buf[INPUT_MAX * 40];
static char split_buf[INPUT_MAX * 40];

static void on_write(void *ctx, struct span bytes)
{
    text_span(ctx, bytes);
}

static struct spool_file message(void)
{
    struct spool_file f = {.envelope = envelope_new(), .body_offset = 1000};

    assert(f.envelope && envelope_set_sender(f.envelope, SPAN_LIT("a@example.net")));
    assert(envelope_add_recipient(f.envelope, SPAN_LIT("u@example.org"), 0, SPAN_LIT("")));
    return f;
}

static void show(struct cat *c, const struct spool_file *f, struct span header, struct span text,
                 size_t cut, struct text *out)
{
    c->write = on_write;
    c->ctx = out;
    c->name = "deferred/06401F3A9C2E7001";
    cat_envelope(c, f, header);
    cat_text(c, span_first(text, cut));
    cat_text(c, span_from(text, cut));
    cat_end(c);
    assert(!out->overflow);
}

static void check_splits(struct span in, size_t cut, unsigned options)
{
    struct spool_file f = message();
    struct text whole, split;

    text_init(&whole, whole_buf, sizeof whole_buf);
    text_init(&split, split_buf, sizeof split_buf);
    for (int i = 0; i < 2; i++) {
        struct cat c = {.parts = options & 7,
                        .offsets = options & 8,
                        .decimal = options & 16,
                        .verbose = options & 32};

        show(&c, &f, SPAN_LIT("mxgate-spool 1\nid x\n"), in, i == 0 ? in.len : cut,
             i == 0 ? &whole : &split);
        assert(c.at == f.body_offset + in.len);
    }
    assert(span_equal(text_as_span(&whole), text_as_span(&split)));
    assert(whole.len == 0 || whole.ptr[whole.len - 1] == '\n');
    spool_file_deinit(&f);
}

/* Header and body alone give back what went in, but for the CRs of its line ends. */
static void check_text(struct span in)
{
    struct spool_file f = message();
    struct cat c = {.parts = CAT_HEADER | CAT_BODY};
    struct text out;
    size_t at = 0;

    text_init(&out, whole_buf, sizeof whole_buf);
    show(&c, &f, SPAN_LIT(""), in, in.len, &out);
    for (size_t i = 0; i < in.len; i++) {
        bool line_end = in.ptr[i] == '\r' && (i + 1 == in.len || in.ptr[i + 1] == '\n');

        if (line_end)
            continue;
        assert(at < out.len && out.ptr[at] == in.ptr[i]);
        at++;
    }
    assert(out.len - at <= 1);
    spool_file_deinit(&f);
}

/* As a file: its own header. */
static void check_file(struct span in, unsigned options)
{
    struct spool_file f;
    struct errbuf err;
    struct text out;
    struct cat c = {.parts = CAT_ENVELOPE, .offsets = options & 8, .decimal = options & 16};

    if (spool_parse_header(in, &f, &err) != SPOOL_PARSE_OK)
        return;
    text_init(&out, whole_buf, sizeof whole_buf);
    show(&c, &f, span_first(in, (size_t)f.body_offset), span_from(in, (size_t)f.body_offset), 0,
         &out);
    spool_file_deinit(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size);
    size_t cut = input_choice(&in, INPUT_MAX);
    unsigned options = (unsigned)input_choice(&in, 64);

    if (size > INPUT_MAX)
        return 0;
    check_splits(in, cut % (in.len + 1), options);
    check_text(in);
    check_file(in, options);
    return 0;
}
