/* progress.c - see progress.h. */
#include "progress.h"
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "common/say.h"

static const uint64_t first_ns = 1000000000u, step_ns = 200000000u;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void progress_start(struct progress *p, bool wanted)
{
    *p = (struct progress){.wanted = wanted && isatty(STDERR_FILENO)};
    if (p->wanted)
        p->started_ns = p->last_ns = now_ns();
}

void progress_show(struct progress *p, uint64_t position, uint64_t size, uint64_t n_packets, uint64_t n_messages)
{
    if (!p->wanted)
        return;
    uint64_t now = now_ns();
    if (now - p->started_ns < first_ns || now - p->last_ns < step_ns)
        return;
    p->last_ns = now;
    char text[160];
    const char *unit = size > 0 ? "%" : "MB";
    uint64_t n = size > 0 ? position * 100 / size : position / 1000000;
    snprintf(text, sizeof text, "%3" PRIu64 " %s  %" PRIu64 " packets, %" PRIu64 " messages, %.1f s", n, unit,
             n_packets, n_messages, (double)(now - p->started_ns) / 1e9);
    say_status(text);
}

void progress_end(struct progress *p)
{
    if (p->wanted)
        say_status(NULL);
}
