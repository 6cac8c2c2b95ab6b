/* pairs.h - compare two ways of doing the same thing on a machine that is not ours alone.
 *
 * A and B take turns in one run (A B A B ..), so that slow and fast phases of the machine meet both; each pair gives
 * one ratio, and the median of the ratios is the result. Absolute times are printed for orientation only. */
#ifndef PAIRS_H
#define PAIRS_H

#include <stddef.h>

/* Do it n times. */
typedef void pairs_fn(void *ctx, size_t n);

struct pairs_result {
    double ratio;      /* median over the pairs of time(a) / time(b) */
    double a_ns, b_ns; /* fastest turn, nanoseconds for each time */
};

/* n_pairs turns of each, n times per turn; n 0: as many as keep b busy for two milliseconds or more. */
struct pairs_result pairs_run(pairs_fn *a, void *ctx_a, pairs_fn *b, void *ctx_b, size_t n_pairs, size_t n);

#endif
