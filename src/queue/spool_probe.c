/* spool_probe - is the spool in working order? See spool.h */
#include "message/disk.h"
#include "queue/spool.h"

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

bool spool_idle(const struct spool *s)
{
    return !s->sync_busy && !s->sync_waiting && !s->sync_running && !s->remove_waiting &&
           !s->remove_running;
}
