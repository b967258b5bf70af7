/*
 * mxgate - one program under several names (one binary plus links)
 *
 * Called as postqueue, mailq, sendmail or another of these names it is that command; called as
 * anything else, its first argument says which.
 */
#include "commands/commands.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static int command_help(int argc, char **argv);

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"serve",      command_serve,     "run the mail gateway in the foreground"                  },
    {"check",      command_check,     "say what serve would say of the settings; -c FILE"       },
    {"status",     command_status,    "what the running gateway says of itself; --json"         },
    {"mailq",      command_mailq,     "list the queue"                                          },
    {"postqueue",  command_postqueue, "list (-p, -j) or flush (-f, -i ID, -s SITE) the queue"   },
    {"postconf",   command_postconf,  "show settings (NAME, -n, -d) or change them (-e, -X, -#)"},
    {"flush",      command_flush,     "try all queued mail now, or the message named by its id" },
    {"postcat",    command_postcat,   "show a queued message (-q ID)"                           },
    {"postsuper",  command_postsuper, "delete, hold, release, requeue, expire queued messages"  },
    {"resend",     command_resend,    "try a message again (ID), or send it elsewhere (ID to X)"},
    {"sendmail",   command_sendmail,  "give a message to the gateway, from standard input"      },
    {"newaliases", command_sendmail,  "succeeds: there are no aliases"                          },
    {"postfix",    command_postfix,   "status, check, reload, flush, stop, start-fg, version"   },
    {"drain",      command_drain,     "take no mail any more, deliver what is left; --cancel"   },
    {"reload",     command_reload,    "read the settings again"                                 },
    {"stop",       command_stop,      "end the gateway, and with it the container it is in"     },
    {"version",    command_version,   "print the version"                                       },
    {"help",       command_help,      "print this"                                              },
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void print_help(FILE *to)
{
    fputs("usage: mxgate COMMAND [options]\n\n", to);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
    fputs(
        "\nSettings come from the environment and /etc/mxgate/mxgate.ini ($MXGATE_INI, -c FILE).\n",
        to);
}

static int command_help(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    print_help(stdout);
    return EX_OK;
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static const struct command *find_option(const char *option)
{
    if (strcmp(option, "--help") == 0 || strcmp(option, "-h") == 0)
        return find("help");
    if (strcmp(option, "--version") == 0)
        return find("version");
    return NULL;
}

int main(int argc, char **argv)
{
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : "mxgate";
    const struct command *command = find(name);

    if (command)
        return command->run(argc, argv);
    if (argc < 2) {
        print_help(stderr);
        return EX_USAGE;
    }
    command = find(argv[1]);
    if (!command)
        command = find_option(argv[1]);
    if (!command) {
        fprintf(stderr, "mxgate: fatal: there is no command \"%s\"; `mxgate help` lists them\n",
                argv[1]);
        return EX_USAGE;
    }
    return command->run(argc - 1, argv + 1);
}
