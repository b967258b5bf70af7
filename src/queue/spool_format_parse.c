/* spool_format, reading the header - see spool_format.h */
#include "queue/spool_format_private.h"

#include <string.h>

#define MAGIC       "mxgate-spool "
#define SECONDS_MAX (INT64_MAX / 1000000 - 1) /* as microseconds they fit int64_t */

/* "<address>" */
static bool address_word(struct span word, char address[SMTP_ADDRESS_CAP])
{
    if (word.len < 2 || word.ptr[0] != '<' || word.ptr[word.len - 1] != '>')
        return false;
    return spool_unescape(span_make(word.ptr + 1, word.len - 2), address, SMTP_ADDRESS_CAP);
}

/* A word that a newer version may have added. */
static bool may_skip(struct span word)
{
    return span_find(word, '=') < word.len;
}

static enum spool_parse parse_version(struct spool_reader *r, struct span line)
{
    struct span magic = SPAN_LIT(MAGIC);

    if (span_equal(line, SPAN_LIT(MAGIC "1")))
        return SPOOL_PARSE_OK;
    if (span_equal(span_first(line, magic.len), magic))
        return spool_reader_corrupt(r, "written by another version of mxgate");
    return spool_reader_corrupt(r, "not a spool file");
}

static enum spool_parse parse_arrival(struct spool_reader *r, struct span line, struct envelope *e)
{
    size_t dot = span_find(line, '.');
    uint64_t seconds;
    uint64_t micros;

    if (!span_to_u64(span_first(line, dot), SECONDS_MAX, &seconds) || line.len != dot + 7 ||
        !span_to_u64(span_from(line, dot + 1), 999999, &micros))
        return spool_reader_corrupt(r, "bad arrival time");
    e->arrival_us = (int64_t)(seconds * 1000000 + micros);
    return SPOOL_PARSE_OK;
}

static bool client_key(struct envelope *e, struct span word)
{
    struct span value;

    if (spool_word_key(word, "helo=", &value))
        return spool_unescape_word(value, e->helo, sizeof e->helo);
    if (spool_word_key(word, "proto=", &value))
        return spool_unescape_word(value, e->protocol, sizeof e->protocol);
    return may_skip(word);
}

static enum spool_parse parse_client(struct spool_reader *r, struct span line, struct envelope *e)
{
    struct span name;
    struct span address;
    struct span word;
    uint64_t port;

    if (!spool_take_word(&line, &name) || !spool_take_word(&line, &address) ||
        !spool_take_word(&line, &word) || !span_to_u64(word, UINT16_MAX, &port) ||
        !spool_unescape_word(name, e->client_name, sizeof e->client_name) ||
        !spool_unescape_word(address, e->client_address, sizeof e->client_address))
        return spool_reader_corrupt(r, "bad client");
    e->client_port = (uint16_t)port;
    while (spool_take_word(&line, &word)) {
        if (!client_key(e, word))
            return spool_reader_corrupt(r, "bad client");
    }
    return SPOOL_PARSE_OK;
}

static bool sender_ret(struct envelope *e, struct span value)
{
    if (span_equal(value, SPAN_LIT("FULL")))
        e->ret = SMTP_RET_FULL;
    else if (span_equal(value, SPAN_LIT("HDRS")))
        e->ret = SMTP_RET_HDRS;
    else
        return false;
    return true;
}

static bool sender_word(struct envelope *e, struct span word)
{
    struct span value;

    if (spool_word_key(word, "RET=", &value))
        return sender_ret(e, value);
    if (spool_word_key(word, "ENVID=", &value))
        return spool_unescape_word(value, e->envid, sizeof e->envid);
    if (span_equal(word, SPAN_LIT("8BITMIME")))
        e->eight_bit = true;
    else if (span_equal(word, SPAN_LIT("SMTPUTF8")))
        e->smtputf8 = true;
    else
        return may_skip(word);
    return true;
}

static enum spool_parse parse_sender(struct spool_reader *r, struct span line, struct envelope *e)
{
    char address[SMTP_ADDRESS_CAP];
    struct span word;

    if (!spool_take_word(&line, &word) || !address_word(word, address))
        return spool_reader_corrupt(r, "bad sender");
    if (!envelope_set_sender(e, span_of(address)))
        return SPOOL_PARSE_NO_MEMORY;
    while (spool_take_word(&line, &word)) {
        if (!sender_word(e, word))
            return spool_reader_corrupt(r, "bad sender");
    }
    return SPOOL_PARSE_OK;
}

static bool notify_words(struct span list, unsigned *notify_out)
{
    struct span word;

    *notify_out = 0;
    while (span_next_word(&list, ",", &word)) {
        if (span_equal(word, SPAN_LIT("NEVER")))
            *notify_out |= SMTP_NOTIFY_NEVER;
        else if (span_equal(word, SPAN_LIT("SUCCESS")))
            *notify_out |= SMTP_NOTIFY_SUCCESS;
        else if (span_equal(word, SPAN_LIT("FAILURE")))
            *notify_out |= SMTP_NOTIFY_FAILURE;
        else if (span_equal(word, SPAN_LIT("DELAY")))
            *notify_out |= SMTP_NOTIFY_DELAY;
        else
            return false;
    }
    return true;
}

static enum spool_parse parse_recipient(struct spool_reader *r, struct span line,
                                        struct envelope *e)
{
    char address[SMTP_ADDRESS_CAP];
    char orcpt[SMTP_ORCPT_CAP];
    unsigned notify = 0;
    struct span word;
    struct span value;
    uint64_t index;

    orcpt[0] = '\0';
    if (!spool_take_word(&line, &word) || !span_to_u64(word, SIZE_MAX, &index) ||
        index != e->recipient_count || !spool_take_word(&line, &word) ||
        !address_word(word, address))
        return spool_reader_corrupt(r, "bad recipient");
    while (spool_take_word(&line, &word)) {
        bool ok = may_skip(word);

        if (spool_word_key(word, "NOTIFY=", &value))
            ok = notify_words(value, &notify);
        else if (spool_word_key(word, "ORCPT=", &value))
            ok = spool_unescape_word(value, orcpt, sizeof orcpt);
        if (!ok)
            return spool_reader_corrupt(r, "bad recipient");
    }
    if (!envelope_add_recipient(e, span_of(address), notify, span_of(orcpt)))
        return SPOOL_PARSE_NO_MEMORY;
    return SPOOL_PARSE_OK;
}

/* The lines come in this order; recipients repeat. */
enum place { AT_VERSION, AT_ID, AT_ARRIVAL, AT_CLIENT, AT_SENDER, AT_RECIPIENTS, AT_END };

static enum spool_parse parse_recipient_or_body(struct spool_reader *r, struct span line,
                                                struct spool_file *f, enum place *place)
{
    if (spool_line_is(&line, "rcpt"))
        return parse_recipient(r, line, f->envelope);
    if (!spool_line_is(&line, "body") || f->envelope->recipient_count == 0)
        return spool_reader_corrupt(r, "neither rcpt nor body");
    if (!span_to_u64(line, INT64_MAX / 2, &f->body_len))
        return spool_reader_corrupt(r, "bad body length");
    *place = AT_END;
    return SPOOL_PARSE_OK;
}

static enum spool_parse parse_header_line(struct spool_reader *r, struct span line,
                                          struct spool_file *f, enum place *place)
{
    static const char *const names[] = {NULL, "id", "arrival", "client", "sender"};
    enum place at = *place;

    if (at == AT_RECIPIENTS)
        return parse_recipient_or_body(r, line, f, place);
    if (at != AT_VERSION && !spool_line_is(&line, names[at]))
        return spool_reader_corrupt(r, "not the line that belongs here");
    *place = (enum place)(at + 1);
    switch (at) {
    case AT_VERSION:
        return parse_version(r, line);
    case AT_ID:
        if (!queue_id_parse(line, &f->envelope->id))
            return spool_reader_corrupt(r, "bad id");
        return SPOOL_PARSE_OK;
    case AT_ARRIVAL:
        return parse_arrival(r, line, f->envelope);
    case AT_CLIENT:
        return parse_client(r, line, f->envelope);
    case AT_SENDER:
        return parse_sender(r, line, f->envelope);
    case AT_RECIPIENTS:
    case AT_END:
        break;
    }
    return SPOOL_PARSE_CORRUPT;
}

static enum spool_parse parse_lines(struct spool_reader *r, struct spool_file *f)
{
    struct span magic = SPAN_LIT(MAGIC);
    enum place place = AT_VERSION;
    struct span line;

    while (spool_reader_line(r, &line)) {
        enum spool_parse rc;

        if (line.len > SPOOL_LINE_MAX)
            return spool_reader_corrupt(r, "line too long");
        rc = parse_header_line(r, line, f, &place);
        if (rc != SPOOL_PARSE_OK || place == AT_END)
            return rc;
    }
    r->line++;
    if (r->rest.len > SPOOL_LINE_MAX)
        return spool_reader_corrupt(r, "line too long");
    if (place == AT_VERSION &&
        !span_equal(span_first(r->rest, magic.len), span_first(magic, r->rest.len)))
        return spool_reader_corrupt(r, "not a spool file");
    return SPOOL_PARSE_MORE;
}

enum spool_parse spool_parse_header(struct span bytes, struct spool_file *f, struct errbuf *err)
{
    struct span looked_at = span_first(bytes, SPOOL_HEADER_MAX);
    struct spool_reader r = {looked_at, 0, err};
    enum spool_parse rc;

    *f = (struct spool_file){.envelope = envelope_new()};
    if (!f->envelope)
        return SPOOL_PARSE_NO_MEMORY;
    rc = parse_lines(&r, f);
    if (rc == SPOOL_PARSE_MORE && bytes.len >= SPOOL_HEADER_MAX)
        rc = spool_reader_corrupt(&r, "header too long");
    if (rc != SPOOL_PARSE_OK)
        spool_file_deinit(f);
    else
        f->body_offset = looked_at.len - r.rest.len;
    return rc;
}

void spool_file_deinit(struct spool_file *f)
{
    envelope_free(&f->envelope);
    *f = (struct spool_file){0};
}
