/*
 * json - see healthcheck.h
 *
 * The text comes from our own daemon and is well formed; still every step stops at the NUL, so that
 * a broken one ends in "not there", never beyond the buffer.
 */
#include "healthcheck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

/* Behind the closing quote; p is at the opening one. */
static const char *skip_string(const char *p)
{
    for (p++; *p && *p != '"'; p++) {
        if (*p == '\\' && p[1])
            p++;
    }
    return *p ? p + 1 : p;
}

/* Behind one value of any kind. */
static const char *skip_value(const char *p)
{
    size_t depth = 0;

    p = skip_blanks(p);
    do {
        if (*p == '"') {
            p = skip_string(p);
        } else if (*p == '{' || *p == '[') {
            depth++;
            p++;
        } else if (depth > 0 && (*p == '}' || *p == ']')) {
            depth--;
            p++;
        } else if (depth > 0) {
            p += *p != '\0';
        } else {
            p += strcspn(p, ",]} \t\r\n");
        }
    } while (*p && depth > 0);
    return p;
}

const char *json_member(const char *json, const char *name)
{
    size_t len = strlen(name);
    const char *p = json ? skip_blanks(json) : "";

    if (*p != '{')
        return NULL;
    do {
        const char *key = p = skip_blanks(p + 1);

        if (*p != '"')
            return NULL;
        p = skip_blanks(skip_string(p));
        if (*p != ':')
            return NULL;
        p = skip_blanks(p + 1);
        if (strncmp(key + 1, name, len) == 0 && key[len + 1] == '"')
            return p;
        p = skip_blanks(skip_value(p));
    } while (*p == ',');
    return NULL;
}

static const char *element(const char *p)
{
    p = skip_blanks(p);
    return *p && *p != ']' ? p : NULL;
}

const char *json_first(const char *array)
{
    return array && *array == '[' ? element(array + 1) : NULL;
}

const char *json_next(const char *value)
{
    const char *p = skip_blanks(skip_value(value));

    return *p == ',' ? element(p + 1) : NULL;
}

bool json_true(const char *value)
{
    return value && strncmp(value, "true", 4) == 0;
}

long long json_number(const char *value)
{
    return value ? strtoll(value, NULL, 10) : 0;
}

void json_string(const char *value, char *out, size_t cap)
{
    size_t len = 0;

    if (value && *value == '"') {
        for (value++; *value && *value != '"' && len + 1 < cap; value++) {
            bool escaped = *value == '\\' && value[1];

            value += escaped;
            out[len++] = !escaped || *value == '"' || *value == '\\' ? *value : '?';
        }
    }
    out[len] = '\0';
}

void json_print(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else
            putchar((unsigned char)*text < ' ' ? '?' : *text);
    }
    putchar('"');
}
