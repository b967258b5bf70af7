/* queue_active - see queue_active.h */
#include "commands/queue_active.h"

#include "control/control_client.h"

#include <stdlib.h>
#include <string.h>

static int by_text(const void *a, const void *b)
{
    const struct queue_id *x = a;
    const struct queue_id *y = b;

    return strcmp(x->text, y->text);
}

/* Out of memory only costs the marks. */
static void on_active(void *ctx, struct span line)
{
    struct queue_active *a = ctx;
    struct queue_id id;

    if (!queue_id_parse(line, &id))
        return;
    if (a->count == a->cap) {
        size_t cap = a->cap > 0 ? a->cap * 2 : 64;
        struct queue_id *more = realloc(a->ids, cap * sizeof *more);

        if (!more)
            return;
        a->ids = more;
        a->cap = cap;
    }
    a->ids[a->count++] = id;
}

int queue_active_ask(struct queue_active *a, const char *socket)
{
    struct control_client client;
    int rc;

    *a = (struct queue_active){NULL, 0, 0};
    rc = control_client_open(&client, socket, NULL);
    if (rc < 0)
        return rc;
    control_client_ask(&client, "active", on_active, a, NULL); /* else without marks */
    control_client_close(&client);
    if (a->count > 0)
        qsort(a->ids, a->count, sizeof *a->ids, by_text);
    return 0;
}

bool queue_active_has(const struct queue_active *a, const struct queue_id *id)
{
    return a->count > 0 && bsearch(id, a->ids, a->count, sizeof *a->ids, by_text) != NULL;
}

void queue_active_deinit(struct queue_active *a)
{
    free(a->ids);
    *a = (struct queue_active){NULL, 0, 0};
}
