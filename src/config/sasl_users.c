/* sasl_users - see sasl_users.h */
#include "config/sasl_users.h"

#include "base/text.h"
#include "smtp/sasl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void wipe(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

void sasl_users_free(struct sasl_users *users)
{
    for (size_t i = 0; i < users->count; i++) {
        free(users->items[i].name);
        free(users->items[i].whole);
        wipe(users->items[i].password);
    }
    free(users->items);
    *users = (struct sasl_users){NULL, 0};
}

/* "ann" as "ann@domain", in lower case. False: it does not fit. */
static bool complete(struct span name, struct span domain, char out[SASL_LOGIN_CAP])
{
    struct text t;

    text_init(&t, out, SASL_LOGIN_CAP);
    for (size_t i = 0; i < name.len; i++)
        text_char(&t, ascii_lower(name.ptr[i]));
    if (span_find(name, '@') == name.len) {
        text_char(&t, '@');
        for (size_t i = 0; i < domain.len; i++)
            text_char(&t, ascii_lower(domain.ptr[i]));
    }
    return !t.overflow && span_find(name, '\0') == name.len;
}

static bool is_there(const struct sasl_users *users, const char *name)
{
    for (size_t i = 0; i < users->count; i++) {
        if (strcmp(users->items[i].whole, name) == 0)
            return true;
    }
    return false;
}

static bool is_name(struct span name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (ascii_is_control(name.ptr[i]) || name.ptr[i] == ' ')
            return false;
    }
    return name.len > 0 && name.ptr[0] != '@';
}

static int add(struct sasl_users *users, struct span entry, struct span domain, size_t number,
               struct errbuf *err)
{
    size_t colon = span_find(entry, ':');
    struct span name = span_trim(span_first(entry, colon));
    struct span password = span_from(entry, colon + 1);
    struct sasl_user *item = &users->items[users->count];
    char whole[SASL_LOGIN_CAP];

    if (!is_name(name) || password.len == 0 || !complete(name, domain, whole))
        return errbuf_set(err, -EINVAL,
                          "entry %zu is not a user and a password; write "
                          "ann:password,bob@example.com:password",
                          number);
    if (is_there(users, whole))
        return errbuf_set(err, -EINVAL, "entry %zu has a user that is there already", number);
    item->whole = strdup(whole);
    item->name = strndup(whole, name.len);
    item->password = strndup(password.ptr, password.len);
    users->count++;
    return item->whole && item->name && item->password ? 0
                                                       : errbuf_set(err, -ENOMEM, "out of memory");
}

int sasl_users_parse(struct sasl_users *users, struct span text, struct span domain,
                     struct errbuf *err)
{
    size_t number = 0;
    int rc = 0;

    *users = (struct sasl_users){calloc(SASL_USERS_MAX, sizeof *users->items), 0};
    if (!users->items)
        return errbuf_set(err, -ENOMEM, "out of memory");
    while (rc == 0 && text.len > 0) {
        size_t comma = span_find(text, ',');
        struct span entry = span_trim(span_first(text, comma));

        text = span_from(text, comma + 1);
        if (entry.len == 0)
            continue;
        number++;
        if (users->count == SASL_USERS_MAX)
            rc = errbuf_set(err, -EINVAL, "has more than %d users", SASL_USERS_MAX);
        else
            rc = add(users, entry, domain, number, err);
    }
    if (rc < 0 || users->count == 0)
        sasl_users_free(users);
    return rc;
}

/* 0 when they are the same; how long it takes says nothing but how long `said` is. */
static unsigned differ(const char *kept, struct span said)
{
    size_t len = strlen(kept);
    unsigned different = len != said.len;

    for (size_t i = 0; i < said.len; i++)
        different |= (unsigned char)(kept[len > 0 ? i % len : 0] ^ said.ptr[i]);
    return different;
}

const char *sasl_users_check(const struct sasl_users *users, struct span domain, struct span name,
                             struct span password, const char **known_out)
{
    const char *found = NULL;
    char whole[SASL_LOGIN_CAP];

    *known_out = NULL;
    if (!complete(name, domain, whole))
        return NULL;
    for (size_t i = 0; i < users->count; i++) { /* all of them, whoever it is */
        bool same = strcmp(users->items[i].whole, whole) == 0;
        bool right = differ(users->items[i].password, password) == 0;

        if (same)
            *known_out = users->items[i].name;
        if (same & right)
            found = users->items[i].name;
    }
    return found;
}
