/* control_format_drain - see control_format_drain.h */
#include "control/control_format_drain.h"

#include <string.h>

static const struct member {
    const char *name;
    size_t offset;
} members[] = {
    {"since",        offsetof(struct control_drain, since_s)     },
    {"queued",       offsetof(struct control_drain, queued)      },
    {"active",       offsetof(struct control_drain, active)      },
    {"on_hold",      offsetof(struct control_drain, on_hold)     },
    {"arriving",     offsetof(struct control_drain, arriving)    },
    {"corrupt",      offsetof(struct control_drain, corrupt)     },
    {"delivered",    offsetof(struct control_drain, delivered)   },
    {"handed_over",  offsetof(struct control_drain, handed_over) },
    {"handing_over", offsetof(struct control_drain, handing_over)},
};
#define MEMBER_COUNT (sizeof members / sizeof members[0])

void control_drain_put(struct text *t, const struct control_drain *d)
{
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        uint64_t value;

        memcpy(&value, (const char *)d + members[i].offset, sizeof value);
        text_printf(t, "%s%s=%ju", i > 0 ? " " : "", members[i].name, (uintmax_t)value);
    }
}

/* Its bit in a set of members; 0: not known. False when the value is no number. */
static bool parse_word(struct span word, struct control_drain *out, unsigned *bit_out)
{
    size_t at = span_find(word, '=');
    uint64_t value;

    *bit_out = 0;
    if (!span_to_u64(span_from(word, at + 1), UINT64_MAX, &value))
        return false;
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        if (!span_equal(span_first(word, at), span_of(members[i].name)))
            continue;
        memcpy((char *)out + members[i].offset, &value, sizeof value);
        *bit_out = 1u << i;
    }
    return true;
}

bool control_drain_parse(struct span line, struct control_drain *out)
{
    struct span word;
    unsigned seen = 0;
    unsigned bit;

    memset(out, 0, sizeof *out);
    while (span_next_word(&line, " ", &word)) {
        if (!parse_word(word, out, &bit))
            return false;
        seen |= bit;
    }
    return seen == (1u << MEMBER_COUNT) - 1;
}

bool control_drain_is_over(const struct control_drain *d)
{
    return d->queued == 0 && d->active == 0 && d->arriving == 0;
}
