/* sni_map - see sni_map.h */
#include "config/sni_map.h"

#include "base/text.h"
#include "config/braces.h"
#include "smtp/domain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 100
#define NAME_CAP  256
#define EXAMPLE   "write inline:{ mx.example.net=/etc/ssl/mx.example.net.pem }"
#define FILE_SEPS ", \t\r\n"

/* "WORD" WHY, with no control byte in it. */
static int bad(struct span word, struct errbuf *err, const char *why)
{
    char buf[SHOWN_MAX + 1];
    struct text shown;

    text_init(&shown, buf, sizeof buf);
    text_printable_max(&shown, word, SHOWN_MAX);
    return errbuf_set(err, -EINVAL, "\"%s\" %s", buf, why);
}

static bool fold(struct span name, char folded[NAME_CAP])
{
    struct text t;
    struct span bare;

    if (name.len > 1 && name.ptr[name.len - 1] == '.')
        name.len--;
    bare = name.len > 1 && name.ptr[0] == '.' ? span_from(name, 1) : name;
    if (bare.len == 0 || bare.ptr[0] == '[' || !smtp_domain_valid(bare, false))
        return false;
    text_init(&t, folded, NAME_CAP);
    for (size_t i = 0; i < name.len; i++)
        text_char(&t, ascii_lower(name.ptr[i]));
    return !t.overflow;
}

int sni_files_check(struct span files, struct errbuf *err)
{
    struct span word;
    size_t count = 0;

    while (span_next_word(&files, FILE_SEPS, &word)) {
        if (word.ptr[0] != '/')
            return bad(word, err, "is no absolute path; write /etc/ssl/mx.example.com.pem");
        if (span_find(word, '\0') < word.len)
            return bad(word, err, "is no path");
        if (++count > SNI_FILES_MAX)
            return bad(word, err, "is one file too many; there may be 8 in one list");
    }
    return count > 0 ? 0 : bad(files, err, "is no file; write /etc/ssl/mx.example.com.pem");
}

/* With one blank between them; malloc'd. */
static char *join(struct span files)
{
    char *joined = malloc(files.len + 1);
    struct span word;
    struct text t;

    if (!joined)
        return NULL;
    text_init(&t, joined, files.len + 1);
    while (span_next_word(&files, FILE_SEPS, &word)) {
        text_cstr(&t, t.len > 0 ? " " : "");
        text_span(&t, word);
    }
    return joined;
}

static struct sni_entry *find(const struct sni_map *map, const char *name)
{
    for (size_t i = 0; i < map->count; i++) {
        if (strcmp(map->entries[i].name, name) == 0)
            return &map->entries[i];
    }
    return NULL;
}

static int append(struct sni_map *map, const char *name, char *files, struct errbuf *err)
{
    struct sni_entry *grown = realloc(map->entries, (map->count + 1) * sizeof *grown);
    char *copy = strdup(name);

    if (grown)
        map->entries = grown;
    if (!grown || !copy) {
        free(copy);
        free(files);
        return errbuf_set(err, -ENOMEM, "out of memory");
    }
    map->entries[map->count].name = copy;
    map->entries[map->count].files = files;
    map->count++;
    return 0;
}

/* `begin`: how many entries the tables before this one have. */
static int add_pair(struct sni_map *map, size_t begin, struct span name, struct span value,
                    struct errbuf *err)
{
    char folded[NAME_CAP];
    struct sni_entry *same;
    char *files;

    if (!fold(name, folded))
        return bad(name, err,
                   "is no name that clients ask for; write mx.example.net, or .example.net for all "
                   "below it");
    if (sni_files_check(value, err) < 0)
        return -EINVAL;
    same = find(map, folded);
    if (same && same < map->entries + begin)
        return 0; /* an earlier table has it */
    if (!same && map->count == SNI_ENTRIES_MAX)
        return bad(name, err, "is one name too many; there may be 1000");
    files = join(value);
    if (!files)
        return errbuf_set(err, -ENOMEM, "out of memory");
    if (!same)
        return append(map, folded, files, err);
    free(same->files);
    same->files = files;
    return 0;
}

static int parse_table(struct sni_map *map, struct span table, struct errbuf *err)
{
    struct span type = SPAN_LIT("inline:");
    size_t begin = map->count;
    struct span rest, word, name, value;
    int rc = 0;

    if (!span_starts_nocase(table, type))
        return bad(table, err, "is a table that mxgate does not read; " EXAMPLE);
    if (!braces_strip(span_from(table, type.len), &rest))
        return bad(table, err, "has braces that do not match; " EXAMPLE);
    if (rest.len == 0)
        return bad(table, err, "is empty; remove it, or " EXAMPLE);
    while (rc == 0 && braces_next_word(&rest, &word)) {
        if (!braces_split_pair(word, &name, &value))
            return bad(word, err,
                       "is not NAME=FILE; " EXAMPLE ", and in braces what has several files: "
                       "{mx.example.net = /etc/ssl/rsa.pem, /etc/ssl/ec.pem}");
        rc = add_pair(map, begin, name, value, err);
    }
    return rc;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct sni_entry *)a)->name, ((const struct sni_entry *)b)->name);
}

int sni_map_parse(struct sni_map *map, struct span text, struct errbuf *err)
{
    struct span table;
    int rc = 0;

    *map = (struct sni_map){NULL, 0};
    while (rc == 0 && braces_next_word(&text, &table))
        rc = parse_table(map, table, err);
    if (rc < 0)
        sni_map_free(map);
    else if (map->count > 0)
        qsort(map->entries, map->count, sizeof *map->entries, compare);
    return rc;
}

void sni_map_free(struct sni_map *map)
{
    while (map->count > 0) {
        map->count--;
        free(map->entries[map->count].name);
        free(map->entries[map->count].files);
    }
    free(map->entries);
    *map = (struct sni_map){NULL, 0};
}

static bool has_entry(const struct sni_map *map, const char *name)
{
    for (size_t i = 0; i < map->count; i++) {
        if (strcmp(map->entries[i].name, name) == 0)
            return true;
    }
    return false;
}

bool sni_map_has(const struct sni_map *map, const char *name)
{
    bool found = name[0] != '\0' && has_entry(map, name);

    for (const char *dot = strchr(name, '.'); dot && !found; dot = strchr(dot + 1, '.'))
        found = has_entry(map, dot);
    return found;
}
