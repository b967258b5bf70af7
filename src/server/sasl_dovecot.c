/* sasl_dovecot - see sasl_dovecot.h */
#include "server/sasl_dovecot.h"

#include <string.h>

#define MAJOR        1
#define MINOR        1 /* the first with CANCEL */
#define CANCEL_MINOR 1

void sasl_dovecot_init(struct sasl_dovecot *d)
{
    memset(d, 0, sizeof *d);
}

bool sasl_dovecot_can_cancel(const struct sasl_dovecot *d)
{
    return d->minor >= CANCEL_MINOR;
}

/* ---- what comes ---- */

static bool next_parameter(struct span *rest, struct span *out)
{
    size_t tab = span_find(*rest, '\t');

    if (!rest->ptr)
        return false;
    *out = span_first(*rest, tab);
    *rest = tab < rest->len ? span_from(*rest, tab + 1) : (struct span){NULL, 0};
    return true;
}

static char unescaped(char c)
{
    switch (c) {
    case '0':
        return '\0';
    case '1':
        return '\001';
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case 'l':
    case 'n':
        return '\n';
    default:
        return c;
    }
}

/* Printable, and false when it had to be cut. */
static bool keep_text(struct span value, char *out, size_t cap)
{
    struct text t;

    text_init(&t, out, cap);
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];

        if (c == '\001' && i + 1 < value.len)
            c = unescaped(value.ptr[++i]);
        text_printable(&t, span_make(&c, 1));
    }
    return !t.overflow;
}

static enum sasl_dovecot_event break_it(struct sasl_dovecot *d, const char *reason)
{
    d->broken = true;
    span_copy(span_of(reason), d->reason, sizeof d->reason);
    return SASL_DOVECOT_BROKEN;
}

static enum sasl_dovecot_event take_version(struct sasl_dovecot *d, struct span rest)
{
    struct span major = {NULL, 0}, minor = {NULL, 0};
    uint64_t number, sub = 0;

    if (!next_parameter(&rest, &major) || !span_to_u64(major, UINT32_MAX, &number))
        return break_it(d, "protocol version error");
    if (number != MAJOR)
        return break_it(d, "protocol version mismatch");
    if (next_parameter(&rest, &minor) && span_to_u64(minor, UINT32_MAX, &sub))
        d->minor = (unsigned)sub;
    return SASL_DOVECOT_MORE;
}

static void take_mechanism(struct sasl_dovecot *d, struct span rest)
{
    static const struct {
        const char *word;
        unsigned property;
    } words[] = {
        {"plaintext",       SASL_PLAINTEXT      },
        {"active",          SASL_ACTIVE         },
        {"dictionary",      SASL_DICTIONARY     },
        {"anonymous",       SASL_ANONYMOUS      },
        {"forward-secrecy", SASL_FORWARD_SECRECY},
        {"mutual-auth",     SASL_MUTUAL_AUTH    },
        {"private",         SASL_PRIVATE        },
    };
    struct span name, word;
    unsigned properties = 0;

    if (!next_parameter(&rest, &name))
        return;
    while (next_parameter(&rest, &word)) {
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
            if (span_equal_nocase(word, span_of(words[i].word)))
                properties |= words[i].property;
        }
    }
    sasl_mechanisms_add(&d->mechanisms, name, properties);
}

static enum sasl_dovecot_event take_greeting(struct sasl_dovecot *d, struct span command,
                                             struct span rest)
{
    if (span_equal(command, SPAN_LIT("VERSION")))
        return take_version(d, rest);
    if (span_equal(command, SPAN_LIT("MECH"))) {
        take_mechanism(d, rest);
    } else if (span_equal(command, SPAN_LIT("SPID")) || span_equal(command, SPAN_LIT("DONE"))) {
        /* other sockets of Dovecot say VERSION and SPID, and then nothing */
        if (d->mechanisms.count == 0)
            return break_it(d, "no mechanism is offered: it is not a socket for authentication "
                               "clients");
        d->greeted = span_equal(command, SPAN_LIT("DONE"));
        return d->greeted ? SASL_DOVECOT_READY : SASL_DOVECOT_MORE;
    }
    return SASL_DOVECOT_MORE;
}

/* "key=value": the value; empty and false when it is another key. */
static bool has_key(struct span parameter, struct span key, struct span *value_out)
{
    *value_out = (struct span){NULL, 0};
    if (parameter.len < key.len || memcmp(parameter.ptr, key.ptr, key.len) != 0)
        return false;
    *value_out = span_from(parameter, key.len);
    return true;
}

static void take_outcome(struct sasl_dovecot *d, struct span rest)
{
    struct span parameter, value;
    bool whole = true;

    d->user[0] = d->reason[0] = '\0';
    d->trouble = false;
    while (next_parameter(&rest, &parameter)) {
        if (has_key(parameter, SPAN_LIT("user="), &value))
            whole = keep_text(value, d->user, sizeof d->user);
        else if (has_key(parameter, SPAN_LIT("reason="), &value))
            keep_text(value, d->reason, sizeof d->reason);
        else if (span_equal(parameter, SPAN_LIT("temp")) ||
                 span_equal(parameter, SPAN_LIT("code=temp_fail")))
            d->trouble = true;
    }
    if (!whole)
        d->user[0] = '\0'; /* a name that was cut is another's */
}

static enum sasl_dovecot_event take_reply(struct sasl_dovecot *d, struct span command,
                                          struct span rest)
{
    bool ok = span_equal(command, SPAN_LIT("OK"));
    bool cont = span_equal(command, SPAN_LIT("CONT"));
    struct span id;

    if (!ok && !cont && !span_equal(command, SPAN_LIT("FAIL")))
        return SASL_DOVECOT_MORE;
    if (!next_parameter(&rest, &id) || !span_to_u64(id, UINT32_MAX, &d->id))
        return SASL_DOVECOT_MORE;
    if (cont) {
        if (!next_parameter(&rest, &d->challenge))
            d->challenge = (struct span){NULL, 0};
        return SASL_DOVECOT_CONT;
    }
    take_outcome(d, rest);
    return ok ? SASL_DOVECOT_OK : SASL_DOVECOT_FAIL;
}

static enum sasl_dovecot_event take_line(struct sasl_dovecot *d)
{
    struct span rest = span_make(d->line, d->len);
    struct span command;

    d->len = 0; /* its bytes stay where they are until the next call */
    if (!next_parameter(&rest, &command))
        return SASL_DOVECOT_MORE;
    return d->greeted ? take_reply(d, command, rest) : take_greeting(d, command, rest);
}

enum sasl_dovecot_event sasl_dovecot_feed(struct sasl_dovecot *d, struct span *in)
{
    enum sasl_dovecot_event event = SASL_DOVECOT_MORE;

    while (in->len > 0 && event == SASL_DOVECOT_MORE) {
        size_t end = span_find(*in, '\n');

        if (d->broken)
            return SASL_DOVECOT_BROKEN;
        if (end > sizeof d->line - d->len)
            return break_it(d, "a line that is too long");
        memcpy(d->line + d->len, in->ptr, end);
        d->len += end;
        if (end == in->len) {
            *in = span_from(*in, end);
            break;
        }
        *in = span_from(*in, end + 1);
        event = take_line(d);
    }
    return event;
}

/* ---- what is said ---- */

void sasl_dovecot_put_hello(struct text *t, uint64_t pid)
{
    text_printf(t, "VERSION\t%d\t%d\nCPID\t%ju\n", MAJOR, MINOR, (uintmax_t)pid);
}

static void put_address(struct text *t, const char *key, const char *address, const char *port_key,
                        uint16_t port)
{
    if (address[0])
        text_printf(t, "\t%s=%s", key, address);
    if (address[0] && port > 0)
        text_printf(t, "\t%s=%u", port_key, (unsigned)port);
}

void sasl_dovecot_put_auth(struct text *t, const struct sasl_dovecot_request *r)
{
    text_printf(t, "AUTH\t%ju\t%s\tservice=%s\tnologin", (uintmax_t)r->id, r->mechanism,
                r->service);
    put_address(t, "lip", r->local_address, "lport", r->local_port);
    put_address(t, "rip", r->remote_address, "rport", r->remote_port);
    if (r->secured)
        text_cstr(t, "\tsecured");
    if (r->has_initial) { /* the last one, whatever it has in it */
        text_cstr(t, "\tresp=");
        text_span(t, r->initial.len > 0 ? r->initial : SPAN_LIT("="));
    }
    text_char(t, '\n');
}

void sasl_dovecot_put_cont(struct text *t, uint64_t id, struct span response)
{
    text_printf(t, "CONT\t%ju\t", (uintmax_t)id);
    text_span(t, response);
    text_char(t, '\n');
}

void sasl_dovecot_put_cancel(struct text *t, uint64_t id)
{
    text_printf(t, "CANCEL\t%ju\n", (uintmax_t)id);
}
