/*
 * Fuzz control/control_format: the same requests and chunk bytes however the input is cut; nothing
 * is submitted that was not begun; limits hold.
 */
#include "control/control_format.h"
#include "input.h"
#include "queue/queue_order.h"

#include <assert.h>

struct reading {
    struct control_parser parser;
    bool submitting;
    size_t recipients;
    uint64_t chunk_left;
    bool dead;
};

static void check_order(struct span argument)
{
    struct queue_order_request order;
    struct queue_id id;
    size_t count = 0;

    assert(queue_order_parse(argument, &order));
    assert(order.queues != 0);
    while (queue_order_next(&order, &id))
        count++;
    assert(order.ids.len == 0 && count <= QUEUE_ORDER_IDS_MAX);
    assert(order.all == (count == 0));
}

static void check_request(struct reading *r, const struct control_request *request)
{
    bool inside = request->verb >= CONTROL_FROM;

    assert(r->chunk_left == 0);
    assert(inside == r->submitting);
    assert(request->argument.len <= CONTROL_LINE_MAX);
    for (size_t i = 0; i < request->argument.len; i++)
        assert(!ascii_is_control(request->argument.ptr[i]));
    if (request->verb == CONTROL_ORDER)
        check_order(request->argument);
    if (request->verb == CONTROL_SUBMIT || request->verb == CONTROL_RESUBMIT)
        r->recipients = 0;
    r->recipients += request->verb == CONTROL_RCPT;
    if (request->verb == CONTROL_CHUNK) {
        assert(r->recipients > 0);
        assert(span_to_u64(request->argument, CONTROL_CHUNK_MAX, &r->chunk_left));
    }
    if (request->verb == CONTROL_END)
        assert(r->recipients > 0);
    r->submitting = request->verb == CONTROL_SUBMIT || request->verb == CONTROL_RESUBMIT ||
                    (inside && request->verb != CONTROL_END);
}

static void note_events(struct reading *r, struct span in, struct text *out)
{
    while (!r->dead) {
        struct control_request request;
        struct span bytes;

        switch (control_parse(&r->parser, &in, &request, &bytes)) {
        case CONTROL_MORE:
            assert(in.len == 0);
            return;
        case CONTROL_REQUEST:
            check_request(r, &request);
            text_printf(out, "%d(", (int)request.verb);
            text_span(out, request.argument);
            text_cstr(out, ")\n");
            break;
        case CONTROL_BYTES:
            assert(bytes.len > 0 && bytes.len <= r->chunk_left);
            r->chunk_left -= bytes.len;
            text_span(out, bytes);
            control_take(&r->parser, &in, bytes.len);
            break;
        case CONTROL_FAULT:
            r->dead = true;
            text_span(out, bytes);
            break;
        }
    }
}

static void run(struct span in, size_t cut, struct text *out)
{
    static struct reading r;

    r = (struct reading){.submitting = false};
    control_parser_init(&r.parser);
    note_events(&r, span_first(in, cut), out);
    note_events(&r, span_from(in, cut), out);
}

/* A reply that we write is read as it was meant. */
static void check_replies(struct span words)
{
    static char buf[INPUT_MAX + 64];
    struct span found;
    struct text t;
    int exit_code;

    text_init(&t, buf, sizeof buf);
    control_put_text(&t, words);
    assert(span_find(text_as_span(&t), '\n') == t.len - 1);
    assert(control_reply_parse(span_make(buf, t.len - 1), &found, &exit_code) ==
           CONTROL_REPLY_TEXT);
    assert(found.len == words.len);
    text_init(&t, buf, sizeof buf);
    control_put_error(&t, 75, words);
    assert(control_reply_parse(span_make(buf, t.len - 1), &found, &exit_code) ==
           CONTROL_REPLY_ERROR);
    assert(exit_code == 75);
    control_reply_parse(words, &found, &exit_code);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char whole_buf[INPUT_MAX * 4];
    static char split_buf[INPUT_MAX * 4];
    struct span in = span_make((const char *)data, size);
    size_t cut = input_choice(&in, INPUT_MAX);
    struct text whole;
    struct text split;

    if (size > INPUT_MAX)
        return 0;
    text_init(&whole, whole_buf, sizeof whole_buf);
    text_init(&split, split_buf, sizeof split_buf);
    run(in, in.len, &whole);
    run(in, cut % (in.len + 1), &split);
    assert(!whole.overflow && span_equal(text_as_span(&whole), text_as_span(&split)));
    check_replies(in);
    return 0;
}
