/* trace - see trace.h */
#include "message/trace.h"

#include "base/clock.h"

#include <string.h>

#define NAME_MAX_BYTES      255
#define MAIL_NAME_MAX_BYTES 128

/* ---- Received -------------------------------------------------------------- */

static bool is_printable(char c)
{
    return !ascii_is_control(c) && !ascii_is_8bit(c);
}

static void put_helo(struct text *t, struct span helo)
{
    for (size_t i = 0; i < helo.len && i < NAME_MAX_BYTES; i++) {
        char c = helo.ptr[i];

        text_char(t, is_printable(c) && !strchr(" <>()\\\";@", c) ? c : '?');
    }
}

static void put_recipient(struct text *t, struct span address, bool utf8)
{
    for (size_t i = 0; i < address.len && i < SMTP_ADDRESS_CAP; i++) {
        char c = address.ptr[i];

        text_char(t, is_printable(c) || (utf8 && ascii_is_8bit(c)) ? c : '?');
    }
}

static void put_client(struct text *t, const struct envelope *e)
{
    bool v6 = strchr(e->client_address, ':') != NULL;

    text_cstr(t, "from ");
    put_helo(t, span_of(e->helo[0] ? e->helo : e->client_name));
    text_cstr(t, " (");
    put_helo(t, span_of(e->client_name));
    text_cstr(t, v6 ? " [IPv6:" : " [");
    text_printable(t, span_of(e->client_address));
    text_cstr(t, "])\r\n\t");
}

static void put_host(struct text *t, const char *myhostname, const char *mail_name)
{
    text_cstr(t, "by ");
    text_printable_max(t, span_of(myhostname), NAME_MAX_BYTES);
    text_cstr(t, " (");
    text_printable_max(t, span_of(mail_name), MAIL_NAME_MAX_BYTES);
    text_cstr(t, ")");
}

static void put_tls(struct text *t, const struct tls_facts *tls)
{
    text_printf(t,
                "(using %s with cipher %s (%u/%u bits))\r\n\t"
                "(No client certificate requested)\r\n\t",
                tls->protocol, tls->cipher, tls->bits, tls->bits);
}

/* A comment: nothing that ends one, or begins another. */
static void put_login(struct text *t, const char *login)
{
    text_cstr(t, "(Authenticated sender: ");
    for (size_t i = 0; i < NAME_MAX_BYTES && login[i]; i++) {
        char c = login[i];

        text_char(t, is_printable(c) && !strchr("()\\", c) ? c : '?');
    }
    text_cstr(t, ")\r\n\t");
}

void trace_received(struct text *t, const struct envelope *e, const struct trace_client *client,
                    const char *myhostname, const char *mail_name)
{
    bool hidden = client && client->hidden;
    bool local = strcmp(e->protocol, "local") == 0;
    bool utf8 = strncmp(e->protocol, "UTF8", 4) == 0;

    text_cstr(t, "Received: ");
    if (!local && !hidden)
        put_client(t, e);
    if (client && client->tls)
        put_tls(t, client->tls);
    if (client && client->login)
        put_login(t, client->login);
    put_host(t, myhostname, mail_name);
    if (local)
        text_cstr(t, "\r\n\tid ");
    else
        text_printf(t, " with %s id ", e->protocol);
    text_cstr(t, e->id.text);
    if (!local && e->recipient_count == 1) {
        text_cstr(t, "\r\n\tfor <");
        put_recipient(t, span_of(e->recipients[0].address), utf8);
        text_cstr(t, ">; ");
    } else {
        text_cstr(t, local ? "; " : ";\r\n\t");
    }
    clock_text_rfc5322(t, e->arrival_us);
    text_cstr(t, "\r\n");
}

/* ---- header_scan ----------------------------------------------------------- */

/*
 *   LINE --name char--> NAME --":"--> VALUE / ID_VALUE --LF--> LINE
 *    |  \--WSP (folded)--> back to the header it continues       |
 *    |--CR, or a byte that starts no header--> ended             `--WSP--> goes on
 *   NAME --WSP--> NAME_GAP ("Received :", RFC 5322 4.5) --":"--> as NAME
 */
enum state { LINE, NAME, NAME_GAP, VALUE, ID_VALUE, ID_LINE };
/* Within a Message-ID's value. */
enum value { BEFORE, WORD, AFTER_WORD, ANGLE, DONE };

void header_scan_init(struct header_scan *h, uint64_t limit)
{
    *h = (struct header_scan){.limit = limit};
}

static void id_char(struct header_scan *h, char c)
{
    if (h->id_len >= sizeof h->message_id - 1)
        return;
    h->message_id[h->id_len++] = is_printable(c) ? c : '?';
    h->message_id[h->id_len] = '\0';
}

static void id_start(struct header_scan *h, enum value value, char c)
{
    h->value = (unsigned char)value;
    h->id_len = 0;
    id_char(h, c);
}

static void id_comment(struct header_scan *h, char c)
{
    if (h->escaped)
        h->escaped = false;
    else if (c == '\\')
        h->escaped = true;
    else if (c == '(')
        h->comment++;
    else if (c == ')')
        h->comment--;
}

static bool is_folding(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void id_value(struct header_scan *h, char c)
{
    if (h->value == DONE)
        return;
    if (h->value == ANGLE) { /* folding inside is dropped, comments are none here */
        if (!is_folding(c))
            id_char(h, c);
        if (c == '>')
            h->value = DONE;
    } else if (h->comment > 0) {
        id_comment(h, c);
    } else if (is_folding(c) || c == '(') {
        h->comment = c == '(';
        if (h->value == WORD)
            h->value = AFTER_WORD;
    } else if (c == '<') {
        id_start(h, ANGLE, c);
    } else if (h->value == BEFORE) {
        id_start(h, WORD, c);
    } else if (h->value == WORD) {
        id_char(h, c);
    }
}

static bool name_is(const struct header_scan *h, const char *name)
{
    return span_equal_nocase(span_make(h->name, h->name_len), span_of(name));
}

static void name_ended(struct header_scan *h)
{
    h->state = VALUE;
    if (name_is(h, "Received"))
        h->received++;
    if (name_is(h, "Message-ID") && !h->message_id[0]) {
        h->state = ID_VALUE;
        h->value = BEFORE;
        h->comment = 0;
        h->escaped = false;
    }
}

static void name_char(struct header_scan *h, char c)
{
    if (c == ':' && h->name_len > 0) {
        name_ended(h);
    } else if ((c == ' ' || c == '\t') && h->name_len > 0) {
        h->state = NAME_GAP;
    } else if (c == ':' || c == ' ' || !is_printable(c) || h->state == NAME_GAP) {
        h->ended = true; /* RFC 5322 2.2: names are printable ASCII without ":" */
    } else {
        h->state = NAME;
        if (h->name_len < sizeof h->name) /* 16 bytes tell any name we look for from a longer one */
            h->name[h->name_len++] = c;
    }
}

static void scan_char(struct header_scan *h, char c)
{
    enum state state = (enum state)h->state;

    if ((state == LINE || state == ID_LINE) && (c == ' ' || c == '\t')) {
        /* A continuation. Before the first header (seen == 1) there is nothing to continue. */
        h->ended = h->seen == 1;
        h->state = state == ID_LINE ? ID_VALUE : VALUE;
        return;
    }
    switch (state) {
    case LINE:
    case ID_LINE:
        h->name_len = 0;
        name_char(h, c); /* CR ends: the empty line */
        break;
    case NAME:
    case NAME_GAP:
        name_char(h, c);
        break;
    case VALUE:
        if (c == '\n')
            h->state = LINE;
        break;
    case ID_VALUE:
        id_value(h, c);
        if (c == '\n')
            h->state = ID_LINE;
        break;
    }
}

void header_scan_feed(struct header_scan *h, struct span canonical)
{
    for (size_t i = 0; i < canonical.len && !h->ended; i++) {
        if (h->seen >= h->limit) {
            h->ended = true;
            return;
        }
        h->seen++;
        scan_char(h, canonical.ptr[i]);
    }
}
