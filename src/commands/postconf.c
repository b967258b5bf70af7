/*
 * postconf - show settings, and change them for good, with Postfix's options and words
 *
 *     postconf [-c FILE] [-d | -n] [-fhHpvx] [-C CLASS] [-o NAME=VALUE] [NAME...]
 *     postconf [-c FILE] [-e] NAME=VALUE...     set, at once and over restarts
 *     postconf [-c FILE] -X NAME...             forget what -e set
 *     postconf [-c FILE] -# NAME...             back to the default, whatever else is set
 *
 * Works with the daemon dead or alive, since it reads the same sources itself. Options stand before
 * names, as in Postfix. Its options about things that mxgate does not have are refused with the
 * reason.
 */
#include "commands/postconf.h"
#include "base/text.h"
#include "commands/commands.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define USAGE                                                                                      \
    "usage: postconf [-c file] [-C class] [-d (parameter defaults)] [-e (edit configuration)] "    \
    "[-f (fold lines)] [-h (no names)] [-H (no values)] [-n (non-default parameters)] "            \
    "[-o name=value (override parameter value)] [-p (parameters, default)] [-v] "                  \
    "[-x (expand parameter values)] [-X (exclude)] [-# (comment-out)] [name...]"

/* Options that exclude each other, in the order in which Postfix names them. */
static const char in_order[] = "defhHnoxX#";
/* The first letter of each excludes all others of it. */
static const char *const excluding[] = {"dn", "hH", "edfhHnoxX#", "XdfhHnox#", "#dfhHnox"};

static const struct absent {
    const char *options;
    const char *why;
} absent[] = {
    {"MFP", "there is no master.cf: mxgate is one process"     },
    {"aA",  "there is no SASL plug-in"                         },
    {"bt",  "there are no bounce templates"                    },
    {"l",   "there are no mailboxes to lock"                   },
    {"m",   "there are no lookup tables in files or data bases"},
    {"T",   "there is no TLS library"                          },
};

static int refuse_absent(int option)
{
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
        if (strchr(absent[i].options, option))
            return command_fatal("postconf", EX_USAGE, "-%c is not supported: %s", option,
                                 absent[i].why);
    }
    return command_fatal("postconf", EX_USAGE, USAGE);
}

/* -C: all parameters here are "builtin". */
static int check_classes(const char *classes, bool *none_out)
{
    static const char *const known[] = {"builtin", "service", "user", "all"};
    struct span rest = span_of(classes);
    struct span word;

    *none_out = true;
    while (span_next_word(&rest, ", \t\r\n", &word)) {
        size_t i = 0;

        while (i < 4 && !span_equal_nocase(word, span_of(known[i])))
            i++;
        if (i == 4)
            return command_fatal("postconf", EX_USAGE, "unknown -C option value \"%.*s\" in \"%s\"",
                                 (int)word.len, word.ptr, classes);
        if (i == 0 || i == 3)
            *none_out = false;
    }
    return EX_OK;
}

static bool has(const char *options, char option)
{
    return option != '\0' && strchr(options, option) != NULL;
}

/* Whether `option`, which was given, excludes another one that was. */
static bool is_excluded(const char *given, char option)
{
    for (size_t i = 0; i < sizeof excluding / sizeof excluding[0]; i++) {
        const char *group = excluding[i];

        for (const char *other = group + 1; *other; other++) {
            if (has(given, group[0]) && has(given, *other) &&
                (option == group[0] || option == *other))
                return true;
        }
    }
    return false;
}

static int check_given(const char *given)
{
    char buf[64];
    struct text t;

    text_init(&t, buf, sizeof buf);
    for (const char *option = in_order; *option; option++) {
        if (has(given, *option) && is_excluded(given, *option))
            text_printf(&t, " -%c", *option);
    }
    if (t.len > 0)
        return command_fatal("postconf", EX_USAGE, "specify one of%s", t.ptr);
    return EX_OK;
}

static void apply_option(struct postconf *p, char option)
{
    p->defaults |= option == 'd';
    p->only_set |= option == 'n';
    p->fold |= option == 'f';
    p->hide_names |= option == 'h';
    p->hide_values |= option == 'H';
    p->expand |= option == 'x';
    if (has("eX#", option))
        p->edit = option;
}

/* `given` has room for one letter each of in_order. 0, or the exit code. */
static int parse_options(int argc, char **argv, struct postconf *p, char *given, bool *none_out)
{
    int option;
    int rc = EX_OK;

    while (rc == EX_OK && (option = getopt(argc, argv, "+aAbc:C:deEfFhHlmMno:pPtT:vxX#")) != -1) {
        if (option == 'c')
            p->ini = optarg;
        else if (option == 'C')
            rc = check_classes(optarg, none_out);
        else if (option == 'o')
            p->assignments[p->assignment_count++] = optarg;
        else if (!has("pvdefhHnxX#", (char)option))
            return refuse_absent(option);
        if (has(in_order, (char)option) && !has(given, (char)option))
            given[strlen(given)] = (char)option;
        apply_option(p, (char)option);
    }
    p->arguments = argv + optind;
    p->argument_count = argc - optind;
    return rc;
}

static int run(int argc, char **argv, struct postconf *p)
{
    char given[sizeof in_order + 1] = "";
    bool none = false;
    int rc = parse_options(argc, argv, p, given, &none);

    if (rc != EX_OK)
        return rc;
    if (p->edit != 'e' && p->argument_count > 0 && strchr(p->arguments[0], '=')) {
        given[strlen(given)] = 'e'; /* "postconf name=value" edits */
        p->edit = p->edit ? p->edit : 'e';
    }
    rc = check_given(given);
    if (rc != EX_OK)
        return rc;
    if (p->edit)
        return postconf_edit(p);
    return none && p->argument_count == 0 ? EX_OK : postconf_show(p);
}

int command_postconf(int argc, char **argv)
{
    struct postconf p = {.ini = NULL};
    int rc;

    p.assignments = calloc((size_t)argc + 1, sizeof *p.assignments);
    if (!p.assignments)
        return command_fatal("postconf", EX_OSERR, "out of memory");
    rc = run(argc, argv, &p);
    free(p.assignments);
    return rc;
}
