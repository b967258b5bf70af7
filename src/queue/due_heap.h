/*
 * due_heap - who is due first: a binary heap of items by time; pure
 *
 * Items are embedded in their owners. Adding may fail for lack of memory; due_heap_reserve() makes
 * room beforehand, so that what is already in custody always has its place.
 */
#ifndef MXGATE_QUEUE_DUE_HEAP_H
#define MXGATE_QUEUE_DUE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct due_item {
    uint64_t due_ms;
    size_t at; /* index + 1; 0: not in the heap */
};

struct due_heap {
    struct due_item **items; /* owned array of borrowed items */
    size_t count;
    size_t cap;
};

/* Room for `count` items in all. False when memory is out. */
bool due_heap_reserve(struct due_heap *h, size_t count);
/* The item must not be in the heap, and room must have been reserved. */
void due_heap_add(struct due_heap *h, struct due_item *item, uint64_t due_ms);
void due_heap_remove(struct due_heap *h, struct due_item *item); /* no-op when not in it */
struct due_item *due_heap_first(const struct due_heap *h);       /* NULL when empty */
void due_heap_deinit(struct due_heap *h);

#endif
