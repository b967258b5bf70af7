/*
 * policy_login - the words that hold a sender's address against who logged in; see
 * policy_internal.h
 *
 * smtpd_sender_login_maps is asked as Postfix asks it: user@domain, with and without an address
 * extension, user where the domain is myorigin, @domain. Its value is a list of logins, compared in
 * any case. The null sender is nobody's.
 *
 *   word                        nobody logged in                somebody did
 *   reject_authenticated_...    -                               must be an owner
 *   reject_unauthenticated_...  there must be no owner          -
 *   reject_sender_...           both of the above
 *   reject_known_sender_...     as unauthenticated              an owner, if there is one
 */
#include "server/policy_internal.h"

/* "user@domain", in lower case. */
static const char *look_up(const struct config *config, struct span user, struct span domain,
                           bool at)
{
    char name[INLINE_NAME_CAP], folded[INLINE_NAME_CAP];
    struct text whole, lower;

    text_init(&whole, name, sizeof name);
    text_span(&whole, user);
    if (at)
        text_char(&whole, '@');
    text_span(&whole, domain);
    text_init(&lower, folded, sizeof folded);
    if (whole.overflow || !inline_fold_lower(text_as_span(&whole), &lower))
        return NULL;
    return inline_table_find(&config->sender_logins, folded);
}

/* Without what follows the first character of recipient_delimiter; itself when there is none. */
static struct span without_extension(const struct config *config, struct span user)
{
    struct span delimiters = span_of(config->recipient_delimiter);

    for (size_t i = 1; i < user.len; i++) {
        if (span_find(delimiters, user.ptr[i]) < delimiters.len)
            return span_first(user, i);
    }
    return user;
}

static const char *find_owners(const struct policy_facts *f)
{
    const struct config *config = f->config;
    struct span none = SPAN_LIT("");
    struct span sender = span_of(f->sender);
    struct span user = span_first(sender, span_find_last(sender, '@'));
    struct span domain = policy_domain(f->sender);
    struct span plain = without_extension(config, user);
    bool ours = domain.len == 0 || span_equal_nocase(domain, span_of(config->myorigin));
    const char *owners = look_up(config, user, domain, domain.len > 0);

    if (!owners && plain.len < user.len)
        owners = look_up(config, plain, domain, domain.len > 0);
    if (!owners && ours)
        owners = look_up(config, user, none, false);
    if (!owners && ours && plain.len < user.len)
        owners = look_up(config, plain, none, false);
    if (!owners && domain.len > 0)
        owners = look_up(config, none, domain, true);
    return owners;
}

static bool is_among(const char *owners, const char *login)
{
    struct span rest = span_of(owners);
    struct span owner;

    while (span_next_word(&rest, ", \t\r\n", &owner)) {
        if (span_equal_nocase(owner, span_of(login)))
            return true;
    }
    return false;
}

enum policy_effect policy_sender_login(struct policy_run *r, const struct policy_facts *f,
                                       enum restriction_word word)
{
    bool logged_in = f->login[0] != '\0';
    bool unknown_may = word == RESTRICTION_REJECT_KNOWN_SENDER_LOGIN_MISMATCH;
    const char *owners;

    if (f->sender[0] == '\0' ||
        (logged_in && word == RESTRICTION_REJECT_UNAUTHENTICATED_SENDER_LOGIN_MISMATCH) ||
        (!logged_in && word == RESTRICTION_REJECT_AUTHENTICATED_SENDER_LOGIN_MISMATCH))
        return POLICY_EFFECT_NONE;
    owners = find_owners(f);
    if (logged_in && (owners ? is_among(owners, f->login) : unknown_may))
        return POLICY_EFFECT_NONE;
    if (!logged_in && !owners)
        return POLICY_EFFECT_NONE;
    if (logged_in)
        policy_refuse(&r->verdict, 553, "5.7.1",
                      "<%s>: Sender address rejected: not owned by user %s", f->sender, f->login);
    else
        policy_refuse(&r->verdict, 553, "5.7.1", "<%s>: Sender address rejected: not logged in",
                      f->sender);
    return POLICY_EFFECT_REFUSE;
}
