/* energy.c - volts, amperes, watts and kWh, wherever a device keeps them.
 *
 * By the codes of the device list, else by the family that its data points betray: 18 19 20, 4 5 6, or the packed
 * phase blocks of DIN meters (spec energy-dps sections 2 and 5.1). Plugs measure rarely when nobody asks, so they are
 * asked to, if they have data points for it. */
#include <stdio.h>
#include <string.h>
#include "commands.h"
#include "show.h"

enum { FRESH_MS = 500, PHASES = 3 }; /* how long to wait for fresh values; ours */

struct quantity {
    const struct store_dp *dp; /* NULL: the device has none */
    char text[UNITS_NUMBER_MAX];
};

struct energy {
    struct quantity volts, amperes, watts, kwh;
    bool is_total; /* kWh since ever, not since the last report */
    struct units_phase phases[PHASES];
    size_t n_phases;
};

static bool is_code(const char *code, const char *const *codes)
{
    for (; *codes != NULL; codes++) {
        if (strcmp(code, *codes) == 0)
            return true;
    }
    return false;
}

static void take(struct quantity *q, const struct store_dp *dp, int scale)
{
    struct tw_value v = store_value(dp);
    if (q->dp != NULL || v.type != TW_VALUE_INTEGER)
        return;
    q->dp = dp;
    units_scale(q->text, v.text, scale);
}

static void take_phase(struct energy *e, const struct store_dp *dp)
{
    struct units_phase phase;
    if (e->n_phases < PHASES && units_phase(&phase, (struct tw_span){(const uint8_t *)dp->text, dp->len}) == 0)
        e->phases[e->n_phases++] = phase;
}

static void collect(const struct session *s, struct energy *e)
{
    static const char *const volts[] = {"cur_voltage", "voltage", NULL};
    static const char *const amperes[] = {"cur_current", "current", NULL};
    static const char *const watts[] = {"cur_power", "power", NULL};
    static const char *const increments[] = {"add_ele", NULL};
    static const char *const totals[] = {"total_forward_energy", "forward_energy_total", "energy_total", NULL};
    static const char *const phases[] = {"phase_a", "phase_b", "phase_c", NULL};
    enum units_family family = show_family(s);
    memset(e, 0, sizeof *e);
    for (size_t i = 0; i < s->store.n; i++) {
        const struct store_dp *dp = &s->store.dps[i];
        struct meaning m = show_meaning(s->target.entry, family, dp->id);
        if (is_code(m.code, volts))
            take(&e->volts, dp, m.scale);
        else if (is_code(m.code, amperes))
            take(&e->amperes, dp, strcmp(m.unit, "A") == 0 ? m.scale : m.scale + 3);
        else if (is_code(m.code, watts))
            take(&e->watts, dp, m.scale);
        else if (is_code(m.code, totals)) {
            take(&e->kwh, dp, m.scale);
            e->is_total = true;
        } else if (is_code(m.code, increments))
            take(&e->kwh, dp, m.scale);
        else if (is_code(m.code, phases))
            take_phase(e, dp);
    }
    /* Behind a gateway add_ele is a running total (spec energy-dps section 3.6). */
    e->is_total = e->is_total || s->target.cid[0] != '\0';
}

static bool has_measurement(const struct energy *e)
{
    return e->volts.dp != NULL || e->amperes.dp != NULL || e->watts.dp != NULL || e->kwh.dp != NULL ||
           e->n_phases > 0;
}

struct fresh {
    const struct session *s;
    uint64_t since;
};

static bool has_fresh(void *ctx)
{
    const struct fresh *f = ctx;
    return f->s->store.clock > f->since;
}

/* Ask for fresh values of exactly those data points that the device has reported: some reboot on others. */
static void measure(struct session *s, const struct energy *e)
{
    const struct quantity *all[] = {&e->amperes, &e->watts, &e->volts};
    uint32_t ids[3];
    size_t n = 0;
    for (size_t i = 0; i < 3; i++) {
        if (all[i]->dp != NULL)
            ids[n++] = all[i]->dp->id;
    }
    if (n == 0 || s->target.cid[0] != '\0') /* sub-devices ignore it */
        return;
    uint32_t request;
    struct fresh f = {.s = s, .since = s->store.clock};
    if (tw_client_refresh(s->link.client, ids, n, link_now(), &request) != TW_OK)
        return;
    link_flush(&s->link);
    session_wait(s, has_fresh, &f, FRESH_MS);
}

static void put_json(const char *name, const struct quantity *q)
{
    printf(",\"%s\":%s", name, q->dp != NULL ? q->text : "null");
}

static void put_decimal(const char *name, uint32_t n, int scale, const char *unit)
{
    char digits[16], text[UNITS_NUMBER_MAX];
    int len = snprintf(digits, sizeof digits, "%u", (unsigned)n);
    units_scale(text, (struct tw_span){(const uint8_t *)digits, (size_t)len}, scale);
    if (unit == NULL)
        printf("\"%s\":%s", name, text);
    else
        printf("%s%s %s", name, text, unit);
}

static void put_phases_json(const struct energy *e)
{
    fputs(",\"phases\":[", stdout);
    for (size_t i = 0; i < e->n_phases; i++) {
        fputs(i == 0 ? "{" : ",{", stdout);
        put_decimal("volts", e->phases[i].decivolt, 1, NULL);
        putchar(',');
        put_decimal("amperes", e->phases[i].milliampere, 3, NULL);
        putchar(',');
        put_decimal("watts", e->phases[i].watt, 0, NULL);
        putchar('}');
    }
    putchar(']');
}

static void put_line(const char *name, const struct quantity *q, const char *unit, const char *remark)
{
    if (q->dp != NULL)
        printf("%-8s %10s %s%s\n", name, q->text, unit, remark);
}

static void put_text(const struct energy *e)
{
    put_line("voltage", &e->volts, "V", "");
    put_line("current", &e->amperes, "A", "");
    put_line("power", &e->watts, "W", "");
    for (size_t i = 0; i < e->n_phases; i++) {
        printf("phase %c  ", (char)('A' + i));
        put_decimal(" ", e->phases[i].decivolt, 1, "V");
        put_decimal("  ", e->phases[i].milliampere, 3, "A");
        put_decimal("  ", e->phases[i].watt, 0, "W");
        putchar('\n');
    }
    put_line("energy", &e->kwh, "kWh", e->is_total ? "" : "  (since the report before)");
}

/* One phase of a meter is its voltage, current and power. */
static void from_phase(struct energy *e, const struct store *store)
{
    if (e->n_phases != 1 || e->volts.dp != NULL)
        return;
    const struct {
        struct quantity *q;
        uint32_t n;
        int scale;
    } parts[] = {{&e->volts, e->phases[0].decivolt, 1},
                 {&e->amperes, e->phases[0].milliampere, 3},
                 {&e->watts, e->phases[0].watt, 0}};
    for (size_t i = 0; i < 3; i++) {
        char digits[16];
        int len = snprintf(digits, sizeof digits, "%u", (unsigned)parts[i].n);
        units_scale(parts[i].q->text, (struct tw_span){(const uint8_t *)digits, (size_t)len}, parts[i].scale);
        parts[i].q->dp = &store->dps[0]; /* any: it is there */
    }
    e->n_phases = 0;
}

enum exit_code command_energy(struct session *s, const struct settings *set, int n, char **arguments)
{
    (void)set, (void)n, (void)arguments;
    struct trouble t;
    struct energy e;
    if (session_status(s, &t) != 0) {
        trouble_say(&t);
        return t.code;
    }
    collect(s, &e);
    if (!has_measurement(&e)) {
        say_warn(
            "the device measures nothing: no data points for volts, amperes, watts or kWh among its %zu; a device "
            "list with a mapping (--devices) may know better",
            s->store.n);
        return EXIT_CODE_REFUSED;
    }
    measure(s, &e);
    collect(s, &e);
    from_phase(&e, &s->store);
    if (!show_is_json()) {
        put_text(&e);
        show_flush();
        return EXIT_CODE_OK;
    }
    show_begin(s);
    put_json("volts", &e.volts);
    put_json("amperes", &e.amperes);
    put_json("watts", &e.watts);
    put_json("kwh", &e.kwh);
    printf(",\"kwh_is_total\":%s", e.kwh.dp == NULL ? "null" : e.is_total ? "true" : "false");
    if (e.n_phases > 0)
        put_phases_json(&e);
    show_end();
    return EXIT_CODE_OK;
}
