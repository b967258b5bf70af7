/*
 * sendmail_submit - takes a message from a local program and gives it to the daemon; see sendmail.h
 *
 * The message is read from standard input and passed on as it is read; only its header is held
 * here. Nothing is kept by this command: without a daemon, or when the daemon says "later", the
 * exit code is EX_TEMPFAIL and the caller keeps its mail. EX_OK means that the daemon took custody
 * (DESIGN P1).
 */
#include "base/clock.h"
#include "base/queue_id.h"
#include "commands/commands.h"
#include "commands/daemon.h"
#include "commands/sendmail.h"
#include "control/control_send.h"
#include "message/address_list.h"
#include "message/local_header.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define KEEP_ALIVE_MS   10000 /* well below the daemon's limit for one request */
#define COMMIT_PATIENCE 60    /* seconds for an fsync on a slow disk */
#define DOWN            "mail system is down; message not taken, try again later"

struct submission {
    const struct sendmail_options *options; /* borrowed */
    const struct config *config;            /* borrowed */
    struct sendmail_recipients recipients;
    struct sendmail_input input;
    char sender[SMTP_ADDRESS_CAP]; /* as given, "" is the null sender */
    char full_name[256];
    struct control_client client;
    struct errbuf err;
};

/* ---- who sends ---- */

/* Of several addresses the first counts, as in Postfix: the mail matters more than the slip. */
static int set_sender(struct submission *s, struct span given)
{
    struct address_list list;
    char more[SMTP_ADDRESS_CAP];

    if (span_equal(span_trim(given), SPAN_LIT("<>")) || span_trim(given).len == 0) {
        s->sender[0] = '\0';
        return EX_OK;
    }
    address_list_init(&list, given);
    if (address_list_next(&list, s->sender) != ADDRESS_LIST_ADDRESS) {
        s->sender[0] = '\0';
        return errbuf_set(&s->err, EX_USAGE, "bad sender address: %.*s", (int)given.len, given.ptr);
    }
    if (address_list_next(&list, more) != ADDRESS_LIST_END)
        command_warning("sendmail", "-f option specified malformed sender: %.*s", (int)given.len,
                        given.ptr);
    return EX_OK;
}

/* The caller's login and name; -f, -F and $NAME come first. */
static int find_sender(struct submission *s)
{
    const struct passwd *user = getpwuid(getuid());
    const char *name = s->options->full_name ? s->options->full_name : getenv("NAME");
    char login[32];
    struct text t;

    text_init(&t, login, sizeof login);
    if (user)
        text_cstr(&t, user->pw_name);
    else if (getuid() == 0) /* an image without /etc/passwd */
        text_cstr(&t, "root");
    else
        text_printf(&t, "uid%u", (unsigned)getuid());
    text_init(&t, s->full_name, sizeof s->full_name);
    if (name)
        text_printable(&t, span_of(name));
    else if (user) /* behind the comma are rooms and telephones */
        text_printable(&t, span_first(span_of(user->pw_gecos), strcspn(user->pw_gecos, ",")));
    return set_sender(s, span_of(s->options->sender ? s->options->sender : login));
}

/* ---- to whom ---- */

static int find_recipients(struct submission *s)
{
    struct span header = span_make(s->input.start, s->input.header.len);

    for (int i = 0; i < s->options->recipient_count; i++) {
        int rc =
            sendmail_recipients_add(&s->recipients, span_of(s->options->recipients[i]), &s->err);

        if (rc != EX_OK)
            return rc;
    }
    if (s->options->extract) {
        int rc = sendmail_recipients_extract(&s->recipients, header, &s->err);

        if (rc != EX_OK)
            return rc;
    }
    if (s->recipients.count > 0)
        return EX_OK;
    if (s->options->extract)
        return errbuf_set(&s->err, EX_USAGE, "No recipient addresses found in message header");
    return errbuf_set(
        &s->err, EX_USAGE,
        "Recipient addresses must be specified on the command line or via the -t option");
}

/* ---- to the daemon ---- */

static int send_envelope(struct submission *s)
{
    char buf[CONTROL_LINE_MAX];
    struct text parameters;
    int rc = control_client_send(&s->client, SPAN_LIT("submit\n"), &s->err);

    text_init(&parameters, buf, sizeof buf);
    control_put_parameter(&parameters, "BODY", s->options->body);
    control_put_parameter(&parameters, "RET", s->options->ret);
    control_put_parameter(&parameters, "ENVID", s->options->envid);
    if (rc == 0)
        rc = control_send_address(&s->client, "from", s->sender, buf, &s->err);
    text_init(&parameters, buf, sizeof buf);
    control_put_parameter(&parameters, "NOTIFY", s->options->notify);
    for (size_t i = 0; rc == 0 && i < s->recipients.count; i++)
        rc = control_send_address(&s->client, "rcpt", s->recipients.list[i], buf, &s->err);
    return rc;
}

/* *text_out is malloc'd. NULL: no memory. Each name without a domain makes the header longer. */
static char *write_header(struct span header, const struct local_sender *sender, struct text *t)
{
    size_t cap = header.len + LOCAL_HEADER_EXTRA;
    char *buf = NULL;

    do {
        free(buf);
        buf = malloc(cap);
        if (!buf)
            return NULL;
        text_init(t, buf, cap);
        local_header_write(t, header, sender);
        cap *= 2;
    } while (t->overflow);
    return buf;
}

static int send_header(struct submission *s)
{
    char address[SMTP_ADDRESS_CAP + 256];
    char unique[64];
    struct queue_id_source ids = {0};
    struct queue_id id;
    struct text t;
    struct local_sender sender = {.address = address,
                                  .full_name = s->full_name,
                                  .myhostname = s->config->myhostname,
                                  .origin = s->config->myorigin,
                                  .gateway = s->options->gateway,
                                  .now_us = clock_wall_us(),
                                  .unique = unique};
    char *buf;
    int rc;

    text_init(&t, address, sizeof address);
    text_cstr(&t, s->sender);
    if (s->sender[0] && !strchr(s->sender, '@'))
        text_printf(&t, "@%s", s->config->myorigin);
    queue_id_next(&ids, sender.now_us, &id);
    text_init(&t, unique, sizeof unique);
    text_printf(&t, "%s.%ld", id.text, (long)getpid());
    buf = write_header(span_make(s->input.start, s->input.header.len), &sender, &t);
    if (!buf)
        return errbuf_set(&s->err, EX_OSERR, "out of memory");
    rc = control_send_bytes(&s->client, text_as_span(&t), &s->err);
    free(buf);
    return rc;
}

/* The body, as it comes; a slow producer does not make the daemon give up. */
static int send_body(struct submission *s)
{
    char buf[SENDMAIL_BLOCK + 2];
    struct span first =
        span_from(span_make(s->input.start, s->input.start_len), s->input.header.body_at);
    int rc = control_send_bytes(&s->client, first, &s->err);

    while (rc == 0 && !s->input.ended) {
        size_t len;

        rc = sendmail_input_read(&s->input, buf, &len, KEEP_ALIVE_MS, &s->err);
        if (rc == 0)
            rc = control_send_chunk(&s->client, span_make(buf, len), &s->err);
    }
    return rc;
}

static int send_message(struct submission *s)
{
    int rc = send_envelope(s);

    if (rc == 0)
        rc = send_header(s);
    if (rc == 0)
        rc = send_body(s);
    if (rc == 0)
        rc = control_client_send(&s->client, SPAN_LIT("end\n"), &s->err);
    return rc;
}

static void on_text(void *ctx, struct span line)
{
    const struct submission *s = ctx;

    if (s->options->verbose)
        printf("%.*s\n", (int)line.len, line.ptr);
}

/* 0, or an exit code with words in s->err. */
static int submit(struct submission *s)
{
    int rc = control_client_open(&s->client, s->config->control_socket, &s->err);

    if (daemon_is_down(rc))
        return errbuf_set(&s->err, EX_TEMPFAIL, DOWN);
    if (rc < 0) /* it may run, and not for us */
        return errbuf_prefix(&s->err, EX_TEMPFAIL, "message not taken, try again later");
    control_client_patience(&s->client,
                            (unsigned)(s->config->direct_timeout / 1000) + COMMIT_PATIENCE);
    rc = send_message(s);
    if (rc == 0 || rc == -EPIPE || rc == -ECONNRESET) /* refused meanwhile: the reply says why */
        rc = control_client_reply(&s->client, on_text, s, &s->err);
    control_client_close(&s->client);
    if (rc < 0)
        return errbuf_prefix(&s->err, EX_TEMPFAIL, "message not taken, try again later");
    return rc;
}

/* Postfix's words for a message that was not taken: "SENDER(UID): why". */
static void tell(const struct submission *s, int rc)
{
    if (rc != EX_OK)
        command_fatal(s->options->name, rc, "%s(%u): %s", s->sender, (unsigned)getuid(),
                      s->err.text);
}

int sendmail_submit(const struct sendmail_options *options, const struct config *config)
{
    struct submission s = {.options = options, .config = config, .client = {.fd = -1}};
    int rc = find_sender(&s);

    if (rc == EX_OK)
        rc = sendmail_input_open(&s.input, options->ignore_dot, &s.err);
    if (rc == EX_OK)
        rc = find_recipients(&s);
    if (rc == EX_OK)
        rc = submit(&s);
    tell(&s, rc);
    if (rc != EX_OK && s.input.start)
        sendmail_input_drain(&s.input, config->message_size_limit);
    sendmail_input_close(&s.input);
    sendmail_recipients_free(&s.recipients);
    return rc;
}
