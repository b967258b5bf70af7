/*
 * Properties of smtp/dot: whatever bytes come in, only canonical bodies come out, and on the wire
 * they have one end for the laxest of servers (DESIGN P4).
 *
 * The model is the rules of dot.h applied to whole lines, slowly and plainly. The decoder must
 * agree with it for every string over a small alphabet.
 */
#include "smtp/dot.h"
#include "trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct model {
    char out[512];
    size_t len;
    size_t taken; /* of the input, when ended */
    bool ended;
};

static void model_put(struct model *m, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        m->out[m->len++] = c == '\r' || c == '\0' ? ' ' : c;
    }
}

/* Takes the input line by line. `dots`: DATA; else it is counted by bytes. */
static void model_run(struct span in, bool dots, bool lf_session, struct model *m)
{
    bool after_crlf = !lf_session;
    size_t at = 0;

    memset(m, 0, sizeof *m);
    while (at < in.len) {
        size_t lf = span_find(span_from(in, at), '\n');
        bool whole = at + lf < in.len;
        bool crlf = whole && lf > 0 && in.ptr[at + lf - 1] == '\r';
        struct span line = span_make(in.ptr + at, lf - (crlf ? 1 : 0));
        bool dot_line = dots && span_equal(line, SPAN_LIT("."));

        at += lf + (whole ? 1 : 0);
        lf_session = lf_session && !crlf;
        m->ended = whole && dot_line && after_crlf == crlf && (crlf || lf_session);
        if (m->ended)
            break;
        if (dots && !dot_line && line.len > 0 && line.ptr[0] == '.')
            line = span_from(line, 1);
        model_put(m, line);
        if (whole)
            memcpy(m->out + m->len, "\r\n", 2);
        m->len += whole ? 2 : 0;
        after_crlf = crlf;
    }
    m->taken = at;
}

/* Decodes with a small buffer, or a byte at a time. */
static void decode_all(struct span in, bool lf_session, size_t step, struct model *m)
{
    struct smtp_dot_decoder d;

    memset(m, 0, sizeof *m);
    smtp_dot_decoder_init(&d, lf_session);
    while (m->taken < in.len && !m->ended) {
        struct span part = span_first(span_from(in, m->taken), step);
        size_t before = part.len;
        size_t len;

        m->ended = smtp_dot_decode(&d, &part, m->out + m->len, SMTP_DOT_SLACK, &len);
        m->len += len;
        m->taken += before - part.len;
    }
}

/* Without an end the decoder still holds what the model has already decided: a dot, a CR, or both.
 */
static void check_model(struct span in, bool lf_session, size_t step)
{
    static const char end[] = "x\r\n"; /* settles what is held */
    static struct model want;
    static struct model got;
    char input[256];

    memcpy(input, in.ptr, in.len);
    memcpy(input + in.len, end, sizeof end - 1);
    in = span_make(input, in.len + sizeof end - 1);
    model_run(in, true, lf_session, &want);
    decode_all(in, lf_session, step, &got);
    assert_int_equal(got.ended, want.ended);
    assert_int_equal(got.taken, want.taken);
    assert_int_equal(got.len, want.len);
    assert_memory_equal(got.out, want.out, want.len);
}

/* Every string of up to seven bytes of the five kinds that matter, in both modes. */
static void test_decoder_is_the_model(void **state)
{
    static const char alphabet[] = {'.', '\r', '\n', '\0', 'a'};
    char input[7];

    for (unsigned number = 0, total = 78125; number < total; number++) {
        unsigned rest = number;

        for (size_t i = 0; i < sizeof input; i++) {
            input[i] = alphabet[rest % 5];
            rest /= 5;
        }
        for (size_t from = 0; from < 2; from++) {
            check_model(span_make(input + from, sizeof input - from), false, SIZE_MAX);
            check_model(span_make(input + from, sizeof input - from), false, 1);
            check_model(span_make(input + from, sizeof input - from), true, SIZE_MAX);
            check_model(span_make(input + from, sizeof input - from), true, 1);
        }
    }
}

static bool is_canonical(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        bool after_cr = i > 0 && s.ptr[i - 1] == '\r';

        if (s.ptr[i] == '\0' || (s.ptr[i] == '\n') != after_cr)
            return false;
    }
    return s.len == 0 || (s.len >= 2 && s.ptr[s.len - 1] == '\n');
}

/* A server with every weakness of FACTS SMUG at once: CR, LF and CRLF all end lines, NUL is not
 * there. */
static size_t lax_ends(struct span s, size_t *last_out)
{
    size_t line_len = 0;
    bool dot_first = false;
    size_t ends = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\0')
            continue;
        if (s.ptr[i] != '\r' && s.ptr[i] != '\n') {
            dot_first = line_len == 0 ? s.ptr[i] == '.' : dot_first;
            line_len++;
            continue;
        }
        if (line_len == 1 && dot_first) {
            ends++;
            *last_out = i;
        }
        line_len = 0;
    }
    return ends;
}

static size_t encode_all(struct span in, char *out, size_t cap)
{
    struct smtp_dot_encoder e;
    size_t len;

    smtp_dot_encoder_init(&e);
    smtp_dot_encode(&e, &in, out, cap, &len);
    assert_int_equal(in.len, 0);
    memcpy(out + len, ".\r\n", 3);
    return len + 3;
}

/* A canonical body on its way out: one end for the laxest server, and for us the same body again.
 */
static void check_wire(struct span body)
{
    static char wire[4096];
    static char back[4096];
    struct smtp_dot_decoder d;
    size_t last = 0;
    size_t len = encode_all(body, wire, sizeof wire - 3);
    struct span in = span_make(wire, len);

    assert_int_equal(lax_ends(in, &last), 1);
    assert_int_equal(last, len - 2);
    smtp_dot_decoder_init(&d, false);
    assert_true(smtp_dot_decode(&d, &in, back, sizeof back, &len));
    assert_int_equal(in.len, 0);
    assert_true(span_equal(span_make(back, len), body));
}

static void check_decoder_output(struct span in, bool lf_session)
{
    static char body[4096];
    struct smtp_dot_decoder d;
    size_t len;

    smtp_dot_decoder_init(&d, lf_session);
    if (!smtp_dot_decode(&d, &in, body, sizeof body, &len))
        return; /* no end: no message */
    assert_true(is_canonical(span_make(body, len)));
    check_wire(span_make(body, len));
}

static void check_normaliser_output(struct span in)
{
    static char body[4096];
    struct smtp_normaliser n;
    char end[4];
    size_t end_len;
    size_t len;

    smtp_normaliser_init(&n);
    smtp_normalise(&n, &in, body, sizeof body, &len);
    assert_int_equal(in.len, 0);
    end_len = smtp_normalise_finish(&n, end);
    memcpy(body + len, end, end_len);
    assert_true(is_canonical(span_make(body, len + end_len)));
    check_wire(span_make(body, len + end_len));
}

static void test_random_bytes(void **state)
{
    uint64_t seed = 51764;
    char input[300];

    for (int i = 0; i < 200000; i++) {
        size_t len = trace_random(&seed) % (sizeof input - 5);
        const char *alphabet = i % 2 ? "\r\n\r\n.." : "\r\n.abcdefgh";

        trace_random_bytes(&seed, span_of(alphabet), input, len);
        memcpy(input + len, i % 3 ? "\r\n.\r\n" : "\n\n\n.\n", 5);
        check_decoder_output(span_make(input, len + 5), i % 3 == 0);
        check_normaliser_output(span_make(input, len));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decoder_is_the_model),
        cmocka_unit_test(test_random_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
