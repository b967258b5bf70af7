/* mx_list - see mx_list.h */
#include "net/mx_list.h"

#include "smtp/domain.h"

#include <string.h>

static bool fold(struct span name, char out[MX_NAME_CAP])
{
    if (name.len > 1 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (!smtp_domain_is_hostname(name) || !span_copy(name, out, MX_NAME_CAP))
        return false;
    for (char *c = out; *c; c++)
        *c = ascii_lower(*c);
    return true;
}

static bool comes_before(const struct mx_host *a, const struct mx_host *b)
{
    return a->preference != b->preference ? a->preference < b->preference : a->lot < b->lot;
}

static void take_out(struct mx_list *list, size_t at)
{
    list->count--;
    memmove(&list->hosts[at], &list->hosts[at + 1], (list->count - at) * sizeof list->hosts[0]);
}

size_t mx_list_find(const struct mx_list *list, struct span name)
{
    size_t i = 0;

    if (name.len > 1 && name.ptr[name.len - 1] == '.')
        name.len--;
    while (i < list->count && !span_equal_nocase(span_of(list->hosts[i].name), name))
        i++;
    return i;
}

void mx_list_add(struct mx_list *list, unsigned preference, struct span name, uint32_t lot)
{
    struct mx_host host = {.preference = preference, .lot = lot};
    size_t at;

    if (!fold(name, host.name)) {
        list->passed_over++;
        return;
    }
    at = mx_list_find(list, span_of(host.name));
    if (at < list->count) {
        if (!comes_before(&host, &list->hosts[at]))
            return;
        take_out(list, at);
    }
    at = list->count;
    while (at > 0 && comes_before(&host, &list->hosts[at - 1]))
        at--;
    if (at == MX_HOSTS_MAX)
        return;
    if (list->count == MX_HOSTS_MAX)
        list->count--;
    memmove(&list->hosts[at + 1], &list->hosts[at], (list->count - at) * sizeof list->hosts[0]);
    list->hosts[at] = host;
    list->count++;
}

void mx_list_cut(struct mx_list *list, size_t at)
{
    unsigned preference = list->hosts[at].preference;

    while (list->count > 0 && list->hosts[list->count - 1].preference >= preference)
        list->count--;
}
