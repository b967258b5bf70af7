/*
 * Fuzz message/address_list: it ends, every address is clean text without comments or blanks
 * outside quotes, and what comes out is a list that gives the same address again.
 */
#include "input.h"
#include "message/address_list.h"

#include <assert.h>
#include <string.h>

static void check_again(const char *address)
{
    struct address_list again;
    char text[SMTP_ADDRESS_CAP];

    address_list_init(&again, span_of(address));
    assert(address_list_next(&again, text) == ADDRESS_LIST_ADDRESS);
    assert(strcmp(text, address) == 0);
    assert(address_list_next(&again, text) == ADDRESS_LIST_END);
}

static void check_address(const char *address)
{
    struct smtp_address parsed;

    assert(address[0] != '\0' && strlen(address) < SMTP_ADDRESS_CAP);
    for (const char *c = address; *c; c++)
        assert(!ascii_is_control(*c) || *c == '\t');
    check_again(address);
    smtp_address_parse(span_of(address), true, &parsed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size);
    struct address_list list;
    char text[SMTP_ADDRESS_CAP];
    enum address_list_event event;
    size_t events = 0;

    address_list_init(&list, in);
    while ((event = address_list_next(&list, text)) != ADDRESS_LIST_END) {
        events++;
        assert(events <= size); /* each takes a byte at least */
        if (event == ADDRESS_LIST_ADDRESS)
            check_address(text);
    }
    return 0;
}
