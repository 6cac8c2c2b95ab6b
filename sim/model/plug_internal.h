/* plug_internal.h - what the files that make up a plug share. */
#ifndef SIM_MODEL_PLUG_INTERNAL_H
#define SIM_MODEL_PLUG_INTERNAL_H

#include "plug.h"

enum {
    DP_KNOWN = 1, /* was reported: part of replies */
    DP_DUE = 2,   /* to be pushed */
    DP_TEXT = 4,  /* the value is the JSON text in texts[], not the number */
    DP_FLASH = 8, /* relay: what is in flash */
};

#define NEVER UINT64_MAX

/* One relay that was switched or has a timer. Times in ms, NEVER: not running. */
struct outlet {
    uint64_t countdown_end; /* toggles the relay */
    uint64_t inching_end;   /* switches it off */
    uint64_t settled;       /* the state since the last change is in flash from here on */
};

/* A value that is no number of 32 bits: string, raw block, a number of a user's file. JSON text. */
struct value_text {
    uint32_t len;
    char text[];
};

struct meter;

struct plug {
    const struct shape *shape;
    const struct plug_world *world;
    struct value_text **texts; /* n_dps, or NULL as long as none differs from its initial value */
    struct outlet *outlets;    /* n_relays, or NULL as long as no relay was touched */
    struct meter *meter;       /* NULL until time passes or something is plugged in */
    uint64_t now_ms;
    uint64_t timers_at; /* the next moment a week timer switches; NEVER: none set */
    uint32_t number;
    uint16_t n_due;
    uint8_t readings; /* enum plug_readings */
    bool owns_values;
    int32_t *values; /* n_dps numbers; behind them n_dps bytes of flags. Those of the shape until plug_own() */
};

/* Before anything is written: the values become the plug's own. false: no memory. */
bool plug_own(struct plug *p);

static inline uint8_t *plug_flags(const struct plug *p)
{
    return (uint8_t *)(p->values + p->shape->n_dps);
}

/* Position of the first data point with this role, or -1. */
int plug_find_role(const struct plug *p, enum dp_role role);

/* Its number, also when it is kept as text; 0 for what is none. */
int64_t plug_number(const struct plug *p, size_t pos);

/* The measured or counted value of a data point, cut to its range. It is known from now on, and due if it changed
 * (`always`: in any case). */
void plug_report(struct plug *p, size_t pos, int64_t value, bool always);
int plug_report_text(struct plug *p, size_t pos, struct tw_span json, bool always);

void plug_due(struct plug *p, size_t pos);

/* Keep a value. @return 1: it differs from before; 0: it is the same; -1: no memory */
int plug_store_text(struct plug *p, size_t pos, struct tw_span json);
int plug_store_number(struct plug *p, size_t pos, int64_t value);

/* Switch a relay, with all that hangs on it: countdown, flash, inching, loads, faults. now: p->now_ms. */
void plug_switch(struct plug *p, size_t pos, bool on);

/* JSON text of a value, whether known or not. */
void plug_put_value(const struct plug *p, struct tw_text *t, size_t pos);

/* The bytes behind a base64 value, as far as they are base64. */
enum { PLUG_BYTES_MAX = 768 };
size_t plug_bytes(const struct plug *p, size_t pos, uint8_t out[PLUG_BYTES_MAX]);

/* Set a value from its JSON text whatever its type: what a file says, the device had. -1: no memory. */
int plug_restore(struct plug *p, size_t pos, const struct tw_value *value);

/* Those of an object of data points that it has. -1: no memory. */
int plug_restore_all(struct plug *p, struct tw_span dps);

/* Resume a countdown that was running: it ends at this moment, in ms of now_ms. NEVER: none was. */
void plug_resume_countdown(struct plug *p, uint32_t id, uint64_t end_ms);

/* The end of the countdown with this data point; NEVER: not running. */
uint64_t plug_countdown_end(const struct plug *p, size_t pos);

/* The outlets of p, made on first use; NULL: no memory. */
struct outlet *plug_outlets(struct plug *p);

/* ---- timers.c ---- */

/* A timer data point was set, or time was: find the next moment. */
void timers_arm(struct plug *p);
/* That moment has come. */
void timers_fire(struct plug *p);
/* Seconds after which this relay goes off again by inching; 0: it does not. */
uint32_t timers_inching_s(const struct plug *p, size_t relay);

/* ---- meter.c ---- */

/* Everything that draws and measures, from the second of p->now_ms on. NULL: no memory. */
struct meter *meter_make(struct plug *p);
/* All seconds up to this one. @return true: a trip has opened a relay and p->now_ms is the moment */
bool meter_run(struct plug *p, uint64_t second);
/* The next second in which something may be reported or trip; NEVER. */
uint64_t meter_deadline(const struct plug *p);
void meter_relay(struct plug *p, size_t pos, bool on);
/* Put a load back where it was before a restart: nobody presses anything. */
void meter_restore_load(struct plug *p, uint32_t relay, const struct load_spec *load);
size_t meter_refresh(struct plug *p, const uint32_t *ids, size_t n);
/* The alarm settings have changed. */
void meter_limits(struct plug *p);
void meter_power_cycle(struct plug *p);
void meter_clear(struct plug *p);                  /* the counters, by clear_energy */
void meter_charge(struct plug *p, int64_t amount); /* credit, in units of the balance data point */
size_t meter_size(const struct meter *m);

/* What outlasts a restart. */
struct meter_memory {
    uint64_t true_mws, total_mws, increment_mws, debt_mws;
    uint64_t period_s; /* seconds into the energy period; NEVER: not running */
    int mains;         /* enum mains_scene */
};
struct meter_memory meter_remember(const struct plug *p);
void meter_recall(struct plug *p, const struct meter_memory *m);
/* Relays were set without a word: an energy period runs while one is closed. */
void meter_begin_period(struct plug *p);
/* What is plugged in at this relay (0: a meter without one); NULL: no such outlet. */
const struct load_spec *meter_load(const struct plug *p, uint32_t relay);

#endif
