/*
 * smtp_command - a command line taken apart (RFC 5321 4.1.1); the arguments of MAIL, RCPT and BDAT
 *
 *     mail-args = "FROM:" path *( blanks parameter )  ; SIZE BODY SMTPUTF8 RET ENVID AUTH
 *     rcpt-args = "TO:" path *( blanks parameter )    ; NOTIFY ORCPT
 *     parameter = keyword [ "=" value ]               ; RFC 1870, 6152, 6531, 3461, 4954
 *
 * Pure: no state, no reply texts. server/session decides what may happen when, and what is said.
 */
#ifndef MXGATE_SMTP_COMMAND_H
#define MXGATE_SMTP_COMMAND_H

#include "smtp/address.h"

/* In the order in which Postfix counts them in its disconnect line. */
enum smtp_verb {
    SMTP_HELO,
    SMTP_EHLO,
    SMTP_XCLIENT,
    SMTP_XFORWARD,
    SMTP_STARTTLS,
    SMTP_AUTH,
    SMTP_MAIL,
    SMTP_RCPT,
    SMTP_DATA,
    SMTP_BDAT,
    SMTP_RSET,
    SMTP_NOOP,
    SMTP_VRFY,
    SMTP_ETRN,
    SMTP_QUIT,
    SMTP_HELP,
    SMTP_UNKNOWN,
    SMTP_VERB_COUNT
};

const char *smtp_verb_name(enum smtp_verb verb); /* "ehlo", ... as in the disconnect line */

struct smtp_command {
    enum smtp_verb verb;
    struct span word; /* the verb as sent */
    struct span args; /* after the verb, without blanks around */
};

/* Never fails: what is no command is SMTP_UNKNOWN. Spans point into `line`. */
void smtp_command_parse(struct span line, struct smtp_command *out);

enum smtp_param_error {
    SMTP_PARAM_OK,
    SMTP_PARAM_SYNTAX,      /* 501 5.5.4 */
    SMTP_PARAM_UNSUPPORTED, /* 555 5.5.4 */
    SMTP_PARAM_ADDRESS,     /* 501 5.1.3 / 5.1.7 bad address syntax; see address_error */
    SMTP_PARAM_MISSING_TO,  /* not "FROM:" / "TO:", or nothing after it */
};

#define SMTP_ENVID_CAP 101 /* RFC 3461 4.4: 100 characters */
#define SMTP_ORCPT_CAP 513 /* RFC 3461 4.2: 500 characters after the type; more is SYNTAX */

enum smtp_body_type { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME };
enum smtp_ret { SMTP_RET_NONE, SMTP_RET_FULL, SMTP_RET_HDRS };
/* Bits; 0 is "not given". NEVER comes alone. */
enum smtp_notify {
    SMTP_NOTIFY_NEVER = 1,
    SMTP_NOTIFY_SUCCESS = 2,
    SMTP_NOTIFY_FAILURE = 4,
    SMTP_NOTIFY_DELAY = 8,
};

struct smtp_mail_params {
    struct smtp_address sender;
    bool has_size;
    uint64_t size; /* bytes; a value over 2^63-1 is SYNTAX */
    bool has_body;
    enum smtp_body_type body;
    bool smtputf8;
    enum smtp_ret ret;
    char envid[SMTP_ENVID_CAP]; /* xtext, "" when absent */
    struct span bad;            /* the parameter that SYNTAX or UNSUPPORTED is about; from args */
    enum smtp_address_error address_error;
};

struct smtp_rcpt_params {
    struct smtp_address recipient;
    unsigned notify;            /* enum smtp_notify bits */
    char orcpt[SMTP_ORCPT_CAP]; /* "type;xtext", "" when absent */
    struct span bad;            /* as above */
    enum smtp_address_error address_error;
};

/*
 * `args` is smtp_command.args of MAIL ("FROM:<a@b> SIZE=1 BODY=8BITMIME"). SMTPUTF8 may come after
 * the address and still counts for it. A parameter given twice is SYNTAX, an unknown one or an
 * unknown BODY is UNSUPPORTED. AUTH= is taken and dropped (RFC 4954 5) when well formed. ENVID and
 * ORCPT are xtext, kept as given, but for "=" (BATV senders forget to encode it), which becomes
 * "+3D".
 */
enum smtp_param_error smtp_command_mail(struct span args, struct smtp_mail_params *out);
/* `utf8`: MAIL had SMTPUTF8. "TO:<>" parses to the null address: the session refuses it. */
enum smtp_param_error smtp_command_rcpt(struct span args, bool utf8, struct smtp_rcpt_params *out);
/* BDAT chunk-size [LAST] (RFC 3030). False on anything else, or a size over 2^63-1. */
bool smtp_command_bdat(struct span args, uint64_t *size_out, bool *last_out);

#endif
