/* queue_id - see queue_id.h */
#include "base/queue_id.h"

#include <string.h>

static const char hex_digits[] = "0123456789ABCDEF";

static uint64_t id_value(const struct queue_id *id)
{
    uint64_t value = 0;

    for (size_t i = 0; i < QUEUE_ID_LEN; i++) {
        const char *digit = strchr(hex_digits, id->text[i]);

        value = value << 4 | (uint64_t)(digit ? digit - hex_digits : 0);
    }
    return value;
}

void queue_id_next(struct queue_id_source *source, int64_t wall_us, struct queue_id *id_out)
{
    uint64_t value = wall_us > 0 ? (uint64_t)wall_us << 12 : 0;

    if (value <= source->last)
        value = source->last + 1;
    source->last = value;
    for (size_t i = QUEUE_ID_LEN; i > 0; i--) {
        id_out->text[i - 1] = hex_digits[value & 15];
        value >>= 4;
    }
    id_out->text[QUEUE_ID_LEN] = '\0';
}

void queue_id_seen(struct queue_id_source *source, const struct queue_id *id)
{
    uint64_t value = id_value(id);

    if (value > source->last)
        source->last = value;
}

bool queue_id_parse(struct span s, struct queue_id *id_out)
{
    if (s.len != QUEUE_ID_LEN)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\0' || !strchr(hex_digits, s.ptr[i]))
            return false;
    }
    return span_copy(s, id_out->text, sizeof id_out->text);
}

bool queue_id_plausible(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!ascii_is_alnum(s.ptr[i]) && s.ptr[i] != '_')
            return false;
    }
    return s.len > 0 && s.len <= QUEUE_ID_PLAUSIBLE_MAX;
}
