/* Fuzz smtp/command: what was parsed, written down again as a relay would, parses to the same. */
#include "base/text.h"
#include "input.h"
#include "smtp/command.h"

#include <assert.h>
#include <string.h>

static bool lies_within(struct span part, struct span whole)
{
    return part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static bool is_one_word(const char *s)
{
    return !strpbrk(s, " \t\r\n=") && smtp_utf8_printable(span_of(s));
}

static void check_mail(struct span args)
{
    static const char *const rets[] = {"", " RET=FULL", " RET=HDRS"};
    char line[2048];
    struct smtp_mail_params p;
    struct smtp_mail_params again;
    struct text t;

    if (smtp_command_mail(args, &p) != SMTP_PARAM_OK) {
        assert(lies_within(p.bad, args));
        return;
    }
    assert(is_one_word(p.envid) && strlen(p.envid) < sizeof p.envid && p.size <= INT64_MAX);
    assert(p.smtputf8 || !p.sender.non_ascii);
    text_init(&t, line, sizeof line);
    text_printf(&t, "FROM:<%s>%s", p.sender.text, rets[p.ret]);
    if (p.has_size)
        text_printf(&t, " SIZE=%llu", (unsigned long long)p.size);
    if (p.has_body)
        text_cstr(&t, p.body == SMTP_BODY_8BITMIME ? " BODY=8BITMIME" : " BODY=7BIT");
    if (p.envid[0])
        text_printf(&t, " ENVID=%s", p.envid);
    text_cstr(&t, p.smtputf8 ? " SMTPUTF8" : "");
    assert(!t.overflow);
    assert(smtp_command_mail(text_as_span(&t), &again) == SMTP_PARAM_OK);
    assert(strcmp(again.sender.text, p.sender.text) == 0 && strcmp(again.envid, p.envid) == 0);
    assert(again.size == p.size && again.body == p.body && again.ret == p.ret);
    assert(again.smtputf8 == p.smtputf8 && again.has_size == p.has_size);
}

static void check_rcpt(struct span args, bool utf8)
{
    char line[2048];
    struct smtp_rcpt_params p;
    struct smtp_rcpt_params again;
    struct text t;

    if (smtp_command_rcpt(args, utf8, &p) != SMTP_PARAM_OK) {
        assert(lies_within(p.bad, args));
        return;
    }
    assert(is_one_word(p.orcpt) && strlen(p.orcpt) < sizeof p.orcpt);
    assert(p.notify == SMTP_NOTIFY_NEVER || (p.notify & SMTP_NOTIFY_NEVER) == 0);
    assert(utf8 || !p.recipient.non_ascii);
    text_init(&t, line, sizeof line);
    text_printf(&t, "TO:<%s>", p.recipient.text);
    if (p.notify == SMTP_NOTIFY_NEVER)
        text_cstr(&t, " NOTIFY=NEVER");
    else if (p.notify)
        text_printf(&t, " NOTIFY=%s%s%s", p.notify & SMTP_NOTIFY_SUCCESS ? "SUCCESS," : "",
                    p.notify & SMTP_NOTIFY_FAILURE ? "FAILURE," : "",
                    p.notify & SMTP_NOTIFY_DELAY ? "DELAY" : "");
    if (t.ptr[t.len - 1] == ',')
        t.ptr[--t.len] = '\0';
    if (p.orcpt[0])
        text_printf(&t, " ORCPT=%s", p.orcpt);
    assert(!t.overflow);
    assert(smtp_command_rcpt(text_as_span(&t), utf8, &again) == SMTP_PARAM_OK);
    assert(strcmp(again.recipient.text, p.recipient.text) == 0);
    assert(again.notify == p.notify && strcmp(again.orcpt, p.orcpt) == 0);
}

static void check_line(struct span line)
{
    struct smtp_command c;
    uint64_t size = 0;
    bool last = false;

    smtp_command_parse(line, &c);
    assert(lies_within(c.word, line) && lies_within(c.args, line));
    assert(c.verb < SMTP_VERB_COUNT);
    assert(c.verb == SMTP_UNKNOWN || span_equal_nocase(c.word, span_of(smtp_verb_name(c.verb))));
    check_mail(c.args);
    check_rcpt(c.args, false);
    check_rcpt(c.args, true);
    if (smtp_command_bdat(c.args, &size, &last))
        assert(size <= INT64_MAX && span_find(c.args, '\0') == c.args.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX)
        return 0;
    check_line(span_make((const char *)data, size));
    return 0;
}
