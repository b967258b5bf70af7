/* domains - see domains.h */
#include "config/domains.h"

#include "config/cidr.h"
#include "smtp/address.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SEPARATORS ", \t\r\n"

static struct span without_last_dot(struct span s)
{
    return s.len > 0 && s.ptr[s.len - 1] == '.' ? span_first(s, s.len - 1) : s;
}

static struct span without_first_dot(struct span s)
{
    return s.len > 0 && s.ptr[0] == '.' ? span_from(s, 1) : s;
}

static size_t count_words(struct span text)
{
    struct span word;
    size_t count = 0;

    while (span_next_word(&text, SEPARATORS, &word))
        count++;
    return count;
}

static bool has(struct span s, const char *part)
{
    size_t len = strlen(part);

    for (size_t i = 0; i + len <= s.len; i++) {
        if (memcmp(s.ptr + i, part, len) == 0)
            return true;
    }
    return false;
}

static bool is_address(struct span entry)
{
    unsigned char address[16];

    return cidr_address_parse(entry, address);
}

/* Where one can tell, what was meant. */
static const char *remedy(struct span entry)
{
    uint64_t port;

    if (span_starts_nocase(entry, SPAN_LIT("*.")))
        return "write .example.com for the subdomains of example.com";
    if (has(entry, "://"))
        return "write the name in the URL only, such as example.com";
    if (span_find(entry, '@') < entry.len)
        return "write the part after the @ only";
    if (is_address(entry) || entry.ptr[0] == '[')
        return "mail is taken for names, not for addresses: write example.com";
    if (span_to_u64(span_from(entry, span_find(entry, ':') + 1), UINT64_MAX, &port))
        return "write it without the port, such as example.com";
    if (span_find(entry, ':') < entry.len)
        return "lookup tables are not supported, write the domains themselves";
    if (entry.ptr[0] == '/')
        return "files are not read, write the domains themselves";
    return "write names such as example.com, or .example.com for its subdomains";
}

static int not_a_domain(struct span entry, struct errbuf *err)
{
    return errbuf_set(err, -EINVAL, "\"%.*s\" is not a domain; %s",
                      (int)(entry.len < 100 ? entry.len : 100), entry.ptr, remedy(entry));
}

/* smtp_domain_valid allows one trailing dot. */
static bool entry_valid(struct span entry)
{
    struct span name = without_first_dot(entry);

    return name.len > 0 && name.ptr[0] != '[' && !is_address(name) && smtp_domain_valid(name, true);
}

/* Lower case, on the heap; NULL when memory is out. */
static char *lower_copy(struct span s)
{
    char *copy = malloc(s.len + 1);

    if (!copy)
        return NULL;
    for (size_t i = 0; i < s.len; i++)
        copy[i] = ascii_lower(s.ptr[i]);
    copy[s.len] = '\0';
    return copy;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_all(struct domain_list *list, struct span text, struct errbuf *err)
{
    struct span entry;

    while (span_next_word(&text, SEPARATORS, &entry)) {
        if (!entry_valid(entry))
            return not_a_domain(entry, err);
        list->names[list->count] = lower_copy(without_last_dot(entry));
        if (!list->names[list->count])
            return errbuf_set(err, -ENOMEM, "out of memory");
        list->count++;
    }
    return 0;
}

int domain_list_parse(struct domain_list *list, struct span text, struct errbuf *err)
{
    size_t count = count_words(text);
    int rc;

    *list = (struct domain_list){.count = 0};
    if (count > DOMAINS_MAX)
        return errbuf_set(err, -EINVAL, "has more than %d domains", DOMAINS_MAX);
    if (count == 0)
        return 0;
    list->names = calloc(count, sizeof *list->names);
    if (!list->names)
        return errbuf_set(err, -ENOMEM, "out of memory");
    rc = add_all(list, text, err);
    if (rc < 0) {
        domain_list_free(list);
        return rc;
    }
    list->first = list->names[0];
    qsort(list->names, list->count, sizeof *list->names, compare);
    return 0;
}

void domain_list_free(struct domain_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i]);
    free(list->names);
    *list = (struct domain_list){.count = 0};
}

static bool is_listed(const struct domain_list *list, const char *name)
{
    return bsearch(&name, list->names, list->count, sizeof *list->names, compare) != NULL;
}

bool domain_list_match(const struct domain_list *list, struct span domain)
{
    char name[SMTP_DOMAIN_MAX + 1];

    if (list->count == 0 || !span_copy(without_last_dot(domain), name, sizeof name))
        return false;
    if (name[0] == '\0' || name[0] == '.')
        return false;
    for (char *c = name; *c; c++)
        *c = ascii_lower(*c);
    if (is_listed(list, name))
        return true;
    for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.')) {
        if (is_listed(list, dot) || (list->subdomains && is_listed(list, dot + 1)))
            return true;
    }
    return false;
}

const char *domain_list_first(const struct domain_list *list)
{
    if (!list->first)
        return "";
    return list->first[0] == '.' ? list->first + 1 : list->first;
}
