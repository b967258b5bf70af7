/* control_recipient - see control_recipient.h */
#include "control/control_recipient.h"

#include "config/way.h"
#include "control/control_format.h"
#include "server/policy.h"

#include <sysexits.h>

#define SHOWN_MAX 400

bool control_complete(struct text *t, const struct config *config,
                      const struct smtp_address *address)
{
    text_printf(t, "%s@%s", address->text, config->myorigin);
    return !t->overflow;
}

static int refuse_syntax(struct span argument, struct smtp_verdict *verdict_out)
{
    struct text t;

    verdict_out->code = 501;
    text_init(&t, verdict_out->line, sizeof verdict_out->line);
    text_cstr(&t, "501 5.1.3 Bad recipient address syntax: ");
    text_span(&t, span_first(argument, SHOWN_MAX));
    return EX_NOUSER;
}

static bool parse(struct span argument, struct smtp_rcpt_params *out)
{
    char buf[CONTROL_LINE_MAX + 32];
    struct text args;

    text_init(&args, buf, sizeof buf);
    text_cstr(&args, "TO:");
    text_span(&args, argument);
    if (args.overflow || smtp_command_rcpt(text_as_span(&args), true, out) != SMTP_PARAM_OK)
        return false;
    out->bad = (struct span){NULL, 0}; /* pointed into our buffer */
    return !smtp_address_is_null(&out->recipient);
}

static bool gets_origin(const struct smtp_address *recipient)
{
    return !recipient->has_domain &&
           !span_equal_nocase(smtp_address_local(recipient), SPAN_LIT("postmaster"));
}

static bool complete(const struct config *config, struct smtp_address *recipient)
{
    char buf[SMTP_ADDRESS_CAP];
    struct text t;

    text_init(&t, buf, sizeof buf);
    return control_complete(&t, config, recipient) &&
           smtp_address_parse(text_as_span(&t), true, recipient) == SMTP_ADDRESS_OK;
}

/* Behind the refusal, for whoever reads cron's complaint. */
static void add_advice(const struct config *config, bool completed, struct smtp_verdict *verdict)
{
    struct text t = {
        .ptr = verdict->line, .len = span_of(verdict->line).len, .cap = sizeof verdict->line};

    if (completed)
        text_printf(&t, " (a name without a domain gets @%s: set myorigin to one of relay_domains)",
                    config->myorigin);
    else if (way_out_exists(config))
        text_cstr(&t, " (no way leads there for mail of this sender)");
    else
        text_cstr(&t, " (no way leads there: its domain is not in relay_domains, and neither "
                      "relayhost nor outbound=direct is set)");
}

int control_recipient(const struct config *config, struct span sender, struct span argument,
                      struct smtp_rcpt_params *out, struct smtp_verdict *verdict_out)
{
    bool completed;

    if (!parse(argument, out))
        return refuse_syntax(argument, verdict_out);
    completed = gets_origin(&out->recipient);
    if (completed && !complete(config, &out->recipient))
        return refuse_syntax(argument, verdict_out);
    if (policy_recipient(config, sender, &out->recipient, verdict_out))
        return EX_OK;
    if (out->recipient.has_domain)
        add_advice(config, completed, verdict_out);
    return control_exit_code(verdict_out);
}
