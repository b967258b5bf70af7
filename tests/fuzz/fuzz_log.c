/*
 * Fuzz observe/log: whatever a peer puts into a name, an address, a reply or an id, a line is one
 * line, valid UTF-8 without control characters, within its limit, and begins as it should. As JSON
 * it is one object (checked by a reader of its own), whose message is the plain line's.
 *
 * Input: one choice (which function), one choice (which mask), then the texts, separated by NUL.
 */
#include "input.h"

#include "observe/log.h"
#include "smtp/domain.h"

#include <assert.h>
#include <string.h>

#define TEXTS 5

static struct {
    char plain[LOG_LINE_MAX + 1];
    size_t plain_len;
    char message[LOG_OBJECT_MAX + 1]; /* of the object, unescaped */
    size_t message_len;
    size_t lines;
} seen;

static void check_line(struct span line)
{
    seen.lines++;
    for (size_t i = 0; i < line.len; i++)
        assert(!ascii_is_control(line.ptr[i]));
    assert(smtp_utf8_printable(line));
}

static void on_line(void *ctx, enum log_severity severity, struct span line)
{
    check_line(line);
    assert(line.len > 0 && line.len <= LOG_LINE_MAX);
    assert(span_starts_nocase(line, SPAN_LIT("postfix/")));
    memcpy(seen.plain, line.ptr, line.len);
    seen.plain_len = line.len;
}

/* --- a reader of flat JSON: strings, numbers, arrays of numbers --- */

static void take(struct span *s, char c)
{
    assert(s->len > 0 && s->ptr[0] == c);
    *s = span_from(*s, 1);
}

/* Into `out`, which has room. */
static struct span take_string(struct span *s, char *out)
{
    size_t len = 0;

    take(s, '"');
    while (s->len > 0 && s->ptr[0] != '"') {
        if (s->ptr[0] == '\\') {
            *s = span_from(*s, 1);
            assert(s->len > 0 && (s->ptr[0] == '"' || s->ptr[0] == '\\'));
        }
        out[len++] = s->ptr[0];
        *s = span_from(*s, 1);
    }
    take(s, '"');
    return span_make(out, len);
}

/* RFC 8259: no leading zero, digits on both sides of the dot. */
static void take_number(struct span *s)
{
    size_t whole = 0, part = 0;

    while (whole < s->len && ascii_is_digit(s->ptr[whole]))
        whole++;
    assert(whole == 1 || (whole > 1 && s->ptr[0] != '0'));
    *s = span_from(*s, whole);
    if (s->len == 0 || s->ptr[0] != '.')
        return;
    *s = span_from(*s, 1);
    while (part < s->len && ascii_is_digit(s->ptr[part]))
        part++;
    assert(part > 0);
    *s = span_from(*s, part);
}

static void take_numbers(struct span *s)
{
    take(s, '[');
    take_number(s);
    while (s->len > 0 && s->ptr[0] == ',') {
        take(s, ',');
        take_number(s);
    }
    take(s, ']');
}

static void take_member(struct span *s)
{
    static char name[LOG_OBJECT_MAX], value[LOG_OBJECT_MAX];
    struct span key = take_string(s, name);

    take(s, ':');
    assert(s->len > 0);
    if (s->ptr[0] == '"') {
        struct span text = take_string(s, value);

        if (span_equal(key, SPAN_LIT("message"))) {
            memcpy(seen.message, text.ptr, text.len);
            seen.message_len = text.len;
        }
    } else if (s->ptr[0] == '[') {
        take_numbers(s);
    } else {
        take_number(s);
    }
}

static void on_object(void *ctx, enum log_severity severity, struct span line)
{
    check_line(line);
    assert(line.len <= LOG_OBJECT_MAX);
    take(&line, '{');
    take_member(&line);
    while (line.len > 0 && line.ptr[0] == ',') {
        take(&line, ',');
        take_member(&line);
    }
    take(&line, '}');
    assert(line.len == 0);
}

static void fake_hmac(struct span key, struct span text, unsigned char out[LOG_HMAC_LEN])
{
    memset(out, text.len > 0 ? text.ptr[0] : 0, LOG_HMAC_LEN);
}

static const char *const masks[] = {
    "noop",        "smart",
    "paranoid",    "smart?mask_symbol=%22%E2%82%AC",
    "hash?salt=x", "hash?salt=x&split=1&short_sha=1&prefix=%22&suffix=%3E"};

static void log_one(const struct log *l, size_t which, char text[TEXTS][INPUT_MAX + 1])
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
        log_reject(l, &reject);
        break;
    case 1:
        log_delivery(l, &delivery);
        break;
    case 2:
        log_improper_pipelining(l, "EHLO", &peer, span_of(text[2]));
        break;
    case 3:
        log_message_id(l, text[2], text[3]);
        break;
    case 4:
        log_warning(l, "smtpd", "%s and %s", text[2], text[3]);
        break;
    case 5:
        log_lost_connection(l, text[2], text[3], &peer);
        break;
    case 6:
        log_queue_active(l, text[2], text[3], 1, 1);
        break;
    case 7:
        log_dialogue(l, &peer, true, span_of(text[2]));
        break;
    case 8:
        log_pickup(l, text[2], 7, span_of(text[3]), text[1]);
        break;
    default:
        log_connect_failed(l, "lmtp", text[2], text[3]);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[TEXTS][INPUT_MAX + 1];
    struct span in = span_make((const char *)data, size < INPUT_MAX ? size : INPUT_MAX);
    size_t which = input_choice(&in, 9);
    struct log_mask mask = {.hmac = fake_hmac};
    struct log plain = {.syslog_name = "postfix", .pid = 1, .sink = on_line, .mask = &mask};
    struct log json = {
        .syslog_name = "postfix", .pid = 1, .sink = on_object, .json = true, .mask = &mask};
    size_t start;
    struct errbuf err;

    anonymize_parse(&mask.how,
                    span_of(masks[input_choice(&in, sizeof masks / sizeof masks[0] - 1)]), &err);
    for (size_t i = 0; i < TEXTS; i++) {
        size_t len = span_find(in, '\0');

        span_copy(span_first(in, len), text[i], sizeof text[i]);
        in = span_from(in, len + 1);
    }
    seen.lines = 0;
    log_one(&plain, which, text);
    assert(seen.lines == 1);
    log_one(&json, which, text);
    assert(seen.lines == 2);
    start = span_find(span_make(seen.plain, seen.plain_len), ' ') + 1;
    assert(seen.message_len == seen.plain_len - start || seen.message_len > LOG_OBJECT_MAX / 4);
    assert(memcmp(seen.message, seen.plain + start, seen.message_len) == 0);
    return 0;
}
