/*
 * Fuzz config/transport_map: it ends; what is refused has a reason without control bytes; what is
 * taken is sorted, written out again gives the same map, and look-ups of any address end.
 */
#include "base/text.h"
#include "config/transport_map.h"
#include "input.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void check_error(const struct errbuf *err)
{
    assert(err->text[0] != '\0');
    for (const char *c = err->text; *c; c++)
        assert(!ascii_is_control(*c));
}

/* Braces in a name or a path cannot be written so that they are read again. */
static bool has_braces(const struct transport_map *map)
{
    for (size_t i = 0; i < map->count; i++) {
        if (strpbrk(map->entries[i].name, "{}=") || strpbrk(map->entries[i].targets, "{}"))
            return true;
    }
    return false;
}

static void check_again(const struct transport_map *map)
{
    size_t cap = 64;
    struct transport_map again;
    struct errbuf err = {""};
    struct text t;
    char *buf;

    for (size_t i = 0; i < map->count; i++)
        cap += strlen(map->entries[i].name) + strlen(map->entries[i].targets) + 8;
    buf = malloc(cap);
    assert(buf);
    text_init(&t, buf, cap);
    text_cstr(&t, map->count ? "inline:{" : "");
    for (size_t i = 0; i < map->count; i++)
        text_printf(&t, "{%s = %s} ", map->entries[i].name, map->entries[i].targets);
    text_cstr(&t, map->count ? "}" : "");
    assert(!t.overflow);
    assert(transport_map_parse(&again, text_as_span(&t), &err) == 0);
    assert(transport_map_equal(map, &again));
    transport_map_free(&again);
    free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size < INPUT_MAX ? size : INPUT_MAX);
    struct span address = span_first(in, input_choice(&in, 300));
    struct transport_map map;
    struct errbuf err = {""};
    int at;

    if (transport_map_parse(&map, in, &err) != 0) {
        check_error(&err);
        assert(map.count == 0);
        return 0;
    }
    for (size_t i = 0; i + 1 < map.count; i++)
        assert(strcmp(map.entries[i].name, map.entries[i + 1].name) < 0);
    if (!has_braces(&map))
        check_again(&map);
    at = transport_map_find(&map, address, "+-");
    assert(at >= -1 && at < (int)map.count);
    transport_map_free(&map);
    return 0;
}
