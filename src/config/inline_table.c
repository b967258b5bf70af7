/* inline_table - see inline_table.h */
#include "config/inline_table.h"

#include "config/braces.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 100

/* "WORD" WHY; EXAMPLE, with no control byte in it; a word that may hold a secret is not shown. */
static int bad(const struct inline_rules *rules, struct span word, struct errbuf *err,
               const char *why)
{
    char buf[SHOWN_MAX + 1];
    struct text shown;

    text_init(&shown, buf, sizeof buf);
    text_printable_max(&shown, rules->secret ? SPAN_LIT("***") : word, SHOWN_MAX);
    return errbuf_set(err, -EINVAL, "\"%s\" %s; %s", buf, why, rules->example);
}

static int no_memory(struct errbuf *err)
{
    return errbuf_set(err, -ENOMEM, "out of memory");
}

static void wipe(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

static struct inline_pair *find_among(const struct inline_table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->pairs[i].name, name) == 0)
            return &table->pairs[i];
    }
    return NULL;
}

/* Room for one more, doubling; the count is bounded. */
static bool grow(struct inline_table *table)
{
    struct inline_pair *grown;

    if (table->count & (table->count - 1)) /* there is room until the next power of two */
        return true;
    grown = realloc(table->pairs, (table->count ? 2 * table->count : 1) * sizeof *grown);
    if (!grown)
        return false;
    table->pairs = grown;
    return true;
}

static int append(struct inline_table *table, const char *name, char *value, struct errbuf *err)
{
    char *copy = strdup(name);

    if (!copy || !grow(table)) {
        free(copy);
        wipe(value);
        return no_memory(err);
    }
    table->pairs[table->count].name = copy;
    table->pairs[table->count].value = value;
    table->count++;
    return 0;
}

static char *value_new(struct span value)
{
    char *copy = malloc(value.len + 1);

    if (copy)
        span_copy(value, copy, value.len + 1);
    return copy;
}

/* `begin`: how many pairs the tables before this one have. */
static int add_pair(struct inline_table *table, size_t begin, struct span name, struct span value,
                    const struct inline_rules *rules, struct errbuf *err)
{
    char folded[INLINE_NAME_CAP];
    struct inline_pair *same;
    struct text t;
    char *copy;
    int rc;

    text_init(&t, folded, sizeof folded);
    if (!rules->fold(name, &t) || t.overflow || t.len == 0)
        return bad(rules, name, err, rules->names);
    rc = rules->check ? rules->check(value, err) : 0;
    if (rc < 0)
        return rc;
    same = find_among(table, folded);
    if (same && same < table->pairs + begin)
        return 0; /* an earlier table has it */
    if (!same && table->count == rules->max)
        return bad(rules, name, err, "is one name too many");
    copy = value_new(value);
    if (!copy)
        return no_memory(err);
    if (!same)
        return append(table, folded, copy, err);
    wipe(same->value);
    same->value = copy;
    return 0;
}

static int parse_table(struct inline_table *table, struct span text,
                       const struct inline_rules *rules, struct errbuf *err)
{
    struct span type = SPAN_LIT("inline:");
    size_t begin = table->count;
    struct span rest, word, name, value;
    int rc = 0;

    if (!span_starts_nocase(text, type))
        return bad(rules, text, err, "is a table that mxgate does not read");
    if (!braces_strip(span_from(text, type.len), &rest))
        return bad(rules, text, err, "has braces that do not match");
    if (rest.len == 0)
        return bad(rules, text, err, "is empty; remove it, or");
    while (rc == 0 && braces_next_word(&rest, &word)) {
        if (!braces_split_pair(word, &name, &value))
            return bad(rules, word, err,
                       "is not NAME=VALUE (in braces what has blanks or commas: {NAME = VALUE})");
        rc = add_pair(table, begin, name, value, rules, err);
    }
    return rc;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct inline_pair *)a)->name, ((const struct inline_pair *)b)->name);
}

int inline_table_parse(struct inline_table *table, struct span text,
                       const struct inline_rules *rules, struct errbuf *err)
{
    struct span one;
    int rc = 0;

    *table = (struct inline_table){NULL, 0};
    while (rc == 0 && braces_next_word(&text, &one))
        rc = parse_table(table, one, rules, err);
    if (rc < 0)
        inline_table_free(table);
    else if (table->count > 0)
        qsort(table->pairs, table->count, sizeof *table->pairs, compare);
    return rc;
}

void inline_table_free(struct inline_table *table)
{
    while (table->count > 0) {
        table->count--;
        free(table->pairs[table->count].name);
        wipe(table->pairs[table->count].value);
    }
    free(table->pairs);
    *table = (struct inline_table){NULL, 0};
}

static int compare_name(const void *name, const void *pair)
{
    return strcmp(name, ((const struct inline_pair *)pair)->name);
}

const char *inline_table_find(const struct inline_table *table, const char *name)
{
    const struct inline_pair *found;

    if (table->count == 0)
        return NULL;
    found = bsearch(name, table->pairs, table->count, sizeof *table->pairs, compare_name);
    return found ? found->value : NULL;
}

bool inline_table_equal(const struct inline_table *a, const struct inline_table *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->pairs[i].name, b->pairs[i].name) != 0 ||
            strcmp(a->pairs[i].value, b->pairs[i].value) != 0)
            return false;
    }
    return true;
}

bool inline_fold_lower(struct span name, struct text *folded)
{
    for (size_t i = 0; i < name.len; i++)
        text_char(folded, ascii_lower(name.ptr[i]));
    return name.len > 0 && !folded->overflow;
}
