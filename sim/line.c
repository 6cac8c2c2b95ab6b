/* line.c - see line.h. */
#include "line.h"
#include <stdlib.h>
#include <string.h>

enum { HELD_MAX = 1 << 20 }; /* bytes on their way to one client */

struct segment {
    struct segment *next;
    uint64_t due_ms; /* real */
    size_t len;
    uint8_t bytes[];
};

struct line {
    struct line_traits traits;
    struct segment *first, **last;
    size_t held;
    uint64_t free_ms; /* real: when the previous segment has passed */
    bool armed;
};

int line_set(struct conn *c, const struct line_traits *t)
{
    if (c->line == NULL) {
        c->line = calloc(1, sizeof *c->line);
        if (c->line == NULL)
            return -1;
        c->line->last = &c->line->first;
    }
    c->line->traits = *t;
    return 0;
}

void line_free(struct conn *c)
{
    if (c->line == NULL)
        return;
    for (struct segment *s = c->line->first, *next; s != NULL; s = next) {
        next = s->next;
        free(s);
    }
    free(c->line);
    c->line = NULL;
}

static void arm(struct conn *c);

/* Everything due leaves; segments that are glued leave as one. */
static void on_due(void *ctx, uint64_t arg)
{
    (void)arg;
    struct conn *c = ctx;
    struct line *l = c->line;
    c->n_later--;
    if (l == NULL)
        return;
    l->armed = false;
    uint64_t now = server_real_ms(c->server);
    while (l->first != NULL && l->first->due_ms <= now) {
        struct segment *s = l->first;
        l->first = s->next;
        if (l->first == NULL)
            l->last = &l->first;
        l->held -= s->len;
        conn_write(c, s->bytes, s->len);
        free(s);
        if (c->closing)
            return; /* the line is gone with it */
    }
    arm(c);
}

static void arm(struct conn *c)
{
    struct line *l = c->line;
    if (l->armed || l->first == NULL)
        return;
    uint64_t now = server_real_ms(c->server), due = l->first->due_ms;
    if (later_add(&c->server->later, due > now ? due - now : 0, on_due, c, 0) == 0) {
        l->armed = true;
        c->n_later++;
    }
}

static struct segment *append(struct line *l, struct segment *s, const uint8_t *bytes, size_t n)
{
    struct segment *grown = realloc(s, sizeof *grown + (s != NULL ? s->len : 0) + n);
    if (grown == NULL)
        return NULL;
    if (s == NULL)
        *grown = (struct segment){0};
    memcpy(grown->bytes + grown->len, bytes, n);
    grown->len += n;
    l->held += n;
    return grown;
}

static int put(struct conn *c, const uint8_t *bytes, size_t n, uint32_t extra_ms)
{
    struct line *l = c->line;
    const struct line_traits *t = &l->traits;
    uint64_t now = server_real_ms(c->server);
    uint64_t due = now + extra_ms + t->latency_ms;
    if (t->jitter_ms > 0)
        due += rng_next(&c->server->rng) % (t->jitter_ms + 1);
    if (due < l->free_ms)
        due = l->free_ms;
    if (t->glue_ms > 0 && l->first != NULL && l->first->next == NULL) {
        struct segment *s = append(l, l->first, bytes, n);
        if (s == NULL)
            return -1;
        l->first = s;
        l->last = &s->next;
        return 0;
    }
    struct segment *s = append(l, NULL, bytes, n);
    if (s == NULL)
        return -1;
    s->due_ms = due + t->glue_ms;
    *l->last = s;
    l->last = &s->next;
    l->free_ms = due;
    if (t->bytes_per_s > 0)
        l->free_ms += n * 1000 / t->bytes_per_s;
    if (t->slice > 0)
        l->free_ms += t->slice_ms;
    return 0;
}

void line_put_later(struct conn *c, const uint8_t *bytes, size_t n, uint32_t extra_ms)
{
    struct line *l = c->line;
    size_t piece = l->traits.slice > 0 ? l->traits.slice : n;
    for (size_t at = 0; at < n; at += piece) {
        size_t len = n - at < piece ? n - at : piece;
        if (l->held + len > HELD_MAX || put(c, bytes + at, len, extra_ms) != 0) {
            conn_close(c, "line full");
            return;
        }
    }
    arm(c);
}

void line_put(struct conn *c, const uint8_t *bytes, size_t n)
{
    line_put_later(c, bytes, n, 0);
}
