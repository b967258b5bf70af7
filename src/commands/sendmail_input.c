/* sendmail_input - see sendmail.h */
#include "commands/sendmail.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define HEADER_FIRST (2 * SENDMAIL_BLOCK) /* most headers fit; doubled as needed */

/* True when there is something to read, or the end, or an error that read() will tell. */
static bool wait_input(int max_ms)
{
    struct pollfd poll_in = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&poll_in, 1, max_ms) != 0;
}

int sendmail_input_read(struct sendmail_input *in, char *buf, size_t *len_out, int max_ms,
                        struct errbuf *err)
{
    char raw[SENDMAIL_BLOCK];

    *len_out = 0;
    while (*len_out == 0 && !in->ended) {
        ssize_t n;

        if (!wait_input(max_ms))
            return EX_OK;
        n = read(STDIN_FILENO, raw, sizeof raw);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errbuf_set(err, EX_IOERR, "cannot read the message: %s", strerror(errno));
        lone_dot_feed(&in->dot, span_make(raw, (size_t)n), buf, len_out);
        in->ended = n == 0 || in->dot.ended;
    }
    return EX_OK;
}

/* Room for one more block behind start_len. */
static bool grow(struct sendmail_input *in, size_t *cap)
{
    size_t wanted = *cap > 0 ? *cap * 2 : HEADER_FIRST;
    char *more;

    if (in->start_len + SENDMAIL_BLOCK + 2 <= *cap)
        return true;
    more = realloc(in->start, wanted);
    if (!more)
        return false;
    in->start = more;
    *cap = wanted;
    return true;
}

int sendmail_input_open(struct sendmail_input *in, bool ignore_dot, struct errbuf *err)
{
    size_t cap = 0;

    *in = (struct sendmail_input){.ended = false};
    lone_dot_init(&in->dot, ignore_dot);
    for (;;) {
        size_t len;
        int rc;

        if (!grow(in, &cap))
            return errbuf_set(err, EX_OSERR, "out of memory");
        rc = sendmail_input_read(in, in->start + in->start_len, &len, -1, err);
        if (rc != EX_OK)
            return rc;
        in->start_len += len;
        if (local_header_find(span_make(in->start, in->start_len), in->ended, &in->header))
            return EX_OK;
        if (in->start_len > SENDMAIL_HEADER_MAX)
            return errbuf_set(err, EX_DATAERR, "the header is longer than %u bytes",
                              SENDMAIL_HEADER_MAX);
    }
}

void sendmail_input_drain(struct sendmail_input *in, uint64_t max)
{
    char buf[SENDMAIL_BLOCK + 2];
    struct errbuf err;
    uint64_t dropped = 0;
    size_t len = 1;

    if (isatty(STDIN_FILENO))
        return;
    while (len > 0 && dropped < max && sendmail_input_read(in, buf, &len, -1, &err) == EX_OK)
        dropped += len;
}

void sendmail_input_close(struct sendmail_input *in)
{
    free(in->start);
    in->start = NULL;
}
