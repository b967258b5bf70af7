/* policy - running the lists; see policy.h. What each word means: policy_word.c */
#include "server/policy_internal.h"

#include "config/way.h"

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

void policy_refuse(struct smtp_verdict *verdict, uint64_t code, const char *dsn, const char *format,
                   ...)
{
    struct text t;
    va_list args;

    verdict->code = (unsigned)code;
    text_init(&t, verdict->line, sizeof verdict->line);
    /* The class of the status is that of the code, which is a setting. */
    text_printf(&t, "%u %c%s ", verdict->code, code >= 500 ? '5' : '4', dsn + 1);
    va_start(args, format);
    text_vprintf(&t, format, args);
    va_end(args);
}

bool policy_complete_recipient(const struct config *config, struct smtp_address *recipient,
                               struct smtp_verdict *verdict_out)
{
    if (recipient->has_domain || rewrite_postmaster(config, recipient))
        return true;
    policy_refuse(verdict_out, 504, "5.5.2",
                  "<%s>: Recipient address rejected: need fully-qualified address",
                  recipient->text);
    return false;
}

bool policy_is_ours(const struct config *config, const struct smtp_address *recipient)
{
    return !recipient->literal &&
           domain_list_match(&config->domains, smtp_address_domain(recipient));
}

static bool refuse_relay(const struct config *config, const struct smtp_address *recipient,
                         struct smtp_verdict *verdict_out)
{
    if (policy_is_ours(config, recipient))
        return false;
    policy_refuse(verdict_out, config->relay_domains_reject_code, "5.7.1",
                  "<%s>: Relay access denied", recipient->text);
    return true;
}

bool policy_recipient(const struct config *config, struct span sender,
                      struct smtp_address *recipient, struct smtp_verdict *verdict_out)
{
    return policy_complete_recipient(config, recipient, verdict_out) &&
           (way_find(config, sender, smtp_address_span(recipient)).kind != WAY_NONE ||
            !refuse_relay(config, recipient, verdict_out));
}

void policy_begin(struct policy_run *r, enum restriction_stage first, enum restriction_stage last)
{
    *r = (struct policy_run){.stage = first, .last = last};
}

void policy_answer(struct policy_run *r, const struct dns_answer *answer)
{
    r->answer = *answer;
    r->answered = true;
}

/* Postfix' reply of an access table that does not have the sender, in the image we replace. */
static bool refuse_sender(const struct policy_facts *f, struct smtp_verdict *verdict_out)
{
    if (f->config->senders.count == 0 ||
        domain_list_match(&f->config->senders, policy_domain(f->sender)))
        return false;
    policy_refuse(verdict_out, f->config->reject_code, "5.7.1",
                  "<%s>: Recipient address rejected: Access denied", f->recipient->text);
    return true;
}

/* P5: trust alone is not enough, there must be a way that the operator opened. */
static bool may_relay(const struct policy_facts *f)
{
    return (f->trusted || f->login[0]) &&
           way_find(f->config, span_of(f->sender), smtp_address_span(f->recipient)).kind !=
               WAY_NONE;
}

/* What no list can overrule. */
static enum policy_step finish(struct policy_run *r, const struct policy_facts *f)
{
    if (f->recipient && ((!may_relay(f) && refuse_relay(f->config, f->recipient, &r->verdict)) ||
                         refuse_sender(f, &r->verdict)))
        return POLICY_REFUSE;
    if (!r->deferred)
        return POLICY_ACCEPT;
    r->verdict = r->deferral;
    return POLICY_REFUSE;
}

static void next_list(struct policy_run *r)
{
    r->stage++;
    r->at = 0;
}

/* The word at r->at was run. True: *step_out is due; else the run goes on. */
static bool take_effect(struct policy_run *r, const struct restriction *word,
                        enum policy_effect effect, enum policy_step *step_out)
{
    r->at += effect == POLICY_EFFECT_ASK || effect == POLICY_EFFECT_PERMIT ? 0 : 1;
    switch (effect) {
    case POLICY_EFFECT_NONE:
        return false;
    case POLICY_EFFECT_PERMIT:
        next_list(r);
        return false;
    case POLICY_EFFECT_REFUSE:
        *step_out = word->warn ? POLICY_WARN : POLICY_REFUSE;
        return true;
    case POLICY_EFFECT_DEFER:
        *step_out = POLICY_WARN;
        if (!word->warn && !r->deferred) { /* of several the first is told */
            r->deferral = r->verdict;
            r->deferred = true;
        }
        return word->warn;
    case POLICY_EFFECT_NOTE:
        *step_out = POLICY_NOTE;
        return true;
    case POLICY_EFFECT_ASK:
        *step_out = POLICY_ASK;
        return true;
    case POLICY_EFFECT_PAUSE:
        *step_out = POLICY_PAUSE;
        return true;
    }
    return false;
}

enum policy_step policy_next(struct policy_run *r, const struct policy_facts *f)
{
    enum policy_step step;

    while (r->stage <= r->last) {
        const struct restriction_list *list = &f->config->restrictions[r->stage];
        const struct restriction *word;

        if (r->at >= list->count || (r->stage == RESTRICT_HELO && !f->helo[0])) {
            next_list(r);
            continue;
        }
        word = &list->items[r->at];
        if (take_effect(r, word, policy_run_word(r, f, word), &step))
            return step;
    }
    return finish(r, f);
}
