/* ehlo_map - see ehlo_map.h */
#include "config/ehlo_map.h"

#include "base/text.h"
#include "config/braces.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 100
#define EXAMPLE   "write inline:{192.0.2.1=starttls} or cidr:{{192.0.2.0/24 starttls}}"

/* "WORD" WHY, with no control byte in it. */
static int bad(struct span word, struct errbuf *err, const char *why)
{
    char buf[SHOWN_MAX + 1];
    struct text shown;

    text_init(&shown, buf, sizeof buf);
    text_printable_max(&shown, word, SHOWN_MAX);
    return errbuf_set(err, -EINVAL, "\"%s\" %s", buf, why);
}

/* "{ PATTERN words }" of a cidr table. */
static bool split_rule(struct span word, struct span *pattern_out, struct span *words_out)
{
    if (!braces_strip(word, words_out) || !span_next_word(words_out, " \t\r\n", pattern_out))
        return false;
    *words_out = span_trim(*words_out);
    return words_out->len > 0;
}

static int add_entry(struct ehlo_map *map, struct span pattern, struct span words,
                     struct errbuf *err)
{
    struct ehlo_map_entry *grown = realloc(map->entries, (map->count + 1) * sizeof *grown);
    struct ehlo_map_entry *entry;
    int rc;

    if (!grown)
        return errbuf_set(err, -ENOMEM, "out of memory");
    map->entries = grown;
    entry = &grown[map->count];
    rc = cidr_list_parse(&entry->block, pattern, err);
    if (rc < 0)
        return rc;
    entry->words = strndup(words.ptr, words.len);
    map->count++; /* whatever it has is freed with the map */
    if (!entry->words)
        return errbuf_set(err, -ENOMEM, "out of memory");
    return entry->block.count == 1 ? 0 : bad(pattern, err, "is not one address or block; " EXAMPLE);
}

static int parse_table(struct ehlo_map *map, struct span table, struct errbuf *err)
{
    bool cidr = span_starts_nocase(table, SPAN_LIT("cidr:"));
    bool inlined = span_starts_nocase(table, SPAN_LIT("inline:"));
    struct span rest, word, pattern, words;
    int rc = 0;

    if (!cidr && !inlined)
        return bad(table, err, "is a table that mxgate does not read; " EXAMPLE);
    if (!braces_strip(span_from(table, span_find(table, ':') + 1), &rest))
        return bad(table, err, "has braces that do not match, or is a file; " EXAMPLE);
    while (rc == 0 && braces_next_word(&rest, &word)) {
        if (map->count == EHLO_MAP_MAX)
            return bad(word, err, "is one entry too many; there may be 1000");
        if (!(cidr ? split_rule(word, &pattern, &words)
                   : braces_split_pair(word, &pattern, &words)))
            return bad(word, err, "is not understood; " EXAMPLE);
        rc = add_entry(map, pattern, words, err);
    }
    return rc;
}

int ehlo_map_parse(struct ehlo_map *map, struct span text, struct errbuf *err)
{
    struct span table;
    int rc = 0;

    *map = (struct ehlo_map){NULL, 0};
    while (rc == 0 && braces_next_word(&text, &table))
        rc = parse_table(map, table, err);
    if (rc < 0)
        ehlo_map_free(map);
    return rc;
}

void ehlo_map_free(struct ehlo_map *map)
{
    while (map->count > 0) {
        struct ehlo_map_entry *entry = &map->entries[--map->count];

        cidr_list_free(&entry->block);
        free(entry->words);
    }
    free(map->entries);
    *map = (struct ehlo_map){NULL, 0};
}

const char *ehlo_map_find(const struct ehlo_map *map, const unsigned char address[16])
{
    for (size_t i = 0; i < map->count; i++) {
        if (cidr_list_match(&map->entries[i].block, address))
            return map->entries[i].words;
    }
    return NULL;
}
