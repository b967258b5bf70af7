/* check - what `mxgate check` and `mxgate serve` say alike */
#ifndef MXGATE_COMMANDS_CHECK_H
#define MXGATE_COMMANDS_CHECK_H

#include "config/config.h"
#include "observe/log.h"

enum log_severity check_severity(enum config_note_kind kind);
/* "mx.example.com accepts mail for ..." */
void check_say_summary(const struct log *log, const struct config *config);

#endif
