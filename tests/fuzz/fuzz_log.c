/*
 * Fuzz observe/log: whatever a peer puts into a name, an address, a reply or an id, a line is one
 * line, valid UTF-8 without control characters, within its limit, and begins as it should.
 *
 * Input: one choice (which function), then the texts, separated by NUL.
 */
#include "input.h"

#include "observe/log.h"
#include "smtp/domain.h"

#include <assert.h>
#include <string.h>

#define TEXTS 5

static size_t lines;

static void on_line(void *ctx, enum log_severity severity, struct span line)
{
    lines++;
    assert(line.len > 0 && line.len <= LOG_LINE_MAX);
    assert(span_starts_nocase(line, SPAN_LIT("postfix/")));
    for (size_t i = 0; i < line.len; i++)
        assert(!ascii_is_control(line.ptr[i]));
    assert(smtp_utf8_printable(line));
}

static const struct log l = {"postfix", 1, on_line, NULL};

static void log_one(size_t which, char text[TEXTS][INPUT_MAX + 1])
{
    struct log_peer peer = {text[0], text[1]};
    struct log_reject reject = {text[0], "RCPT",  peer,    text[1], text[2],
                                text[3], "ESMTP", text[4], false};
    struct log_delivery delivery = {
        "lmtp", text[0], text[1], text[2], 2, {0.1, 2, 30, 400},
             text[3], LOG_STATUS_SENT, text[4]
    };

    switch (which) {
    case 0:
        log_reject(&l, &reject);
        break;
    case 1:
        log_delivery(&l, &delivery);
        break;
    case 2:
        log_improper_pipelining(&l, "EHLO", &peer, span_of(text[2]));
        break;
    case 3:
        log_message_id(&l, text[2], text[3]);
        break;
    case 4:
        log_warning(&l, "smtpd", "%s and %s", text[2], text[3]);
        break;
    case 5:
        log_lost_connection(&l, text[2], text[3], &peer);
        break;
    case 6:
        log_queue_active(&l, text[2], text[3], 1, 1);
        break;
    default:
        log_connect_failed(&l, "lmtp", text[2], text[3]);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[TEXTS][INPUT_MAX + 1];
    struct span in = span_make((const char *)data, size < INPUT_MAX ? size : INPUT_MAX);
    size_t which = input_choice(&in, 7);

    for (size_t i = 0; i < TEXTS; i++) {
        size_t len = span_find(in, '\0');

        span_copy(span_first(in, len), text[i], sizeof text[i]);
        in = span_from(in, len + 1);
    }
    lines = 0;
    log_one(which, text);
    assert(lines == 1);
    return 0;
}
