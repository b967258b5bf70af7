/*
 * credentials_none - until tls/credentials.c is there; weak, so that it may come at any time
 */
#include "tls/credentials.h"

#define WEAK __attribute__((weak))

WEAK void credentials_unref(struct credentials *c)
{
}

WEAK struct credential_choice credentials_choose(const struct credentials *c,
                                                 const char *server_name)
{
    return (struct credential_choice){NULL, NULL};
}
