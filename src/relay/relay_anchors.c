/* relay_anchors - see relay_anchors.h */
#include "relay/relay_anchors.h"

#include <errno.h>

#define SYSTEM_FILE "/etc/ssl/certs/ca-certificates.crt"

struct file {
    const char *setting;
    const char *path;
    bool is_set;
};

static struct file file_of(const struct config *c, enum route_kind kind)
{
    struct file f = {"lmtp_tls_CAfile", c->lmtp_tls_CAfile, false};

    if (kind == ROUTE_SMTP)
        f = (struct file){"smtp_tls_CAfile", c->smtp_tls_CAfile, false};
    f.is_set = config_is_set(c, setting_find(span_of(f.setting)));
    return f;
}

/* A file that only the log would need is no reason to stand still. */
static int load(const struct config *c, enum route_kind kind, const struct log *log,
                struct tls_anchors **out, struct errbuf *err)
{
    const struct relay_tls_map *map = &c->relay_tls[kind];
    struct file f = file_of(c, kind);
    const char *paths[] = {f.path, c->tls_append_default_CA ? SYSTEM_FILE : NULL};
    bool needed = relay_tls_needs_ca(map);

    *out = NULL;
    if (!needed && !(f.is_set && relay_tls_is_used(map)))
        return 0;
    *out = tls_anchors_load(paths, 2, err);
    if (!*out && needed)
        return errbuf_prefix(err, -EINVAL, f.setting);
    if (!*out)
        log_warning(log, kind == ROUTE_SMTP ? "smtp" : "lmtp", "%s: %s", f.setting, err->text);
    else if (tls_anchors_skipped(*out) > 0)
        log_warning(log, kind == ROUTE_SMTP ? "smtp" : "lmtp",
                    "%s: %zu of the certificates in %s cannot be used", f.setting,
                    tls_anchors_skipped(*out), f.path);
    return 0;
}

int relay_anchors_load(const struct config *config, const struct log *log,
                       struct tls_anchors *out[2], struct errbuf *err)
{
    int rc = load(config, ROUTE_LMTP, log, &out[ROUTE_LMTP], err);

    out[ROUTE_SMTP] = NULL;
    if (rc == 0)
        rc = load(config, ROUTE_SMTP, log, &out[ROUTE_SMTP], err);
    if (rc < 0)
        relay_anchors_free(out);
    return rc;
}

void relay_anchors_free(struct tls_anchors *anchors[2])
{
    for (size_t i = 0; i < 2; i++) {
        tls_anchors_unref(anchors[i]);
        anchors[i] = NULL;
    }
}
