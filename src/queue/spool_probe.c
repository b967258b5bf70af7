/* spool_probe - is the spool in working order? See spool.h */
#include "message/disk.h"
#include "queue/spool_private.h"

#include <fcntl.h>

#define PROBE_NAME                                                                                 \
    ".probe" /* no queue id: nothing else looks at it, and the next start removes it */

int spool_probe(const struct spool *s)
{
    int fd = disk_open(s->incoming_fd, PROBE_NAME, O_WRONLY | O_CREAT);
    int removed;
    int rc;

    if (fd < 0)
        return fd;
    rc = disk_append(fd, "", 1); /* a full disk shows at the first byte */
    disk_close(fd);
    removed = disk_unlink(s->incoming_fd, PROBE_NAME);
    return rc < 0 ? rc : removed;
}

static int count_message(void *ctx, const char *name)
{
    uint64_t *count = ctx;
    struct queue_id id;

    *count += queue_id_parse(span_of(name), &id);
    return 0;
}

static int count_file(void *ctx, const char *name)
{
    uint64_t *count = ctx;

    (void)name;
    ++*count;
    return 0;
}

int spool_count(const struct spool *s, uint64_t *messages_out, uint64_t *corrupt_out)
{
    int rc;

    *messages_out = *corrupt_out = 0;
    rc = spool_each_name(s->queue_fd, count_message, messages_out);
    return rc < 0 ? rc : spool_each_name(s->corrupt_fd, count_file, corrupt_out);
}

bool spool_idle(const struct spool *s)
{
    return !s->sync_busy && !s->sync_waiting && !s->sync_running && !s->remove_waiting &&
           !s->remove_running;
}
