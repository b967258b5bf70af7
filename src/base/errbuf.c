/* errbuf - see errbuf.h */
#include "base/errbuf.h"

#include "base/text.h"

#include <string.h>

int errbuf_set(struct errbuf *err, int rc, const char *format, ...)
{
    struct text t;
    va_list args;

    if (!err)
        return rc;
    text_init(&t, err->text, sizeof err->text);
    va_start(args, format);
    text_vprintf(&t, format, args);
    va_end(args);
    return rc;
}

int errbuf_prefix(struct errbuf *err, int rc, const char *words)
{
    char old[ERRBUF_CAP];

    if (!err)
        return rc;
    memcpy(old, err->text, sizeof old);
    return errbuf_set(err, rc, "%s: %s", words, old);
}
