/* queue_order - see queue_order.h */
#include "queue/queue_order.h"

#define IN_TRANSIT (QUEUE_NAME_ACTIVE | QUEUE_NAME_DEFERRED)

static const struct order_row {
    const char *name;
    const char *done;
    const char *total;
    unsigned queues;
} rows[QUEUE_ORDER_COUNT] = {
    [QUEUE_ORDER_REQUEUE] = {"requeue",        "requeued",           "Requeued",           QUEUE_NAMES_ALL},
    [QUEUE_ORDER_DELETE] = {"delete",         "removed",            "Deleted",            QUEUE_NAMES_ALL},
    [QUEUE_ORDER_EXPIRE] = {"expire",         "expired",            "Force-expired",      QUEUE_NAMES_ALL},
    [QUEUE_ORDER_HOLD] = {"hold",           "placed on hold",     "Placed on hold",     IN_TRANSIT     },
    [QUEUE_ORDER_RELEASE] = {"release",        "released from hold", "Released from hold",
                             QUEUE_NAME_HOLD                                                              },
    [QUEUE_ORDER_EXPIRE_RELEASE] = {"expire-release", "",                   "",                   QUEUE_NAMES_ALL},
};

static const struct {
    const char *name;
    unsigned bit;
} names[] = {
    {"active",   QUEUE_NAME_ACTIVE  },
    {"deferred", QUEUE_NAME_DEFERRED},
    {"hold",     QUEUE_NAME_HOLD    },
    {"incoming", QUEUE_NAME_EMPTY   },
    {"maildrop", QUEUE_NAME_EMPTY   },
    {"bounce",   QUEUE_NAME_EMPTY   },
    {"defer",    QUEUE_NAME_EMPTY   },
    {"trace",    QUEUE_NAME_EMPTY   },
    {"flush",    QUEUE_NAME_EMPTY   },
};
#define NAME_COUNT (sizeof names / sizeof names[0])

unsigned queue_name_parse(struct span name)
{
    for (size_t i = 0; i < NAME_COUNT; i++) {
        if (span_equal(name, span_of(names[i].name)))
            return names[i].bit;
    }
    return 0;
}

const char *queue_order_name(enum queue_order order)
{
    return rows[order].name;
}

const char *queue_order_done(enum queue_order order)
{
    return rows[order].done;
}

const char *queue_order_total(enum queue_order order)
{
    return rows[order].total;
}

unsigned queue_order_queues(enum queue_order order)
{
    return rows[order].queues;
}

/* ---- requests ---- */

static bool parse_order(struct span word, enum queue_order *order_out)
{
    for (int i = 0; i < QUEUE_ORDER_COUNT; i++) {
        if (!span_equal(word, span_of(rows[i].name)))
            continue;
        *order_out = (enum queue_order)i;
        return true;
    }
    return false;
}

static bool parse_queues(struct span list, unsigned *queues_out)
{
    struct span word;

    *queues_out = 0;
    while (span_next_word(&list, ",", &word)) {
        unsigned bit = queue_name_parse(word);

        if (bit == 0)
            return false;
        *queues_out |= bit;
    }
    return *queues_out != 0;
}

bool queue_order_parse(struct span argument, struct queue_order_request *out)
{
    struct queue_order_request ids;
    struct queue_id id;
    struct span word;
    size_t count = 0;

    if (!span_next_word(&argument, " ", &word) || !parse_order(word, &out->order) ||
        !span_next_word(&argument, " ", &word) || !parse_queues(word, &out->queues))
        return false;
    argument = span_from(argument, 1); /* the blank */
    out->all = span_equal(argument, SPAN_LIT("ALL"));
    out->ids = out->all ? span_make(NULL, 0) : argument;
    ids = *out;
    while (queue_order_next(&ids, &id))
        count++;
    return ids.ids.len == 0 && count <= QUEUE_ORDER_IDS_MAX && (out->all || count > 0);
}

bool queue_order_next(struct queue_order_request *r, struct queue_id *id_out)
{
    struct span rest = r->ids;
    struct span word;

    if (!span_next_word(&rest, " ", &word) || !queue_id_parse(word, id_out))
        return false;
    r->ids = rest;
    return true;
}

void queue_order_format(struct text *t, enum queue_order order, unsigned queues)
{
    const char *before = " ";

    text_cstr(t, rows[order].name);
    for (size_t i = 0; i < NAME_COUNT; i++) {
        if (!(queues & names[i].bit))
            continue;
        queues &= ~names[i].bit; /* one name stands for all empty ones */
        text_cstr(t, before);
        text_cstr(t, names[i].name);
        before = ",";
    }
    text_char(t, ' ');
}

/* ---- rules ---- */

unsigned queue_order_effect(const struct queue_order_request *r, const struct queue_order_state *m)
{
    bool on_hold = m->queue == QUEUE_NAME_HOLD;
    unsigned bits = QUEUE_ORDER_BIT(r->order);

    if (!(r->queues & m->queue))
        return 0;
    switch (r->order) {
    case QUEUE_ORDER_REQUEUE:
    case QUEUE_ORDER_DELETE:
        return bits;
    case QUEUE_ORDER_HOLD:
        return on_hold ? 0 : bits;
    case QUEUE_ORDER_RELEASE:
        return on_hold ? bits : 0;
    case QUEUE_ORDER_EXPIRE:
        return m->forced_expire ? 0 : bits;
    case QUEUE_ORDER_EXPIRE_RELEASE:
        bits = m->forced_expire ? 0 : QUEUE_ORDER_BIT(QUEUE_ORDER_EXPIRE);
        if (on_hold && !m->hold_expired) /* else it is where it would be put again */
            bits |= QUEUE_ORDER_BIT(QUEUE_ORDER_RELEASE);
        return bits;
    case QUEUE_ORDER_COUNT:
        break;
    }
    return 0;
}
