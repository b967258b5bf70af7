/* spool_bytes - a whole spool file in memory, for the tests of spool_format */
#ifndef MXGATE_TESTS_UNIT_SPOOL_BYTES_H
#define MXGATE_TESTS_UNIT_SPOOL_BYTES_H

#include "queue/spool_format.h"

#define SPOOL_BYTES_CAP 65536

struct spool_bytes {
    char bytes[SPOOL_BYTES_CAP];
    struct text t;
    size_t header_len;
    size_t end_at;     /* of the "end" line */
    size_t records_at; /* after it */
};

/* An envelope with every field in use and hostile bytes in every text; NULL when memory is out. */
struct envelope *spool_bytes_envelope(void);
/* Header, body, end with the right sum. Records are appended to s->t by the test. */
void spool_bytes_make(struct spool_bytes *s, const struct envelope *e, struct span body);
/* Parses header and tail of the first `len` bytes, as a reader of the file would. MORE only from
 * the header. */
enum spool_parse spool_bytes_parse(const struct spool_bytes *s, size_t len, struct spool_file *f,
                                   struct errbuf *err);
/* Whether what is written of an envelope came back. */
bool spool_bytes_equal(const struct envelope *a, const struct envelope *b);

#endif
