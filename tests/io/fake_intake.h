/*
 * fake_intake - an intake that the test commands, in place of the real one
 *
 * Definitions: a test program includes it once. Its functions come before those of the library, so
 * intake.c is not linked at all.
 */
#ifndef MXGATE_TESTS_IO_FAKE_INTAKE_H
#define MXGATE_TESTS_IO_FAKE_INTAKE_H

#include "control_fixture.h"

#include <stdlib.h>
#include <string.h>

static struct {
    /* what the test says */
    struct smtp_verdict refusal; /* code 0: mail may come */
    struct smtp_verdict verdict;
    bool later; /* the verdict is given by fake_answer() */
    /* what came */
    unsigned submissions;
    unsigned forgotten;
    char id[QUEUE_ID_LEN + 1];
    char sender[512];
    char recipients[2048]; /* by blanks */
    char protocol[12];
    bool smtputf8;
    unsigned notify; /* of the first */
    enum smtp_ret ret;
    char *text; /* owned: the body */
    size_t text_len;
    /* private */
    void (*done)(void *ctx, const struct smtp_verdict *verdict);
    void *ctx;
    unsigned ids;
} fake;

static void fake_say(struct smtp_verdict *v, unsigned code, const char *line)
{
    v->code = code;
    span_copy(span_of(line), v->line, sizeof v->line);
}

static void fake_reset(void)
{
    free(fake.text);
    memset(&fake, 0, sizeof fake);
    fake_say(&fake.verdict, 250, "250 2.0.0 Ok: queued as 06401F3A9C2E7001");
}

static void fake_answer(void)
{
    void (*done)(void *ctx, const struct smtp_verdict *verdict) = fake.done;

    fake.done = NULL;
    if (done)
        done(fake.ctx, &fake.verdict);
}

bool intake_may_come(struct intake *in, uint64_t size, struct smtp_verdict *verdict_out)
{
    *verdict_out = fake.refusal;
    return fake.refusal.code == 0;
}

void intake_queue_id(struct intake *in, struct queue_id *id_out, int64_t *arrival_us_out)
{
    struct text t;

    text_init(&t, id_out->text, sizeof id_out->text);
    text_printf(&t, "06401F3A9C2E7%03X", ++fake.ids);
    *arrival_us_out = 1760000000000000;
}

struct body *intake_body_new(struct intake *in, const struct envelope *e)
{
    struct body *b = body_new(&world.place);

    if (b)
        b->id = e->id;
    return b;
}

static void fake_keep_envelope(const struct envelope *e)
{
    struct text t;

    span_copy(span_of(e->id.text), fake.id, sizeof fake.id);
    span_copy(span_of(e->sender), fake.sender, sizeof fake.sender);
    span_copy(span_of(e->protocol), fake.protocol, sizeof fake.protocol);
    fake.smtputf8 = e->smtputf8;
    fake.ret = e->ret;
    fake.notify = e->recipients[0].notify;
    text_init(&t, fake.recipients, sizeof fake.recipients);
    for (size_t i = 0; i < e->recipient_count; i++)
        text_printf(&t, "%s%s", i > 0 ? " " : "", e->recipients[i].address);
}

void intake_submit(struct intake *in, struct envelope *e, struct body *body,
                   void (*done)(void *ctx, const struct smtp_verdict *verdict), void *ctx)
{
    int n;

    fake.submissions++;
    fake_keep_envelope(e);
    free(fake.text);
    fake.text = malloc(body->total + 1);
    fake.text_len = 0;
    while ((n = body_read(body, fake.text_len, fake.text + fake.text_len,
                          body->total - fake.text_len)) > 0)
        fake.text_len += (size_t)n;
    fake.text[fake.text_len] = '\0';
    body_free(&body);
    envelope_free(&e);
    fake.done = done;
    fake.ctx = ctx;
    if (!fake.later)
        fake_answer();
}

void intake_forget(struct intake *in, const void *ctx)
{
    if (fake.done && fake.ctx == ctx) {
        fake.done = NULL;
        fake.forgotten++;
    }
}

#endif
