/* mains.c - see mains.h. Voltages in mV, relative parts in millionths of nominal (ppm). */
#include "mains.h"
#include <stdbool.h>
#include "hash.h"

enum { SOURCE_HOUSE = 1, SOURCE_WALK, SOURCE_FAST, SOURCE_NEIGHBOUR };
enum { WALK_PPM = 4000, FAST_PPM = 1000, QUARTER_S = 900, BROWNOUT_PERMILLE = 700 };

/* Half cosines from the top at 04:00 to the bottom at 19:00 and back, in ppm; hour 24 is hour 0. */
static const int16_t day_ppm[25] = {1042,  3000,  4596,  5638,  6000,  5869,  5481,  4854,  4015,
                                    3000,  1854,  627,   -627,  -1854, -3000, -4015, -4854, -5481,
                                    -5869, -6000, -5638, -4596, -3000, -1042, 1042};

/* Weights of the walk: sqrt(1 - a^2) a^k in 1/65536, a = exp(-1/10): 60 s knots, 10 min of correlation. */
enum { WALK_KNOTS = 40 };
static const uint16_t walk_weight[WALK_KNOTS] = {27903, 25248, 22845, 20671, 18704, 16924, 15314, 13856, 12538, 11345,
                                                 10265, 9288,  8404,  7604,  6881,  6226,  5633,  5097,  4612,  4173,
                                                 3776,  3417,  3092,  2798,  2531,  2290,  2072,  1875,  1697,  1535,
                                                 1389,  1257,  1137,  1029,  931,   843,   762,   690,   624,   565};

void mains_init(struct mains *m, uint64_t seed, int64_t epoch_s, uint32_t nominal_mv)
{
    *m = (struct mains){.seed = seed, .epoch_s = epoch_s, .nominal_mv = nominal_mv, .minute = -1, .quarter = -1};
    m->fast_key = hash_key(seed, 0, SOURCE_FAST);
    uint32_t spread_mv = nominal_mv >= 180000 ? 5000 : 2000;
    m->house_mv = (int32_t)hash_range(hash_key(seed, 0, SOURCE_HOUSE), 0, 2 * spread_mv) - (int32_t)spread_mv;
}

static int32_t walk_at(const struct mains *m, int64_t knot)
{
    uint64_t key = hash_key(m->seed, 0, SOURCE_WALK);
    int64_t sum = 0;
    for (int k = 0; k < WALK_KNOTS; k++)
        sum += (int64_t)walk_weight[k] * hash_gauss(hash_at(key, (uint64_t)(knot - k)));
    return (int32_t)(sum / 65536 * WALK_PPM / HASH_GAUSS_SIGMA);
}

/* One neighbour switches something on in each quarter of an hour. */
static void neighbour(struct mains *m, int i, int64_t quarter)
{
    uint64_t h = hash_at(hash_key(m->seed, 0, SOURCE_NEIGHBOUR), (uint64_t)quarter);
    m->step_begin[i] = quarter * QUARTER_S + hash_range(hash_mix(h + 1), 0, QUARTER_S - 1);
    m->step_end[i] = m->step_begin[i] + hash_range(hash_mix(h + 2), 60, 300);
    m->step_ppm[i] = -(int32_t)hash_range(hash_mix(h + 3), 2000, 10000);
}

static int32_t day_swing(int64_t local_s)
{
    int64_t t = local_s % 86400;
    if (t < 0)
        t += 86400;
    int64_t hour = t / 3600, rest = t % 3600;
    return (int32_t)((day_ppm[hour] * (3600 - rest) + day_ppm[hour + 1] * rest) / 3600);
}

uint32_t mains_mv(struct mains *m, enum mains_scene scene, uint64_t second)
{
    if (scene == MAINS_STEADY)
        return m->nominal_mv;
    int64_t s = (int64_t)second, minute = s / 60, quarter = s / QUARTER_S;
    if (m->minute != minute) {
        m->walk[0] = m->minute == minute - 1 && m->minute >= 0 ? m->walk[1] : walk_at(m, minute);
        m->walk[1] = walk_at(m, minute + 1);
        m->minute = minute;
    }
    if (m->quarter != quarter) {
        neighbour(m, 0, quarter);
        neighbour(m, 1, quarter - 1);
        m->quarter = quarter;
    }
    int32_t ppm = (int32_t)((m->walk[0] * (60 - s % 60) + m->walk[1] * (s % 60)) / 60);
    for (int i = 0; i < 2; i++)
        ppm += s >= m->step_begin[i] && s < m->step_end[i] ? m->step_ppm[i] : 0;
    ppm += day_swing(m->epoch_s + s);
    ppm += (int32_t)hash_noise(hash_at(m->fast_key, second), FAST_PPM);
    int64_t mv = m->nominal_mv + m->house_mv + (int64_t)m->nominal_mv * ppm / 1000000;
    if (scene == MAINS_BROWNOUT)
        return (uint32_t)(mv * BROWNOUT_PERMILLE / 1000);
    bool high = m->nominal_mv >= 180000;
    int64_t low_limit = (int64_t)m->nominal_mv * (high ? 900 : 950) / 1000;    /* 207 of 230, 114 of 120 */
    int64_t high_limit = (int64_t)m->nominal_mv * (high ? 1100 : 1050) / 1000; /* 253, 126 */
    return (uint32_t)(mv < low_limit ? low_limit : mv > high_limit ? high_limit : mv);
}
