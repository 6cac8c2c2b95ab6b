/* mains.h - the voltage at the house, as a function of time alone.
 *
 * The sum of: a value of the house (230 +- 5 V, 120 +- 2 V); the swing of the day (1.2 %, lowest near 19:00, highest
 * near 04:00); a slow walk (0.4 % rms, correlation time 10 min); noise from second to second (0.1 % rms); neighbours
 * who switch something on (-0.2 to -1 % for 1 to 5 min, 4 times an hour). Clipped at the limits of EN 50160 (207 to
 * 253 V) and ANSI C84.1 (114 to 126 V). All plugs of a run hang on the same mains.
 * Source of the numbers: our estimate, within what logs show (217.6 to 240.9 V, 119.6 to 122.1 V). */
#ifndef SIM_MODEL_MAINS_H
#define SIM_MODEL_MAINS_H

#include <stdint.h>

enum mains_scene {
    MAINS_NORMAL,
    MAINS_STEADY,   /**< nominal voltage, exactly */
    MAINS_BROWNOUT, /**< 70 % of nominal, below any contract: our choice */
};

/** What can be computed once: for the run, for the minute, for the quarter of an hour. */
struct mains {
    uint64_t seed, fast_key;
    int64_t epoch_s;
    uint32_t nominal_mv;
    int32_t house_mv;                   /* beside nominal */
    int64_t minute, quarter;            /* of the cached values below; -1: none */
    int32_t walk[2];                    /* at the beginning and at the end of the minute, in millionths */
    int64_t step_begin[2], step_end[2]; /* neighbours: of this and of the last quarter */
    int32_t step_ppm[2];
};

void mains_init(struct mains *m, uint64_t seed, int64_t epoch_s, uint32_t nominal_mv);

/** Millivolts at this second of the run, before the drop by the plug's own load. */
uint32_t mains_mv(struct mains *m, enum mains_scene scene, uint64_t second);

#endif
