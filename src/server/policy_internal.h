/*
 * policy_internal - what policy.c (running the lists), policy_word.c (what each word means),
 * policy_dns.c (the words that ask the DNS) and policy_login.c share; nobody else includes it
 */
#ifndef MXGATE_SERVER_POLICY_INTERNAL_H
#define MXGATE_SERVER_POLICY_INTERNAL_H

#include "server/policy.h"

#include "base/text.h"

enum policy_effect {
    POLICY_EFFECT_NONE, /* the word says nothing about this */
    POLICY_EFFECT_PERMIT,
    POLICY_EFFECT_REFUSE, /* r->verdict */
    POLICY_EFFECT_DEFER,  /* r->verdict, unless something refuses for good */
    POLICY_EFFECT_NOTE,   /* r->verdict.line, and then nothing */
    POLICY_EFFECT_ASK,    /* r->question, r->name; the word is run again with the answer */
    POLICY_EFFECT_PAUSE,  /* r->pause_ms */
};

/* policy.c */
void policy_refuse(struct smtp_verdict *verdict, uint64_t code, const char *dsn, const char *format,
                   ...) __attribute__((format(printf, 4, 5)));
bool policy_is_ours(const struct config *config, const struct smtp_address *recipient);

/* policy_word.c */
enum policy_effect policy_run_word(struct policy_run *r, const struct policy_facts *f,
                                   const struct restriction *word);
/* After the last "@"; empty when there is none. */
struct span policy_domain(const char *address);
/* A host name by Postfix' rules: no label begins or ends with a hyphen, and it is not a number. */
bool policy_is_hostname(struct span name);

/* policy_login.c: whether the sender is the user's who logged in (smtpd_sender_login_maps) */
enum policy_effect policy_sender_login(struct policy_run *r, const struct policy_facts *f,
                                       enum restriction_word word);

/* policy_dns.c */
enum policy_effect policy_unknown_helo(struct policy_run *r, const struct policy_facts *f);
enum policy_effect policy_unknown_sender(struct policy_run *r, const struct policy_facts *f);
enum policy_effect policy_unknown_recipient(struct policy_run *r, const struct policy_facts *f);
enum policy_effect policy_rbl(struct policy_run *r, const struct policy_facts *f,
                              const struct restriction *word);

#endif
