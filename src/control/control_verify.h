/*
 * control_verify - what would happen to a recipient: policy, then the upstream's own word
 *
 * The question is asked as in an SMTP session (relay/verify), with its memory and its time limit.
 * Whoever asked may go away: control_verify_forget; the question's memory then goes by itself.
 */
#ifndef MXGATE_CONTROL_CONTROL_VERIFY_H
#define MXGATE_CONTROL_CONTROL_VERIFY_H

#include "relay/relay.h"
#include "smtp/verdict.h"

struct control_verify;

/*
 * done(ctx, exit_code, words) comes once, maybe before this returns, unless forgotten. exit_code: 0
 * with "deliverable: ..." as the words, EX_NOUSER and the like with the refusal, EX_TEMPFAIL. NULL
 * when the question was answered already, or no memory was left (then done came with EX_TEMPFAIL).
 */
struct control_verify *control_verify_ask(struct relay *relay, const struct config *config,
                                          struct span argument,
                                          void (*done)(void *ctx, int exit_code, const char *words),
                                          void *ctx);
void control_verify_forget(struct control_verify **v);

#endif
