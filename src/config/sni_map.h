/*
 * sni_map - which names that TLS clients ask for have certificates of their own: the syntax of
 * tls_server_sni_maps; pure
 *
 *     inline:{ mx.example.net=/etc/ssl/net.pem, .example.org=/etc/ssl/org.pem,
 *              { mx.example.com = /etc/ssl/rsa.pem, /etc/ssl/ec.pem } }
 *
 * As in Postfix: a name, or .parent for all below it; the value is a list of files with chains and
 * keys. Of a name that one table has twice the last counts, of several tables the first that has
 * it. The look-up is in tls/credentials.h.
 *
 * Fails:  -EINVAL with the reason and the remedy; tables in files are refused: nothing here reads
 *         them. -ENOMEM.
 * Limits: SNI_ENTRIES_MAX names, SNI_FILES_MAX files each.
 */
#ifndef MXGATE_CONFIG_SNI_MAP_H
#define MXGATE_CONFIG_SNI_MAP_H

#include "base/errbuf.h"
#include "base/span.h"

#define SNI_ENTRIES_MAX 1000
#define SNI_FILES_MAX   8

struct sni_entry {
    char *name;  /* owned; in lower case, without a trailing dot */
    char *files; /* owned; with one blank between them */
};

struct sni_map {
    struct sni_entry *entries; /* owned; sorted by name, each once */
    size_t count;
};

/* An empty text is an empty map. On failure nothing is left in it. */
int sni_map_parse(struct sni_map *map, struct span text, struct errbuf *err);
void sni_map_free(struct sni_map *map);
/* Whether a name in lower case, or one of its parents, is there. */
bool sni_map_has(const struct sni_map *map, const char *name);
/* A list of absolute paths, commas and blanks between them: 0, or -EINVAL and why. */
int sni_files_check(struct span files, struct errbuf *err);

#endif
