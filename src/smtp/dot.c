/*
 * smtp_dot - see dot.h
 *
 * Decoder states; the normaliser uses the first three, without the dot:
 *
 *     AT_START      start of a line      "." AFTER_DOT, CR AFTER_CR, LF AT_START, else IN_TEXT
 *     IN_TEXT       inside a line        CR AFTER_CR, LF AT_START
 *     AFTER_CR      a CR is held         LF AT_START; else it was a blank: IN_TEXT
 *     AFTER_DOT     a first dot is held  CR AFTER_DOT_CR, LF AT_START or AT_END; else IN_TEXT
 *     AFTER_DOT_CR  first dot and CR     LF AT_START or AT_END; else the CR was a blank: IN_TEXT
 *     AT_END        the data has ended
 *
 * Bodies are tens of MB of ordinary lines, so whatever passes unchanged, whole lines included, is
 * found by words of eight bytes and moved by memcpy; the states see only bytes that change.
 */
#include "smtp/dot.h"

#include <assert.h>
#include <string.h>

enum dot_state { AT_START, IN_TEXT, AFTER_CR, AFTER_DOT, AFTER_DOT_CR, AT_END };

struct sink {
    char *ptr; /* borrowed from the caller */
    size_t len;
    size_t cap;
};

static bool has_room(const struct sink *out)
{
    return out->cap - out->len >= SMTP_DOT_SLACK;
}

static void put(struct sink *out, struct span s)
{
    memcpy(out->ptr + out->len, s.ptr, s.len);
    out->len += s.len;
}

static void skip(struct span *in, size_t len)
{
    in->ptr += len;
    in->len -= len;
}

/* True when one of the eight bytes is below 14: NUL, LF and CR are; of the others mail has HTAB. */
static bool word_has_low_byte(const char *p)
{
    const uint64_t ones = UINT64_MAX / 255;
    uint64_t word;

    memcpy(&word, p, sizeof word);
    return ((word - ones * 14) & ~word & (ones * 128)) != 0;
}

static bool is_plain(char c)
{
    return c != '\0' && c != '\r' && c != '\n';
}

static size_t plain_run(const char *p, size_t len)
{
    size_t at = 0;

    for (;;) {
        size_t stop;

        while (len - at >= 8 && !word_has_low_byte(p + at))
            at += 8;
        stop = len - at >= 8 ? at + 8 : len;
        while (at < stop && is_plain(p[at]))
            at++;
        if (at < stop || at == len)
            return at; /* else it was an HTAB or the like */
    }
}

/* How much of `s` passes unchanged, whole lines included; `dots`: up to a line with a first dot. */
static size_t clean_run(struct span s, bool dots, bool *crlf_out)
{
    size_t at = 0;

    for (;;) {
        at += plain_run(s.ptr + at, s.len - at);
        if (s.len - at < 3 || s.ptr[at] != '\r' || s.ptr[at + 1] != '\n')
            return at;
        if (dots && s.ptr[at + 2] == '.')
            return at;
        *crlf_out = true;
        at += 2;
    }
}

/* Moves a clean run, at least one byte; false when the next byte is not clean. */
static bool move_clean(struct span *in, struct sink *out, bool dots, bool *crlf_out)
{
    size_t len = clean_run(span_first(*in, out->cap - out->len), dots, crlf_out);

    if (len == 0)
        return false;
    put(out, span_first(*in, len));
    skip(in, len);
    return true;
}

static enum dot_state state_after(const struct sink *out)
{
    return out->ptr[out->len - 1] == '\n' ? AT_START : IN_TEXT;
}

void smtp_dot_decoder_init(struct smtp_dot_decoder *d, bool lf_session)
{
    *d = (struct smtp_dot_decoder){.lf_session = lf_session, .after_crlf = !lf_session};
    d->state = AT_START;
}

static void note_line_end(struct smtp_dot_decoder *d, bool crlf)
{
    d->after_crlf = crlf;
    if (crlf) {
        d->saw_crlf = true;
        d->lf_session = false;
    } else {
        d->bare_lf = true;
    }
}

static enum dot_state end_line(struct smtp_dot_decoder *d, struct sink *out, bool crlf)
{
    note_line_end(d, crlf);
    put(out, SPAN_LIT("\r\n"));
    return AT_START;
}

/* A line "." has ended. It is text unless both its ends are CRLF, or LF in a session of LF only. */
static enum dot_state end_dot_line(struct smtp_dot_decoder *d, struct sink *out, bool crlf)
{
    bool ends_data = crlf ? d->after_crlf : d->lf_session;

    if (!ends_data) {
        put(out, SPAN_LIT("."));
        return end_line(d, out, crlf);
    }
    note_line_end(d, crlf);
    return AT_END;
}

static enum dot_state put_blank(struct sink *out)
{
    put(out, SPAN_LIT(" "));
    return IN_TEXT;
}

/* In a line, or at its start, before a byte that is not clean. */
static enum dot_state step_text(struct smtp_dot_decoder *d, struct span *in, struct sink *out)
{
    char c = in->ptr[0];

    if (d->state == AT_START && c == '.') {
        skip(in, 1);
        return AFTER_DOT;
    }
    if (move_clean(in, out, true, &d->saw_crlf)) {
        d->after_crlf = true; /* the run holds no other line ends */
        d->lf_session = d->lf_session && !d->saw_crlf;
        return state_after(out);
    }
    skip(in, 1);
    if (c == '\r')
        return AFTER_CR;
    return c == '\n' ? end_line(d, out, false) : put_blank(out);
}

/* One step: takes at least one byte, or leaves the state. */
static enum dot_state step(struct smtp_dot_decoder *d, struct span *in, struct sink *out)
{
    enum dot_state state = (enum dot_state)d->state;
    char c = in->ptr[0];

    if (state == AT_START || state == IN_TEXT)
        return step_text(d, in, out);
    if (c == '\n') {
        skip(in, 1);
        if (state == AFTER_CR)
            return end_line(d, out, true);
        return end_dot_line(d, out, state == AFTER_DOT_CR);
    }
    if (state == AFTER_DOT && c == '\r') {
        skip(in, 1);
        return AFTER_DOT_CR;
    }
    /* A held dot with more after it is dropped, a held CR without LF is a blank; `c` comes next. */
    return state == AFTER_DOT ? IN_TEXT : put_blank(out);
}

bool smtp_dot_decode(struct smtp_dot_decoder *d, struct span *in, char *out, size_t out_cap,
                     size_t *out_len)
{
    struct sink sink = {out, 0, out_cap};

    assert(out_cap >= SMTP_DOT_SLACK);
    while (d->state != AT_END && in->len > 0 && has_room(&sink))
        d->state = (unsigned char)step(d, in, &sink);
    *out_len = sink.len;
    return d->state == AT_END;
}

void smtp_normaliser_init(struct smtp_normaliser *n)
{
    *n = (struct smtp_normaliser){.state = AT_START};
}

static enum dot_state normalise_step(struct smtp_normaliser *n, struct span *in, struct sink *out)
{
    char c = in->ptr[0];
    bool crlf = false;

    if (n->state == AFTER_CR && c != '\n')
        return put_blank(out);
    if (move_clean(in, out, false, &crlf)) /* not after a CR: LF is not clean */
        return state_after(out);
    skip(in, 1);
    if (c == '\r')
        return AFTER_CR;
    if (c == '\0')
        return put_blank(out);
    n->bare_lf = n->bare_lf || n->state != AFTER_CR;
    put(out, SPAN_LIT("\r\n"));
    return AT_START;
}

void smtp_normalise(struct smtp_normaliser *n, struct span *in, char *out, size_t out_cap,
                    size_t *out_len)
{
    struct sink sink = {out, 0, out_cap};

    assert(out_cap >= SMTP_DOT_SLACK);
    while (in->len > 0 && has_room(&sink))
        n->state = (unsigned char)normalise_step(n, in, &sink);
    *out_len = sink.len;
}

size_t smtp_normalise_finish(struct smtp_normaliser *n, char out[4])
{
    struct sink sink = {out, 0, 4};

    if (n->state == AFTER_CR)
        n->state = (unsigned char)put_blank(&sink);
    if (n->state == IN_TEXT)
        put(&sink, SPAN_LIT("\r\n"));
    n->state = AT_START;
    return sink.len;
}

void smtp_dot_encoder_init(struct smtp_dot_encoder *e)
{
    e->state = AT_START;
}

/* Up to and including the first LF that a dot follows, or may follow. */
static size_t undotted_run(struct span s)
{
    size_t at = 0;

    do {
        at += span_find(span_from(s, at), '\n');
        if (at >= s.len)
            return s.len;
        at++;
    } while (at < s.len && s.ptr[at] != '.');
    return at;
}

void smtp_dot_encode(struct smtp_dot_encoder *e, struct span *in, char *out, size_t out_cap,
                     size_t *out_len)
{
    struct sink sink = {out, 0, out_cap};

    assert(out_cap >= SMTP_DOT_SLACK);
    while (in->len > 0 && has_room(&sink)) {
        size_t len;

        if (e->state == AT_START && in->ptr[0] == '.')
            put(&sink, SPAN_LIT("."));
        len = undotted_run(span_first(*in, sink.cap - sink.len));
        put(&sink, span_first(*in, len));
        skip(in, len);
        e->state = (unsigned char)state_after(&sink);
    }
    *out_len = sink.len;
}
