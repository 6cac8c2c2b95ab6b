/* stream.c - see stream.h. */
#define _GNU_SOURCE /* fopencookie() */
#include "stream.h"
#include <errno.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include "alike.h"

enum { READ_SIZE = 128 << 10, STDIO_SIZE = 64 << 10, MAGIC = 4 };

/* file --> packed --inflate--> plain --alike--> libpcap. What is not needed is passed by. */
struct stream {
    int fd;
    bool is_gzip, in_member, is_pcapng, is_direct, at_end;
    off_t start;
    struct stream_wait wait; /* fn is NULL for a file on disk */
    uint64_t n_read, size;
    const char *error;
    z_stream z;
    struct alike alike;
    size_t packed_at, packed_len, plain_at, plain_len;
    uint8_t packed[READ_SIZE], plain[READ_SIZE];
    char stdio[STDIO_SIZE]; /* given to stdio, which would take 4096 bytes of its own whatever size is asked for */
};

static size_t read_fd(struct stream *s, uint8_t *out, size_t cap)
{
    for (;;) {
        if (s->wait.fn != NULL && !s->wait.fn(s->wait.ctx))
            return 0;
        ssize_t n = read(s->fd, out, cap);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            s->error = strerror(errno);
        s->n_read += n > 0 ? (uint64_t)n : 0;
        return n > 0 ? (size_t)n : 0;
    }
}

/* Members may stand one after the other (gzip files that were concatenated). */
static size_t read_gzip(struct stream *s, uint8_t *out, size_t cap)
{
    s->z.next_out = out;
    s->z.avail_out = (uInt)cap;
    while (s->z.avail_out == (uInt)cap && s->error == NULL) {
        if (s->packed_at == s->packed_len) {
            s->packed_at = 0;
            s->packed_len = read_fd(s, s->packed, sizeof s->packed);
        }
        if (s->packed_len == 0) {
            if (s->in_member && s->error == NULL)
                s->error = "the gzip stream is cut off";
            break;
        }
        s->in_member = true;
        s->z.next_in = s->packed + s->packed_at;
        s->z.avail_in = (uInt)(s->packed_len - s->packed_at);
        int rc = inflate(&s->z, Z_NO_FLUSH);
        s->packed_at = s->packed_len - s->z.avail_in;
        if (rc == Z_STREAM_END) {
            s->in_member = false;
            inflateReset(&s->z);
        } else if (rc != Z_OK && rc != Z_BUF_ERROR) {
            s->error = "the gzip stream is damaged";
        }
    }
    return cap - s->z.avail_out;
}

static size_t read_plain(struct stream *s, uint8_t *out, size_t cap)
{
    size_t n = s->is_gzip ? read_gzip(s, out, cap) : read_fd(s, out, cap);
    s->at_end = n == 0;
    return n;
}

/* Add to what is in s->plain, which is first moved to the front. */
static void fill(struct stream *s)
{
    memmove(s->plain, s->plain + s->plain_at, s->plain_len - s->plain_at);
    s->plain_len -= s->plain_at;
    s->plain_at = 0;
    s->plain_len += read_plain(s, s->plain + s->plain_len, sizeof s->plain - s->plain_len);
}

static size_t read_alike(struct stream *s, uint8_t *out, size_t cap)
{
    for (;;) {
        size_t n = alike_pass(&s->alike, out, cap, s->plain + s->plain_at, s->plain_len - s->plain_at, s->at_end);
        s->plain_at += n;
        if (s->error == NULL)
            s->error = s->alike.error;
        if (n > 0 || s->at_end || s->error != NULL)
            return n;
        fill(s);
    }
}

static ssize_t on_read(void *cookie, char *out, size_t cap)
{
    struct stream *s = cookie;
    if (s->is_pcapng && cap >= ALIKE_ROOM_MIN)
        return (ssize_t)read_alike(s, (uint8_t *)out, cap);
    size_t n = s->plain_len - s->plain_at;
    if (n == 0)
        return (ssize_t)read_plain(s, (uint8_t *)out, cap);
    n = n < cap ? n : cap;
    memcpy(out, s->plain + s->plain_at, n);
    s->plain_at += n;
    return (ssize_t)n;
}

/* The first bytes tell what the file is. False: out of memory. */
static bool look(struct stream *s)
{
    while (s->plain_len < MAGIC && !s->at_end)
        fill(s);
    if (!s->is_gzip && s->plain_len >= 2 && s->plain[0] == 0x1f && s->plain[1] == 0x8b) {
        if (inflateInit2(&s->z, 15 + 16) != Z_OK)
            return false;
        s->is_gzip = true;
        memcpy(s->packed, s->plain, s->plain_len);
        s->packed_len = s->plain_len;
        s->plain_len = 0;
        s->at_end = false;
        return look(s);
    }
    s->is_pcapng = s->plain_len >= MAGIC && alike_is_pcapng(s->plain);
    return true;
}

/* A pcap on disk needs nothing of us, and stdio alone is quicker. */
static FILE *open_directly(struct stream *s)
{
    if (s->size == 0 || s->is_gzip || s->is_pcapng || lseek(s->fd, s->start, SEEK_SET) != s->start)
        return NULL;
    int fd = dup(s->fd); /* stdio closes it */
    FILE *f = fd >= 0 ? fdopen(fd, "rb") : NULL;
    if (f == NULL && fd >= 0)
        close(fd);
    s->is_direct = f != NULL;
    return f;
}

struct stream *stream_open(FILE **out, int fd, const struct stream_wait *wait)
{
    struct stat st;
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL) {
        close(fd);
        return NULL;
    }
    s->fd = fd;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        s->size = (uint64_t)st.st_size;
        s->start = lseek(fd, 0, SEEK_CUR);
    } else {
        s->wait = *wait;
    }
    FILE *f = NULL;
    if (look(s) && (f = open_directly(s)) == NULL)
        f = fopencookie(s, "r", (cookie_io_functions_t){.read = on_read});
    if (f == NULL) {
        stream_close(s);
        return NULL;
    }
    setvbuf(f, s->stdio, _IOFBF, sizeof s->stdio);
    __fsetlocking(f, FSETLOCKING_BYCALLER); /* libpcap reads a few bytes at a time, and only one thread does */
    *out = f;
    return s;
}

void stream_close(struct stream *s)
{
    if (s == NULL)
        return;
    if (s->is_gzip)
        inflateEnd(&s->z);
    close(s->fd);
    free(s);
}

uint64_t stream_position(const struct stream *s)
{
    return s->is_direct ? (uint64_t)lseek(s->fd, 0, SEEK_CUR) : s->n_read;
}

uint64_t stream_size(const struct stream *s)
{
    return s->size;
}

const char *stream_error(const struct stream *s)
{
    return s->error;
}

int stream_link_type(const struct stream *s)
{
    return s->is_pcapng ? s->alike.link_type : -1;
}

bool stream_is_empty(const struct stream *s)
{
    return s->is_pcapng && s->alike.n_interfaces == 0 && s->at_end && s->error == NULL;
}
