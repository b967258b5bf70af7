/* Fuzz message/header_complete: the same bytes however the input is cut; what was there is there
 * still, in its order, and what is added is one block of whole lines. */
#include "input.h"
#include "message/header_complete.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static char sender[] = "ann@example.com";
static const struct envelope envelope = {
    .id = {"4AB"}, .arrival_us = 1763770000123456, .sender = sender};

static char bodies[3][INPUT_MAX + HEADER_COMPLETE_MORE * 2 + 16];

static struct span run(char *out, size_t cap, struct span in, size_t step, uint64_t limit)
{
    struct header_complete h;
    struct text t;

    text_init(&t, out, cap);
    header_complete_init(&h, &envelope, "mx.example.com", limit);
    while (in.len > 0) {
        size_t before = t.len;
        struct span part = span_first(in, step);

        header_complete_feed(&h, part, &t);
        assert(t.len - before <= part.len + HEADER_COMPLETE_MORE);
        in = span_from(in, part.len);
    }
    header_complete_end(&h, &t);
    assert(!t.overflow && h.state == HEADER_COMPLETE_DONE);
    return text_as_span(&t);
}

/* Lines in CRLF, no other CR or LF. */
static struct span make_canonical(struct span in, char *out)
{
    size_t len = 0;

    for (size_t i = 0; i < in.len && len + 2 < INPUT_MAX; i++) {
        char c = in.ptr[i];

        if (c == '\n')
            out[len++] = '\r';
        if (c != '\r' && c != '\0')
            out[len++] = c;
    }
    return span_make(out, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size);
    size_t step = 1 + input_choice(&in, 63);
    uint64_t limit = input_choice(&in, 2000);
    struct span whole, pieces;
    size_t same = 0, behind = 0;

    in = make_canonical(span_first(in, INPUT_MAX), bodies[0]);
    whole = run(bodies[1], sizeof bodies[1], in, SIZE_MAX, limit);
    pieces = run(bodies[2], sizeof bodies[2], in, step, limit);
    assert(span_equal(whole, pieces));
    assert(whole.len >= in.len && whole.len - in.len <= HEADER_COMPLETE_ADDED + 2);
    while (same < in.len && whole.ptr[same] == in.ptr[same])
        same++;
    while (behind < in.len - same &&
           whole.ptr[whole.len - 1 - behind] == in.ptr[in.len - 1 - behind])
        behind++;
    assert(same + behind == in.len);
    return 0;
}
