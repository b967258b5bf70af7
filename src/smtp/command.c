/* smtp_command - see command.h; the arguments of MAIL and RCPT are in command_params.c */
#include "smtp/command.h"

#include <string.h>

static const char *const verb_names[SMTP_VERB_COUNT] = {
    [SMTP_HELO] = "helo",         [SMTP_EHLO] = "ehlo",         [SMTP_XCLIENT] = "xclient",
    [SMTP_XFORWARD] = "xforward", [SMTP_STARTTLS] = "starttls", [SMTP_AUTH] = "auth",
    [SMTP_MAIL] = "mail",         [SMTP_RCPT] = "rcpt",         [SMTP_DATA] = "data",
    [SMTP_BDAT] = "bdat",         [SMTP_RSET] = "rset",         [SMTP_NOOP] = "noop",
    [SMTP_VRFY] = "vrfy",         [SMTP_ETRN] = "etrn",         [SMTP_QUIT] = "quit",
    [SMTP_HELP] = "help",         [SMTP_UNKNOWN] = "unknown",
};

const char *smtp_verb_name(enum smtp_verb verb)
{
    return verb_names[verb < SMTP_VERB_COUNT ? verb : SMTP_UNKNOWN];
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Unlike span_trim, leaves CR: "QUIT" CR CR LF is no QUIT. */
static struct span trim_blanks(struct span s)
{
    while (s.len > 0 && is_blank(s.ptr[0]))
        s = span_from(s, 1);
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

static enum smtp_verb find_verb(struct span word)
{
    enum smtp_verb verb = SMTP_HELO;

    while (verb < SMTP_UNKNOWN && !span_equal_nocase(word, span_of(verb_names[verb])))
        verb++;
    return verb;
}

void smtp_command_parse(struct span line, struct smtp_command *out)
{
    size_t len = 0;

    line = trim_blanks(line);
    while (len < line.len && !is_blank(line.ptr[len]))
        len++;
    out->word = span_first(line, len);
    out->args = trim_blanks(span_from(line, len));
    out->verb = find_verb(out->word);
}

bool smtp_command_bdat(struct span args, uint64_t *size_out, bool *last_out)
{
    struct span size;
    struct span last;
    struct span more;

    if (!span_next_word(&args, " \t", &size) || !span_to_u64(size, INT64_MAX, size_out))
        return false;
    *last_out = span_next_word(&args, " \t", &last);
    if (*last_out && !span_equal_nocase(last, SPAN_LIT("LAST")))
        return false;
    return !span_next_word(&args, " \t", &more);
}
