/* check - what `mxgate check` and `mxgate serve` say alike */
#ifndef MXGATE_COMMANDS_CHECK_H
#define MXGATE_COMMANDS_CHECK_H

#include "config/config.h"
#include "observe/log.h"

enum log_severity check_severity(enum config_note_kind kind);
/*
 * Reads the settings and tells what a start would say of them, up to what needs its modules. 0 and
 * *config_out; negative, with words in err where no note of an error told why, and NULL.
 */
int check_settings(const char *ini, config_note_fn note, void *ctx, struct errbuf *err,
                   struct config **config_out);
/* "mx.example.com accepts mail for ..." */
void check_say_summary(const struct log *log, const struct config *config);

#endif
