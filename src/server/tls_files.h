/*
 * tls_files - the files that have the certificates clients are shown, read into credentials
 *
 * Which they are is said by smtpd_tls_chain_files, or smtpd_tls_cert_file and its like, and by
 * tls_server_sni_maps. What cannot be used leaves what was in use before; there, and when there was
 * nothing before, the rest is used all the same. Nothing here touches what others hold: it may run
 * on a lane, while the loop's thread leaves config and previous set alone.
 *
 * Limits: TLS_FILE_MAX bytes a file, TLS_NOTES_MAX notes of one load.
 */
#ifndef MXGATE_SERVER_TLS_FILES_H
#define MXGATE_SERVER_TLS_FILES_H

#include "config/config.h"
#include "tls/credentials.h"

#include <sys/stat.h>

#define TLS_FILE_MAX  1048576
#define TLS_NOTES_MAX 8

/* How a file looked when it was read, through symbolic links. */
struct tls_stamp {
    char *path; /* owned */
    int error;  /* 0, or why it could not be looked at */
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};

struct tls_set {
    struct credentials *credentials; /* a reference */
    char **files;                    /* owned; of each group, LF between them; "": self-signed */
    bool *fresh;                     /* owned; of each group: read now, and not kept from before */
    size_t count;
    struct tls_stamp *stamps; /* owned */
    size_t stamp_count;
};

struct tls_load {
    const struct config *config;
    const struct tls_set *previous; /* NULL: none */
    const char *self_signed[2];     /* PEM texts for when there are no files; NULL: none */
    struct tls_set *set;            /* owned: the outcome; NULL: there is no pair at all */
    struct errbuf trouble;          /* what could not be used, and stays as it was; "" nothing */
    unsigned note_count;
    char notes[TLS_NOTES_MAX][ERRBUF_CAP]; /* what was hardly meant */
};

/* Whether any file is named for clients that ask for no name. */
bool tls_files_configured(const struct config *config);
/* Fills the second half. 0; -ENOENT: no file is named, or none can be used, and there is no
 * self-signed pair; or -ENOMEM. Then there is no set. */
int tls_files_load(struct tls_load *l);
/* Whether a file changed, came or went since then. */
bool tls_files_changed(const struct tls_set *set);
void tls_set_free(struct tls_set *set); /* NULL is fine; on the loop's thread */

#endif
