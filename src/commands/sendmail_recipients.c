/* sendmail_recipients - see sendmail.h */
#include "commands/sendmail.h"
#include "message/address_list.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static bool has(const struct sendmail_recipients *r, const char *address)
{
    for (size_t i = 0; i < r->count; i++) {
        if (strcmp(r->list[i], address) == 0)
            return true;
    }
    return false;
}

static bool append(struct sendmail_recipients *r, const char *address)
{
    if (r->count == r->cap) {
        size_t cap = r->cap > 0 ? r->cap * 2 : 16;
        char **more = realloc(r->list, cap * sizeof *more);

        if (!more)
            return false;
        r->list = more;
        r->cap = cap;
    }
    r->list[r->count] = strdup(address);
    return r->list[r->count] && ++r->count > 0;
}

int sendmail_recipients_add(struct sendmail_recipients *r, struct span list, struct errbuf *err)
{
    struct address_list addresses;
    char address[SMTP_ADDRESS_CAP];

    address_list_init(&addresses, list);
    for (;;) {
        switch (address_list_next(&addresses, address)) {
        case ADDRESS_LIST_END:
            return EX_OK;
        case ADDRESS_LIST_BAD:
            return errbuf_set(err, EX_USAGE, "bad recipient address: %s", address);
        case ADDRESS_LIST_ADDRESS:
            if (!has(r, address) && !append(r, address))
                return errbuf_set(err, EX_OSERR, "out of memory");
            break;
        }
    }
}

static bool is_recipient_field(struct span name)
{
    return span_equal_nocase(name, SPAN_LIT("To")) || span_equal_nocase(name, SPAN_LIT("Cc")) ||
           span_equal_nocase(name, SPAN_LIT("Bcc"));
}

/* Whether it is one of the fields that say where the message goes now. */
static bool names_recipients(struct span name, bool resent)
{
    struct span prefix = SPAN_LIT("Resent-");

    if (!resent)
        return is_recipient_field(name);
    return span_starts_nocase(name, prefix) && is_recipient_field(span_from(name, prefix.len));
}

static bool is_resent(struct span header)
{
    struct local_field field;

    while (local_field_next(&header, &field)) {
        if (names_recipients(field.name, true))
            return true;
    }
    return false;
}

int sendmail_recipients_extract(struct sendmail_recipients *r, struct span header,
                                struct errbuf *err)
{
    bool resent = is_resent(header);
    struct local_field field;
    int rc = EX_OK;

    while (rc == EX_OK && local_field_next(&header, &field)) {
        if (names_recipients(field.name, resent))
            rc = sendmail_recipients_add(r, field.value, err);
    }
    return rc == EX_USAGE ? EX_DATAERR : rc; /* here it is the message that is wrong */
}

void sendmail_recipients_free(struct sendmail_recipients *r)
{
    for (size_t i = 0; i < r->count; i++)
        free(r->list[i]);
    free(r->list);
    *r = (struct sendmail_recipients){NULL, 0, 0};
}
