/*
 * secret_files - variables that name a file with a secret instead of holding it: NAME_FILE
 *
 * ANONYMIZE_EMAILS_FILE=/run/secrets/anonymize is read, and counts as ANONYMIZE_EMAILS with what is
 * in the file, without line ends behind it; POSTFIX_x_FILE likewise. Only settings that are secrets
 * (config_is_secret) have such a variable: any other name that ends in _FILE is left alone. An
 * empty NAME_FILE is an empty NAME.
 *
 * Fails:  a file that cannot be read or is too long, and NAME and NAME_FILE both set: with words
 * that name the variable, never the secret. Owns: copies; nothing points into the file. Limits:
 * SECRET_FILE_MAX bytes.
 */
#ifndef MXGATE_COMMANDS_SECRET_FILES_H
#define MXGATE_COMMANDS_SECRET_FILES_H

#include "base/errbuf.h"

#include <stddef.h>

#define SECRET_FILE_MAX 4096

struct secret_files {
    const char *
        *environment; /* owned array, NULL at its end: what to use instead of the original */
    char **made;      /* owned array: the entries that are ours */
    size_t made_count;
};

/*
 * 0, or negative errno and why in err. The result is usable in any case but -ENOMEM: a variable
 * whose file could not be read is left out of it.
 */
int secret_files_read(const char *const *environment, struct secret_files *out, struct errbuf *err);
void secret_files_free(struct secret_files *s); /* safe after a failure */

#endif
