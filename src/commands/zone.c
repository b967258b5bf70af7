/* zone - see zone.h */
#include "commands/zone.h"

#include "base/text.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#define SAID_CAP       512
#define ZONE_SHOWN_MAX 100

/* "JST-9", "CET-1CEST,...", "<+09>-9": a name, then an offset. */
static bool is_posix_form(struct span zone)
{
    size_t len = 0;

    if (zone.len > 0 && zone.ptr[0] == '<')
        len = span_find(zone, '>') + 1;
    while (len < zone.len && ascii_is_alpha(zone.ptr[len]))
        len++;
    if (len > 0 && len < zone.len)
        return zone.ptr[len] == '+' || zone.ptr[len] == '-' || ascii_is_digit(zone.ptr[len]);
    return span_equal(zone, SPAN_LIT("UTC")) || span_equal(zone, SPAN_LIT("GMT"));
}

static bool has_file(const char *folder, struct span zone)
{
    char path[PATH_MAX];
    struct text t;

    text_init(&t, path, sizeof path);
    text_cstr(&t, folder);
    text_span(&t, zone);
    return !t.overflow && access(path, R_OK) == 0;
}

/* Where glibc and musl look. */
static bool is_known(struct span zone)
{
    static const char *const folders[] = {"/usr/share/zoneinfo/", "/share/zoneinfo/",
                                          "/etc/zoneinfo/"};
    const char *own = getenv("TZDIR");

    if (zone.len == 0 || is_posix_form(zone))
        return true;
    if (zone.ptr[0] == ':')
        zone = span_from(zone, 1);
    if (zone.len > 0 && zone.ptr[0] == '/')
        return has_file("", zone);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        if (has_file(folders[i], zone))
            return true;
    }
    return own && has_file(own, zone);
}

void zone_advise(config_note_fn note, void *note_ctx)
{
    const char *zone = getenv("TZ");
    char buf[SAID_CAP];
    struct text t;

    if (is_known(span_of(zone)))
        return;
    text_init(&t, buf, sizeof buf);
    text_cstr(&t, "TZ=");
    text_printable_max(&t, span_of(zone), ZONE_SHOWN_MAX);
    text_cstr(&t, ": there is no such time zone here, so times are in UTC; mount "
                  "/usr/share/zoneinfo, or write a form that needs no files, such as TZ=JST-9 or "
                  "TZ=CET-1CEST,M3.5.0,M10.5.0/3");
    note(note_ctx, CONFIG_NOTE_WARNING, buf);
}
