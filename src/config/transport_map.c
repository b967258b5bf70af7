/* transport_map - see transport_map.h */
#include "config/transport_map.h"

#include "base/text.h"
#include "config/braces.h"
#include "config/route.h"
#include "smtp/address.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 100
#define EXAMPLE   "write inline:{ example.net=lmtp:[192.0.2.54]:24 }"
#define NAME_CAP  (SMTP_LOCAL_PART_MAX + 1 + SMTP_DOMAIN_MAX + 1)

/* "WORD" WHY, with no control byte in it. */
static int bad(struct span word, struct errbuf *err, const char *why)
{
    char buf[SHOWN_MAX + 1];
    struct text shown;

    text_init(&shown, buf, sizeof buf);
    text_printable_max(&shown, word, SHOWN_MAX);
    return errbuf_set(err, -EINVAL, "\"%s\" %s", buf, why);
}

/* ---- pairs ---- */

static bool name_valid(struct span name)
{
    struct smtp_address address;

    if (span_equal(name, SPAN_LIT("*")))
        return true;
    if (span_find(name, '@') < name.len)
        return smtp_address_parse(name, true, &address) == SMTP_ADDRESS_OK &&
               smtp_address_domain(&address).len > 0;
    if (name.len > 1 && name.ptr[0] == '.')
        name = span_from(name, 1);
    return name.len > 0 && name.ptr[0] != '[' && smtp_domain_valid(name, true);
}

/* Names and addresses as they are compared. False when it does not fit. */
static bool fold(struct span name, char folded[NAME_CAP])
{
    struct text t;

    if (name.len > 1 && name.ptr[name.len - 1] == '.')
        name.len--;
    text_init(&t, folded, NAME_CAP);
    for (size_t i = 0; i < name.len; i++)
        text_char(&t, ascii_lower(name.ptr[i]));
    return !t.overflow;
}

static int targets_new(struct span value, char **targets_out, struct errbuf *err)
{
    struct route_list *list = malloc(sizeof *list);
    char buf[ROUTE_LIST_TEXT_CAP];
    struct text t;
    int rc;

    if (!list)
        return errbuf_set(err, -ENOMEM, "out of memory");
    rc = route_list_parse(value, list, err);
    text_init(&t, buf, sizeof buf);
    if (rc == 0)
        route_list_text(list, &t);
    free(list);
    if (rc < 0)
        return rc;
    *targets_out = strdup(buf);
    return *targets_out ? 0 : errbuf_set(err, -ENOMEM, "out of memory");
}

/* Room for one more, doubling; the count is bounded. */
static bool grow(struct transport_map *map)
{
    struct transport_entry *grown;

    if (map->count & (map->count - 1)) /* there is room until the next power of two */
        return true;
    grown = realloc(map->entries, (map->count ? 2 * map->count : 1) * sizeof *grown);
    if (!grown)
        return false;
    map->entries = grown;
    return true;
}

static int add_pair(struct transport_map *map, struct span name, struct span value,
                    struct errbuf *err)
{
    char folded[NAME_CAP];
    struct transport_entry entry = {NULL, NULL};
    int rc;

    if (!name_valid(name) || !fold(name, folded))
        return bad(name, err,
                   "is no name of a route; write example.net, .example.net for its subdomains, "
                   "user@example.net, or * for all");
    if (map->count == TRANSPORT_ENTRIES_MAX)
        return bad(name, err, "is one route too many; there may be 10000");
    rc = targets_new(value, &entry.targets, err);
    if (rc < 0)
        return rc;
    entry.name = strdup(folded);
    if (!entry.name || !grow(map)) {
        free(entry.name);
        free(entry.targets);
        return errbuf_set(err, -ENOMEM, "out of memory");
    }
    map->entries[map->count++] = entry;
    return 0;
}

/* NAME=VALUE, or the same in braces with blanks around. */
static int parse_pair(struct transport_map *map, struct span word, struct errbuf *err)
{
    struct span pair = word;
    size_t equals;

    if (word.ptr[0] == '{' && !braces_strip(word, &pair))
        return bad(word, err, "has braces that do not match");
    equals = span_find(pair, '=');
    if (equals == 0 || equals == pair.len)
        return bad(word, err,
                   "is not NAME=VALUE; write example.net=lmtp:[192.0.2.54]:24, and in braces what "
                   "has blanks or commas: {example.net = lmtp:[192.0.2.54]:24}");
    return add_pair(map, span_trim(span_first(pair, equals)),
                    span_trim(span_from(pair, equals + 1)), err);
}

/* ---- tables ---- */

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct transport_entry *)a)->name,
                  ((const struct transport_entry *)b)->name);
}

static struct transport_entry *find_in(const struct transport_map *map, size_t count,
                                       const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(map->entries[i].name, name) == 0)
            return &map->entries[i];
    }
    return NULL;
}

static void drop_last(struct transport_map *map)
{
    map->count--;
    free(map->entries[map->count].name);
    free(map->entries[map->count].targets);
}

/* The pair that was added last, where an earlier one has its name: see transport_map.h. */
static void settle_duplicate(struct transport_map *map, size_t table_begin)
{
    struct transport_entry *last = &map->entries[map->count - 1];
    struct transport_entry *same = find_in(map, map->count - 1, last->name);

    if (!same)
        return;
    if (same >= map->entries + table_begin) {
        char *older = same->targets;

        same->targets = last->targets;
        last->targets = older;
    }
    drop_last(map);
}

static int parse_table(struct transport_map *map, struct span table, struct errbuf *err)
{
    struct span type = SPAN_LIT("inline:");
    size_t begin = map->count;
    struct span rest, word;

    if (!span_starts_nocase(table, type)) {
        if (span_find(table, ':') < table.len && span_find(table, '=') == table.len)
            return bad(table, err,
                       "is a table in a file, which mxgate does not read; " EXAMPLE
                       ", or the pairs as lines of the section [transport] in the ini file");
        return bad(table, err, "is not inline:{...}; " EXAMPLE);
    }
    if (!braces_strip(span_from(table, type.len), &rest))
        return bad(table, err, "has braces that do not match; " EXAMPLE);
    if (rest.len == 0)
        return bad(table, err, "is empty; remove it, or " EXAMPLE);
    while (braces_next_word(&rest, &word)) {
        int rc = parse_pair(map, word, err);

        if (rc < 0)
            return rc;
        settle_duplicate(map, begin);
    }
    return 0;
}

int transport_map_parse(struct transport_map *map, struct span text, struct errbuf *err)
{
    struct span table;
    int rc = 0;

    *map = (struct transport_map){NULL, 0};
    while (rc == 0 && braces_next_word(&text, &table))
        rc = parse_table(map, table, err);
    if (rc < 0)
        transport_map_free(map);
    else if (map->count > 0)
        qsort(map->entries, map->count, sizeof *map->entries, compare);
    return rc;
}

void transport_map_free(struct transport_map *map)
{
    while (map->count > 0)
        drop_last(map);
    free(map->entries);
    *map = (struct transport_map){NULL, 0};
}

/* ---- look-ups ---- */

static int find_name(const struct transport_map *map, const char *name)
{
    char copy[NAME_CAP];
    struct transport_entry key = {copy, NULL};
    const struct transport_entry *found;

    if (!span_copy(span_of(name), copy, sizeof copy))
        return -1;
    found = bsearch(&key, map->entries, map->count, sizeof key, compare);
    return found ? (int)(found - map->entries) : -1;
}

/*
 * Where the extension of the local part begins, or its length. As in Postfix, owner-x and x-request
 * have none when "-" is the delimiter.
 */
static size_t extension_at(struct span local, const char *delimiters)
{
    for (size_t i = 1; i < local.len; i++) {
        if (!strchr(delimiters, local.ptr[i]))
            continue;
        if (local.ptr[i] == '-' && (span_starts_nocase(local, SPAN_LIT("owner-")) ||
                                    span_ends_nocase(local, SPAN_LIT("-request"))))
            continue;
        return i;
    }
    return local.len;
}

static int find_without_extension(const struct transport_map *map, struct span address,
                                  const char *delimiters)
{
    size_t at = span_find_last(address, '@');
    size_t end = extension_at(span_first(address, at), delimiters);
    char name[NAME_CAP];
    struct text t;

    if (end == at)
        return -1;
    text_init(&t, name, sizeof name);
    text_span(&t, span_first(address, end));
    text_span(&t, span_from(address, at));
    return t.overflow ? -1 : find_name(map, name);
}

static int find_domain(const struct transport_map *map, const char *domain)
{
    int at = find_name(map, domain);

    for (const char *dot = strchr(domain, '.'); at < 0 && dot; dot = strchr(dot + 1, '.'))
        at = find_name(map, dot);
    return at < 0 ? find_name(map, "*") : at;
}

int transport_map_find(const struct transport_map *map, struct span address, const char *delimiters)
{
    char folded[NAME_CAP];
    const char *at_sign;
    int at;

    if (map->count == 0)
        return -1;
    if (!fold(address, folded))
        return find_name(map, "*");
    at = find_name(map, folded);
    if (at < 0)
        at = find_without_extension(map, span_of(folded), delimiters);
    at_sign = strrchr(folded, '@');
    return at >= 0 ? at : find_domain(map, at_sign ? at_sign + 1 : folded);
}

bool transport_entry_admitted(const struct transport_entry *entry, const struct domain_list *list)
{
    struct span name = span_of(entry->name);
    size_t at = span_find_last(name, '@');
    char below[NAME_CAP + 1] = "x";

    if (name.ptr[0] == '*')
        return true;
    if (at < name.len)
        return domain_list_match(list, span_from(name, at + 1));
    if (name.ptr[0] != '.')
        return domain_list_match(list, name);
    memcpy(below + 1, entry->name, name.len + 1);
    if (domain_list_match(list, span_of(below)))
        return true;
    for (size_t i = 0; i < list->count; i++) {
        if (span_ends_nocase(span_of(list->names[i]), name))
            return true;
    }
    return false;
}

bool transport_map_equal(const struct transport_map *a, const struct transport_map *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->entries[i].name, b->entries[i].name) != 0 ||
            strcmp(a->entries[i].targets, b->entries[i].targets) != 0)
            return false;
    }
    return true;
}
