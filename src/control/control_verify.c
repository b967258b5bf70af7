/* control_verify - see control_verify.h */
#include "control/control_verify.h"

#include "config/way.h"
#include "control/control_recipient.h"

#include <stdlib.h>
#include <sysexits.h>

#define WORDS_CAP 2048

struct control_verify {
    struct verify_query query;
    const struct destination *destination; /* borrowed; lives as long as the relay */
    void (*done)(void *ctx, int exit_code, const char *words); /* NULL: nobody waits any more */
    void *ctx;
    bool asking; /* control_verify_ask is on the stack */
    bool over;
};

static void on_query_closed(struct verify_query *q)
{
    free(q->owner);
}

static void release(struct control_verify *v)
{
    verify_query_close(&v->query, on_query_closed);
}

/* Why the recipient would be taken. Where the upstream was not heard just now, that is said. */
static void write_accept(struct text *t, const struct destination *d, const char *why)
{
    const struct upstream *u = destination_target(d);

    if (why[0])
        text_printf(t, "deliverable: %s", why);
    else if (destination_is_down(d))
        text_printf(t, "accepted: destination %s is down (%s), mail would wait in the queue",
                    d->text, u->why);
    else if (u->route.kind == ROUTE_MAILDIR)
        text_printf(t, "deliverable: %s", u->route.text);
    else
        text_printf(t, "accepted: %s was not heard now (an earlier answer counts, or none came)",
                    u->route.text);
}

static void on_answer(struct verify_query *q, enum verify_answer answer, unsigned code,
                      const char *dsn, const char *why)
{
    static const int exit_codes[] = {
        [VERIFY_ACCEPT] = EX_OK, [VERIFY_REJECT] = EX_NOUSER, [VERIFY_DEFER] = EX_TEMPFAIL};
    struct control_verify *v = q->owner;
    char words[WORDS_CAP];
    struct text t;

    text_init(&t, words, sizeof words);
    if (answer == VERIFY_ACCEPT)
        write_accept(&t, v->destination, why ? why : "");
    else if (why && why[0])
        text_cstr(&t, why);
    else
        text_printf(&t, "%u %s", code, dsn ? dsn : "");
    v->over = true;
    if (v->done)
        v->done(v->ctx, exit_codes[answer], words);
    if (!v->asking)
        release(v);
}

static struct control_verify *
ask_upstream(struct relay *relay, const struct smtp_address *address,
             void (*done)(void *ctx, int exit_code, const char *words), void *ctx)
{
    struct control_verify *v = calloc(1, sizeof *v);
    const struct destination *d =
        relay_destination(relay, SPAN_LIT(""), smtp_address_span(address));

    if (!v) {
        done(ctx, EX_TEMPFAIL, "out of memory");
        return NULL;
    }
    v->destination = d;
    v->done = done;
    v->ctx = ctx;
    v->query.done = on_answer;
    v->query.owner = v;
    verify_query_init(&v->query, &relay->verify);
    v->asking = true;
    verify_ask(&v->query, d, address->text);
    v->asking = false;
    if (!v->over)
        return v;
    release(v);
    return NULL;
}

struct control_verify *control_verify_ask(struct relay *relay, const struct config *config,
                                          struct span argument,
                                          void (*done)(void *ctx, int exit_code, const char *words),
                                          void *ctx)
{
    struct smtp_rcpt_params recipient;
    struct smtp_verdict verdict;
    int rc = control_recipient(config, SPAN_LIT(""), argument, &recipient, &verdict);

    if (rc == EX_OK && !way_is_inside(config, smtp_address_span(&recipient.recipient)))
        done(ctx, rc, "accepted: it leaves for another domain, whose server is not asked");
    else if (rc == EX_OK && config->verify_recipients)
        return ask_upstream(relay, &recipient.recipient, done, ctx);
    else
        done(ctx, rc,
             rc == EX_OK ? "accepted: it was not asked (verify_recipients=no)" : verdict.line);
    return NULL;
}

void control_verify_forget(struct control_verify **v)
{
    if (!*v)
        return;
    (*v)->done = NULL;
    release(*v);
    *v = NULL;
}
