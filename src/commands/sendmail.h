/*
 * sendmail - what the files of the sendmail command share
 *
 * sendmail_options reads the command line, sendmail_recipients collects addresses, sendmail_input
 * reads the message, sendmail puts them together and gives the message to the daemon.
 */
#ifndef MXGATE_COMMANDS_SENDMAIL_H
#define MXGATE_COMMANDS_SENDMAIL_H

#include "base/errbuf.h"
#include "message/local_mail.h"

enum sendmail_mode {
    SENDMAIL_DELIVER,
    SENDMAIL_LIST,  /* -bp */
    SENDMAIL_FLUSH, /* -q */
};

struct sendmail_options {
    enum sendmail_mode mode;
    const char *sender;    /* -f, -r; NULL: the caller */
    const char *full_name; /* -F; NULL: not given */
    bool extract;          /* -t */
    bool ignore_dot;       /* -i, -oi */
    bool verbose;          /* -v */
    const char *notify;    /* -N; NULL: not given */
    const char *ret;       /* -R */
    const char *envid;     /* -V */
    char **recipients;     /* rest of the command line */
    int recipient_count;
};

/* 0, or the exit code after telling. */
int sendmail_options_parse(int argc, char **argv, struct sendmail_options *out);

struct sendmail_recipients {
    char **list; /* owned, owned strings; no two alike */
    size_t count;
    size_t cap;
};

/* Adds the addresses of a list (a To header's value, an argument). 0, EX_USAGE with words in err,
 * or EX_OSERR. */
int sendmail_recipients_add(struct sendmail_recipients *r, struct span list, struct errbuf *err);
/* From To, Cc and Bcc; where the message was resent, from their Resent- forms instead. */
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
void sendmail_input_close(struct sendmail_input *in);

#endif
