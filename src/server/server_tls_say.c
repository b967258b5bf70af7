/* server_tls_say - what is told of certificates: which came into use, what is wrong with others,
 * which expire; see server_tls.h */
#include "base/clock.h"
#include "server/server_tls_internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_S     86400
#define DATE_CAP  32
#define FILES_CAP 300
#define PROGRAM   "tlsmgr"

void server_tls_tell(const struct server_tls *t, enum log_severity severity, const char *format,
                     ...)
{
    char buf[1024];
    struct text text;
    va_list args;

    text_init(&text, buf, sizeof buf);
    va_start(args, format);
    text_vprintf(&text, format, args);
    va_end(args);
    if (t->note)
        t->note(t->note_ctx, severity == LOG_SEVERITY_INFO ? CONFIG_NOTE_INFO : CONFIG_NOTE_WARNING,
                buf);
    else if (!t->started)
        log_startup(t->log, severity, "%s", buf);
    else if (severity == LOG_SEVERITY_INFO)
        log_info(t->log, PROGRAM, "%s", buf);
    else if (severity == LOG_SEVERITY_WARNING)
        log_warning(t->log, PROGRAM, "%s", buf);
    else
        log_error(t->log, PROGRAM, "%s", buf);
}

/* ---- what came into use ---- */

/* "2036-11-23": a certificate is not renewed by the hour. */
static const char *date_of(int64_t at_s, char buf[DATE_CAP])
{
    time_t at = (time_t)at_s;
    struct tm tm;

    if (!gmtime_r(&at, &tm) || strftime(buf, DATE_CAP, "%Y-%m-%d", &tm) == 0)
        snprintf(buf, DATE_CAP, "a day far away");
    return buf;
}

static const char *kind_of(const struct credential *c)
{
    return c->key_type == BR_KEYTYPE_RSA ? "RSA" : "EC";
}

static const char *subject_of(const struct credential *c)
{
    return c->subject[0] ? c->subject : "(no name)";
}

static void say_pair(const struct server_tls *t, const struct credential *c, const char *files)
{
    char date[DATE_CAP], list[FILES_CAP];
    struct span rest = span_of(files);
    struct span path;
    struct text names;

    if (!c)
        return;
    text_init(&names, list, sizeof list);
    while (span_next_word(&rest, "\n", &path)) {
        text_cstr(&names, names.len > 0 ? ", " : "");
        text_printable_max(&names, path, FILES_CAP);
    }
    server_tls_tell(t, LOG_SEVERITY_INFO,
                    "TLS certificate for clients: %s (%s), good until %s, from %s", subject_of(c),
                    kind_of(c), date_of(c->not_after_s, date), list);
}

static void say_no_ca(const struct server_tls *t)
{
    server_tls_tell(t, LOG_SEVERITY_WARNING,
                    "No certificate of a CA is set: senders that verify (MTA-STS) do not deliver, "
                    "others encrypt all the same; set SMTPD_TLS_CHAIN_FILES=/path/fullchain.pem,"
                    "/path/privkey.pem");
}

static void say_self_signed(const struct server_tls *t, struct credential_choice choice)
{
    const struct credential *c = choice.rsa ? choice.rsa : choice.ec;
    char date[DATE_CAP];

    server_tls_tell(t, LOG_SEVERITY_INFO,
                    "TLS certificate for clients: %s (self-signed), good until %s", subject_of(c),
                    date_of(c->not_after_s, date));
    if (!tls_files_configured(t->config)) /* else why they are not used was said */
        say_no_ca(t);
}

static void say_set(const struct server_tls *t, const struct tls_set *set, bool half_known)
{
    for (size_t i = 0; i < set->count; i++) {
        struct credential_choice choice = credentials_group(set->credentials, i);

        if (!set->fresh[i])
            continue;
        if (set->files[i][0] == '\0') {
            if (!half_known) /* else its EC half was told at the start */
                say_self_signed(t, choice);
            continue;
        }
        say_pair(t, choice.rsa, set->files[i]);
        say_pair(t, choice.ec, set->files[i]);
    }
}

/* ---- what is wrong ---- */

static void say_order(const struct server_tls *t, const struct self_signed_order *o)
{
    const char *kind = o->kind == KEY_RSA ? "RSA" : "EC";

    if (o->made)
        server_tls_tell(t, LOG_SEVERITY_INFO,
                        "A self-signed certificate (%s) was made for %s, kept in %s/%s%s%s", kind,
                        o->names.name[0], o->directory, SELF_SIGNED_FOLDER,
                        o->why.text[0] ? ": " : "", o->why.text);
    if (o->trouble.text[0])
        server_tls_tell(t, LOG_SEVERITY_WARNING, "self-signed certificate (%s): %s", kind,
                        o->trouble.text);
}

static const char *what_instead(const struct server_tls *t, const struct server_tls_job *j)
{
    if (j->rc < 0 && t->note)
        return "a self-signed one is shown until it can";
    if (j->rc < 0)
        return t->current ? "the certificates of before stay in use"
                          : "clients are not offered TLS";
    return j->load.previous ? "the certificate of before stays in use"
                            : "another one is shown until it can";
}

void server_tls_say(const struct server_tls *t, const struct server_tls_job *j, bool trouble_told)
{
    for (int i = 0; i < SELF_SIGNED_COUNT; i++) {
        if (j->asked[i])
            say_order(t, &j->orders[i]);
    }
    if (j->load.trouble.text[0] && !trouble_told)
        server_tls_tell(t, LOG_SEVERITY_WARNING, "TLS certificate cannot be used: %s; %s",
                        j->load.trouble.text, what_instead(t, j));
    for (unsigned i = 0; i < j->load.note_count; i++)
        server_tls_tell(t, LOG_SEVERITY_WARNING, "TLS certificate: %s", j->load.notes[i]);
    if (j->rc == 0)
        say_set(t, t->set, j->make_rsa);
}

/* What a start says, as far as it can be known without making anything. */
void server_tls_say_check(struct server_tls *t, const struct server_tls_job *j)
{
    server_tls_say(t, j, false);
    if (!t->set && !tls_files_configured(t->config)) {
        server_tls_tell(t, LOG_SEVERITY_INFO,
                        "A self-signed certificate is made for %s at the first start",
                        t->config->myhostname);
        say_no_ca(t);
    }
    if (t->set)
        server_tls_say_expiry(t, true);
}

/* ---- what expires ---- */

static enum status_certificate_state state_of(const struct server_tls *t,
                                              const struct credential *c, int64_t now_s)
{
    if (now_s > c->not_after_s)
        return STATUS_CERTIFICATE_EXPIRED;
    if (now_s < c->not_before_s)
        return STATUS_CERTIFICATE_EARLY;
    return now_s + (int64_t)(t->config->tls_expiry_warning / 1000) > c->not_after_s
               ? STATUS_CERTIFICATE_SOON
               : STATUS_CERTIFICATE_GOOD;
}

static void say_state(const struct server_tls *t, const struct credential *c, int64_t now_s)
{
    const char *name = c ? subject_of(c) : "";
    char date[DATE_CAP];

    if (!c)
        return;
    switch (state_of(t, c, now_s)) {
    case STATUS_CERTIFICATE_GOOD:
        break;
    case STATUS_CERTIFICATE_SOON:
        server_tls_tell(t, LOG_SEVERITY_WARNING,
                        "TLS certificate for %s (%s) expires on %s, in %lld days: renew it", name,
                        kind_of(c), date_of(c->not_after_s, date),
                        (long long)((c->not_after_s - now_s) / DAY_S));
        break;
    case STATUS_CERTIFICATE_EXPIRED:
        server_tls_tell(t, LOG_SEVERITY_WARNING,
                        "TLS certificate for %s (%s) expired on %s: senders that verify do not "
                        "deliver; renew it",
                        name, kind_of(c), date_of(c->not_after_s, date));
        break;
    case STATUS_CERTIFICATE_EARLY:
        server_tls_tell(t, LOG_SEVERITY_WARNING,
                        "TLS certificate for %s (%s) is not good before %s: is this machine's "
                        "clock right?",
                        name, kind_of(c), date_of(c->not_before_s, date));
        break;
    }
}

void server_tls_say_expiry(struct server_tls *t, bool now)
{
    int64_t now_s = clock_wall_us() / 1000000;

    if (!now && now_s >= t->expiry_said_s && now_s < t->expiry_said_s + DAY_S)
        return;
    t->expiry_said_s = now_s;
    for (size_t i = 0; i < t->set->count; i++) {
        struct credential_choice choice = credentials_group(t->set->credentials, i);

        say_state(t, choice.rsa, now_s);
        say_state(t, choice.ec, now_s);
    }
}

/* ---- status ---- */

static void add_status(const struct server_tls *t, const struct credential *c, int64_t now_s,
                       struct status *out)
{
    struct status_certificate *s = &out->certificate[out->certificates];
    struct text name;

    if (!c || out->certificates == STATUS_CERTIFICATES_MAX)
        return;
    text_init(&name, s->name, sizeof s->name);
    text_cstr(&name, subject_of(c));
    s->rsa = c->key_type == BR_KEYTYPE_RSA;
    s->self_signed = c->self_signed;
    s->not_after_s = c->not_after_s;
    s->state = state_of(t, c, now_s);
    out->certificates++;
}

void server_tls_status(const struct server_tls *t, struct status *out)
{
    int64_t now_s = clock_wall_us() / 1000000;
    struct text trouble;

    text_init(&trouble, out->certificate_trouble, sizeof out->certificate_trouble);
    text_cstr(&trouble, t->trouble.text);
    for (size_t i = 0; t->set && i < t->set->count; i++) {
        struct credential_choice choice = credentials_group(t->set->credentials, i);

        add_status(t, choice.rsa, now_s, out);
        add_status(t, choice.ec, now_s, out);
    }
}
