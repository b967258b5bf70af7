/* local_header - see local_header.h */
#include "message/local_header.h"

#include "base/clock.h"
#include "message/address_list.h"
#include "message/local_mail.h"

static bool is_one_of(struct span name, const char *const *names)
{
    for (; *names; names++) {
        if (span_equal_nocase(name, span_of(*names)))
            return true;
    }
    return false;
}

static struct span without_resent(struct span name)
{
    struct span prefix = SPAN_LIT("Resent-");

    return span_starts_nocase(name, prefix) ? span_from(name, prefix.len) : name;
}

static bool is_dropped(struct span name)
{
    static const char *const names[] = {"Bcc", "Resent-Bcc", "Return-Path", "Content-Length", NULL};

    return is_one_of(name, names);
}

static bool names_people(struct span name)
{
    static const char *const names[] = {"From",
                                        "Sender",
                                        "Reply-To",
                                        "To",
                                        "Cc",
                                        "Return-Receipt-To",
                                        "Errors-To",
                                        "Mail-Copies-To",
                                        "Disposition-Notification-To",
                                        NULL};

    return is_one_of(without_resent(name), names);
}

/* ---- what is missing ---- */

/* A display name, quoted when it is more than words (RFC 5322 3.2.4). */
static void write_name(struct text *t, struct span name)
{
    bool quote = false;

    for (size_t i = 0; i < name.len; i++)
        quote = quote || !(ascii_is_alnum(name.ptr[i]) || name.ptr[i] == ' ');
    if (quote)
        text_char(t, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '"' || name.ptr[i] == '\\')
            text_char(t, '\\');
        text_printable(t, span_make(name.ptr + i, 1));
    }
    if (quote)
        text_char(t, '"');
}

static void write_from(struct text *t, const struct local_sender *sender)
{
    struct span name = span_first(span_of(sender->full_name), 256);

    text_cstr(t, "From: ");
    if (sender->address[0] == '\0') {
        text_printf(t, "MAILER-DAEMON@%s (Mail Delivery System)\n", sender->origin);
        return;
    }
    write_name(t, name);
    text_printf(t, name.len > 0 ? " <%s>\n" : "%s\n", sender->address);
}

static bool is_resent(struct span header)
{
    struct local_field field;

    while (local_field_next(&header, &field)) {
        if (span_starts_nocase(field.name, SPAN_LIT("Resent-")))
            return true;
    }
    return false;
}

/* "PREFIXNAME" is in the header. */
static bool has_field(struct span header, const char *prefix, const char *name)
{
    struct local_field field;
    char wanted[32];
    struct text t;

    text_init(&t, wanted, sizeof wanted);
    text_cstr(&t, prefix);
    text_cstr(&t, name);
    while (local_field_next(&header, &field)) {
        if (span_equal_nocase(field.name, text_as_span(&t)))
            return true;
    }
    return false;
}

static void write_missing(struct text *t, struct span header, const struct local_sender *sender)
{
    const char *prefix = is_resent(header) ? "Resent-" : "";

    if (!has_field(header, prefix, "Message-Id"))
        text_printf(t, "%sMessage-Id: <%s@%s>\n", prefix, sender->unique, sender->myhostname);
    if (!has_field(header, prefix, "Date")) {
        text_printf(t, "%sDate: ", prefix);
        clock_text_rfc5322(t, sender->now_us);
        text_char(t, '\n');
    }
    if (!has_field(header, prefix, "From")) {
        text_cstr(t, prefix);
        write_from(t, sender);
    }
}

/* ---- what is there ---- */

/* The field's bytes, with a domain put behind each address that has none. */
static void write_completed(struct text *t, const struct local_field *field, const char *origin)
{
    struct address_list list;
    char address[SMTP_ADDRESS_CAP];
    const char *written = field->whole.ptr;
    const char *end = field->whole.ptr + field->whole.len;
    enum address_list_event event;

    address_list_init(&list, field->value);
    while ((event = address_list_next(&list, address)) != ADDRESS_LIST_END) {
        if (event != ADDRESS_LIST_ADDRESS || !list.local_end)
            continue;
        text_span(t, span_make(written, (size_t)(list.local_end - written)));
        text_printf(t, "@%s", origin);
        written = list.local_end;
    }
    text_span(t, span_make(written, (size_t)(end - written)));
}

void local_header_write(struct text *t, struct span header, const struct local_sender *sender)
{
    struct local_field field;
    struct span rest = header;

    while (local_field_next(&rest, &field)) {
        if (is_dropped(field.name))
            continue;
        if (names_people(field.name) && !sender->gateway)
            write_completed(t, &field, sender->origin);
        else
            text_span(t, field.whole);
        if (field.whole.ptr[field.whole.len - 1] != '\n')
            text_char(t, '\n');
    }
    if (!sender->gateway)
        write_missing(t, header, sender);
    text_char(t, '\n');
}
