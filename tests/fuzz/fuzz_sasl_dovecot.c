/* Fuzz server/sasl_dovecot: the same events however the input is cut, texts printable and bounded,
 * nothing after it broke. */
#include "input.h"
#include "server/sasl_dovecot.h"

#include <assert.h>
#include <string.h>

static struct sasl_dovecot engines[2];

struct outcome {
    size_t events;
    uint64_t hash; /* of all that was told */
};

static void mix(struct outcome *o, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        o->hash = (o->hash ^ (unsigned char)bytes[i]) * 1099511628211u;
}

static void check_text(const char *text, size_t cap)
{
    size_t len = strnlen(text, cap);

    assert(len < cap);
    for (size_t i = 0; i < len; i++)
        assert(!ascii_is_control(text[i]));
}

static void feed(struct sasl_dovecot *d, struct span in, struct outcome *o)
{
    while (in.len > 0) {
        enum sasl_dovecot_event event = sasl_dovecot_feed(d, &in);
        char number = (char)event;

        if (event == SASL_DOVECOT_MORE) {
            assert(in.len == 0);
            return;
        }
        assert(event == SASL_DOVECOT_READY || event == SASL_DOVECOT_BROKEN || d->greeted);
        if (event == SASL_DOVECOT_BROKEN && d->broken && o->events > 0 && o->hash == UINT64_MAX)
            return;
        o->events++;
        mix(o, &number, 1);
        if (event == SASL_DOVECOT_BROKEN) {
            o->hash = UINT64_MAX; /* told again and again, and nothing else */
            return;
        }
        mix(o, (const char *)&d->id, sizeof d->id);
        if (event == SASL_DOVECOT_CONT)
            mix(o, d->challenge.ptr, d->challenge.len);
        if (event == SASL_DOVECOT_OK || event == SASL_DOVECOT_FAIL) {
            check_text(d->user, sizeof d->user);
            check_text(d->reason, sizeof d->reason);
            mix(o, d->user, strlen(d->user));
            mix(o, d->reason, strlen(d->reason));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size);
    size_t step = 1 + input_choice(&in, 63);
    struct outcome whole = {0, 14695981039346656037u}, pieces = whole;

    in = span_first(in, INPUT_MAX);
    sasl_dovecot_init(&engines[0]);
    sasl_dovecot_init(&engines[1]);
    feed(&engines[0], in, &whole);
    for (size_t at = 0; at < in.len && pieces.hash != UINT64_MAX; at += step)
        feed(&engines[1], span_first(span_from(in, at), step), &pieces);
    assert(whole.events == pieces.events && whole.hash == pieces.hash);
    return 0;
}
