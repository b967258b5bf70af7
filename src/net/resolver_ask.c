/*
 * resolver_ask - questions about records; see resolver.h and dns_answer.h
 *
 * MAIL_HOST asks for MX, then A, then AAAA, and stops at the first that is there, as Postfix does:
 * a failure on the way counts only when nothing was found at the end. Answers are parsed by c-ares;
 * what it cannot read is trouble.
 */
#include "net/resolver_internal.h"

#include "base/span.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

void resolver_query_answer(struct resolver_query *q, enum dns_found found)
{
    if (q->answered)
        return;
    q->answered = true;
    q->answer->found = found;
    q->on_answer(q->ctx, q->question, q->name, q->answer);
}

static void finish(struct resolver_query *q, enum dns_found found)
{
    resolver_query_answer(q, found == DNS_NONE && q->trouble ? DNS_TROUBLE : found);
    resolver_query_free(q);
}

static void ask(struct resolver_query *q, int type, ares_callback done)
{
    ares_query(q->resolver->channel, q->name, C_IN, type, done, q);
}

/* ---- MAIL_HOST ---- */

static void on_mail_aaaa(void *ctx, int status, int timeouts, unsigned char *bytes, int len)
{
    (void)timeouts;
    (void)bytes;
    (void)len;
    finish(ctx, resolver_found(status));
}

static void on_mail_a(void *ctx, int status, int timeouts, unsigned char *bytes, int len)
{
    struct resolver_query *q = ctx;
    enum dns_found found = resolver_found(status);

    (void)timeouts;
    (void)bytes;
    (void)len;
    q->trouble = q->trouble || found == DNS_TROUBLE;
    if (found == DNS_FOUND || q->answered)
        finish(q, found);
    else
        ask(q, T_AAAA, on_mail_aaaa);
}

/* A single "." says that the domain takes no mail. */
static enum dns_found judge_mx(const unsigned char *bytes, int len)
{
    struct ares_mx_reply *mx = NULL;
    int status = ares_parse_mx_reply(bytes, len, &mx);
    enum dns_found found = resolver_found(status);

    if (found == DNS_FOUND && mx && !mx->next &&
        (mx->host[0] == '\0' || strcmp(mx->host, ".") == 0)) /* as the version of c-ares has it */
        found = DNS_NULL_MX;
    if (mx)
        ares_free_data(mx);
    return found;
}

static void on_mail_mx(void *ctx, int status, int timeouts, unsigned char *bytes, int len)
{
    struct resolver_query *q = ctx;
    enum dns_found found = status == ARES_SUCCESS ? judge_mx(bytes, len) : resolver_found(status);

    (void)timeouts;
    q->trouble = found == DNS_TROUBLE;
    /* A name that does not exist has no records of any type. */
    if (found == DNS_FOUND || found == DNS_NULL_MX || status == ARES_ENOTFOUND || q->answered)
        finish(q, found);
    else
        ask(q, T_A, on_mail_a);
}

/* ---- ADDRESS and TEXT ---- */

static void on_address(void *ctx, int status, int timeouts, unsigned char *bytes, int len)
{
    struct resolver_query *q = ctx;
    struct ares_addrttl found[DNS_ADDRESSES_MAX];
    int count = DNS_ADDRESSES_MAX;

    (void)timeouts;
    if (status == ARES_SUCCESS)
        status = ares_parse_a_reply(bytes, len, NULL, found, &count);
    for (int i = 0; status == ARES_SUCCESS && i < count; i++)
        memcpy(q->answer->addresses[i], &found[i].ipaddr, 4);
    q->answer->address_count = status == ARES_SUCCESS ? (size_t)count : 0;
    finish(q, resolver_found(status));
}

static void on_text(void *ctx, int status, int timeouts, unsigned char *bytes, int len)
{
    struct resolver_query *q = ctx;
    struct ares_txt_ext *txt = NULL;
    size_t used = 0;

    (void)timeouts;
    if (status == ARES_SUCCESS)
        status = ares_parse_txt_reply_ext(bytes, len, &txt);
    for (struct ares_txt_ext *part = txt; part; part = part->next) {
        size_t room = DNS_TEXT_CAP - 1 - used;
        size_t take = part->length < room ? part->length : room;

        if (part != txt && part->record_start)
            break;
        memcpy(q->answer->text + used, part->txt, take);
        used += take;
    }
    if (txt)
        ares_free_data(txt);
    finish(q, resolver_found(status));
}

struct resolver_query *resolver_ask(struct resolver *r, enum dns_question question,
                                    const char *name, uint64_t timeout_ms, resolver_answer_fn done,
                                    void *ctx)
{
    static const struct dns_answer failed = {.found = DNS_TROUBLE};
    static const int types[] = {[DNS_MAIL_HOST] = T_MX, [DNS_ADDRESS] = T_A, [DNS_TEXT] = T_TXT};
    static const ares_callback callbacks[] = {
        [DNS_MAIL_HOST] = on_mail_mx, [DNS_ADDRESS] = on_address, [DNS_TEXT] = on_text};
    struct resolver_query *q = resolver_query_new(r, timeout_ms, ctx);

    if (q) {
        q->on_answer = done;
        q->question = question;
        q->answer = calloc(1, sizeof *q->answer);
    }
    if (!q || !q->answer || !span_copy(span_of(name), q->name, sizeof q->name)) {
        if (q) {
            q->answered = true;
            q->starting = false;
            resolver_query_free(q);
        }
        done(ctx, question, name, &failed);
        return NULL;
    }
    ask(q, types[question], callbacks[question]);
    return resolver_query_started(q);
}
