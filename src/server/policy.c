/* policy - see policy.h */
#include "server/policy.h"

#include "base/text.h"

/* RFC 5321 4.5.1: <postmaster> without a domain is always ours. False when it is not that. */
static bool rewrite_postmaster(const struct config *config, struct smtp_address *recipient)
{
    char buf[SMTP_ADDRESS_CAP];
    struct text t;

    if (!span_equal_nocase(smtp_address_local(recipient), SPAN_LIT("postmaster")))
        return false;
    text_init(&t, buf, sizeof buf);
    text_span(&t, smtp_address_span(recipient));
    text_char(&t, '@');
    text_cstr(&t, domain_list_first(&config->domains));
    return !t.overflow && smtp_address_parse(text_as_span(&t), true, recipient) == SMTP_ADDRESS_OK;
}

static bool refuse(struct smtp_verdict *verdict_out, unsigned code, const char *dsn,
                   const struct smtp_address *recipient, const char *why)
{
    struct text t;

    verdict_out->code = code;
    text_init(&t, verdict_out->line, sizeof verdict_out->line);
    text_printf(&t, "%u %s <%s>: %s", code, dsn, recipient->text, why);
    return false;
}

bool policy_recipient(const struct config *config, bool trusted, struct smtp_address *recipient,
                      struct smtp_verdict *verdict_out)
{
    if (!recipient->has_domain) {
        if (rewrite_postmaster(config, recipient))
            return true;
        return refuse(verdict_out, 504, "5.5.2", recipient,
                      "Recipient address rejected: need fully-qualified address");
    }
    /* Trust opens no door: there is no route outwards that it could lead to. */
    if (recipient->literal || !domain_list_match(&config->domains, smtp_address_domain(recipient)))
        return refuse(verdict_out, 554, "5.7.1", recipient, "Relay access denied");
    return true;
}
