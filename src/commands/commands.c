/* commands - see commands.h */
#include "commands/commands.h"

#include <stdarg.h>
#include <stdio.h>

static void say(const char *name, const char *what, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));
static void say(const char *name, const char *what, const char *format, va_list args)
{
    fflush(stdout); /* what was listed stands before why it ends */
    fprintf(stderr, "%s: %s: ", name, what);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

int command_fatal(const char *name, int exit_code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(name, "fatal", format, args);
    va_end(args);
    return exit_code;
}

void command_warning(const char *name, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(name, "warning", format, args);
    va_end(args);
}
