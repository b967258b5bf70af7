/* daemon - see daemon.h */
#include "commands/daemon.h"

#include "commands/commands.h"

#include <errno.h>
#include <stdio.h>
#include <sysexits.h>

bool daemon_is_down(int rc)
{
    return rc == -ENOENT || rc == -ECONNREFUSED || rc == -ENOTDIR;
}

static void print_line(void *ctx, struct span line)
{
    fwrite(line.ptr, 1, line.len, ctx);
    fputc('\n', ctx);
}

int daemon_ask(const struct daemon_question *q)
{
    struct control_client client;
    struct errbuf err;
    int rc = control_client_open(&client, q->socket, &err);

    if (daemon_is_down(rc))
        return command_fatal(q->name, EX_UNAVAILABLE, "%s", q->down);
    if (rc < 0)
        return command_fatal(q->name, EX_UNAVAILABLE, "%s, or not reachable for us: %s", q->down,
                             err.text);
    rc = control_client_ask(&client, q->request, q->print ? print_line : NULL, stdout, &err);
    control_client_close(&client);
    if (rc < 0)
        return command_fatal(q->name, EX_UNAVAILABLE, "%s", err.text);
    if (rc > 0)
        return command_fatal(q->name, rc, "%s", err.text);
    if (fflush(stdout) != 0 || ferror(stdout))
        return command_fatal(q->name, EX_IOERR, "cannot write to standard output");
    return EX_OK;
}
