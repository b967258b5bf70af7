/*
 * control_recipient - a recipient that a local program names: its syntax, its domain, whether there
 * is a way to it; pure
 *
 * A name without a domain gets "@myorigin", as in Postfix; but postmaster, which is always ours
 * (RFC 5321 4.5.1), the first relay domain. Most often it is cron's "root", and the refusal then
 * says what to set.
 */
#ifndef MXGATE_CONTROL_CONTROL_RECIPIENT_H
#define MXGATE_CONTROL_CONTROL_RECIPIENT_H

#include "base/text.h"
#include "config/config.h"
#include "smtp/command.h"
#include "smtp/verdict.h"

/* "local" -> "local@myorigin"; false when that is too long. */
bool control_complete(struct text *t, const struct config *config,
                      const struct smtp_address *address);
/*
 * sender: "" where it is not known. `argument` is "<address> [parameters]" as in RCPT. 0 and *out
 * (its address complete), or an exit code of sysexits.h with the refusal in *verdict_out.
 */
int control_recipient(const struct config *config, struct span sender, struct span argument,
                      struct smtp_rcpt_params *out, struct smtp_verdict *verdict_out);

#endif
