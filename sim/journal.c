/* journal.c - see journal.h. */
#include "journal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FLUSH_AT = 32 * 1024, BUFFER_MAX = 1024 * 1024 }; /* bytes */

struct kept {
    struct kept *next;
    struct journal_entry entry;
    size_t size;
    uint8_t bytes[]; /* line, then payload */
};

struct journal {
    int fd; /* -1: no file */
    bool is_stdout;
    struct record_buffer lines; /* not written yet */
    struct why trouble;         /* between two journal_flush() */
    size_t keep, held;
    struct kept *first, **last;
    uint64_t number;
    char path[256];
};

int journal_open(struct journal **out, const char *path, size_t keep, struct why *why)
{
    struct journal *j = calloc(1, sizeof *j);
    if (j == NULL)
        return why_set(why, "out of memory");
    j->fd = -1;
    j->keep = keep;
    j->last = &j->first;
    if (path != NULL) {
        strncpy(j->path, path, sizeof j->path - 1);
        j->is_stdout = strcmp(path, "-") == 0;
        j->fd = j->is_stdout ? STDOUT_FILENO : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (j->fd < 0) {
            why_set(why, "cannot write %s: %s", path, strerror(errno));
            free(j);
            return -1;
        }
    }
    *out = j;
    return 0;
}

void journal_close(struct journal *j)
{
    if (j == NULL)
        return;
    struct why why;
    if (journal_flush(j, &why) != 0)
        say_warn("%s", why.text);
    if (j->fd >= 0 && !j->is_stdout)
        close(j->fd);
    journal_clear(j);
    free(j->lines.data);
    free(j);
}

bool journal_wanted(const struct journal *j)
{
    return j->fd >= 0 || j->keep > 0;
}

static int write_lines(struct journal *j, struct why *why)
{
    size_t at = 0;
    while (j->fd >= 0 && at < j->lines.len) {
        ssize_t n = write(j->fd, j->lines.data + at, j->lines.len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN && j->lines.len - at < BUFFER_MAX)
            break; /* a slow pipe: try again with the next lines */
        if (n < 0) {
            why_set(why, "cannot write the journal %s: %s", j->path, strerror(errno));
            if (!j->is_stdout)
                close(j->fd);
            j->fd = -1;
            j->lines.len = 0;
            return -1;
        }
        at += (size_t)n;
    }
    if (at > 0)
        memmove(j->lines.data, j->lines.data + at, j->lines.len - at);
    j->lines.len -= at;
    return 0;
}

int journal_flush(struct journal *j, struct why *why)
{
    if (j->trouble.text[0] == '\0')
        return write_lines(j, why);
    *why = j->trouble;
    j->trouble.text[0] = '\0';
    return -1;
}

static void drop_first(struct journal *j)
{
    struct kept *k = j->first;
    j->first = k->next;
    if (j->first == NULL)
        j->last = &j->first;
    j->held -= k->size;
    free(k);
}

static const struct journal_entry *keep(struct journal *j, const struct device *d, const struct record *r,
                                        const char *line, size_t line_len)
{
    size_t size = sizeof(struct kept) + line_len + r->payload.len;
    if (size > j->keep)
        return NULL;
    while (j->held + size > j->keep)
        drop_first(j);
    struct kept *k = malloc(size);
    if (k == NULL)
        return NULL;
    memcpy(k->bytes, line, line_len);
    if (r->payload.len > 0)
        memcpy(k->bytes + line_len, r->payload.data, r->payload.len);
    k->next = NULL;
    k->size = size;
    k->entry = (struct journal_entry){.number = j->number,
                                      .device = d,
                                      .flow = r->flow,
                                      .time_ns = r->time_ns,
                                      .dir = r->dir,
                                      .command = r->cmd,
                                      .error = r->error,
                                      .payload = {k->bytes + line_len, r->payload.len},
                                      .line = {k->bytes, line_len}};
    *j->last = k;
    j->last = &k->next;
    j->held += size;
    return &k->entry;
}

const struct journal_entry *journal_add(struct journal *j, const struct device *d, const struct record *r)
{
    size_t at = j->lines.len;
    j->number++;
    if (record_append(&j->lines, r) != 0)
        return NULL;
    const struct journal_entry *e = j->keep > 0 ? keep(j, d, r, j->lines.data + at, j->lines.len - at) : NULL;
    if (j->fd < 0)
        j->lines.len = 0;
    else if (j->lines.len >= FLUSH_AT)
        write_lines(j, &j->trouble);
    return e;
}

void journal_visit(const struct journal *j, uint64_t since, bool (*visit)(void *ctx, const struct journal_entry *e),
                   void *ctx)
{
    for (const struct kept *k = j->first; k != NULL; k = k->next)
        if (k->entry.number > since && !visit(ctx, &k->entry))
            return;
}

uint64_t journal_last(const struct journal *j)
{
    return j->number;
}

void journal_clear(struct journal *j)
{
    while (j->first != NULL)
        drop_first(j);
    j->number = 0;
}
