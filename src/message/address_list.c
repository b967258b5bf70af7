/* address_list - see address_list.h */
#include "message/address_list.h"

#include "base/text.h"

enum token_kind {
    TOKEN_END,
    TOKEN_WORD,    /* atoms and dots, a quoted string, or a domain literal */
    TOKEN_SPECIAL, /* one of < > , ; : @ */
    TOKEN_BAD,     /* a control byte, an unfinished string, a bracket too many */
};

struct token {
    enum token_kind kind;
    struct span text;
    bool spaced; /* blanks or comments stood before it */
};

/* One element of the list while it is read. */
struct element {
    struct text text;
    const char *end; /* of its last word, in the list; NULL: none */
    bool domain;     /* it has an "@" */
    bool angle;      /* inside < > */
    bool closed;     /* after > */
    bool gap;        /* two words side by side: a phrase, no address */
    bool bad;
};

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && span_find(span_of(set), c) < span_of(set).len;
}

static bool is_blank(char c)
{
    return is_one_of(c, " \t\r\n");
}

static bool is_atom_byte(char c)
{
    return !is_blank(c) && !ascii_is_control(c) && !is_one_of(c, "()<>[],;:@\"\\");
}

static void skip(struct span *s, size_t len)
{
    *s = span_from(*s, len);
}

/* Length of the comment at the start of s, or 0 when it has no end. */
static size_t comment_len(struct span s)
{
    size_t depth = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\\')
            i++;
        else if (s.ptr[i] == '(')
            depth++;
        else if (s.ptr[i] == ')' && --depth == 0)
            return i + 1;
    }
    return 0;
}

/* Length of what starts with a quote or bracket and ends in `close`, or 0 when it has no end. */
static size_t quoted_len(struct span s, char close)
{
    for (size_t i = 1; i < s.len; i++) {
        if (s.ptr[i] == '\\')
            i++;
        else if (s.ptr[i] == close)
            return i + 1;
    }
    return 0;
}

/* Blanks and comments; true when there were any. An unfinished comment is left for next_token. */
static bool skip_blanks(struct span *s)
{
    size_t before = s->len;

    while (s->len > 0) {
        size_t len = is_blank(s->ptr[0]) ? 1 : s->ptr[0] == '(' ? comment_len(*s) : 0;

        if (len == 0)
            break;
        skip(s, len);
    }
    return s->len < before;
}

static size_t word_len(struct span s)
{
    size_t len = 0;

    if (s.ptr[0] == '"')
        return quoted_len(s, '"');
    if (s.ptr[0] == '[')
        return quoted_len(s, ']');
    while (len < s.len && is_atom_byte(s.ptr[len]))
        len++;
    return len;
}

static struct token next_token(struct span *rest)
{
    struct token t = {
        TOKEN_END, {NULL, 0},
         skip_blanks(rest)
    };
    size_t len;

    if (rest->len == 0)
        return t;
    if (is_one_of(rest->ptr[0], "<>,;:@")) {
        t.kind = TOKEN_SPECIAL;
        len = 1;
    } else {
        len = word_len(*rest);
        t.kind = len > 0 ? TOKEN_WORD : TOKEN_BAD;
    }
    if (len == 0) /* an open string or comment swallows the rest, any other byte only itself */
        len = is_one_of(rest->ptr[0], "\"[(") ? rest->len : 1;
    t.text = span_first(*rest, len);
    skip(rest, len);
    return t;
}

static void element_reset(struct element *e)
{
    e->text.len = 0;
    e->text.overflow = false;
    e->text.ptr[0] = '\0';
    e->gap = false;
    e->end = NULL;
    e->domain = false;
}

/* Quoted strings may be folded: the line end itself is no part of them, and so cannot be escaped.
 */
static void put_word(struct element *e, struct span s)
{
    bool escaped = false;

    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool line_end = c == '\r' || c == '\n';

        if (line_end ? escaped : ascii_is_control(c) && c != '\t')
            e->bad = true;
        escaped = c == '\\' && !escaped;
        if (!line_end)
            text_char(&e->text, c);
    }
}

static void add_word(struct element *e, const struct token *t)
{
    char last = e->text.len > 0 ? e->text.ptr[e->text.len - 1] : '@';

    if (e->closed)
        e->bad = true;
    if (t->spaced && !is_one_of(last, ".@") && t->text.ptr[0] != '.')
        e->gap = true;
    put_word(e, t->text);
    e->end = t->text.ptr + t->text.len;
}

static bool is_route(const struct element *e)
{
    return e->angle && e->text.len > 0 && e->text.ptr[0] == '@';
}

/* "phrase:" starts a group; "<@a,@b:" ends a route. */
static void take_colon(struct address_list *l, struct element *e)
{
    if (is_route(e)) {
        element_reset(e);
        return;
    }
    if (e->angle || e->closed || l->in_group || e->text.len == 0)
        e->bad = true;
    l->in_group = true;
    if (!e->bad)
        element_reset(e);
}

/* True when the element ends here. */
static bool take_special(struct address_list *l, struct element *e, char c)
{
    switch (c) {
    case '<':
        if (e->angle || e->closed)
            e->bad = true;
        e->angle = true;
        if (!e->bad)
            element_reset(e);
        return false;
    case '>':
        if (!e->angle)
            e->bad = true;
        e->angle = false;
        e->closed = true;
        return false;
    case ':':
        take_colon(l, e);
        return false;
    case ',':
        return e->bad || !is_route(e);
    case ';':
        l->in_group = false;
        return true;
    default: /* '@' */
        if (e->closed)
            e->bad = true;
        text_char(&e->text, c);
        e->domain = true;
        return false;
    }
}

/* Reads up to a separator or the end; false when only the end was left. */
static bool read_element(struct address_list *l, struct element *e)
{
    bool any = false;

    for (;;) {
        struct token t = next_token(&l->rest);

        if (t.kind == TOKEN_END)
            return any;
        any = true;
        if (t.kind == TOKEN_BAD)
            e->bad = true;
        else if (t.kind == TOKEN_WORD)
            add_word(e, &t);
        else if (take_special(l, e, t.text.ptr[0]))
            return true;
    }
}

void address_list_init(struct address_list *l, struct span value)
{
    *l = (struct address_list){.rest = value};
}

enum address_list_event address_list_next(struct address_list *l, char text_out[SMTP_ADDRESS_CAP])
{
    l->local_end = NULL;
    for (;;) {
        struct element e = {.bad = false};
        struct span start = l->rest;
        struct text shown;

        text_init(&e.text, text_out, SMTP_ADDRESS_CAP);
        if (!read_element(l, &e))
            return ADDRESS_LIST_END;
        if (e.text.len == 0 && !e.angle && !e.closed && !e.bad)
            continue; /* nothing between two separators, or a group that ends */
        if (!e.bad && !e.angle && !e.gap && !e.text.overflow && e.text.len > 0) {
            l->local_end = e.domain ? NULL : e.end;
            return ADDRESS_LIST_ADDRESS;
        }
        text_init(&shown, text_out, SMTP_ADDRESS_CAP);
        text_printable(&shown, span_trim(span_first(start, start.len - l->rest.len)));
        return ADDRESS_LIST_BAD;
    }
}
