/* due_heap - see due_heap.h */
#include "queue/due_heap.h"

#include <assert.h>
#include <stdlib.h>

static void put(struct due_heap *h, size_t index, struct due_item *item)
{
    h->items[index] = item;
    item->at = index + 1;
}

static void sift_up(struct due_heap *h, size_t index, struct due_item *item)
{
    while (index > 0 && h->items[(index - 1) / 2]->due_ms > item->due_ms) {
        put(h, index, h->items[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    put(h, index, item);
}

static void sift_down(struct due_heap *h, size_t index, struct due_item *item)
{
    for (;;) {
        size_t child = 2 * index + 1;

        if (child >= h->count)
            break;
        if (child + 1 < h->count && h->items[child + 1]->due_ms < h->items[child]->due_ms)
            child++;
        if (h->items[child]->due_ms >= item->due_ms)
            break;
        put(h, index, h->items[child]);
        index = child;
    }
    put(h, index, item);
}

bool due_heap_reserve(struct due_heap *h, size_t count)
{
    size_t cap = h->cap ? h->cap : 64;
    struct due_item **grown;

    if (count <= h->cap)
        return true;
    while (cap < count)
        cap *= 2;
    grown = realloc(h->items, cap * sizeof *grown);
    if (!grown)
        return false;
    h->items = grown;
    h->cap = cap;
    return true;
}

void due_heap_add(struct due_heap *h, struct due_item *item, uint64_t due_ms)
{
    assert(item->at == 0 && h->count < h->cap);
    item->due_ms = due_ms;
    sift_up(h, h->count++, item);
}

void due_heap_remove(struct due_heap *h, struct due_item *item)
{
    size_t index = item->at - 1;
    struct due_item *last;

    if (item->at == 0)
        return;
    item->at = 0;
    last = h->items[--h->count];
    if (last == item)
        return;
    if (index > 0 && h->items[(index - 1) / 2]->due_ms > last->due_ms)
        sift_up(h, index, last);
    else
        sift_down(h, index, last);
}

struct due_item *due_heap_first(const struct due_heap *h)
{
    return h->count > 0 ? h->items[0] : NULL;
}

void due_heap_deinit(struct due_heap *h)
{
    free(h->items);
    *h = (struct due_heap){NULL, 0, 0};
}
