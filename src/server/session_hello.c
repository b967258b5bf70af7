/*
 * session_hello - HELO and EHLO: the name that is said, and what is offered; see session_internal.h
 */
#include "server/session_internal.h"

#include <string.h>

#define HELO_UNWANTED "<>()\\\";@"
#define EHLO_LINE_CAP 520 /* the longest has our name, or many mechanisms */

/* Without what could end a comment or a field of Received and log lines, as Postfix does it. */
static void keep_helo(struct session *s, struct span name)
{
    struct text t;

    session_reset(s);
    text_init(&t, s->helo, sizeof s->helo);
    text_printable(&t, name); /* what does not fit is left out */
    for (size_t i = 0; i < t.len; i++) {
        if (ascii_is_8bit(t.ptr[i]) || strchr(HELO_UNWANTED, t.ptr[i]))
            t.ptr[i] = '?';
    }
    session_enter(s, SESSION_READY);
}

static bool take_helo(struct session *s, const struct smtp_command *c, const char *name)
{
    if (c->args.len == 0) {
        session_reply(s, "501 Syntax: %s hostname", name);
        session_done(s);
        return false;
    }
    keep_helo(s, c->args);
    return true;
}

void session_helo(struct session *s, const struct smtp_command *c)
{
    if (!take_helo(s, c, "HELO"))
        return;
    s->esmtp = false;
    session_reply(s, "250 %s", s->config->myhostname);
    session_done(s);
}

bool session_offers(const struct session *s, const char *keyword)
{
    if (!s->config->smtputf8_enable && strcmp(keyword, "SMTPUTF8") == 0)
        return false;
    if (s->config->disable_vrfy_command && strcmp(keyword, "VRFY") == 0)
        return false;
    if (strcmp(keyword, "STARTTLS") == 0 && !session_offers_tls(s))
        return false;
    if (strcmp(keyword, "AUTH=") == 0 && !s->config->broken_sasl_auth_clients)
        return false;
    return !session_is_listed(s->ehlo_discarded, span_of(keyword));
}

/* The line before is sent when it is known whether another follows. */
static void offer(struct session *s, char line[EHLO_LINE_CAP], const char *keyword)
{
    bool auth = strncmp(keyword, "AUTH", 4) == 0;
    char names[EHLO_LINE_CAP] = "";
    struct text t;

    text_init(&t, names, sizeof names);
    if (!session_offers(s, keyword) || (auth && (s->auth_hidden || !session_put_mechanisms(s, &t))))
        return;
    line[3] = '-';
    session_reply_line(s, line);
    text_init(&t, line, EHLO_LINE_CAP);
    text_printf(&t, "250 %s", keyword);
    if (strcmp(keyword, "SIZE") == 0)
        text_printf(&t, " %llu", (unsigned long long)s->config->message_size_limit);
    if (auth)
        text_printf(&t, "%s%s", keyword[4] ? "" : " ", names);
}

void session_ehlo(struct session *s, const struct smtp_command *c)
{
    static const char *const keywords[] = {
        "PIPELINING",          "SIZE",     "VRFY", "STARTTLS", "AUTH",    "AUTH=",
        "ENHANCEDSTATUSCODES", "8BITMIME", "DSN",  "SMTPUTF8", "CHUNKING"};
    char line[EHLO_LINE_CAP];
    struct text t;

    if (!take_helo(s, c, "EHLO"))
        return;
    s->esmtp = true;
    text_init(&t, line, sizeof line);
    text_printf(&t, "250 %s", s->config->myhostname);
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++)
        offer(s, line, keywords[i]);
    session_reply_line(s, line);
    session_done(s);
}
