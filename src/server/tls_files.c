/* tls_files - see tls_files.h */
#include "server/tls_files.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILES_MAX SNI_FILES_MAX

/* ---- which files ---- */

static bool is_named(const char *value)
{
    return value[0] != '\0' && !span_equal_nocase(span_of(value), SPAN_LIT("none"));
}

/* One more file at the end of a list, unless it is there. */
static void list_add(struct text *list, struct span path)
{
    struct span rest = text_as_span(list);
    struct span word;

    while (span_next_word(&rest, "\n", &word)) {
        if (span_equal(word, path))
            return;
    }
    text_cstr(list, list->len > 0 ? "\n" : "");
    text_span(list, path);
}

static void list_words(struct text *list, const char *words)
{
    struct span rest = span_of(words);
    struct span word;

    while (span_next_word(&rest, ", \t\r\n", &word))
        list_add(list, word);
}

static void list_pair(struct text *list, const char *cert, const char *key)
{
    if (!is_named(cert))
        return;
    list_add(list, span_of(cert));
    if (is_named(key))
        list_add(list, span_of(key));
}

/* malloc'd; "": none. */
static char *default_files(const struct config *c)
{
    size_t cap = strlen(c->smtpd_tls_chain_files) + strlen(c->smtpd_tls_cert_file) +
                 strlen(c->smtpd_tls_key_file) + strlen(c->smtpd_tls_eccert_file) +
                 strlen(c->smtpd_tls_eckey_file) + 8;
    char *files = malloc(cap);
    struct text list;

    if (!files)
        return NULL;
    text_init(&list, files, cap);
    if (is_named(c->smtpd_tls_chain_files)) {
        list_words(&list, c->smtpd_tls_chain_files);
    } else {
        list_pair(&list, c->smtpd_tls_cert_file, c->smtpd_tls_key_file);
        list_pair(&list, c->smtpd_tls_eccert_file, c->smtpd_tls_eckey_file);
    }
    return files;
}

static char *sni_files(const struct sni_entry *entry)
{
    size_t cap = strlen(entry->files) + 2;
    char *files = malloc(cap);
    struct text list;

    if (!files)
        return NULL;
    text_init(&list, files, cap);
    list_words(&list, entry->files);
    return files;
}

bool tls_files_configured(const struct config *c)
{
    return is_named(c->smtpd_tls_chain_files) || is_named(c->smtpd_tls_cert_file) ||
           is_named(c->smtpd_tls_eccert_file);
}

/* ---- stamps ---- */

static void stamp_fill(struct tls_stamp *s, const struct stat *st, int error)
{
    s->error = error;
    if (error)
        return;
    s->device = st->st_dev;
    s->inode = st->st_ino;
    s->size = st->st_size;
    s->modified = st->st_mtim;
    s->changed = st->st_ctim;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool stamp_equal(const struct tls_stamp *a, const struct tls_stamp *b)
{
    if (a->error || b->error)
        return a->error == b->error;
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           same_time(a->modified, b->modified) && same_time(a->changed, b->changed);
}

bool tls_files_changed(const struct tls_set *set)
{
    for (size_t i = 0; i < set->stamp_count; i++) {
        struct tls_stamp now = {.path = NULL};
        struct stat st;

        stamp_fill(&now, &st, stat(set->stamps[i].path, &st) == 0 ? 0 : errno);
        if (!stamp_equal(&now, &set->stamps[i]))
            return true;
    }
    return false;
}

static bool add_stamp(struct tls_set *set, const char *path, const struct stat *st, int error)
{
    struct tls_stamp *grown = realloc(set->stamps, (set->stamp_count + 1) * sizeof *grown);
    struct tls_stamp stamp = {.path = strdup(path)};

    if (grown)
        set->stamps = grown;
    if (!grown || !stamp.path) {
        free(stamp.path);
        return false;
    }
    stamp_fill(&stamp, st, error);
    set->stamps[set->stamp_count++] = stamp;
    return true;
}

/* ---- reading ---- */

struct file_text {
    char *path;  /* owned */
    char *bytes; /* owned; may have a key: wiped */
    size_t len;
};

static void note(struct tls_load *l, const char *text)
{
    struct text t;

    if (l->note_count == TLS_NOTES_MAX)
        return;
    text_init(&t, l->notes[l->note_count++], sizeof l->notes[0]);
    text_cstr(&t, text);
}

static void on_note(void *ctx, const char *text)
{
    note(ctx, text);
}

static int explain(struct errbuf *err, const char *path, int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return errbuf_set(err, -error,
                          "%s: there is no such file; mount it, or correct the setting that names "
                          "it",
                          path);
    case EACCES:
        return errbuf_set(err, -error,
                          "%s: uid %u may not read it, or not enter a folder above it; give it to "
                          "that user or one of its groups",
                          path, (unsigned)geteuid());
    case EISDIR:
        return errbuf_set(err, -error, "%s: this is no file; name a file in it", path);
    case EFBIG:
        return errbuf_set(err, -error, "%s: this has more than 1 MiB: it is no PEM file", path);
    default:
        return errbuf_set(err, -error, "%s: %s", path, strerror(error));
    }
}

static bool has_key(struct span text)
{
    struct span mark = SPAN_LIT("PRIVATE KEY-----");

    for (size_t i = 0; i + mark.len <= text.len; i++) {
        if (memcmp(text.ptr + i, mark.ptr, mark.len) == 0)
            return true;
    }
    return false;
}

/* What Docker itself puts there is for all in the container, and for nobody else. */
static void look_at_mode(struct tls_load *l, const struct file_text *f, const struct stat *st)
{
    char buf[ERRBUF_CAP];
    struct text t;

    if (!(st->st_mode & S_IROTH) || !has_key(span_make(f->bytes, f->len)) ||
        span_starts_nocase(span_of(f->path), SPAN_LIT("/run/secrets/")))
        return;
    text_init(&t, buf, sizeof buf);
    text_printf(&t, "%s: everybody on this machine may read this private key; chmod o= %s", f->path,
                f->path);
    note(l, buf);
}

/* 0, or an errno. */
static int read_fd(int fd, const struct stat *st, struct file_text *f)
{
    if (!S_ISREG(st->st_mode))
        return EISDIR;
    if (st->st_size > TLS_FILE_MAX)
        return EFBIG;
    f->bytes = malloc((size_t)st->st_size + 1);
    if (!f->bytes)
        return ENOMEM;
    while (f->len < (size_t)st->st_size) {
        ssize_t n = read(fd, f->bytes + f->len, (size_t)st->st_size - f->len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            break;
        f->len += (size_t)n;
    }
    return 0;
}

/* How it looked is noted in any case: when that changes it is tried again. */
static int read_file(struct tls_load *l, struct file_text *f)
{
    int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    int error = fd < 0 ? errno : 0;

    if (fd >= 0 && fstat(fd, &st) != 0)
        error = errno;
    if (!add_stamp(l->set, f->path, &st, fd < 0 && stat(f->path, &st) == 0 ? 0 : error))
        error = ENOMEM;
    if (error == 0)
        error = read_fd(fd, &st, f);
    if (fd >= 0)
        close(fd);
    if (error == 0)
        look_at_mode(l, f, &st);
    return error == 0 ? 0 : explain(&l->trouble, f->path, error);
}

static void free_texts(struct file_text *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (texts[i].bytes)
            explicit_bzero(texts[i].bytes, texts[i].len);
        free(texts[i].bytes);
        free(texts[i].path);
    }
}

/* ---- groups ---- */

/* Notes what group was added now; the list is taken over. */
static int finish_group(struct tls_set *set, char *files, bool fresh, int group)
{
    char **grown_files = NULL;
    bool *grown_fresh = NULL;

    if (group >= 0) {
        grown_files = realloc(set->files, (set->count + 1) * sizeof *grown_files);
        set->files = grown_files ? grown_files : set->files;
        grown_fresh = realloc(set->fresh, (set->count + 1) * sizeof *grown_fresh);
        set->fresh = grown_fresh ? grown_fresh : set->fresh;
    }
    if (!grown_files || !grown_fresh) {
        free(files);
        return group < 0 ? group : -ENOMEM;
    }
    set->files[set->count] = files;
    set->fresh[set->count] = fresh;
    set->count++;
    return group;
}

/* Reads these files into a new group: its number, or negative with l->trouble set. */
static int read_group(struct tls_load *l, const char *files)
{
    struct file_text texts[FILES_MAX] = {
        {NULL, NULL, 0}
    };
    struct credentials_file named[FILES_MAX];
    struct span rest = span_of(files);
    struct span path;
    size_t count = 0;
    int rc = 0;

    while (rc == 0 && count < FILES_MAX && span_next_word(&rest, "\n", &path)) {
        texts[count].path = strndup(path.ptr, path.len);
        rc = texts[count].path ? read_file(l, &texts[count]) : -ENOMEM;
        named[count] = (struct credentials_file){texts[count].path,
                                                 span_make(texts[count].bytes, texts[count].len)};
        count++;
    }
    if (rc == 0)
        rc = credentials_add_group(l->set->credentials, named, count, on_note, l, &l->trouble);
    free_texts(texts, count);
    return rc;
}

static int self_signed_group(struct tls_load *l)
{
    struct credentials_file named[2];
    size_t count = 0;

    for (size_t i = 0; i < 2; i++) {
        if (l->self_signed[i])
            named[count++] =
                (struct credentials_file){"self-signed certificate", span_of(l->self_signed[i])};
    }
    if (count == 0)
        return -ENOENT;
    return credentials_add_group(l->set->credentials, named, count, on_note, l, &l->trouble);
}

/* What was shown before to those who ask for no name; only there can it be that nothing is. */
static int default_group(struct tls_load *l)
{
    char *files = default_files(l->config);
    int group;

    if (!files)
        return -ENOMEM;
    group = files[0] ? read_group(l, files) : self_signed_group(l);
    if (group >= 0 || group == -ENOMEM || !files[0])
        return finish_group(l->set, files, true, group);
    free(files);
    if (l->previous) {
        files = strdup(l->previous->files[0]);
        group = credentials_share_group(l->set->credentials, l->previous->credentials, 0);
        return files ? finish_group(l->set, files, false, group) : -ENOMEM;
    }
    files = strdup("");
    return files ? finish_group(l->set, files, true, self_signed_group(l)) : -ENOMEM;
}

static int find_group(const struct tls_set *set, const char *files)
{
    for (size_t i = 0; set && i < set->count; i++) {
        if (strcmp(set->files[i], files) == 0)
            return (int)i;
    }
    return -1;
}

/* What could not be read: the same files' pairs of before, else what everybody gets. */
static int kept_group(struct tls_load *l, char *files, const char *name)
{
    int before = find_group(l->previous, files);
    char buf[ERRBUF_CAP];
    struct text t;
    int group;

    if (before < 0) {
        text_init(&t, buf, sizeof buf);
        text_printf(&t, "tls_server_sni_maps: clients that ask for %s get the default certificate",
                    name);
        note(l, buf);
        free(files);
        return 0;
    }
    group = credentials_share_group(l->set->credentials, l->previous->credentials, (size_t)before);
    return finish_group(l->set, files, false, group);
}

static int name_group(struct tls_load *l, const struct sni_entry *entry)
{
    struct errbuf earlier = l->trouble;
    char *files = sni_files(entry);
    int group;

    if (!files)
        return -ENOMEM;
    group = find_group(l->set, files);
    if (group >= 0) {
        free(files);
        return group;
    }
    group = read_group(l, files);
    if (group == -ENOMEM || group >= 0)
        return finish_group(l->set, files, true, group);
    group = kept_group(l, files, entry->name);
    if (earlier.text[0])
        l->trouble = earlier; /* the first is told */
    return group;
}

static int load_names(struct tls_load *l)
{
    const struct sni_map *map = &l->config->sni;
    int rc = 0;

    for (size_t i = 0; rc >= 0 && i < map->count; i++) {
        rc = name_group(l, &map->entries[i]);
        if (rc >= 0)
            rc = credentials_add_name(l->set->credentials, map->entries[i].name, (size_t)rc);
    }
    return rc;
}

int tls_files_load(struct tls_load *l)
{
    int rc = -ENOMEM;

    l->trouble.text[0] = '\0';
    l->note_count = 0;
    l->set = calloc(1, sizeof *l->set);
    if (l->set)
        l->set->credentials = credentials_new();
    if (l->set && l->set->credentials)
        rc = default_group(l);
    if (rc >= 0)
        rc = load_names(l);
    if (rc >= 0)
        return 0;
    tls_set_free(l->set);
    l->set = NULL;
    return rc == -ENOMEM ? errbuf_set(&l->trouble, rc, "out of memory") : -ENOENT;
}

void tls_set_free(struct tls_set *set)
{
    if (!set)
        return;
    credentials_unref(set->credentials);
    for (size_t i = 0; i < set->count; i++)
        free(set->files[i]);
    for (size_t i = 0; i < set->stamp_count; i++)
        free(set->stamps[i].path);
    free(set->files);
    free(set->fresh);
    free(set->stamps);
    free(set);
}
