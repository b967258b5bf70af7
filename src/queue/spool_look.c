/* spool, what is left of a damaged file - see spool.h */
#include "queue/spool_private.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

int spool_look(int fd, struct spool_file *f, struct errbuf *damage)
{
    struct spool_buffer buffer = {0};
    struct errbuf ignored;
    struct stat st;
    int rc = spool_read_file(fd, true, &buffer, f, damage);

    if (rc == 0)
        damage->text[0] = '\0';
    if (rc == -EBADMSG && fstat(fd, &st) == 0)
        rc = spool_read_header(fd, (uint64_t)st.st_size, &buffer, f, &ignored);
    free(buffer.ptr);
    return rc;
}
