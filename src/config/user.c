/* user - see user.h */
#include "config/user.h"

#define ID_MAX 2147483647u /* (uid_t)-1 means "leave it" in many calls */

bool user_parse(struct span text, struct user *out)
{
    size_t colon = span_find(text, ':');
    struct span user = span_first(text, colon);
    struct span group = colon < text.len ? span_from(text, colon + 1) : user;
    uint64_t uid;
    uint64_t gid;

    if (!span_to_u64(user, ID_MAX, &uid) || !span_to_u64(group, ID_MAX, &gid))
        return false;
    *out = (struct user){(unsigned)uid, (unsigned)gid};
    return true;
}
