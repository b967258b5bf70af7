/*
 * policy_word - what each word of a list means; see policy_internal.h
 *
 * Texts, codes and what is passed over are Postfix' (its smtpd_check module): a word about
 * something that is not there (no HELO, the null sender, no recipient yet) says nothing.
 */
#include "server/policy_internal.h"

struct span policy_domain(const char *address)
{
    struct span s = span_of(address);
    size_t at = span_find_last(s, '@');

    return at < s.len ? span_from(s, at + 1) : (struct span){NULL, 0};
}

bool policy_is_hostname(struct span name)
{
    bool numeric = true;

    if (name.len == 0 || name.ptr[0] == '[' || !smtp_domain_valid(name, true))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool edge = i == 0 || name.ptr[i - 1] == '.' || i + 1 == name.len || name.ptr[i + 1] == '.';

        numeric = numeric && (ascii_is_digit(c) || c == '.');
        if (c == '-' && edge)
            return false;
    }
    return !numeric;
}

static bool is_fqdn(struct span name)
{
    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name.len--;
    return policy_is_hostname(name) && span_find(name, '.') < name.len;
}

/* ---- words that decide by themselves ---- */

/* What the list is about, as the reply names it: "<h>: Helo command". */
static void put_subject(struct text *t, const struct policy_run *r, const struct policy_facts *f)
{
    switch (r->stage) {
    case RESTRICT_CLIENT:
        text_printf(t, "<%s[%s]>: Client host", f->client_name, f->client_address);
        return;
    case RESTRICT_HELO:
        text_printf(t, "<%s>: Helo command", f->helo);
        return;
    case RESTRICT_SENDER:
        text_printf(t, "<%s>: Sender address", f->sender);
        return;
    case RESTRICT_RELAY:
    case RESTRICT_RECIPIENT:
        text_printf(t, "<%s>: Recipient address", f->recipient ? f->recipient->text : "");
        return;
    case RESTRICT_DATA:
    case RESTRICT_STAGE_COUNT:
        break;
    }
    text_cstr(t, "<DATA>: Data command");
}

static void refuse_subject(struct policy_run *r, const struct policy_facts *f, uint64_t code,
                           const char *dsn, const char *why)
{
    char buf[SMTP_VERDICT_CAP];
    struct text t;

    text_init(&t, buf, sizeof buf);
    put_subject(&t, r, f);
    policy_refuse(&r->verdict, code, dsn, "%s rejected: %s", buf, why);
}

static enum policy_effect reject_pipelining(struct policy_run *r, const struct policy_facts *f)
{
    if (!f->pipelined)
        return POLICY_EFFECT_NONE;
    refuse_subject(r, f, 503, "5.5.0", "Improper use of SMTP command pipelining");
    return POLICY_EFFECT_REFUSE;
}

static enum policy_effect reject_plaintext(struct policy_run *r, const struct policy_facts *f)
{
    if (f->secured)
        return POLICY_EFFECT_NONE;
    policy_refuse(&r->verdict, f->config->plaintext_reject_code, "4.7.1",
                  "Session encryption is required");
    return POLICY_EFFECT_REFUSE;
}

static enum policy_effect reject_unauth(struct policy_run *r, const struct policy_facts *f,
                                        uint64_t code)
{
    if (!f->recipient || policy_is_ours(f->config, f->recipient))
        return POLICY_EFFECT_NONE;
    policy_refuse(&r->verdict, code, "5.7.1", "<%s>: Relay access denied", f->recipient->text);
    return POLICY_EFFECT_REFUSE;
}

static enum policy_effect reject_unknown_client(struct policy_run *r, const struct policy_facts *f,
                                                enum dns_found found, const char *dsn,
                                                const char *what)
{
    if (found == DNS_FOUND)
        return POLICY_EFFECT_NONE;
    policy_refuse(&r->verdict, found == DNS_NONE ? f->config->unknown_client_reject_code : 450, dsn,
                  "Client host rejected: cannot find your %s, [%s]", what, f->client_address);
    return POLICY_EFFECT_REFUSE;
}

/* "[192.0.2.1]", which needs no name but must be an address. NONE when it is; else refused. */
static enum policy_effect check_literal(struct policy_run *r, const struct policy_facts *f)
{
    if (smtp_domain_valid(span_of(f->helo), false))
        return POLICY_EFFECT_NONE;
    policy_refuse(&r->verdict, f->config->invalid_hostname_reject_code, "5.5.2",
                  "<%s>: Helo command rejected: invalid ip address", f->helo);
    return POLICY_EFFECT_REFUSE;
}

static enum policy_effect reject_invalid_helo(struct policy_run *r, const struct policy_facts *f)
{
    unsigned char address[16];

    if (policy_is_hostname(span_of(f->helo)) || cidr_address_parse(span_of(f->helo), address))
        return POLICY_EFFECT_NONE;
    policy_refuse(&r->verdict, f->config->invalid_hostname_reject_code, "5.5.2",
                  "<%s>: Helo command rejected: Invalid name", f->helo);
    return POLICY_EFFECT_REFUSE;
}

static enum policy_effect reject_non_fqdn_helo(struct policy_run *r, const struct policy_facts *f)
{
    if (is_fqdn(span_of(f->helo)))
        return POLICY_EFFECT_NONE;
    policy_refuse(&r->verdict, f->config->non_fqdn_reject_code, "5.5.2",
                  "<%s>: Helo command rejected: need fully-qualified hostname", f->helo);
    return POLICY_EFFECT_REFUSE;
}

static enum policy_effect reject_non_fqdn(struct policy_run *r, const struct policy_facts *f,
                                          const char *address, const char *class)
{
    struct span domain = policy_domain(address);

    if (address[0] == '\0' || is_fqdn(domain) || (domain.len > 0 && domain.ptr[0] == '['))
        return POLICY_EFFECT_NONE;
    policy_refuse(&r->verdict, f->config->non_fqdn_reject_code, "5.5.2",
                  "<%s>: %s rejected: need fully-qualified address", address, class);
    return POLICY_EFFECT_REFUSE;
}

static enum policy_effect reject_multi_bounce(struct policy_run *r, const struct policy_facts *f)
{
    /* At RCPT this recipient is one more than those accepted. */
    size_t count = f->recipient_count + (f->recipient ? 1 : 0);

    if (f->sender[0] || count < 2)
        return POLICY_EFFECT_NONE;
    refuse_subject(r, f, f->config->multi_recipient_bounce_reject_code, "5.5.3",
                   "Multi-recipient bounce");
    return POLICY_EFFECT_REFUSE;
}

static enum policy_effect run_helo_word(struct policy_run *r, const struct policy_facts *f,
                                        enum restriction_word word)
{
    if (!f->helo[0])
        return POLICY_EFFECT_NONE;
    if (f->helo[0] == '[')
        return check_literal(r, f);
    if (word == RESTRICTION_REJECT_INVALID_HELO_HOSTNAME)
        return reject_invalid_helo(r, f);
    return word == RESTRICTION_REJECT_NON_FQDN_HELO_HOSTNAME ? reject_non_fqdn_helo(r, f)
                                                             : policy_unknown_helo(r, f);
}

static enum policy_effect run_generic_word(struct policy_run *r, const struct policy_facts *f,
                                           const struct restriction *word)
{
    if (word->word == RESTRICTION_REJECT) {
        refuse_subject(r, f, f->config->reject_code, "5.7.1", "Access denied");
        return POLICY_EFFECT_REFUSE;
    }
    if (word->word == RESTRICTION_DEFER) {
        refuse_subject(r, f, f->config->defer_code, "4.3.2", "Try again later");
        return POLICY_EFFECT_REFUSE;
    }
    refuse_subject(r, f, 450, "4.7.0", "defer_if_permit requested");
    return POLICY_EFFECT_DEFER;
}

static enum policy_effect permit_if(bool truth)
{
    return truth ? POLICY_EFFECT_PERMIT : POLICY_EFFECT_NONE;
}

/* The upstream is what knows the recipients: it is asked at the end, and once. */
static enum policy_effect ask_upstream(struct policy_run *r, const struct restriction *word)
{
    r->ask_upstream = r->ask_upstream || !word->warn;
    return POLICY_EFFECT_NONE;
}

enum policy_effect policy_run_word(struct policy_run *r, const struct policy_facts *f,
                                   const struct restriction *word)
{
    switch (word->word) {
    case RESTRICTION_PERMIT:
        return POLICY_EFFECT_PERMIT;
    case RESTRICTION_PERMIT_MYNETWORKS:
        return permit_if(f->trusted);
    case RESTRICTION_PERMIT_AUTH_DESTINATION:
        return permit_if(f->recipient && policy_is_ours(f->config, f->recipient));
    case RESTRICTION_REJECT:
    case RESTRICTION_DEFER:
    case RESTRICTION_DEFER_IF_PERMIT:
        return run_generic_word(r, f, word);
    case RESTRICTION_REJECT_UNAUTH_DESTINATION:
        return reject_unauth(r, f, f->config->relay_domains_reject_code);
    case RESTRICTION_DEFER_UNAUTH_DESTINATION:
        return reject_unauth(r, f, 454);
    case RESTRICTION_REJECT_UNAUTH_PIPELINING:
        return reject_pipelining(r, f);
    case RESTRICTION_REJECT_UNKNOWN_CLIENT_HOSTNAME:
        return reject_unknown_client(r, f, f->client_verified, "4.7.25", "hostname");
    case RESTRICTION_REJECT_UNKNOWN_REVERSE_CLIENT_HOSTNAME:
        return reject_unknown_client(r, f, f->client_reverse, "4.7.1", "reverse hostname");
    case RESTRICTION_REJECT_RBL_CLIENT:
        return policy_rbl(r, f, word);
    case RESTRICTION_REJECT_PLAINTEXT_SESSION:
        return reject_plaintext(r, f);
    case RESTRICTION_REJECT_INVALID_HELO_HOSTNAME:
    case RESTRICTION_REJECT_NON_FQDN_HELO_HOSTNAME:
    case RESTRICTION_REJECT_UNKNOWN_HELO_HOSTNAME:
        return run_helo_word(r, f, word->word);
    case RESTRICTION_REJECT_NON_FQDN_SENDER:
        return reject_non_fqdn(r, f, f->sender, "Sender address");
    case RESTRICTION_REJECT_UNKNOWN_SENDER_DOMAIN:
        return policy_unknown_sender(r, f);
    case RESTRICTION_REJECT_NON_FQDN_RECIPIENT:
        return reject_non_fqdn(r, f, f->recipient ? f->recipient->text : "", "Recipient address");
    case RESTRICTION_REJECT_UNKNOWN_RECIPIENT_DOMAIN:
        return policy_unknown_recipient(r, f);
    case RESTRICTION_REJECT_UNLISTED_RECIPIENT:
    case RESTRICTION_REJECT_UNVERIFIED_RECIPIENT:
        return ask_upstream(r, word);
    case RESTRICTION_REJECT_MULTI_RECIPIENT_BOUNCE:
        return reject_multi_bounce(r, f);
    case RESTRICTION_REJECT_SENDER_LOGIN_MISMATCH:
    case RESTRICTION_REJECT_AUTHENTICATED_SENDER_LOGIN_MISMATCH:
    case RESTRICTION_REJECT_UNAUTHENTICATED_SENDER_LOGIN_MISMATCH:
    case RESTRICTION_REJECT_KNOWN_SENDER_LOGIN_MISMATCH:
        return policy_sender_login(r, f, word->word);
    case RESTRICTION_SLEEP:
        r->pause_ms = word->seconds * 1000u;
        return word->seconds > 0 ? POLICY_EFFECT_PAUSE : POLICY_EFFECT_NONE;
    case RESTRICTION_PERMIT_SASL_AUTHENTICATED:
        return permit_if(f->login[0] != '\0');
    case RESTRICTION_REJECT_UNLISTED_SENDER: /* there is no list of senders, as in Postfix */
    case RESTRICTION_WORD_COUNT:
        break;
    }
    return POLICY_EFFECT_NONE;
}
