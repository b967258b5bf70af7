/*
 * policy - who may send what to whom (DESIGN P5); pure
 *
 * A recipient outside relay_domains is refused unless the client is in mynetworks and an outbound
 * route is configured. No outbound route exists yet (relayhost is a later part), so foreign
 * recipients are refused from everybody.
 */
#ifndef MXGATE_SERVER_POLICY_H
#define MXGATE_SERVER_POLICY_H

#include "config/config.h"
#include "smtp/address.h"
#include "smtp/verdict.h"

/*
 * True when the recipient may be asked for upstream; `recipient` may be rewritten (<postmaster>
 * without a domain gets the first relay domain). False: the refusal is in *verdict_out ("554 5.7.1
 * <x>: Relay access denied", "504 5.5.2 <x>: Recipient address rejected: need fully-qualified
 * address").
 */
bool policy_recipient(const struct config *config, bool trusted, struct smtp_address *recipient,
                      struct smtp_verdict *verdict_out);

#endif
