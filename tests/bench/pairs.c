/* pairs.c - see pairs.h. */
#include "pairs.h"
#include <stdlib.h>
#include <time.h>

enum { PAIRS_MAX = 101 };
static const double TURN_NS = 2e6;

/* Time of this thread alone: what others do with the processor in between does not count. */
static double ns_of(pairs_fn *f, void *ctx, size_t n)
{
    struct timespec from, to;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    f(ctx, n);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    return (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
}

static int by_size(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* see pairs.h */
struct pairs_result pairs_run(pairs_fn *a, void *ctx_a, pairs_fn *b, void *ctx_b, size_t n_pairs, size_t n)
{
    double ratios[PAIRS_MAX];
    struct pairs_result r = {0, 1e300, 1e300};
    if (n_pairs > PAIRS_MAX)
        n_pairs = PAIRS_MAX;
    for (size_t trial = 64; n == 0; trial *= 2) { /* warms up, too; being interrupted once does not count */
        double fastest = ns_of(b, ctx_b, trial);
        for (int i = 0; i < 4; i++) {
            double again = ns_of(b, ctx_b, trial);
            fastest = again < fastest ? again : fastest;
        }
        if (fastest > TURN_NS)
            n = trial;
    }
    for (size_t i = 0; i < n_pairs; i++) {
        double a_ns = ns_of(a, ctx_a, n) / (double)n, b_ns = ns_of(b, ctx_b, n) / (double)n;
        ratios[i] = a_ns / b_ns;
        r.a_ns = a_ns < r.a_ns ? a_ns : r.a_ns;
        r.b_ns = b_ns < r.b_ns ? b_ns : r.b_ns;
    }
    qsort(ratios, n_pairs, sizeof ratios[0], by_size);
    r.ratio = ratios[n_pairs / 2];
    return r;
}
