/*
 * session_command - command lines: what may come when, and the commands that start no transaction;
 * see session_internal.h
 *
 * The table says what is special about a command; the order of commands (503) is checked by the
 * handlers, in Postfix's order, since its texts tell clients which command they forgot.
 */
#include "server/session_internal.h"

#include <string.h>

#define SHOWN_MAX 100 /* bytes of a strange command that the log shows */

/* COMMAND_JUNK: costs us and brings no mail; counts against smtpd_junk_command_limit. */
/* COMMAND_LAST: nothing may be sent after it before its reply has come (RFC 2920 3.1). */
/* COMMAND_CLEAR: may be said in clear text where smtpd_tls_security_level is encrypt. */
enum { COMMAND_JUNK = 1, COMMAND_LAST = 2, COMMAND_CLEAR = 4 };

struct command_rule {
    const char *name;
    unsigned flags;
    session_command_fn *run;
};

bool session_is_listed(const char *list, struct span wanted)
{
    struct span rest = span_of(list);
    struct span word;

    while (span_next_word(&rest, ", \t\r\n", &word)) {
        if (span_equal_nocase(word, wanted))
            return true;
    }
    return false;
}

bool session_wants_helo(struct session *s)
{
    if (s->helo[0] || !s->config->smtpd_helo_required)
        return false;
    session_reply(s, "503 5.5.1 Error: send HELO/EHLO first");
    session_done(s);
    return true;
}

static void run_unauthorised(struct session *s, const struct smtp_command *c)
{
    session_reply(s, "550 5.7.0 Error: insufficient authorization");
    session_done(s);
}

static void run_unimplemented(struct session *s, const struct smtp_command *c)
{
    session_reply(s, "502 5.5.1 Error: command not implemented");
    session_done(s);
}

static void run_rset(struct session *s, const struct smtp_command *c)
{
    if (c->args.len > 0) {
        session_reply(s, "501 5.5.4 Syntax: RSET");
    } else {
        session_reset(s);
        session_reply(s, "250 2.0.0 Ok");
    }
    session_done(s);
}

static void run_noop(struct session *s, const struct smtp_command *c)
{
    session_reply(s, "250 2.0.0 Ok");
    session_done(s);
}

/* Says neither yes nor no (RFC 5321 7.3): whoever wants to know must name a sender and ask by RCPT.
 */
static void run_vrfy(struct session *s, const struct smtp_command *c)
{
    struct smtp_address address;
    struct span rest;
    enum smtp_address_error error;

    if (s->config->disable_vrfy_command) {
        session_reply(s, "502 5.5.1 VRFY command is disabled");
        session_done(s);
        return;
    }
    if (session_wants_helo(s))
        return;
    error = smtp_address_parse_path(c->args, true, &address, &rest);
    if (c->args.len == 0)
        session_reply(s, "501 5.5.4 Syntax: VRFY address [SMTPUTF8]");
    else if (error != SMTP_ADDRESS_OK || smtp_address_is_null(&address))
        session_reply(s, "501 5.1.3 Bad recipient address syntax");
    else
        session_reply(s, "252 2.0.0 %s", address.text);
    session_done(s);
}

static void run_help(struct session *s, const struct smtp_command *c)
{
    session_reply(s, "214 2.0.0 Commands: HELO EHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT");
    session_done(s);
}

static void run_quit(struct session *s, const struct smtp_command *c)
{
    session_reply(s, "221 2.0.0 Bye");
    session_done(s);
}

/*
 * A browser, a proxy scan, or a message whose sender did not wait for the refusal of DATA; or the
 * header of a load balancer that is not to send one: who is behind it is not who we think.
 */
static bool is_foreign(const struct session *s, struct span word)
{
    return session_is_listed(s->config->smtpd_forbidden_commands, word) ||
           span_find(word, ':') < word.len || span_equal(word, SPAN_LIT("PROXY"));
}

static void put_shown(const struct session *s, struct text *t, char *buf, size_t cap)
{
    text_init(t, buf, cap);
    text_printable_max(t, session_without_secret(s, span_make(s->line.text, s->line.len)),
                       SHOWN_MAX);
}

static void run_unknown(struct session *s, const struct smtp_command *c)
{
    char shown[SHOWN_MAX + 1];
    struct text t;

    if (is_foreign(s, c->word)) {
        put_shown(s, &t, shown, sizeof shown);
        session_log_connect(s);
        log_warning(s->log, "smtpd", "non-SMTP command from %s[%s]: %s", s->peer.name,
                    s->peer.address, shown);
        session_reply(s, "221 2.7.0 Error: I can break rules, too. Goodbye.");
        s->reply_code = 521; /* a failure for the count, whatever the reply says */
    } else if (session_is_listed(s->config->smtpd_noop_commands, c->word)) {
        session_reply(s, "250 2.0.0 Ok");
    } else {
        session_reply(s, "500 5.5.2 Error: command not recognized");
    }
    session_done(s);
}

/* In the order of enum smtp_verb. BDAT may be said anywhere, as its chunk must be read whatever is
 * said of it. */
static const struct command_rule rules[] = {
    {"HELO",     COMMAND_JUNK | COMMAND_LAST | COMMAND_CLEAR, session_helo     },
    {"EHLO",     COMMAND_JUNK | COMMAND_LAST | COMMAND_CLEAR, session_ehlo     },
    {"XCLIENT",  COMMAND_CLEAR,                               run_unauthorised },
    {"XFORWARD", 0,                                           run_unauthorised },
    {"STARTTLS", COMMAND_LAST | COMMAND_CLEAR,                session_starttls },
    {"AUTH",     COMMAND_LAST,                                session_auth     },
    {"MAIL",     0,                                           session_mail     },
    {"RCPT",     0,                                           session_rcpt     },
    {"DATA",     COMMAND_LAST,                                session_data     },
    {"BDAT",     COMMAND_CLEAR,                               session_bdat     },
    {"RSET",     COMMAND_JUNK,                                run_rset         },
    {"NOOP",     COMMAND_JUNK | COMMAND_LAST | COMMAND_CLEAR, run_noop         },
    {"VRFY",     COMMAND_JUNK | COMMAND_LAST,                 run_vrfy         },
    {"ETRN",     COMMAND_JUNK | COMMAND_LAST,                 run_unimplemented},
    {"QUIT",     COMMAND_LAST | COMMAND_CLEAR,                run_quit         },
    {"HELP",     COMMAND_JUNK | COMMAND_CLEAR,                run_help         },
    {"UNKNOWN",  COMMAND_CLEAR,                               run_unknown      },
};

_Static_assert(sizeof rules / sizeof rules[0] == SMTP_VERB_COUNT, "a rule for each verb");

/* What follows a command that nothing may follow; told once, as a sign of spam software, and
 * always after STARTTLS, as a sign of somebody in between. */
static void note_pipelining(struct session *s, const struct command_rule *rule, struct span rest)
{
    bool told = s->verb != SMTP_STARTTLS && (s->pipelining_logged || s->trusted);

    if (told || !s->pipelined || rest.len == 0)
        return;
    s->pipelining_logged = true;
    session_log_connect(s);
    log_improper_pipelining(s->log, rule->name, &s->peer, session_without_secret(s, rest));
}

/* The client spoke: from now on the log tells of it, at once when its name is known, or when there
 * is more to tell. */
static void note_client(struct session *s)
{
    s->any_line = true;
    session_ask_peer(s);
    if (s->peer_known)
        session_log_connect(s);
}

void session_refuse_pipelining(struct session *s)
{
    session_reply(s, "554 5.5.0 Error: SMTP protocol synchronization");
    session_hang_up(s);
    session_done(s);
}

static bool refuse_pipelining(struct session *s)
{
    if (!s->config->smtpd_forbid_unauth_pipelining || !s->pipelined || s->trusted)
        return false;
    session_refuse_pipelining(s);
    return true;
}

static bool refuse_clear_text(struct session *s, const struct command_rule *rule)
{
    const char *demand = rule->flags & COMMAND_CLEAR ? NULL : session_tls_demand(s);

    if (!demand)
        return false;
    session_reply_line(s, demand);
    session_done(s);
    return true;
}

/* rest: what came with the line, if it is still there to be shown. */
static void run_command(struct session *s, const struct smtp_command *c, struct span rest)
{
    const struct command_rule *rule = &rules[c->verb];

    if (c->verb != SMTP_QUIT)
        note_client(s);
    s->verb = c->verb;
    s->where = rule->name;
    s->count_all[c->verb]++;
    session_log_command(s);
    if (c->verb != SMTP_QUIT)
        note_pipelining(s, rule, rest);
    if (refuse_pipelining(s) || refuse_clear_text(s, rule))
        return;
    if ((rule->flags & COMMAND_JUNK) && ++s->junk > s->config->smtpd_junk_command_limit)
        s->errors++;
    rule->run(s, c);
}

static void refuse_long_line(struct session *s)
{
    char shown[SHOWN_MAX + 1];
    struct text t;

    note_client(s);
    s->verb = SMTP_UNKNOWN;
    s->where = rules[SMTP_UNKNOWN].name;
    s->count_all[SMTP_UNKNOWN]++;
    session_log_command(s);
    put_shown(s, &t, shown, sizeof shown);
    session_log_connect(s);
    log_warning(s->log, "smtpd", "%s[%s]: request longer than %zu: %s...", s->peer.name,
                s->peer.address, s->line.limit, shown);
    session_reply(s, "500 5.5.2 Error: line too long");
    session_done(s);
}

static void refuse_no_command(struct session *s)
{
    note_client(s);
    s->verb = SMTP_VERB_COUNT; /* no command */
    session_log_command(s);
    session_reply(s, "500 5.5.2 Error: bad syntax");
    session_done(s);
}

static void run_line(struct session *s, const struct smtp_command *c, struct span rest)
{
    if (s->too_long)
        refuse_long_line(s);
    else if (c->word.len > 0)
        run_command(s, c, rest);
    else
        refuse_no_command(s);
    if (s->secret) /* no other command's line is needed any more than AUTH's */
        explicit_bzero(s->line.text, s->line.len);
}

void session_command_resume(struct session *s)
{
    struct smtp_command c;

    smtp_command_parse(span_make(s->line.text, s->line.len), &c);
    run_line(s, &c, (struct span){NULL, 0});
}

/* True when a client that errs must wait before this command: it keeps its session, and its place
 * among the connections, but gets little done with them. */
static bool begin_pause(struct session *s)
{
    if (s->errors < s->config->smtpd_soft_error_limit || s->config->smtpd_error_sleep_time == 0)
        return false;
    s->pause_ms = s->config->smtpd_error_sleep_time;
    s->busy = SESSION_BUSY_PAUSE;
    return true;
}

bool session_command_step(struct session *s, struct span *in)
{
    enum smtp_line_event event = smtp_line_feed(&s->line, in);
    struct smtp_command c;

    if (event == SMTP_LINE_MORE)
        return false;
    s->all_lf = s->all_lf && s->line.bare_lf;
    s->wait_fresh = true;
    s->too_long = event == SMTP_LINE_TOO_LONG;
    smtp_command_parse(span_make(s->line.text, s->line.len), &c);
    s->pipelined = in->len > 0 && !s->too_long && c.word.len > 0 &&
                   c.verb != SMTP_BDAT && /* its chunk belongs to it */
                   (!s->esmtp || (rules[c.verb].flags & COMMAND_LAST));
    if (begin_pause(s))
        return false;
    run_line(s, &c, *in);
    return true;
}
