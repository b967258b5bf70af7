/* Fuzz server/proxy_protocol: the same event however the input is cut, nothing behind the header is
 * taken, and reading proxy_need() bytes at a time never reaches it. */
#include "input.h"
#include "server/proxy_protocol.h"

#include <assert.h>
#include <string.h>

struct outcome {
    enum proxy_event event;
    struct proxy_header header;
    size_t used;
};

static void feed(struct proxy_parser *p, struct span part, struct outcome *o)
{
    const char *why = NULL;
    size_t len = part.len;

    if (o->event != PROXY_MORE)
        return;
    assert(proxy_need(p) > 0);
    o->event = proxy_parse(p, &part, &o->header, &why);
    o->used += len - part.len;
    assert(o->event != PROXY_MORE || part.len == 0);
    assert((o->event == PROXY_BAD) == (why != NULL));
}

static struct outcome run(struct span in, size_t cut)
{
    struct proxy_parser p;
    struct outcome o = {.event = PROXY_MORE};

    proxy_parser_init(&p);
    feed(&p, span_first(in, cut), &o);
    feed(&p, span_from(in, cut), &o);
    return o;
}

static struct outcome run_as_needed(struct span in)
{
    struct proxy_parser p;
    struct outcome o = {.event = PROXY_MORE};

    proxy_parser_init(&p);
    while (o.event == PROXY_MORE && in.len > 0) {
        struct span part = span_first(in, proxy_need(&p));

        feed(&p, part, &o);
        in = span_from(in, part.len);
        assert(o.event != PROXY_DONE || part.len == 0 || o.used > 0);
    }
    return o;
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
    assert(a->event == b->event);
    if (a->event != PROXY_DONE)
        return;
    assert(a->used == b->used && a->header.kind == b->header.kind);
    assert(a->header.kind != PROXY_CLIENT ||
           (a->header.port == b->header.port &&
            memcmp(a->header.address, b->header.address, 16) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size);
    size_t cut = input_choice(&in, INPUT_MAX);
    struct outcome whole, split, needed;

    if (size > INPUT_MAX)
        return 0;
    whole = run(in, in.len);
    split = run(in, cut % (in.len + 1));
    needed = run_as_needed(in);
    check_same(&whole, &split);
    check_same(&whole, &needed);
    assert(whole.event != PROXY_DONE || proxy_looks_like(in));
    return 0;
}
