/*
 * policy_dns - the words that ask the DNS; see policy_internal.h
 *
 * Each is run twice: without an answer it asks, with one it decides. Trouble with the DNS refuses
 * nobody for good: a domain that cannot be looked up is a 450, a block list that cannot be asked
 * lists nobody.
 */
#include "server/policy_internal.h"

#include <string.h>

/* False when the name cannot be asked for. */
static bool ask(struct policy_run *r, enum dns_question question, struct span name)
{
    r->question = question;
    return span_copy(name, r->name, sizeof r->name);
}

/* ---- domains ---- */

struct domain_check {
    struct span domain;
    const char *subject; /* of the reply, between <> */
    const char *class;   /* "Sender address" */
    const char *missing; /* "Domain not found" */
    const char *dsn;
    const char *null_dsn; /* of a domain that takes no mail; NULL: that is no fault */
    unsigned null_code;
    uint64_t code;
};

static enum policy_effect judge(struct policy_run *r, const struct domain_check *c,
                                enum dns_found found)
{
    switch (found) {
    case DNS_FOUND:
        return POLICY_EFFECT_NONE;
    case DNS_NULL_MX:
        if (!c->null_dsn)
            return POLICY_EFFECT_NONE;
        policy_refuse(&r->verdict, c->null_code, c->null_dsn,
                      "<%s>: %s rejected: Domain %.*s does not accept mail (nullMX)", c->subject,
                      c->class, (int)c->domain.len, c->domain.ptr);
        return POLICY_EFFECT_REFUSE;
    case DNS_NONE:
        policy_refuse(&r->verdict, c->code, c->dsn, "<%s>: %s rejected: %s", c->subject, c->class,
                      c->missing);
        return POLICY_EFFECT_REFUSE;
    case DNS_TROUBLE:
        break;
    }
    policy_refuse(&r->verdict, 450, c->dsn, "<%s>: %s rejected: %s", c->subject, c->class,
                  c->missing);
    return POLICY_EFFECT_DEFER;
}

static bool is_ascii(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (ascii_is_8bit(s.ptr[i]))
            return false;
    }
    return true;
}

static enum policy_effect check_domain(struct policy_run *r, const struct domain_check *c)
{
    if (r->answered) {
        r->answered = false;
        return judge(r, c, r->answer.found);
    }
    if (c->domain.len > 0 && c->domain.ptr[0] == '[')
        return POLICY_EFFECT_NONE; /* an address needs no name */
    if (!is_ascii(c->domain))
        return POLICY_EFFECT_NONE; /* cannot be asked for: its ASCII form is not computed here */
    if (!policy_is_hostname(c->domain) || !ask(r, DNS_MAIL_HOST, c->domain))
        return judge(r, c, DNS_NONE);
    return POLICY_EFFECT_ASK;
}

enum policy_effect policy_unknown_helo(struct policy_run *r, const struct policy_facts *f)
{
    struct domain_check c = {.domain = span_of(f->helo),
                             .subject = f->helo,
                             .class = "Helo command",
                             .missing = "Host not found",
                             .dsn = "4.7.1",
                             .code = f->config->unknown_hostname_reject_code};

    return check_domain(r, &c);
}

enum policy_effect policy_unknown_sender(struct policy_run *r, const struct policy_facts *f)
{
    struct domain_check c = {.domain = policy_domain(f->sender),
                             .subject = f->sender,
                             .class = "Sender address",
                             .missing = "Domain not found",
                             .dsn = "4.1.8",
                             .null_dsn = "5.7.27",
                             .null_code = 550,
                             .code = f->config->unknown_address_reject_code};

    return f->sender[0] ? check_domain(r, &c) : POLICY_EFFECT_NONE;
}

enum policy_effect policy_unknown_recipient(struct policy_run *r, const struct policy_facts *f)
{
    struct domain_check c = {.class = "Recipient address",
                             .missing = "Domain not found",
                             .dsn = "4.1.2",
                             .null_dsn = "5.1.10",
                             .null_code = 556,
                             .code = f->config->unknown_address_reject_code};

    if (!f->recipient)
        return POLICY_EFFECT_NONE;
    c.domain = smtp_address_domain(f->recipient);
    c.subject = f->recipient->text;
    return check_domain(r, &c);
}

/* ---- block lists ---- */

/* "9.113.0.203.bl.example.org", or 32 digits of an IPv6 address, the last one first. */
static bool put_rbl_name(struct policy_run *r, const char *address, const char *zone)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    unsigned char bytes[16];
    bool v4;
    struct text t;

    if (!cidr_address_parse(span_of(address), bytes))
        return false;
    v4 = memcmp(bytes, mapped, sizeof mapped) == 0;
    text_init(&t, r->name, sizeof r->name);
    for (size_t i = 16; i > (v4 ? 12 : 0); i--) {
        if (v4)
            text_printf(&t, "%u.", bytes[i - 1]);
        else
            text_printf(&t, "%x.%x.", bytes[i - 1] & 15u, bytes[i - 1] >> 4u);
    }
    text_cstr(&t, zone);
    return !t.overflow;
}

/* Words for the log, once per run: every list that fails would say the same of its own. */
static enum policy_effect note(struct policy_run *r, const char *zone, const char *why)
{
    struct text t;

    if (r->noted)
        return POLICY_EFFECT_NONE;
    r->noted = true;
    text_init(&t, r->verdict.line, sizeof r->verdict.line);
    text_printf(&t, "%s: RBL lookup error: %s", zone, why);
    return POLICY_EFFECT_NOTE;
}

/* 127.255.255.x: the list does not answer questions from this resolver, or not so many. */
static bool is_error(const unsigned char a[4])
{
    return a[0] == 127 && a[1] == 255 && a[2] == 255;
}

static enum policy_effect judge_addresses(struct policy_run *r, const struct restriction *word)
{
    const struct dns_answer *answer = &r->answer;
    bool listed = false;

    if (answer->found == DNS_TROUBLE)
        return note(r, word->zone, "no usable answer; nobody is refused by it");
    for (size_t i = 0; i < answer->address_count; i++) {
        if (is_error(answer->addresses[i]))
            return note(r, word->zone,
                        "it answered 127.255.255.x, which means that it does not serve this "
                        "resolver; nobody is refused by it");
        listed = listed || restriction_rbl_match(word, answer->addresses[i]);
    }
    if (!listed)
        return POLICY_EFFECT_NONE;
    r->listed = true;
    r->question = DNS_TEXT;
    return POLICY_EFFECT_ASK;
}

static enum policy_effect refuse_listed(struct policy_run *r, const struct policy_facts *f,
                                        const struct restriction *word)
{
    const char *reason = r->answer.found == DNS_FOUND ? r->answer.text : "";

    policy_refuse(&r->verdict, f->config->maps_rbl_reject_code, "5.7.1",
                  "Service unavailable; Client host [%s] blocked using %s%s%s", f->client_address,
                  word->zone, reason[0] ? "; " : "", reason);
    return POLICY_EFFECT_REFUSE;
}

enum policy_effect policy_rbl(struct policy_run *r, const struct policy_facts *f,
                              const struct restriction *word)
{
    bool listed = r->listed;

    if (!put_rbl_name(r, f->client_address, word->zone))
        return POLICY_EFFECT_NONE;
    if (!r->answered) {
        r->question = DNS_ADDRESS;
        return POLICY_EFFECT_ASK;
    }
    r->answered = false;
    r->listed = false;
    return listed ? refuse_listed(r, f, word) : judge_addresses(r, word);
}
