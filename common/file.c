/* file.c - whole files; see common/file.h. */
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_STEP = 65536 };

static const char *shown(const char *path)
{
    return strcmp(path, "-") == 0 ? "standard input" : path;
}

/* Make room for one more step; the old content is wiped, it may be keys. */
static int grow(struct file_bytes *f, size_t *cap)
{
    size_t more = *cap < READ_STEP ? READ_STEP : *cap * 2;
    char *data = malloc(more + 1);
    if (data == NULL)
        return -1;
    if (f->len > 0)
        memcpy(data, f->data, f->len);
    file_free(&(struct file_bytes){f->data, f->len});
    f->data = data;
    *cap = more;
    return 0;
}

static int read_all(struct file_bytes *out, int fd, const char *path, size_t limit, struct why *why)
{
    struct file_bytes f = {NULL, 0};
    size_t cap = 0;
    for (;;) {
        if (f.len == cap && grow(&f, &cap) != 0) {
            file_free(&f);
            return why_set(why, "%s: out of memory after %zu bytes", shown(path), f.len);
        }
        ssize_t n = read(fd, f.data + f.len, cap - f.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int error = errno;
            file_free(&f);
            return why_set(why, "%s: cannot read: %s", shown(path), strerror(error));
        }
        if (n == 0)
            break;
        f.len += (size_t)n;
        if (f.len > limit) {
            file_free(&f);
            return why_set(why, "%s: larger than %zu bytes: is this the right file?", shown(path), limit);
        }
    }
    f.data[f.len] = '\0';
    *out = f;
    return 0;
}

/* see common/file.h */
int file_read(struct file_bytes *out, const char *path, size_t limit, struct why *why)
{
    if (strcmp(path, "-") == 0)
        return read_all(out, STDIN_FILENO, path, limit, why);

    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return why_set(why, "%s: cannot open: %s", path, strerror(errno));
    int rc = read_all(out, fd, path, limit, why);
    close(fd);
    return rc;
}

void file_free(struct file_bytes *f)
{
    if (f->data != NULL)
        explicit_bzero(f->data, f->len);
    free(f->data);
    f->data = NULL;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* A rename is only as durable as its folder. Some file systems refuse to fsync() a folder; then nothing is lost
 * that fsync() could have kept. */
static void sync_folder_of(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    if (len >= sizeof folder)
        return;
    memcpy(folder, path, len);
    folder[len] = '\0';
    int fd = open(slash == NULL ? "." : (len == 0 ? "/" : folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

/* A device, a pipe or /dev/stdout cannot be replaced: a rename would put a file in its place. */
static bool is_special(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

static int write_special(const char *path, const void *data, size_t len, struct why *why)
{
    int fd = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : write_all(fd, data, len);
    int error = errno;
    if (fd >= 0)
        close(fd);
    return rc == 0 ? 0 : why_set(why, "%s: cannot write: %s", path, strerror(error));
}

/* see common/file.h */
int file_write_atomic(const char *path, const void *data, size_t len, unsigned mode, struct why *why)
{
    if (is_special(path))
        return write_special(path, data, len, why);

    char temporary[4096];
    int n = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof temporary)
        return why_set(why, "%s: the path is too long", path);
    int fd = mkstemp(temporary);
    if (fd < 0)
        return why_set(why, "%s: cannot create a file beside it: %s", path, strerror(errno));

    if (write_all(fd, data, len) != 0 || fchmod(fd, (mode_t)mode) != 0 || fsync(fd) != 0)
        goto failed;
    if (close(fd) != 0) {
        fd = -1;
        goto failed;
    }
    fd = -1;
    if (rename(temporary, path) != 0)
        goto failed;
    sync_folder_of(path);
    return 0;

failed:
    n = errno;
    if (fd >= 0)
        close(fd);
    unlink(temporary);
    return why_set(why, "%s: cannot write: %s; the old content is kept", path, strerror(n));
}
