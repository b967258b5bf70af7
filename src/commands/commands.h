/*
 * commands - one function per command; main.c has the table
 *
 * Each takes its own argv (argv[0] is the command's name) and returns the exit code, by sysexits.h.
 * What they say on stderr has Postfix's shape, "NAME: fatal: words", since people and scripts know
 * it.
 */
#ifndef MXGATE_COMMANDS_COMMANDS_H
#define MXGATE_COMMANDS_COMMANDS_H

#ifndef MXGATE_VERSION
#define MXGATE_VERSION "dev"
#endif

int command_serve(int argc, char **argv);
int command_check(int argc, char **argv);
int command_version(int argc, char **argv);
int command_status(int argc, char **argv);
int command_postqueue(int argc, char **argv);
int command_postconf(int argc, char **argv);
int command_mailq(int argc, char **argv);
int command_postsuper(int argc, char **argv);
int command_resend(int argc, char **argv);
int command_postcat(int argc, char **argv);
int command_flush(int argc, char **argv);
int command_sendmail(int argc, char **argv); /* also as newaliases */
int command_postfix(int argc, char **argv);
int command_drain(int argc, char **argv);
int command_reload(int argc, char **argv);
int command_stop(int argc, char **argv);

/* Prints "NAME: fatal: words" and returns the exit code. */
int command_fatal(const char *name, int exit_code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void command_warning(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
