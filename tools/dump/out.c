/* out.c - see out.h. */
#include "out.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/hex.h"
#include "common/say.h"
#include "common/utf8.h"

enum { OUT_CAP = 128 << 10 };

int out_init(struct out *o, int fd)
{
    *o = (struct out){.fd = fd, .cap = OUT_CAP, .is_terminal = isatty(fd) == 1};
    o->data = malloc(o->cap);
    return o->data == NULL ? -1 : 0;
}

void out_free(struct out *o)
{
    free(o->data);
    o->data = NULL;
}

int out_flush(struct out *o)
{
    size_t done = 0;
    if (o->is_terminal && o->len > 0)
        say_status(NULL);
    while (done < o->len && o->error == 0) {
        ssize_t n = write(o->fd, o->data + done, o->len - done);
        if (n >= 0)
            done += (size_t)n;
        else if (errno != EINTR)
            o->error = errno;
    }
    o->len = 0;
    return o->error == 0 ? 0 : -1;
}

char *out_reserve(struct out *o, size_t n)
{
    if (o->cap - o->len >= n)
        return o->data + o->len;
    out_flush(o);
    if (o->cap < n) {
        free(o->data);
        o->cap = n;
        o->data = malloc(n);
        if (o->data == NULL)
            say_die(EXIT_CODE_INPUT, "out of memory for a record of %zu bytes", n);
    }
    return o->data;
}

void out_commit(struct out *o, size_t n)
{
    o->len += n;
}

void out_bytes(struct out *o, const void *data, size_t n)
{
    if (n == 0)
        return;
    memcpy(out_reserve(o, n), data, n);
    o->len += n;
}

void out_text(struct out *o, const char *s)
{
    out_bytes(o, s, strlen(s));
}

void out_span(struct out *o, struct tw_span s)
{
    out_bytes(o, s.data, s.len);
}

void out_hex(struct out *o, struct tw_span s)
{
    hex_write(out_reserve(o, 2 * s.len), s.data, s.len);
    o->len += 2 * s.len;
}

void out_clean(struct out *o, struct tw_span s)
{
    char *p = out_reserve(o, 4 * s.len);
    size_t n = 0;
    for (size_t i = 0, len; i < s.len; i += len) {
        const uint8_t *c = s.data + i;
        len = utf8_visible_len(c, s.len - i);
        if (len > 0) {
            memcpy(p + n, c, len);
            n += len;
            continue;
        }
        p[n++] = '\\';
        p[n++] = 'x';
        hex_write(p + n, c, 1);
        n += 2;
        len = 1;
    }
    o->len += n;
}
