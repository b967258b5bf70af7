/* control_send - see control_send.h */
#include "control/control_send.h"

#include <sysexits.h>

int control_send_address(struct control_client *c, const char *verb, const char *address,
                         const char *parameters, struct errbuf *err)
{
    char buf[CONTROL_LINE_MAX];
    struct text t;

    text_init(&t, buf, sizeof buf);
    text_printf(&t, "%s <%s>%s\n", verb, address, parameters);
    if (t.overflow)
        return errbuf_set(err, EX_USAGE, "an argument is too long");
    return control_client_send(c, text_as_span(&t), err);
}

void control_put_parameter(struct text *t, const char *keyword, const char *value)
{
    if (!value)
        return;
    text_printf(t, " %s=", keyword);
    for (const char *c = value; *c; c++) {
        if (*c <= ' ' || *c == '+' || *c == '=' || *c > '~')
            text_printf(t, "+%02X", (unsigned)(unsigned char)*c);
        else
            text_char(t, *c);
    }
}

int control_send_chunk(struct control_client *c, struct span bytes, struct errbuf *err)
{
    char buf[32];
    struct text t;
    int rc;

    text_init(&t, buf, sizeof buf);
    text_printf(&t, "chunk %zu\n", bytes.len);
    rc = control_client_send(c, text_as_span(&t), err);
    return rc < 0 ? rc : control_client_send(c, bytes, err);
}

int control_send_bytes(struct control_client *c, struct span bytes, struct errbuf *err)
{
    int rc = 0;

    while (rc == 0 && bytes.len > 0) {
        rc = control_send_chunk(c, span_first(bytes, CONTROL_CHUNK_MAX), err);
        bytes = span_from(bytes, CONTROL_CHUNK_MAX);
    }
    return rc;
}
