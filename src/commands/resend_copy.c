/*
 * resend_copy - the content of a queued message as a new message for somebody else; see resend.h
 *
 * Resent-From, -To, -Date and -Message-ID on top, everything else as it is; from the same sender,
 * who gets the bounce if it fails, with his RET and ENVID (and NOTIFY=NEVER, if he wanted to hear
 * nothing of any recipient). It is read from its file as it is sent, so its size does not matter,
 * and the file stays whatever happens. The daemon says yes when it has custody (DESIGN P1), and may
 * refuse a recipient: then nothing was sent.
 *
 * To whom: where a way leads (config/way.h), as for any mail of a local program. The daemon
 * decides, by its settings; here only its words are made longer.
 */
#include "base/clock.h"
#include "commands/commands.h"
#include "commands/resend.h"
#include "control/control_send.h"
#include "message/resent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define NAME          "mxgate"
#define CHUNK         CONTROL_CHUNK_MAX
#define PATIENCE_S    60 /* for an fsync on a slow disk */
#define LINE_CAP      1024
#define DOMAIN_PREFIX "postmaster@"

struct copy {
    struct resend *r;
    char sender[SMTP_ADDRESS_CAP]; /* "" is the null sender */
    char verdict[LINE_CAP];        /* what the daemon said, "250 2.0.0 Ok: queued as ID" */
    struct errbuf err;
};

/* ---- from whom, to whom ---- */

static int take_sender(struct copy *c, const char *given)
{
    struct smtp_address address;

    if (strcmp(given, "") == 0 || strcmp(given, "<>") == 0)
        return EX_OK;
    if (smtp_address_parse(span_of(given), true, &address) != SMTP_ADDRESS_OK ||
        !address.has_domain)
        return command_fatal(NAME, EX_USAGE, "bad sender address: %s", given);
    span_copy(smtp_address_span(&address), c->sender, sizeof c->sender);
    return EX_OK;
}

static int check_recipient(const char *to)
{
    struct smtp_address address;

    if (smtp_address_parse(span_of(to), true, &address) != SMTP_ADDRESS_OK || !address.has_domain)
        return command_fatal(NAME, EX_USAGE, "bad recipient address: %s (it needs a domain)", to);
    return EX_OK;
}

static int check_recipients(const struct copy *c)
{
    int rc = EX_OK;

    for (size_t i = 0; rc == EX_OK && i < c->r->to.count; i++)
        rc = check_recipient(c->r->to.list[i]);
    return rc;
}

/* ---- what goes on top ---- */

static bool is_ascii(const char *s)
{
    while (*s && !ascii_is_8bit(*s))
        s++;
    return *s == '\0';
}

/* Who reads notify_recipient's mail is who gives this order. */
static void put_operator(struct text *t, const struct config *config)
{
    const char *set = config->notify_recipient;
    const char *domain = domain_list_first(&config->domains);

    if (set[0] && strcmp(set, "none") != 0 && is_ascii(set))
        text_cstr(t, set);
    else
        text_printf(t, DOMAIN_PREFIX "%s", domain[0] ? domain : config->myorigin);
}

static int send_top(struct copy *c)
{
    const struct resend *r = c->r;
    size_t cap = RESENT_CAP + r->to.count * (SMTP_ADDRESS_CAP + 4);
    char *buf = malloc(cap);
    char from[SMTP_ADDRESS_CAP + 256];
    char unique[64];
    struct queue_id_source ids = {0};
    struct queue_id id;
    struct text t;
    struct resent top = {.from = from,
                         .to = r->to.list,
                         .to_count = r->to.count,
                         .myhostname = r->config->myhostname,
                         .unique = unique,
                         .now_us = clock_wall_us()};
    int rc;

    if (!buf)
        return errbuf_set(&c->err, -ENOMEM, "out of memory");
    text_init(&t, from, sizeof from);
    put_operator(&t, r->config);
    queue_id_next(&ids, top.now_us, &id);
    text_init(&t, unique, sizeof unique);
    text_printf(&t, "%s.%ld", id.text, (long)getpid());
    text_init(&t, buf, cap);
    resent_header_write(&t, &top);
    rc = control_send_bytes(&c->r->client, text_as_span(&t), &c->err);
    free(buf);
    return rc;
}

/* ---- the message ---- */

static bool wants_no_report(const struct envelope *e)
{
    for (size_t i = 0; i < e->recipient_count; i++) {
        if (e->recipients[i].notify != SMTP_NOTIFY_NEVER)
            return false;
    }
    return e->recipient_count > 0;
}

static bool is_utf8(const struct copy *c)
{
    bool utf8 = c->r->load.file.envelope->smtputf8 || !is_ascii(c->sender);

    for (size_t i = 0; i < c->r->to.count; i++)
        utf8 = utf8 || !is_ascii(c->r->to.list[i]);
    return utf8;
}

static void put_parameters(struct text *t, const struct copy *c)
{
    const struct envelope *e = c->r->load.file.envelope;
    bool utf8 = is_utf8(c);

    text_cstr(t, e->eight_bit || utf8 ? " BODY=8BITMIME" : " BODY=7BIT");
    text_cstr(t, utf8 ? " SMTPUTF8" : "");
    if (c->r->sender)
        return; /* the rest was the other sender's */
    if (e->ret != SMTP_RET_NONE)
        text_cstr(t, e->ret == SMTP_RET_FULL ? " RET=FULL" : " RET=HDRS");
    if (e->envid[0])
        text_printf(t, " ENVID=%s", e->envid); /* xtext, as it came */
}

static int send_envelope(struct copy *c)
{
    struct resend *r = c->r;
    bool never = !r->sender && wants_no_report(r->load.file.envelope);
    char buf[LINE_CAP];
    struct text t;
    int rc;

    text_init(&t, buf, sizeof buf);
    text_printf(&t, "submit %s\n", r->load.id.text);
    rc = control_client_send(&r->client, text_as_span(&t), &c->err);
    text_init(&t, buf, sizeof buf);
    put_parameters(&t, c);
    if (rc == 0)
        rc = control_send_address(&r->client, "from", c->sender, buf, &c->err);
    for (size_t i = 0; rc == 0 && i < r->to.count; i++)
        rc = control_send_address(&r->client, "rcpt", r->to.list[i], never ? " NOTIFY=NEVER" : "",
                                  &c->err);
    return rc;
}

static int send_content(struct copy *c)
{
    const struct spool_load *load = &c->r->load;
    char *chunk = malloc(CHUNK);
    uint64_t at = 0;
    int rc = chunk ? 0 : errbuf_set(&c->err, -ENOMEM, "out of memory");

    while (rc == 0 && at < load->file.body_len) {
        uint64_t left = load->file.body_len - at;
        ssize_t n = pread(load->fd, chunk, left < CHUNK ? (size_t)left : CHUNK,
                          (off_t)(load->file.body_offset + at));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            rc = errbuf_set(&c->err, -EIO, "its file cannot be read: %s",
                            n < 0 ? strerror(errno) : "it became shorter");
        else
            rc = control_send_bytes(&c->r->client, span_make(chunk, (size_t)n), &c->err);
        at += n > 0 ? (uint64_t)n : 0;
    }
    free(chunk);
    return rc;
}

static void on_verdict(void *ctx, struct span line)
{
    struct copy *c = ctx;

    span_copy(span_first(line, LINE_CAP - 1), c->verdict, sizeof c->verdict);
}

/* 0, or an exit code with words in c->err. */
static int hand_over(struct copy *c)
{
    struct resend *r = c->r;
    int rc;

    control_client_patience(&r->client, (unsigned)(r->config->direct_timeout / 1000) + PATIENCE_S);
    rc = send_envelope(c);
    if (rc == 0)
        rc = send_top(c);
    if (rc == 0)
        rc = send_content(c);
    if (rc == 0)
        rc = control_client_send(&r->client, SPAN_LIT("end\n"), &c->err);
    if (rc == 0 || rc == -EPIPE || rc == -ECONNRESET) /* refused meanwhile: the reply says why */
        rc = control_client_reply(&r->client, on_verdict, c, &c->err);
    return rc < 0 ? EX_TEMPFAIL : rc;
}

/* ---- what was done ---- */

static void tell(const struct copy *c)
{
    const struct resend *r = c->r;
    const char *old = r->load.id.text;
    struct span verdict = span_of(c->verdict);
    char state[128];
    struct text t;

    printf("%s: taken, from <%s> to", c->verdict + span_find_last(verdict, ' ') + 1, c->sender);
    for (size_t i = 0; i < r->to.count; i++)
        printf(" <%s>", r->to.list[i]);
    text_init(&t, state, sizeof state);
    resend_put_state(&t, &r->load.file);
    printf("\n%s: stays as it is, %s; postsuper -d %s removes it\n", old, state, old);
}

int resend_copy(struct resend *r)
{
    struct copy c = {.r = r};
    const struct envelope *e = r->load.file.envelope;
    int rc = take_sender(&c, r->sender ? r->sender : e->sender);

    if (rc == EX_OK)
        rc = check_recipients(&c);
    if (rc != EX_OK)
        return rc;
    rc = hand_over(&c);
    if (rc != EX_OK)
        return command_fatal(NAME, rc, "%s: nothing was sent: %s", r->load.id.text, c.err.text);
    tell(&c);
    return EX_OK;
}
