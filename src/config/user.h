/*
 * user - run_as_user: "10025:10025" or "10025" (the group has the same number); pure
 *
 * Numbers only: an image need not have a passwd file.
 */
#ifndef MXGATE_CONFIG_USER_H
#define MXGATE_CONFIG_USER_H

#include "base/span.h"

struct user {
    unsigned uid;
    unsigned gid;
};

/* False when it is neither. */
bool user_parse(struct span text, struct user *out);

#endif
