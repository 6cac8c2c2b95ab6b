/* later.c - see later.h. */
#include "later.h"
#include <stdlib.h>

static int before(const struct later_item *a, const struct later_item *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

static void swap(struct later *l, size_t a, size_t b)
{
    struct later_item item = l->heap[a];
    l->heap[a] = l->heap[b];
    l->heap[b] = item;
}

static void sift_up(struct later *l, size_t i)
{
    for (; i > 0 && before(&l->heap[i], &l->heap[(i - 1) / 2]); i = (i - 1) / 2)
        swap(l, i, (i - 1) / 2);
}

static void sift_down(struct later *l, size_t i)
{
    for (;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < l->n; child++)
            if (before(&l->heap[child], &l->heap[least]))
                least = child;
        if (least == i)
            return;
        swap(l, i, least);
        i = least;
    }
}

static void on_timer(uv_timer_t *timer);

static void arm(struct later *l)
{
    if (uv_is_closing((uv_handle_t *)&l->timer))
        return;
    if (l->n == 0) {
        uv_timer_stop(&l->timer);
        return;
    }
    uint64_t now = uv_now(l->timer.loop), due = l->heap[0].due_ms;
    uv_timer_start(&l->timer, on_timer, due > now ? due - now : 0, 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct later *l = timer->data;
    uint64_t now = uv_now(timer->loop);
    uint64_t made = l->made; /* what is made from now on waits for the next turn: no starving of the sockets */
    while (l->n > 0 && l->heap[0].due_ms <= now && l->heap[0].order < made) {
        struct later_item item = l->heap[0];
        l->heap[0] = l->heap[--l->n];
        sift_down(l, 0);
        item.fn(item.ctx, item.arg);
    }
    arm(l);
}

void later_init(struct later *l, uv_loop_t *loop)
{
    *l = (struct later){0};
    uv_timer_init(loop, &l->timer);
    l->timer.data = l;
}

int later_add(struct later *l, uint64_t delay_ms, later_fn *fn, void *ctx, uint64_t arg)
{
    if (l->n == l->cap) {
        size_t cap = l->cap == 0 ? 64 : l->cap * 2;
        struct later_item *heap = realloc(l->heap, cap * sizeof *heap);
        if (heap == NULL)
            return -1;
        l->heap = heap;
        l->cap = cap;
    }
    uint64_t due = uv_now(l->timer.loop) + delay_ms;
    l->heap[l->n] = (struct later_item){due, l->made++, fn, ctx, arg};
    sift_up(l, l->n++);
    if (l->heap[0].order == l->made - 1)
        arm(l);
    return 0;
}

void later_forget(struct later *l, const void *ctx)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++)
        if (l->heap[i].ctx != ctx)
            l->heap[kept++] = l->heap[i];
    if (kept == l->n)
        return;
    l->n = kept;
    for (size_t i = kept; i-- > 0;)
        sift_down(l, i);
    arm(l);
}

void later_close(struct later *l)
{
    l->n = 0;
    if (!uv_is_closing((uv_handle_t *)&l->timer))
        uv_close((uv_handle_t *)&l->timer, NULL);
}

void later_free(struct later *l)
{
    free(l->heap);
    *l = (struct later){0};
}
