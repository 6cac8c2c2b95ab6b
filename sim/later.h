/* later.h - things to do after some real milliseconds: a heap of appointments over one libuv timer.
 *
 * Appointments of the same millisecond come in the order in which they were made. */
#ifndef SIM_LATER_H
#define SIM_LATER_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

typedef void later_fn(void *ctx, uint64_t arg);

struct later_item {
    uint64_t due_ms, order;
    later_fn *fn;
    void *ctx;
    uint64_t arg;
};

struct later {
    uv_timer_t timer;
    struct later_item *heap;
    size_t n, cap;
    uint64_t made;
};

void later_init(struct later *l, uv_loop_t *loop);

/** @return 0; -1: out of memory, fn will not be called */
int later_add(struct later *l, uint64_t delay_ms, later_fn *fn, void *ctx, uint64_t arg);

/** Forget every appointment of this ctx. */
void later_forget(struct later *l, const void *ctx);

void later_close(struct later *l); /* forgets all; the loop has to run once more */
void later_free(struct later *l);

#endif
