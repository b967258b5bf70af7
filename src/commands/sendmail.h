/*
 * sendmail - what the files of the sendmail command share
 *
 * sendmail_options reads the command line, sendmail.c does what it says. For a message (the usual
 * case): sendmail_recipients collects addresses, sendmail_input reads the text, sendmail_submit
 * puts them together and gives the message to the daemon. sendmail_smtp is -bs, sendmail_verify
 * -bv.
 */
#ifndef MXGATE_COMMANDS_SENDMAIL_H
#define MXGATE_COMMANDS_SENDMAIL_H

#include "base/errbuf.h"
#include "config/config.h"
#include "message/local_mail.h"

enum sendmail_mode {
    SENDMAIL_DELIVER, /* -bm */
    SENDMAIL_LIST,    /* -bp */
    SENDMAIL_FLUSH,   /* -q, -qI, -qR */
    SENDMAIL_ALIASES, /* -bi, -I, newaliases */
    SENDMAIL_VERIFY,  /* -bv */
    SENDMAIL_SMTP,    /* -bs */
    SENDMAIL_DAEMON,  /* -bd */
    SENDMAIL_NOTHING, /* -bh, -bH, -q15m: taken, and there is nothing to do */
};

struct sendmail_options {
    const char *name; /* of the command, as it was called */
    enum sendmail_mode mode;
    const char *sender;     /* -f, -r; NULL: the caller */
    const char *full_name;  /* -F; NULL: not given */
    bool extract;           /* -t */
    bool ignore_dot;        /* -i, -oi */
    bool verbose;           /* -v */
    bool gateway;           /* -G */
    const char *body;       /* -B; NULL: not given */
    const char *notify;     /* -N */
    const char *ret;        /* -R */
    const char *envid;      /* -V */
    const char *flush_id;   /* -qI */
    const char *flush_site; /* -qR */
    char **recipients;      /* rest of the command line */
    int recipient_count;
};

/* 0, or the exit code after telling. */
int sendmail_options_parse(int argc, char **argv, struct sendmail_options *out);

/* Each is one mode: 0, or the exit code after telling. */
int sendmail_submit(const struct sendmail_options *options, const struct config *config);
int sendmail_smtp(const struct sendmail_options *options, const struct config *config);
int sendmail_verify(const struct sendmail_options *options, const struct config *config);

struct sendmail_recipients {
    char **list; /* owned, owned strings; no two alike */
    size_t count;
    size_t cap;
};

/* Adds the addresses of a list (a To header's value, an argument). 0, EX_USAGE with words in err,
 * or EX_OSERR. */
int sendmail_recipients_add(struct sendmail_recipients *r, struct span list, struct errbuf *err);
/* From To, Cc and Bcc; where one of their Resent- forms is there, from those instead. */
int sendmail_recipients_extract(struct sendmail_recipients *r, struct span header,
                                struct errbuf *err);
void sendmail_recipients_free(struct sendmail_recipients *r);

#define SENDMAIL_HEADER_MAX (1u << 20)
#define SENDMAIL_BLOCK      32768

/* Standard input, up to its end or the lone dot. */
struct sendmail_input {
    struct lone_dot dot;
    bool ended;
    char *start; /* owned: what was read to find the header */
    size_t start_len;
    struct local_header header;
};

/* Reads the header. 0, or an exit code with words in err. */
int sendmail_input_open(struct sendmail_input *in, bool ignore_dot, struct errbuf *err);
/*
 * The next text into buf (cap >= SENDMAIL_BLOCK + 2): 0 and *len_out (0 at the end), or an exit
 * code. Waits at most max_ms: *len_out is 0 and in->ended false then.
 */
int sendmail_input_read(struct sendmail_input *in, char *buf, size_t *len_out, int max_ms,
                        struct errbuf *err);
/* Reads the rest and drops it, at most `max` bytes: whoever writes it to a pipe must not die of
 * that before it can hear why the message was not taken. Not from a terminal. */
void sendmail_input_drain(struct sendmail_input *in, uint64_t max);
void sendmail_input_close(struct sendmail_input *in);

#endif
