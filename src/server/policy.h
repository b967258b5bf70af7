/*
 * policy - who may send what to whom (DESIGN P5); pure
 *
 * For each recipient the lists of settings are run in Postfix's order: client, HELO, sender, relay,
 * recipient; for DATA its own. Left to right; the first word that permits ends its list, the first
 * that refuses ends all. What a word cannot know itself is asked:
 *
 *     policy_begin --> policy_next --ASK--> policy_answer --> policy_next --...--> ACCEPT, REFUSE
 *                          |--WARN, NOTE (to be logged), PAUSE (to be waited)--> policy_next
 *
 * After all lists, whatever they said: a recipient outside relay_domains is refused unless the
 * client is trusted or logged in and there is a way out for this mail (config/way.h), a sender
 * outside allowed_sender_domains is, and what a word could not find out for the DNS' fault becomes
 * "try again later".
 *
 * Limits: names asked for are host names by smtp_domain_valid(). Owns: nothing; a run points into
 * nobody's memory.
 */
#ifndef MXGATE_SERVER_POLICY_H
#define MXGATE_SERVER_POLICY_H

#include "config/config.h"
#include "net/dns_answer.h"
#include "smtp/address.h"
#include "smtp/verdict.h"

/*
 * True when there is a way to it; `recipient` may be rewritten (<postmaster> without a domain gets
 * the first relay domain). False: the refusal is in *verdict_out ("554 5.7.1 <x>: Relay access
 * denied", "504 5.5.2 <x>: Recipient address rejected: need fully-qualified address"). For mail
 * that no list is about: programs of this machine (sendmail) are trusted.
 */
bool policy_recipient(const struct config *config, struct span sender,
                      struct smtp_address *recipient, struct smtp_verdict *verdict_out);
/* Only the part of it about recipients without a domain. */
bool policy_complete_recipient(const struct config *config, struct smtp_address *recipient,
                               struct smtp_verdict *verdict_out);

struct policy_facts {
    const struct config *config;
    const char *client_name;       /* verified, or "unknown" */
    const char *client_address;    /* numeric */
    enum dns_found client_reverse; /* whether the address has a name */
    enum dns_found client_verified;
    const char *helo;                     /* "" when none was said */
    const char *sender;                   /* "" is the null sender */
    const struct smtp_address *recipient; /* with a domain; NULL at DATA */
    size_t recipient_count;               /* accepted before */
    bool trusted;                         /* in mynetworks */
    const char *login;                    /* who logged in (AUTH); "" nobody */
    bool secured;                         /* in TLS */
    bool pipelined; /* the client did not wait where it had to, as of this command */
};

enum policy_step {
    POLICY_ACCEPT,
    POLICY_REFUSE, /* verdict */
    POLICY_WARN,   /* verdict: what would have been refused but for warn_if_reject */
    POLICY_NOTE,   /* verdict.line: words for a warning in the log */
    POLICY_ASK,    /* question, name */
    POLICY_PAUSE,  /* pause_ms */
};

#define POLICY_NAME_CAP 330 /* a reversed IPv6 address and a zone */

struct policy_run {
    struct smtp_verdict verdict;
    enum dns_question question;
    char name[POLICY_NAME_CAP];
    uint64_t pause_ms;
    bool ask_upstream; /* the recipient must be asked for upstream, whatever verify_recipients says
                        */
    /* private */
    enum restriction_stage stage;
    enum restriction_stage last;
    size_t at;
    bool answered;
    bool listed; /* by a block list; its text is asked for */
    bool noted;  /* a list's error is told already */
    bool deferred;
    struct dns_answer answer;
    struct smtp_verdict deferral;
};

/* For RCPT: RESTRICT_CLIENT to RESTRICT_RECIPIENT; for DATA: RESTRICT_DATA twice. */
void policy_begin(struct policy_run *r, enum restriction_stage first, enum restriction_stage last);
/* The facts must be the same each time. */
enum policy_step policy_next(struct policy_run *r, const struct policy_facts *f);
void policy_answer(struct policy_run *r, const struct dns_answer *answer);

#endif
