/* peer_list - see peer_list.h */
#include "config/peer_list.h"

#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_address(struct span word)
{
    bool numeric = true;

    for (size_t i = 0; i < word.len; i++) {
        char c = word.ptr[i];

        if (c == ':' || c == '/' || c == '[')
            return true;
        numeric = numeric && (ascii_is_digit(c) || c == '.');
    }
    return numeric;
}

/* The entries of one kind, each followed by a blank. `to` has as much room as `text` needs. */
static void pick(struct span text, bool addresses, struct text *to)
{
    struct span word;

    while (span_next_word(&text, ", \t\r\n", &word)) {
        if (is_address(word) != addresses)
            continue;
        text_span(to, word);
        text_char(to, ' ');
    }
}

int peer_list_parse(struct peer_list *list, struct span text, struct errbuf *err)
{
    size_t cap = text.len + 2;
    char *buf = malloc(cap);
    struct text picked;
    int rc;

    memset(list, 0, sizeof *list);
    if (!buf)
        return errbuf_set(err, -ENOMEM, "out of memory");
    text_init(&picked, buf, cap);
    pick(text, true, &picked);
    rc = cidr_list_parse(&list->blocks, text_as_span(&picked), err);
    if (rc == 0) {
        text_init(&picked, buf, cap);
        pick(text, false, &picked);
        rc = domain_list_parse(&list->names, text_as_span(&picked), err);
        list->names.subdomains = true;
    }
    free(buf);
    if (rc < 0)
        peer_list_free(list);
    return rc;
}

void peer_list_free(struct peer_list *list)
{
    cidr_list_free(&list->blocks);
    domain_list_free(&list->names);
}

bool peer_list_match_address(const struct peer_list *list, const unsigned char address[16])
{
    return cidr_list_match(&list->blocks, address);
}

bool peer_list_match_name(const struct peer_list *list, struct span name)
{
    return domain_list_match(&list->names, name);
}
