/* store.c - see store.h. */
#include "store.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include "common/file.h"

#define JOURNAL_WORD "tuyawire-journal 1 "

/* A journal larger than this, and larger than the snapshot, is worth folding: our choice. */
enum { FOLD_BYTES = 4 << 20, HEAD_MAX = 64 };

struct store {
    struct fleet *fleet;
    char *path, *journal_path, *new_path;
    int fd;            /* the journal, at its end */
    bool journal_fits; /* it is of this generation and ends with a whole line */
    uint64_t generation;
    size_t journal_bytes, snapshot_bytes;
    char *line; /* one device, reused */
    size_t line_cap;
};

static int why_errno(struct why *why, const char *path, const char *what)
{
    return why_set(why, "%s: cannot %s: %s", path, what, strerror(errno));
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static size_t journal_head(char head[HEAD_MAX], uint64_t generation)
{
    return (size_t)snprintf(head, HEAD_MAX, JOURNAL_WORD "%llu\n", (unsigned long long)generation);
}

/* ---- reading ---- */

static int read_snapshot(struct store *s, bool *known, uint64_t now_ms, struct why *why)
{
    struct file_bytes f;
    struct why inner;
    if (access(s->path, F_OK) != 0 && errno == ENOENT)
        return 0;
    if (file_read(&f, s->path, FILE_LIMIT_DEFAULT, why) != 0)
        return -1;
    struct tw_span text = {(const uint8_t *)f.data, f.len};
    int n = state_apply(s->fleet, text, now_ms, &s->generation, NULL, &inner);
    s->snapshot_bytes = f.len;
    *known = true;
    file_free(&f);
    if (n < 0)
        return why_set(why, "%s: %.150s; it was left as it is: repair it, or move it away to begin anew", s->path,
                       inner.text);
    return 0;
}

/* "<CRC-32> <length> <device>": *line is the device and *size all bytes with the newline.
 * @return 1; 0: the text ends before the line does; -1: damaged */
static int read_line(struct tw_span *line, size_t *size, const char *text, size_t len)
{
    enum { CRC_LEN = 8 };
    const char *newline = memchr(text, '\n', len);
    if (newline == NULL)
        return 0;
    char *end;
    uint32_t crc = (uint32_t)strtoul(text, &end, 16);
    if (end != text + CRC_LEN || *end != ' ')
        return -1;
    size_t n = strtoul(end + 1, &end, 10); /* may have skipped the newline as a blank */
    if (end >= newline || *end != ' ' || n != (size_t)(newline - end) - 1)
        return -1;
    *line = (struct tw_span){(const uint8_t *)end + 1, n};
    *size = (size_t)(newline - text) + 1;
    return crc32(0, line->data, (unsigned)n) == crc ? 1 : -1;
}

/* Nothing was acknowledged behind a line that a crash cut, so it can only be the last one. */
static int read_lines(struct store *s, const char *text, size_t len, uint64_t now_ms, struct why *why)
{
    size_t at = 0, number = 2;
    for (; at < len; number++) {
        struct tw_span line;
        struct why inner = {"its check value or length is wrong"};
        size_t size;
        int rc = read_line(&line, &size, text + at, len - at);
        if (rc == 0)
            break;
        if (rc < 0 && memchr(text + at, '\n', len - at) == text + len - 1)
            break; /* the last line, with a hole that the file system left */
        if (rc < 0 || state_apply_device(s->fleet, line, now_ms, &inner) < 0)
            return why_set(why, "%s: line %zu: %.120s; it was left as it is: cut it there, or move it away",
                           s->journal_path, number, inner.text);
        at += size;
    }
    return 0;
}

/* @param lines  set if it holds something that the snapshot does not */
static int read_journal(struct store *s, bool *lines, uint64_t now_ms, struct why *why)
{
    struct file_bytes f;
    if (file_read(&f, s->journal_path, FILE_LIMIT_DEFAULT, why) != 0)
        return -1;
    char head[HEAD_MAX];
    size_t head_len = journal_head(head, s->generation);
    int rc = 0;
    s->journal_bytes = f.len;
    if (f.len >= head_len && memcmp(f.data, head, head_len) == 0) {
        *lines = f.len > head_len;
        rc = read_lines(s, f.data + head_len, f.len - head_len, now_ms, why);
    } else if (f.len >= strlen(JOURNAL_WORD) && memcmp(f.data, JOURNAL_WORD, strlen(JOURNAL_WORD)) != 0) {
        rc = why_set(why, "%s: not a journal of tuya-sim; it was left as it is", s->journal_path);
    } else {
        *lines = true; /* of another generation, folded already; or cut within its first line */
    }
    file_free(&f);
    return rc;
}

/* ---- writing ---- */

static int sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX] = ".";
    if (slash != NULL)
        snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = fsync(fd) == 0 || errno == EINVAL ? 0 : -1; /* some file systems have nothing to sync in a folder */
    close(fd);
    return rc;
}

/* The name of the temporary file is fixed, so that a program that is killed time and again leaves one at most. */
static int replace_snapshot(struct store *s, const char *text, size_t len, struct why *why)
{
    int fd = open(s->new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return why_errno(why, s->new_path, "create it");
    bool written = write_all(fd, text, len) == 0 && fsync(fd) == 0;
    int error = errno;
    close(fd);
    errno = error;
    if (!written || rename(s->new_path, s->path) != 0 || sync_folder(s->path) != 0) {
        why_errno(why, s->path, "replace it");
        unlink(s->new_path);
        return -1;
    }
    return 0;
}

/* An empty journal for this generation. */
static int begin_journal(struct store *s, struct why *why)
{
    char head[HEAD_MAX];
    size_t len = journal_head(head, s->generation);
    s->journal_fits = ftruncate(s->fd, 0) == 0 && write_all(s->fd, head, len) == 0;
    s->journal_bytes = len;
    return s->journal_fits ? 0 : why_errno(why, s->journal_path, "begin it anew");
}

/* see store.h */
int store_fold(struct store *s, uint64_t now_ms, struct why *why)
{
    size_t len;
    char *text = state_write(s->fleet, now_ms, s->generation + 1, &len);
    if (text == NULL)
        return why_set(why, "%s: out of memory", s->path);
    int rc = replace_snapshot(s, text, len, why);
    free(text);
    if (rc != 0)
        return -1;
    s->generation++;
    s->snapshot_bytes = len;
    return begin_journal(s, why);
}

/* see store.h */
bool store_wants_fold(const struct store *s)
{
    return s->journal_bytes > FOLD_BYTES && s->journal_bytes > s->snapshot_bytes;
}

/* The folder's path and a suffix; NULL: no memory. */
static char *beside(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    char *out = malloc(n + m + 1);
    if (out != NULL) {
        memcpy(out, path, n);
        memcpy(out + n, suffix, m + 1);
    }
    return out;
}

/* The file behind a link: it is the one that is replaced, and all who name it meet at one lock. */
static char *behind_links(const char *path)
{
    struct stat st;
    char *file = lstat(path, &st) == 0 && S_ISLNK(st.st_mode) ? realpath(path, NULL) : NULL;
    return file != NULL ? file : beside(path, "");
}

static int open_journal(struct store *s, struct why *why)
{
    s->fd = open(s->journal_path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (s->fd < 0)
        return why_errno(why, s->journal_path, "open it");
    if (flock(s->fd, LOCK_EX | LOCK_NB) != 0)
        return why_set(why, "%s: another tuya-sim uses it: stop that one, or name another file", s->path);
    return 0;
}

/* A device or a pipe would be replaced by the first fold, as root even /dev/null. */
static int check_path(const char *path, struct why *why)
{
    struct stat st;
    if (stat(path, &st) != 0 || S_ISREG(st.st_mode))
        return 0;
    return why_set(why, "%s: cannot keep the state there: %s", path,
                   S_ISDIR(st.st_mode) ? strerror(EISDIR) : "not a regular file");
}

/* see store.h */
int store_open(struct store **out, struct fleet *f, const char *path, uint64_t now_ms, struct why *why)
{
    struct store *s = calloc(1, sizeof *s);
    if (s == NULL)
        return why_set(why, "%s: out of memory", path);
    s->fd = -1;
    s->fleet = f;
    s->path = behind_links(path);
    if (s->path != NULL) {
        s->journal_path = beside(s->path, ".journal");
        s->new_path = beside(s->path, ".new");
    }
    int rc = s->path != NULL && s->journal_path != NULL && s->new_path != NULL ? 0 : why_set(why, "out of memory");
    bool known = false, lines = false;
    if (rc == 0)
        rc = check_path(path, why);
    if (rc == 0)
        rc = open_journal(s, why);
    if (rc == 0)
        rc = read_snapshot(s, &known, now_ms, why);
    if (rc == 0)
        rc = read_journal(s, &lines, now_ms, why);
    s->journal_fits = true;
    if (rc == 0 && (!known || lines))
        rc = store_fold(s, now_ms, why);
    if (rc == 0)
        *out = s;
    else
        store_abandon(s);
    return rc;
}

/* The device behind room for the head of its line. */
static size_t device_line(struct store *s, struct device *d, uint64_t now_ms)
{
    for (size_t cap = s->line_cap > 0 ? s->line_cap : 4096;; cap *= 2) {
        if (cap > s->line_cap) {
            char *line = realloc(s->line, cap);
            if (line == NULL)
                return 0;
            s->line = line;
            s->line_cap = cap;
        }
        struct tw_text t = {.data = s->line + HEAD_MAX, .cap = cap - HEAD_MAX - 1};
        state_write_device(&t, d, now_ms);
        if (!t.overflow)
            return t.len;
    }
}

/* see store.h */
int store_save(struct store *s, struct device *d, uint64_t now_ms, struct why *why)
{
    if (!s->journal_fits && store_fold(s, now_ms, why) != 0)
        return -1;
    size_t len = device_line(s, d, now_ms);
    if (len == 0)
        return why_set(why, "%s: out of memory", s->path);
    char head[HEAD_MAX];
    char *device = s->line + HEAD_MAX;
    int n =
        snprintf(head, sizeof head, "%08lx %zu ", (unsigned long)crc32(0, (const Bytef *)device, (unsigned)len), len);
    char *begin = device - n;
    memcpy(begin, head, (size_t)n);
    device[len] = '\n';
    size_t size = (size_t)n + len + 1;
    if (write_all(s->fd, begin, size) != 0) {
        int rc = why_errno(why, s->journal_path, "write to it");
        /* half a line would hide all that follow: back to where it was */
        s->journal_fits = ftruncate(s->fd, (off_t)s->journal_bytes) == 0;
        return rc;
    }
    s->journal_bytes += size;
    return 0;
}

/* see store.h */
int store_sync(struct store *s, struct why *why)
{
    return fdatasync(s->fd) == 0 ? 0 : why_errno(why, s->journal_path, "sync it");
}

/* see store.h */
void store_abandon(struct store *s)
{
    if (s == NULL)
        return;
    if (s->fd >= 0)
        close(s->fd);
    free(s->line);
    free(s->new_path);
    free(s->journal_path);
    free(s->path);
    free(s);
}

/* see store.h */
int store_close(struct store *s, uint64_t now_ms, struct why *why)
{
    int rc = s != NULL ? store_fold(s, now_ms, why) : 0;
    store_abandon(s);
    return rc;
}
