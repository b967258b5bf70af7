/*
 * Fuzz config/restrictions: any text as a list. What was taken is within its limits and can be run;
 * what was refused says why in printable words, or in the input's own bytes, and leaves nothing.
 */
#include "input.h"

#include "config/restrictions.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static void check_item(const struct restriction *r)
{
    unsigned char address[4] = {127, 255, 255, 254};

    assert((unsigned)r->word < RESTRICTION_WORD_COUNT);
    assert(r->seconds <= RESTRICTION_SLEEP_MAX);
    assert((r->word == RESTRICTION_REJECT_RBL_CLIENT) == (r->zone != NULL));
    assert(r->zone || !r->filter);
    if (!r->zone)
        return;
    assert(strlen(r->zone) > 2 && strchr(r->zone, '.'));
    /* Without a filter an error of the list never counts. */
    assert(r->filter || !restriction_rbl_match(r, address));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_first(span_make((const char *)data, size), INPUT_MAX);
    struct restriction_list list;
    struct errbuf err = {""};
    int rc = restriction_list_parse(&list, in, &err);

    assert(rc == 0 || rc == -EINVAL);
    assert(list.count <= RESTRICTIONS_MAX);
    assert(rc == 0 || (list.count == 0 && !list.items && err.text[0]));
    for (size_t i = 0; i < list.count; i++)
        check_item(&list.items[i]);
    restriction_list_free(&list);
    return 0;
}
