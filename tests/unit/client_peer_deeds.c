/* client_peer_deeds - what a D line of a script does */
#include "client_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void do_start(struct client_peer *p, const char *arg)
{
    client_init(&p->client, &client_peer_ops, p, &p->settings);
    client_start(&p->client);
}

static void note_begin(struct client_peer *p)
{
    memset(p->results, 0, sizeof p->results);
    p->in_transaction = true;
    client_begin(&p->client, &p->t);
}

/* begin FIRST COUNT */
static void do_begin(struct client_peer *p, const char *arg)
{
    unsigned first = 0, count = 0;

    assert_int_equal(sscanf(arg, "%u %u", &first, &count), 2);
    for (size_t i = 0; i < count; i++)
        p->indices[i] = first + i;
    p->t = (struct client_transaction){
        .envelope = p->envelope, .indices = p->indices, .count = count, .size = 1234};
    note_begin(p);
}

static void do_probe(struct client_peer *p, const char *arg)
{
    snprintf(p->probe, sizeof p->probe, "%s", arg);
    p->t = (struct client_transaction){.count = 1, .probe_recipient = p->probe};
    note_begin(p);
}

/* body TEXT: one line of it */
static void do_body(struct client_peer *p, const char *arg)
{
    client_body(&p->client, span_of(arg));
    client_body(&p->client, SPAN_LIT("\r\n"));
}

/* raw TEXT: a part of the body that is no whole line */
static void do_raw(struct client_peer *p, const char *arg)
{
    client_body(&p->client, span_of(arg));
}

static void do_end(struct client_peer *p, const char *arg)
{
    client_body_end(&p->client);
}

static void do_quit(struct client_peer *p, const char *arg)
{
    client_quit(&p->client);
}

static void do_fail(struct client_peer *p, const char *arg)
{
    client_fail(&p->client, arg);
}

static void do_may(struct client_peer *p, const char *arg)
{
    assert_int_equal(client_may_be_sent(&p->client), arg[0] == '1');
}

static void do_steps(struct client_peer *p, const char *arg)
{
    p->show_steps = true;
}

/* login MECHANISMS-IN-CLEAR MECHANISMS-IN-TLS, as numbers */
static void set_login(struct client_settings *settings, const char *arg)
{
    settings->login = true;
    assert_int_equal(sscanf(arg, "%u %u", &settings->auth_in_clear, &settings->auth_in_tls), 2);
}

/* set WORD: a setting or a part of the envelope, before it is used */
static void do_set(struct client_peer *p, const char *arg)
{
    struct envelope *e = p->envelope;

    if (strcmp(arg, "smtp") == 0)
        p->settings.protocol = CLIENT_SMTP;
    else if (strcmp(arg, "fallback") == 0)
        p->settings.fallback = true;
    else if (strcmp(arg, "xclient") == 0)
        p->settings.xclient = true;
    else if (strcmp(arg, "tls may") == 0)
        p->settings.tls = CLIENT_TLS_MAY;
    else if (strcmp(arg, "tls required") == 0)
        p->settings.tls = CLIENT_TLS_REQUIRED;
    else if (strncmp(arg, "discard ", 8) == 0)
        p->settings.discard = "starttls"; /* the only one needed */
    else if (strcmp(arg, "wrapped") == 0)
        p->settings.wrapped = true;
    else if (strcmp(arg, "out") == 0)
        p->settings.out = true;
    else if (strncmp(arg, "login ", 6) == 0)
        set_login(&p->settings, arg + 6);
    else if (strcmp(arg, "eager") == 0)
        p->eager = true;
    else if (strcmp(arg, "8bit") == 0)
        e->eight_bit = true;
    else if (strcmp(arg, "utf8") == 0)
        e->smtputf8 = true;
    else if (strncmp(arg, "sender ", 7) == 0)
        assert_true(envelope_set_sender(e, span_of(arg + 7)));
    else if (strncmp(arg, "address ", 8) == 0)
        snprintf(e->client_address, sizeof e->client_address, "%s", arg + 8);
    else if (strncmp(arg, "protocol ", 9) == 0)
        snprintf(e->protocol, sizeof e->protocol, "%s", arg + 9);
    else if (strncmp(arg, "name ", 5) == 0)
        snprintf(e->client_name, sizeof e->client_name, "%s", arg + 5);
    else if (strncmp(arg, "helo ", 5) == 0)
        snprintf(e->helo, sizeof e->helo, "%s", arg + 5);
    else
        fail_msg("set %s?", arg);
}

static void do_secured(struct client_peer *p, const char *arg)
{
    client_secured(&p->client);
}

/* login USER SECRET; "*" is a long secret */
static void do_login(struct client_peer *p, const char *arg)
{
    static char big[1100];
    size_t len = strcspn(arg, " ");
    struct client_login login = {span_make(arg, len), span_of(arg + len + 1)};
    static char user[64], secret[64]; /* they must last */

    memset(big, 'x', sizeof big);
    snprintf(user, sizeof user, "%.*s", (int)len, arg);
    snprintf(secret, sizeof secret, "%s", arg + len + 1);
    login.user = span_of(user);
    login.secret = strcmp(secret, "*") == 0 ? span_make(big, sizeof big) : span_of(secret);
    client_login(&p->client, &login);
}

static const struct {
    const char *word;
    void (*deed)(struct client_peer *p, const char *arg);
} deeds[] = {
    {"start",   do_start  },
    {"begin",   do_begin  },
    {"probe",   do_probe  },
    {"body",    do_body   },
    {"raw",     do_raw    },
    {"end",     do_end    },
    {"quit",    do_quit   },
    {"fail",    do_fail   },
    {"may",     do_may    },
    {"steps",   do_steps  },
    {"set",     do_set    },
    {"secured", do_secured},
    {"login",   do_login  },
};

void client_peer_do(struct client_peer *p, const char *words)
{
    size_t len = strcspn(words, " ");
    const char *arg = words[len] == '\0' ? "" : words + len + 1;

    for (size_t i = 0; i < sizeof deeds / sizeof deeds[0]; i++) {
        if (strlen(deeds[i].word) == len && strncmp(words, deeds[i].word, len) == 0) {
            deeds[i].deed(p, arg);
            return;
        }
    }
    fail_msg("no such deed: %s", words);
}
