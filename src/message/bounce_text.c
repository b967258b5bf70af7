/* bounce_text - the part of a report that is for people; see bounce.h */
#include "message/bounce_private.h"

static void put_failure(const struct bounce *b, struct text *t)
{
    text_cstr(t, "I'm sorry: your message could not be delivered to one or more of its\r\n"
                 "recipients. ");
    text_cstr(t, b->full ? "It is attached below.\r\n" : "Its header is attached below.\r\n");
}

static void put_delay(const struct bounce *b, struct text *t)
{
    text_cstr(t, "######################################################################\r\n"
                 "# THIS IS ONLY A WARNING. YOU DO NOT NEED TO SEND YOUR MESSAGE AGAIN. #\r\n"
                 "######################################################################\r\n"
                 "\r\n"
                 "Your message could not be delivered for more than ");
    bounce_put_period(t, b->age_ms);
    text_cstr(t, ".\r\nIt will be tried again until it is ");
    bounce_put_period(t, b->lifetime_ms);
    text_cstr(t, " old.\r\n");
}

static void put_success(struct text *t)
{
    text_cstr(t, "Your message was delivered to the recipients listed below. Where it went to a\r\n"
                 "mailbox this is all you will hear; where it was handed to another mail system\r\n"
                 "that system may still tell you that it could not deliver it.\r\n");
}

static void put_notice(const struct bounce *b, struct text *t)
{
    const char *id = b->about->id.text;

    text_cstr(t, "A message could not be delivered to one or more of its recipients, and its\r\n"
                 "sender was not told:");
    bounce_put_folded(t, 20, span_of(b->untold), b->about->smtputf8);
    text_cstr(t, ".\r\n\r\nIt is kept in the queue, on hold, until you decide. Its header is\r\n"
                 "attached below.\r\n\r\n");
    text_printf(t, "    postcat -q %s     shows it\r\n", id);
    text_printf(t, "    postsuper -r %s   tries it again\r\n", id);
    text_printf(t, "    mxgate resend %s to ADDRESS\r\n", id);
    text_cstr(t, "                                   sends its content to somebody else\r\n");
    text_printf(t, "    postsuper -d %s   deletes it\r\n", id);
    if (b->unnoticed > 0) {
        text_cstr(t, "\r\nOther messages that were put on hold before it, too many to tell of "
                     "each: ");
        text_u64(t, b->unnoticed);
        text_cstr(t, ".\r\nmailq shows them.\r\n");
    }
}

void bounce_put_notification(const struct bounce *b, struct text *t)
{
    text_printf(t, "This is the mail system at host %.255s.\r\n\r\n", b->myhostname);
    switch (b->kind) {
    case BOUNCE_FAILURE:
        put_failure(b, t);
        break;
    case BOUNCE_DELAY:
        put_delay(b, t);
        break;
    case BOUNCE_SUCCESS:
        put_success(t);
        break;
    case BOUNCE_NOTICE:
        put_notice(b, t);
        break;
    }
    if (b->kind != BOUNCE_NOTICE)
        text_cstr(t,
                  "\r\nFor further help, please write to postmaster, and include this report.\r\n"
                  "Your own text in the message attached may be left out.\r\n");
    text_cstr(t, "\r\n                   The mail system\r\n\r\n");
}

void bounce_put_recipient(const struct bounce *b, const struct recipient *r, struct text *t)
{
    bool utf8 = b->about->smtputf8;
    size_t start = t->len;

    text_char(t, '<');
    bounce_put_clean(t, span_of(r->address), SMTP_ADDRESS_CAP, utf8);
    text_cstr(t, ">:");
    bounce_put_folded(t, t->len - start,
                      r->reason ? span_of(r->reason)
                      : b->kind == BOUNCE_SUCCESS
                          ? SPAN_LIT("delivery to the mail system of the recipient succeeded")
                      : r->state == RECIPIENT_PENDING
                          ? SPAN_LIT("delivery temporarily suspended: its destination is away")
                          : SPAN_LIT("no reason was recorded"),
                      utf8);
    text_cstr(t, "\r\n\r\n");
}
