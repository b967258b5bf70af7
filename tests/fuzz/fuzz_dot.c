/*
 * Fuzz smtp/dot: the same bytes however input and output are cut, only canonical bodies (DESIGN
 * P4), and on the wire one end even for a server that takes CR, LF and CRLF for line ends.
 */
#include "input.h"
#include "smtp/dot.h"

#include <assert.h>
#include <string.h>

#define BODY_MAX (INPUT_MAX * 2 + 4)

struct body {
    char bytes[BODY_MAX + SMTP_DOT_SLACK];
    size_t len;
    bool ended;
    struct span rest; /* of the input, behind the end */
};

/* How input and output are cut. */
struct cuts {
    size_t in;
    size_t room;
};

static bool is_canonical(const struct body *b)
{
    for (size_t i = 0; i < b->len; i++) {
        bool after_cr = i > 0 && b->bytes[i - 1] == '\r';

        if (b->bytes[i] == '\0' || (b->bytes[i] == '\n') != after_cr)
            return false;
    }
    return b->len == 0 || b->bytes[b->len - 1] == '\n';
}

static size_t room_left(const struct body *b, struct cuts cuts)
{
    size_t room = sizeof b->bytes - b->len;

    assert(room >= SMTP_DOT_SLACK);
    return cuts.room < room ? cuts.room : room;
}

static void decode(struct smtp_dot_decoder *d, struct span in, struct cuts cuts, struct body *out)
{
    struct span part = span_first(in, cuts.in);
    size_t left = in.len - part.len;

    memset(out, 0, sizeof *out);
    while (!out->ended && part.len + left > 0) {
        size_t len;

        if (part.len == 0) {
            part = span_from(in, in.len - left);
            left = 0;
        }
        out->ended = smtp_dot_decode(d, &part, out->bytes + out->len, room_left(out, cuts), &len);
        out->len += len;
    }
    out->rest = span_from(in, in.len - left - part.len);
}

static void normalise(struct span in, struct cuts cuts, struct body *out)
{
    struct span part = span_first(in, cuts.in);
    struct smtp_normaliser n;
    size_t len;

    memset(out, 0, sizeof *out);
    smtp_normaliser_init(&n);
    for (int i = 0; i < 2; i++) {
        while (part.len > 0) {
            smtp_normalise(&n, &part, out->bytes + out->len, room_left(out, cuts), &len);
            out->len += len;
        }
        part = span_from(in, cuts.in);
    }
    out->len += smtp_normalise_finish(&n, out->bytes + out->len);
}

static void encode(const struct body *b, struct cuts cuts, struct body *out)
{
    struct span in = span_make(b->bytes, b->len);
    struct smtp_dot_encoder e;

    memset(out, 0, sizeof *out);
    smtp_dot_encoder_init(&e);
    while (in.len > 0) {
        struct span part = span_first(in, cuts.in + 1);
        size_t before = part.len;
        size_t len;

        smtp_dot_encode(&e, &part, out->bytes + out->len, room_left(out, cuts), &len);
        out->len += len;
        in = span_from(in, before - part.len);
    }
    memcpy(out->bytes + out->len, ".\r\n", 3);
    out->len += 3;
}

/* Ends of data for the laxest server there could be. */
static size_t count_lax_ends(const struct body *b)
{
    size_t start = 0;
    size_t ends = 0;

    for (size_t i = 0; i < b->len; i++) {
        if (b->bytes[i] != '\r' && b->bytes[i] != '\n')
            continue;
        ends += i - start == 1 && b->bytes[start] == '.';
        start = i + 1;
    }
    return ends;
}

static bool same(const struct body *a, const struct body *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0 && a->ended == b->ended &&
           a->rest.len == b->rest.len;
}

static void check_wire(const struct body *b, struct cuts cuts)
{
    static struct body wire;
    static struct body split;
    static struct body back;
    struct smtp_dot_decoder d;

    assert(is_canonical(b));
    encode(b, (struct cuts){SIZE_MAX - 1, SIZE_MAX}, &wire);
    encode(b, cuts, &split);
    assert(same(&wire, &split));
    assert(count_lax_ends(&wire) == 1);
    smtp_dot_decoder_init(&d, false);
    decode(&d, span_make(wire.bytes, wire.len), cuts, &back);
    assert(back.ended && back.rest.len == 0);
    assert(back.len == b->len && memcmp(back.bytes, b->bytes, b->len) == 0);
}

static void check_decoder(struct span in, bool lf_session, struct cuts cuts)
{
    static struct body whole;
    static struct body split;
    struct smtp_dot_decoder d;
    struct smtp_dot_decoder e;

    smtp_dot_decoder_init(&d, lf_session);
    decode(&d, in, (struct cuts){SIZE_MAX, SIZE_MAX}, &whole);
    smtp_dot_decoder_init(&e, lf_session);
    decode(&e, in, cuts, &split);
    assert(same(&whole, &split));
    assert(d.saw_crlf == e.saw_crlf && d.bare_lf == e.bare_lf && d.lf_session == e.lf_session);
    assert(whole.ended || whole.rest.len == 0);
    if (whole.ended)
        check_wire(&whole, cuts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct body whole;
    static struct body split;
    struct span in = span_make((const char *)data, size);
    struct cuts cuts;

    if (size > INPUT_MAX)
        return 0;
    cuts.room = SMTP_DOT_SLACK + input_choice(&in, 100);
    cuts.in = input_choice(&in, INPUT_MAX) % (in.len + 1);
    check_decoder(in, false, cuts);
    check_decoder(in, true, cuts);
    normalise(in, (struct cuts){SIZE_MAX, SIZE_MAX}, &whole);
    normalise(in, cuts, &split);
    assert(same(&whole, &split));
    check_wire(&whole, cuts);
    return 0;
}
