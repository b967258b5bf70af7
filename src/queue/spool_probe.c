/* spool_probe - is the spool in working order? See spool.h */
#include "queue/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define PROBE_NAME ".probe" /* no queue id: nothing else looks at it, and the next start removes it */

int spool_probe(const struct spool *s)
{
    int fd = openat(s->incoming_fd, PROBE_NAME, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = fd < 0 ? -errno : 0;

    if (fd < 0)
        return rc;
    if (write(fd, "", 1) != 1) /* a full disk shows at the first byte */
        rc = errno ? -errno : -EIO;
    close(fd);
    if (unlinkat(s->incoming_fd, PROBE_NAME, 0) != 0 && rc == 0)
        rc = -errno;
    return rc;
}

bool spool_idle(const struct spool *s)
{
    return !s->sync_busy && !s->sync_waiting && !s->sync_running;
}
