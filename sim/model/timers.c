/* timers.c - the timers that a plug keeps itself: inching, cycle and random times.
 *
 *   switch_inching  3 bytes an entry: bit 0 enabled, bits 1-7 channel; seconds u16: off again so long after on
 *   cycle_time      10 bytes: the same; week bits (bit 0 Sunday, 0 = once); start, end, on, off minutes u16
 *   random_time     6 bytes: the same; week bits; start, end minutes u16
 *
 * All big endian, in base64; channel 0 is the first outlet. Source: developer.tuya.com K9tp15ceh63gr; inching samples
 * of homebridge-tuya-platform issue 78. When a random timer switches is our choice: every 15 to 45 minutes. */
#include <stdlib.h>
#include <string.h>
#include "common/base64.h"
#include "hash.h"
#include "plug_internal.h"

enum {
    DAY_MIN = 1440,
    CYCLE_LEN = 10,
    RANDOM_LEN = 6,
    INCHING_LEN = 3,

    SOURCE_RANDOM_TIMER = 300
};

struct entry {
    bool enabled, random;
    unsigned channel, week;
    int64_t start, end; /* minutes of the day; end may lie in the next one */
    int64_t on, off;    /* cycle: minutes */
};

/* One moment of an entry: absolute minute since 1970, and what the relay becomes. */
struct moment {
    int64_t minute;
    bool on, last;
};

static unsigned be16(const uint8_t *b)
{
    return (unsigned)b[0] << 8 | b[1];
}

static struct entry read_entry(const uint8_t *b, bool random)
{
    struct entry e = {.enabled = (b[0] & 1) != 0, .random = random, .channel = b[0] >> 1, .week = b[1] & 0x7f};
    e.start = be16(b + 2) % DAY_MIN;
    e.end = be16(b + 4) % (DAY_MIN + 1);
    if (e.end <= e.start)
        e.end += DAY_MIN;
    if (!random) {
        e.on = be16(b + 6);
        e.off = be16(b + 8);
    }
    return e;
}

static int64_t local_minute(const struct plug *p)
{
    return (p->world->epoch_s + (int64_t)(p->now_ms / 1000)) / 60;
}

/* Minutes until the phase k of a window ends. */
static int64_t phase_length(const struct plug *p, const struct entry *e, int64_t window, unsigned k)
{
    if (e->random)
        return hash_range(hash_at(hash_key(p->world->seed, p->number, SOURCE_RANDOM_TIMER + e->channel),
                                  (uint64_t)window * 128 + k),
                          15, 45);
    if (k % 2 == 0)
        return e->on > 0 && e->off > 0 ? e->on : DAY_MIN * 2; /* without an off time it stays on until the end */
    return e->off;
}

/* The first moment of an entry at or after `from`. false: it has none within a week. */
static bool next_moment(struct moment *out, const struct plug *p, const struct entry *e, int64_t from)
{
    int64_t today = from / DAY_MIN;
    for (int64_t day = today - 1; day <= today + 8; day++) {
        unsigned weekday = (unsigned)((day + 4) % 7); /* 1970-01-01 was a Thursday */
        if (e->week != 0 && (e->week >> weekday & 1) == 0)
            continue;
        int64_t end = day * DAY_MIN + e->end;
        struct moment m = {day * DAY_MIN + e->start, true, false};
        for (unsigned k = 0; m.minute < from && m.minute < end; k++) {
            m.minute += phase_length(p, e, day, k);
            m.on = !m.on;
        }
        if (m.minute >= end)
            m = (struct moment){end, false, true};
        if (m.minute >= from) {
            *out = m;
            return true;
        }
    }
    return false;
}

static bool is_week_timer(enum dp_role role)
{
    return role == ROLE_CYCLE_TIMER || role == ROLE_RANDOM_TIMER;
}

void timers_arm(struct plug *p)
{
    p->timers_at = NEVER;
    int64_t from = local_minute(p) + 1;
    for (size_t pos = 0; pos < p->shape->n_dps; pos++) {
        if (!is_week_timer(p->shape->dps[pos].role))
            continue;
        bool random = p->shape->dps[pos].role == ROLE_RANDOM_TIMER;
        size_t size = random ? RANDOM_LEN : CYCLE_LEN;
        uint8_t bytes[PLUG_BYTES_MAX];
        size_t n = plug_bytes(p, pos, bytes);
        for (size_t at = 0; at + size <= n; at += size) {
            struct entry e = read_entry(bytes + at, random);
            struct moment m;
            if (!e.enabled || !next_moment(&m, p, &e, from))
                continue;
            uint64_t ms = (uint64_t)(m.minute * 60 - p->world->epoch_s) * 1000;
            if (ms < p->timers_at)
                p->timers_at = ms;
        }
    }
}

static void switch_outlet(struct plug *p, unsigned outlet, bool on)
{
    for (size_t i = 0; i < p->shape->n_dps; i++) {
        const struct dp_spec *dp = &p->shape->dps[i];
        if (dp->role == ROLE_RELAY && dp->outlet == outlet && (p->values[i] != 0) != on)
            plug_switch(p, i, on);
    }
}

void timers_fire(struct plug *p)
{
    int64_t now = local_minute(p);
    for (size_t pos = 0; pos < p->shape->n_dps; pos++) {
        if (!is_week_timer(p->shape->dps[pos].role))
            continue;
        bool random = p->shape->dps[pos].role == ROLE_RANDOM_TIMER, over = false;
        size_t size = random ? RANDOM_LEN : CYCLE_LEN;
        uint8_t bytes[PLUG_BYTES_MAX];
        size_t n = plug_bytes(p, pos, bytes);
        for (size_t at = 0; at + size <= n; at += size) {
            struct entry e = read_entry(bytes + at, random);
            struct moment m;
            if (!e.enabled || !next_moment(&m, p, &e, now) || m.minute != now)
                continue;
            switch_outlet(p, e.channel, m.on);
            if (m.last && e.week == 0) { /* once: it has been */
                bytes[at] &= 0xfe;
                over = true;
            }
        }
        if (over) {
            char text[PLUG_BYTES_MAX / 3 * 4 + 2] = "\"";
            size_t len = 1 + base64_encode(text + 1, bytes, n);
            text[len++] = '"';
            plug_report_text(p, pos, (struct tw_span){(const uint8_t *)text, len}, false);
        }
    }
    timers_arm(p);
}

uint32_t timers_inching_s(const struct plug *p, size_t relay)
{
    int pos = plug_find_role(p, ROLE_INCHING_TIMER);
    uint8_t bytes[PLUG_BYTES_MAX];
    size_t n = pos < 0 ? 0 : plug_bytes(p, (size_t)pos, bytes);
    for (size_t at = 0; at + INCHING_LEN <= n; at += INCHING_LEN) {
        if ((bytes[at] & 1) != 0 && bytes[at] >> 1 == p->shape->dps[relay].outlet)
            return be16(bytes + at + 1);
    }
    return 0;
}
