/*
 * Fuzz config/overrides: reading ends, every name is a name, a value is one line; and what is
 * edited is there afterwards, while everything else is as it was.
 *
 * Input: a first line "name = value", which is the edit, then the text that is edited.
 */
#include "config/overrides.h"
#include "input.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void check_override(const struct override *o)
{
    if (o->kind == OVERRIDE_BAD)
        return;
    assert(o->name.len > 0);
    for (size_t i = 0; i < o->name.len; i++)
        assert(ascii_is_alnum(o->name.ptr[i]) || o->name.ptr[i] == '_');
    assert(span_find(o->value, '\n') == o->value.len);
}

/* Takes the next that is not about `name`; false at the end. */
static bool next_other(struct span *rest, struct span name, struct override *out)
{
    while (overrides_next(rest, out)) {
        check_override(out);
        if (out->kind == OVERRIDE_BAD || !span_equal(out->name, name))
            return true;
    }
    return false;
}

static void check_others(struct span before, struct span after, struct span name)
{
    struct override a, b;

    while (next_other(&before, name, &a)) {
        assert(next_other(&after, name, &b));
        assert(a.kind == b.kind && span_equal(a.name, b.name) && span_equal(a.value, b.value));
    }
    assert(!next_other(&after, name, &b));
}

static void check_edit(struct span text, struct override_edit edit)
{
    char *after = overrides_edit(text, &edit, 1);
    struct span rest = span_of(after);
    struct override o;
    unsigned found = 0;

    assert(after);
    check_others(text, rest, edit.name);
    while (overrides_next(&rest, &o)) {
        if (o.kind == OVERRIDE_BAD || !span_equal(o.name, edit.name))
            continue;
        found++;
        assert(o.kind == (edit.deed == OVERRIDE_SET ? OVERRIDE_VALUE : OVERRIDE_DEFAULT));
        assert(span_equal(o.value, edit.deed == OVERRIDE_SET ? edit.value : SPAN_LIT("")));
    }
    assert(found == (edit.deed == OVERRIDE_REMOVE ? 0 : 1));
    assert(overrides_have(span_of(after), edit.name) == (found == 1));
    free(after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size);
    struct override_edit edit = {.deed = OVERRIDE_SET};
    struct override first;

    if (memchr(data, '\0', size) || !overrides_next(&in, &first))
        return 0; /* a file with a NUL is not read */
    check_override(&first);
    if (first.kind == OVERRIDE_BAD)
        return 0;
    edit.name = first.name;
    edit.value = first.value;
    for (int deed = OVERRIDE_SET; deed <= OVERRIDE_REMOVE; deed++) {
        edit.deed = (enum override_deed)deed;
        check_edit(in, edit);
    }
    return 0;
}
