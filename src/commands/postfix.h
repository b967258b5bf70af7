/*
 * postfix - what sendmail -bd shares with the command postfix
 */
#ifndef MXGATE_COMMANDS_POSTFIX_H
#define MXGATE_COMMANDS_POSTFIX_H

#include "config/config.h"

/* Says that there is no daemon to put into the background, or that it runs already. 1. */
int postfix_start(const struct config *config);

#endif
