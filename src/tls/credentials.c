/* credentials - see credentials.h */
#include "tls/credentials.h"

#include "tls/credentials_load.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct name {
    char *text; /* owned */
    size_t group;
};

struct credentials {
    unsigned references;
    struct credential_pair *groups; /* owned */
    size_t group_count;
    struct name *names; /* owned; sorted */
    size_t name_count;
};

struct credentials *credentials_new(void)
{
    struct credentials *c = calloc(1, sizeof *c);

    if (c)
        c->references = 1;
    return c;
}

int credentials_add_group(struct credentials *c, const struct credentials_file *files, size_t count,
                          credentials_note_fn note, void *note_ctx, struct errbuf *err)
{
    struct credential_pair *grown = realloc(c->groups, (c->group_count + 1) * sizeof *grown);
    int rc;

    if (!grown)
        return errbuf_set(err, -ENOMEM, "out of memory");
    c->groups = grown;
    rc = credential_load(files, count, note, note_ctx, &c->groups[c->group_count], err);
    return rc < 0 ? rc : (int)c->group_count++;
}

int credentials_share_group(struct credentials *c, const struct credentials *from, size_t group)
{
    struct credential_pair *grown = realloc(c->groups, (c->group_count + 1) * sizeof *grown);

    if (!grown)
        return -ENOMEM;
    c->groups = grown;
    c->groups[c->group_count] = (struct credential_pair){credential_ref(from->groups[group].rsa),
                                                         credential_ref(from->groups[group].ec)};
    return (int)c->group_count++;
}

int credentials_add_name(struct credentials *c, const char *name, size_t group)
{
    struct name *grown;
    char *copy;

    assert(group < c->group_count);
    assert(c->name_count == 0 || strcmp(c->names[c->name_count - 1].text, name) < 0);
    grown = realloc(c->names, (c->name_count + 1) * sizeof *grown);
    copy = strdup(name);
    if (grown)
        c->names = grown;
    if (!grown || !copy) {
        free(copy);
        return -ENOMEM;
    }
    c->names[c->name_count].text = copy;
    c->names[c->name_count].group = group;
    c->name_count++;
    return 0;
}

struct credentials *credentials_ref(struct credentials *c)
{
    c->references++;
    return c;
}

void credentials_unref(struct credentials *c)
{
    if (!c || --c->references > 0)
        return;
    for (size_t i = 0; i < c->group_count; i++) {
        credential_unref(c->groups[i].rsa);
        credential_unref(c->groups[i].ec);
    }
    for (size_t i = 0; i < c->name_count; i++)
        free(c->names[i].text);
    free(c->groups);
    free(c->names);
    free(c);
}

static int compare(const void *key, const void *member)
{
    return strcmp(key, ((const struct name *)member)->text);
}

static const struct name *find(const struct credentials *c, const char *name)
{
    if (c->name_count == 0 || name[0] == '\0')
        return NULL;
    return bsearch(name, c->names, c->name_count, sizeof *c->names, compare);
}

struct credential_choice credentials_group(const struct credentials *c, size_t group)
{
    const struct credential_pair *pair = &c->groups[group];

    return (struct credential_choice){pair->rsa, pair->ec};
}

/* As Postfix looks it up: the name, then .parent of all its parents. */
struct credential_choice credentials_choose(const struct credentials *c, const char *server_name)
{
    const struct name *found = NULL;
    char name[256];
    struct span s = span_of(server_name);

    if (s.len > 0 && s.ptr[s.len - 1] == '.')
        s.len--;
    if (!span_copy(s, name, sizeof name))
        return credentials_group(c, 0);
    for (char *p = name; *p; p++)
        *p = ascii_lower(*p);
    found = find(c, name);
    for (const char *dot = strchr(name, '.'); !found && dot; dot = strchr(dot + 1, '.'))
        found = find(c, dot);
    return credentials_group(c, found ? found->group : 0);
}

size_t credentials_groups(const struct credentials *c)
{
    return c->group_count;
}
