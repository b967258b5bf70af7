/* smtp_command - the arguments of MAIL and RCPT, see command.h */
#include "smtp/command.h"

#include "base/text.h"

#include <string.h>

struct param {
    struct span keyword;
    struct span value;
    bool has_value; /* there was a "=" */
};

/* Where parameters go: one of the two. */
struct target {
    struct smtp_mail_params *mail; /* borrowed from the caller */
    struct smtp_rcpt_params *rcpt; /* borrowed from the caller */
    bool utf8;
};

struct param_rule {
    const char *keyword;
    enum smtp_param_error (*take)(const struct param *p, const struct target *to);
};

static bool value_is(const struct param *p, const char *word)
{
    return span_equal_nocase(p->value, span_of(word));
}

static bool is_hex(char c)
{
    return ascii_is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f');
}

/* RFC 3461 section 4. Blanks cannot occur: they end the parameter. */
static bool xtext_valid(struct span s, bool utf8)
{
    for (size_t i = 0; i < s.len; i++) {
        if (ascii_is_control(s.ptr[i]) || (ascii_is_8bit(s.ptr[i]) && !utf8))
            return false;
        if (s.ptr[i] != '+')
            continue;
        if (s.len - i < 3 || !is_hex(s.ptr[i + 1]) || !is_hex(s.ptr[i + 2]))
            return false;
    }
    return s.len > 0 && smtp_utf8_printable(s);
}

/* False, and dst empty, when it does not fit. */
static bool copy_xtext(struct span s, char *dst, size_t cap)
{
    struct text t;

    text_init(&t, dst, cap);
    for (size_t i = 0; i < s.len; i++)
        text_span(&t, s.ptr[i] == '=' ? SPAN_LIT("+3D") : span_make(s.ptr + i, 1));
    if (t.overflow)
        dst[0] = '\0';
    return !t.overflow;
}

static enum smtp_param_error take_size(const struct param *p, const struct target *to)
{
    to->mail->has_size = span_to_u64(p->value, INT64_MAX, &to->mail->size);
    return to->mail->has_size ? SMTP_PARAM_OK : SMTP_PARAM_SYNTAX;
}

static enum smtp_param_error take_body(const struct param *p, const struct target *to)
{
    to->mail->has_body = true;
    to->mail->body = value_is(p, "8BITMIME") ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT;
    if (value_is(p, "8BITMIME") || value_is(p, "7BIT"))
        return SMTP_PARAM_OK;
    return p->value.len > 0 ? SMTP_PARAM_UNSUPPORTED : SMTP_PARAM_SYNTAX;
}

static enum smtp_param_error take_smtputf8(const struct param *p, const struct target *to)
{
    to->mail->smtputf8 = !p->has_value;
    return p->has_value ? SMTP_PARAM_SYNTAX : SMTP_PARAM_OK;
}

static enum smtp_param_error take_ret(const struct param *p, const struct target *to)
{
    if (value_is(p, "FULL"))
        to->mail->ret = SMTP_RET_FULL;
    else if (value_is(p, "HDRS"))
        to->mail->ret = SMTP_RET_HDRS;
    return to->mail->ret == SMTP_RET_NONE ? SMTP_PARAM_SYNTAX : SMTP_PARAM_OK;
}

static enum smtp_param_error take_envid(const struct param *p, const struct target *to)
{
    bool ok = xtext_valid(p->value, false);

    ok = ok && copy_xtext(p->value, to->mail->envid, sizeof to->mail->envid);
    return ok ? SMTP_PARAM_OK : SMTP_PARAM_SYNTAX;
}

static enum smtp_param_error take_auth(const struct param *p, const struct target *to)
{
    return xtext_valid(p->value, to->utf8) ? SMTP_PARAM_OK : SMTP_PARAM_SYNTAX;
}

/* "NEVER" / 1#( "SUCCESS" / "FAILURE" / "DELAY" ); 0 when it is neither. */
static unsigned parse_notify(struct span list)
{
    unsigned bits = 0;

    for (;;) {
        size_t len = span_find(list, ',');
        struct span word = span_first(list, len);

        if (span_equal_nocase(word, SPAN_LIT("SUCCESS")))
            bits |= SMTP_NOTIFY_SUCCESS;
        else if (span_equal_nocase(word, SPAN_LIT("FAILURE")))
            bits |= SMTP_NOTIFY_FAILURE;
        else if (span_equal_nocase(word, SPAN_LIT("DELAY")))
            bits |= SMTP_NOTIFY_DELAY;
        else
            return 0;
        if (len == list.len)
            return bits;
        list = span_from(list, len + 1);
    }
}

static enum smtp_param_error take_notify(const struct param *p, const struct target *to)
{
    to->rcpt->notify = value_is(p, "NEVER") ? SMTP_NOTIFY_NEVER : parse_notify(p->value);
    return to->rcpt->notify != 0 ? SMTP_PARAM_OK : SMTP_PARAM_SYNTAX;
}

/* addr-type ";" xtext; with SMTPUTF8 the address may be UTF-8 (RFC 6533 section 3). */
static enum smtp_param_error take_orcpt(const struct param *p, const struct target *to)
{
    size_t type_len = span_find(p->value, ';');

    for (size_t i = 0; i < type_len; i++) {
        if (!ascii_is_alnum(p->value.ptr[i]) && p->value.ptr[i] != '-')
            return SMTP_PARAM_SYNTAX;
    }
    if (type_len == 0 || !xtext_valid(span_from(p->value, type_len + 1), to->utf8))
        return SMTP_PARAM_SYNTAX;
    if (!copy_xtext(p->value, to->rcpt->orcpt, sizeof to->rcpt->orcpt))
        return SMTP_PARAM_SYNTAX;
    return SMTP_PARAM_OK;
}

static const struct param_rule mail_rules[] = {
    {"SIZE",     take_size    },
    {"BODY",     take_body    },
    {"SMTPUTF8", take_smtputf8},
    {"RET",      take_ret     },
    {"ENVID",    take_envid   },
    {"AUTH",     take_auth    },
    {NULL,       NULL         },
};

static const struct param_rule rcpt_rules[] = {
    {"NOTIFY", take_notify},
    {"ORCPT",  take_orcpt },
    {NULL,     NULL       },
};

/* keyword = ( ALPHA / DIGIT ) *( ALPHA / DIGIT / "-" ) */
static bool split_param(struct span word, struct param *out)
{
    size_t len = span_find(word, '=');

    out->has_value = len < word.len;
    out->keyword = span_first(word, len);
    out->value = span_from(word, len + 1);
    for (size_t i = 0; i < len; i++) {
        if (!ascii_is_alnum(word.ptr[i]) && (i == 0 || word.ptr[i] != '-'))
            return false;
    }
    return len > 0;
}

/* `seen` has a bit for each rule that was used. */
static enum smtp_param_error take_param(struct span word, const struct param_rule *rules,
                                        const struct target *to, unsigned *seen)
{
    struct param p;
    unsigned i = 0;

    if (!split_param(word, &p))
        return SMTP_PARAM_SYNTAX;
    while (rules[i].keyword && !span_equal_nocase(p.keyword, span_of(rules[i].keyword)))
        i++;
    if (!rules[i].keyword)
        return SMTP_PARAM_UNSUPPORTED;
    if (*seen & 1u << i)
        return SMTP_PARAM_SYNTAX;
    *seen |= 1u << i;
    return rules[i].take(&p, to);
}

/* `rest` is what follows the path: a ">" must not run into the first parameter. */
static enum smtp_param_error take_params(struct span rest, const struct param_rule *rules,
                                         const struct target *to, struct span *bad_out)
{
    bool apart = rest.len == 0 || rest.ptr[0] == ' ' || rest.ptr[0] == '\t';
    enum smtp_param_error error = apart ? SMTP_PARAM_OK : SMTP_PARAM_SYNTAX;
    unsigned seen = 0;
    struct span word;

    while (span_next_word(&rest, " \t", &word)) {
        if (error == SMTP_PARAM_OK)
            error = take_param(word, rules, to, &seen);
        if (error != SMTP_PARAM_OK) {
            *bad_out = word;
            return error;
        }
    }
    return SMTP_PARAM_OK;
}

/* What follows "FROM:" or "TO:"; empty when `args` does not start so, or nothing follows. */
static struct span find_path(struct span args, struct span prefix)
{
    if (!span_starts_nocase(args, prefix))
        return (struct span){NULL, 0};
    return span_from(args, prefix.len);
}

enum smtp_param_error smtp_command_mail(struct span args, struct smtp_mail_params *out)
{
    struct span path = find_path(args, SPAN_LIT("FROM:"));
    enum smtp_param_error error;
    struct span rest;

    memset(out, 0, sizeof *out);
    if (path.len == 0)
        return SMTP_PARAM_MISSING_TO;
    out->address_error = smtp_address_parse_path(path, false, &out->sender, &rest);
    if (out->address_error != SMTP_ADDRESS_OK && out->address_error != SMTP_ADDRESS_NON_ASCII)
        return SMTP_PARAM_ADDRESS;
    error = take_params(rest, mail_rules, &(struct target){.mail = out}, &out->bad);
    if (error != SMTP_PARAM_OK)
        return error;
    if (out->smtputf8) /* only now known to count for the address */
        out->address_error = smtp_address_parse_path(path, true, &out->sender, &rest);
    return out->address_error == SMTP_ADDRESS_OK ? SMTP_PARAM_OK : SMTP_PARAM_ADDRESS;
}

enum smtp_param_error smtp_command_rcpt(struct span args, bool utf8, struct smtp_rcpt_params *out)
{
    struct span path = find_path(args, SPAN_LIT("TO:"));
    struct span rest;

    memset(out, 0, sizeof *out);
    if (path.len == 0)
        return SMTP_PARAM_MISSING_TO;
    out->address_error = smtp_address_parse_path(path, utf8, &out->recipient, &rest);
    if (out->address_error != SMTP_ADDRESS_OK)
        return SMTP_PARAM_ADDRESS;
    return take_params(rest, rcpt_rules, &(struct target){.rcpt = out, .utf8 = utf8}, &out->bad);
}
