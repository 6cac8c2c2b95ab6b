/* plot.c - --plot: power, voltage and current over time, one panel per device and quantity, as SVG.
 *
 * Values hold until the next one comes, so the lines are steps. A series keeps at most SAMPLES_MAX samples: when it is
 * full, each four neighbours are replaced by their lowest and highest, so that peaks stay. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "common/units.h"
#include "common/utf8.h"
#include "output.h"

enum {
    SAMPLES_MAX = 4096,
    DEVICES_MAX = 64, /* in one picture; our choice */
    LABEL_MAX = 96,
    WIDTH = 960,
    LEFT = 72,
    RIGHT = 40, /* pixels */
    TITLE_HEIGHT = 44,
    PANEL_HEIGHT = 120,
    PANEL_GAP = 22,
    AXIS_HEIGHT = 40,
    N_TIME_TICKS = 8,
    N_VALUE_TICKS = 4,
};

enum quantity { POWER, VOLTAGE, CURRENT, N_QUANTITIES };

static const struct {
    const char *title, *unit, *colour;
    const char *code, *code_prefix;
} quantities[N_QUANTITIES] = {
    [POWER] = {"Power", "W", "#c2410c", "cur_power", "power"},
    [VOLTAGE] = {"Voltage", "V", "#1d4ed8", "cur_voltage", "voltage"},
    [CURRENT] = {"Current", "A", "#15803d", "cur_current", "current"},
};

struct sample {
    uint64_t time_ns;
    double value;
};

struct series {
    struct sample *samples;
    size_t n;
};

struct plotted {
    char label[LABEL_MAX];
    struct series series[N_QUANTITIES];
};

struct plot {
    struct output output;
    const char *path;
    FILE *file;
    struct plotted devices[DEVICES_MAX];
    size_t n_devices;
    bool said_full;
};

/* ---- Collecting ----------------------------------------------------------------------------------------------------- */

static void thin_out(struct series *s)
{
    size_t n = 0;
    for (size_t i = 0; i + 4 <= s->n; i += 4) {
        size_t low = i, high = i;
        for (size_t k = i + 1; k < i + 4; k++) {
            low = s->samples[k].value < s->samples[low].value ? k : low;
            high = s->samples[k].value > s->samples[high].value ? k : high;
        }
        if (low == high)
            high = i + 3;
        s->samples[n++] = s->samples[low < high ? low : high];
        s->samples[n++] = s->samples[low < high ? high : low];
    }
    s->n = n;
}

static void add_sample(struct series *s, uint64_t time_ns, double value)
{
    if (s->samples == NULL)
        s->samples = malloc(SAMPLES_MAX * sizeof *s->samples);
    if (s->samples == NULL)
        return;
    if (s->n == SAMPLES_MAX)
        thin_out(s);
    s->samples[s->n++] = (struct sample){time_ns, value};
}

static struct plotted *find_plotted(struct plot *p, const char *label)
{
    for (size_t i = 0; i < p->n_devices; i++)
        if (strcmp(p->devices[i].label, label) == 0)
            return &p->devices[i];
    if (p->n_devices == DEVICES_MAX) {
        if (!p->said_full)
            say_warn("--plot: more than %d devices, the others are left out: filter for some (-Y)", DEVICES_MAX);
        p->said_full = true;
        return NULL;
    }
    struct plotted *d = &p->devices[p->n_devices++];
    snprintf(d->label, sizeof d->label, "%s", label);
    return d;
}

static void write_label(char label[LABEL_MAX], const struct seen *s)
{
    const struct record *r = &s->record;
    struct tw_span name = name_of_sub_device(s), behind = name.len > 0 ? name : s->body.cid;
    const char *mark = behind.len > 0 ? " / " : "";
    int len = behind.len > 30 ? 30 : (int)behind.len;
    struct tw_span who = r->name.len > 0 ? r->name : r->device;
    if (who.len > 0)
        snprintf(label, LABEL_MAX, "%.*s%s%.*s", who.len > 50 ? 50 : (int)who.len, (const char *)who.data, mark, len,
                 (const char *)behind.data);
    else
        snprintf(label, LABEL_MAX, "%.50s%s%.*s", r->src != NULL ? r->src : "a log", mark, len,
                 (const char *)behind.data);
}

/* Which quantity a data point is, and in amperes, volts or watts how much; -1: none. */
static int quantity_of(double *value, const struct meaning *m, const struct tw_value *v)
{
    char text[UNITS_NUMBER_MAX];
    if (v->type != TW_VALUE_INTEGER)
        return -1;
    for (int q = 0; q < N_QUANTITIES; q++) {
        if (strcmp(m->code, quantities[q].code) != 0 && strcmp(m->code, quantities[q].code_prefix) != 0)
            continue;
        units_scale(text, v->text, m->scale);
        *value = strtod(text, NULL) * (strcmp(m->unit, "mA") == 0 ? 0.001 : strcmp(m->unit, "kW") == 0 ? 1000 : 1);
        return q;
    }
    return -1;
}

static void plot_seen(struct output *o, struct seen *s)
{
    struct plot *p = (struct plot *)o;
    struct plotted *d = NULL;
    struct tw_dp dp;
    if (!s->has_body || s->record.dir != RECORD_FROM_DEVICE)
        return;
    for (size_t pos = 0; tw_dps_next(&dp, &pos, s->body.dps) == 1;) {
        struct meaning m = meaning_of(s, dp.id);
        struct units_phase phase;
        double value;
        int q = quantity_of(&value, &m, &dp.value);
        bool is_phase = dp.value.type == TW_VALUE_STRING && strncmp(m.code, "phase_", 6) == 0 &&
                        units_phase(&phase, dp.value.text) == 0;
        if (q < 0 && !is_phase)
            continue;
        if (d == NULL) {
            char label[LABEL_MAX];
            write_label(label, s);
            d = find_plotted(p, label);
            if (d == NULL)
                return;
        }
        if (q >= 0) {
            add_sample(&d->series[q], s->record.time_ns, value);
        } else if (strcmp(m.code, "phase_a") ==
                   0) { /* one line per quantity: the first phase stands for the device */
            add_sample(&d->series[POWER], s->record.time_ns, phase.watt);
            add_sample(&d->series[VOLTAGE], s->record.time_ns, phase.decivolt / 10.0);
            add_sample(&d->series[CURRENT], s->record.time_ns, phase.milliampere / 1000.0);
        }
    }
}

/* ---- Drawing -------------------------------------------------------------------------------------------------------- */

struct range {
    double low, high, step;
};

struct view {
    uint64_t first_ns, last_ns;
    FILE *f;
};

static double x_of(const struct view *v, uint64_t time_ns)
{
    double span = v->last_ns > v->first_ns ? (double)(v->last_ns - v->first_ns) : 1;
    return LEFT + (double)(time_ns - v->first_ns) / span * (WIDTH - LEFT - RIGHT);
}

/* 1, 2 or 5 times a power of ten, so that about n steps fill the span. */
static double nice_step(double span, int n)
{
    double raw = span / n, power = pow(10, floor(log10(raw)));
    double m = raw / power;
    return power * (m <= 1 ? 1 : m <= 2 ? 2 : m <= 5 ? 5 : 10);
}

/* From the lowest to the highest value; power and current begin at zero. */
static struct range range_of(const struct series *s, enum quantity q)
{
    struct range r = {s->samples[0].value, s->samples[0].value, 0};
    for (size_t i = 1; i < s->n; i++) {
        r.low = fmin(r.low, s->samples[i].value);
        r.high = fmax(r.high, s->samples[i].value);
    }
    if (q != VOLTAGE)
        r.low = fmin(r.low, 0);
    if (r.high - r.low <= fabs(r.high) * 1e-9) {
        double room = fmax(1, fabs(r.high) * (q == VOLTAGE ? 0.001 : 0.1));
        r.high += room;
        r.low -= q == VOLTAGE ? room : 0;
    }
    double step = nice_step(r.high - r.low, N_VALUE_TICKS);
    return (struct range){floor(r.low / step) * step, ceil(r.high / step) * step, step};
}

/* What XML does not take (section 2.2) is left out: controls, U+FFFE, U+FFFF, and what is no UTF-8, such as a name that
 * was cut inside a character. */
static void put_escaped(FILE *f, const char *s)
{
    for (size_t left = strlen(s), n; left > 0; s += n, left -= n) {
        n = utf8_len((const uint8_t *)s, left);
        bool wanted = n > 0 && (unsigned char)*s >= 0x20 && strncmp(s, "\xef\xbf\xbe", 3) != 0 &&
                      strncmp(s, "\xef\xbf\xbf", 3) != 0;
        if (*s == '<')
            fputs("&lt;", f);
        else if (*s == '>')
            fputs("&gt;", f);
        else if (*s == '&')
            fputs("&amp;", f);
        else if (wanted)
            fwrite(s, 1, n, f);
        n = n > 0 ? n : 1;
    }
}

static void put_value_axis(const struct view *v, struct range r, double y, double height)
{
    double step = r.step;
    for (int i = 0; r.low + i * step <= r.high + step / 2; i++) {
        double at = y + height - (i * step) / (r.high - r.low) * height;
        fprintf(v->f, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, WIDTH - RIGHT, at,
                at);
        fprintf(v->f, "<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n", LEFT - 8, at + 4,
                r.low + i * step);
    }
}

static void put_line(const struct view *v, const struct series *s, struct range r, double y, double height,
                     const char *colour)
{
    double last = 0;
    fprintf(v->f, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" stroke-linejoin=\"round\" d=\"", colour);
    for (size_t i = 0; i < s->n; i++) {
        double x = x_of(v, s->samples[i].time_ns),
               at = y + height - (s->samples[i].value - r.low) / (r.high - r.low) * height;
        if (i == 0)
            fprintf(v->f, "M%.1f %.1f", x, at);
        else
            fprintf(v->f, "H%.1fV%.1f", x, at);
        last = at;
    }
    fprintf(v->f, "H%d\"/>\n", WIDTH - RIGHT);
    if (s->n == 1)
        fprintf(v->f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" fill=\"%s\"/>\n", x_of(v, s->samples[0].time_ns),
                last, colour);
}

static void put_panel(const struct view *v, const struct series *s, enum quantity q, double y)
{
    struct range r = range_of(s, q);
    fprintf(v->f, "<text class=\"name\" x=\"%d\" y=\"%.1f\" fill=\"%s\">%s, %s</text>\n", LEFT, y - 6,
            quantities[q].colour, quantities[q].title, quantities[q].unit);
    put_value_axis(v, r, y, PANEL_HEIGHT);
    put_line(v, s, r, y, PANEL_HEIGHT, quantities[q].colour);
}

/* The smallest of the usual steps of a clock of which no more than N_TIME_TICKS fit into the span. */
static uint64_t time_step(uint64_t span_ns)
{
    static const uint64_t ms = 1000000, s = 1000 * ms, minute = 60 * s, hour = 60 * minute, day = 24 * hour;
    const uint64_t steps[] = {ms,       2 * ms,   5 * ms,     10 * ms,    20 * ms,     50 * ms,     100 * ms,
                              200 * ms, 500 * ms, s,          2 * s,      5 * s,       10 * s,      15 * s,
                              30 * s,   minute,   2 * minute, 5 * minute, 10 * minute, 15 * minute, 30 * minute,
                              hour,     2 * hour, 3 * hour,   6 * hour,   12 * hour,   day,         2 * day,
                              7 * day,  30 * day, 365 * day};
    size_t i = 0;
    while (i + 1 < sizeof steps / sizeof steps[0] && span_ns / steps[i] > N_TIME_TICKS)
        i++;
    return steps[i];
}

/* "22:13:20.1", "22:13:20", "22:13", "11-14 22:13" or "2023-11-14": as much as the steps need. */
static const char *tick_text(char text[TIME_TEXT_MAX], uint64_t at_ns, uint64_t step_ns, uint64_t span_ns)
{
    static const uint64_t s = 1000000000u, day = 86400 * s;
    time_text(text, at_ns, true);
    if (step_ns >= day) {
        text[10] = '\0';
        return text;
    }
    text[10] = ' ';
    text[step_ns >= 60 * s ? 16 : step_ns >= s ? 19 : step_ns >= s / 10 ? 21 : 23] = '\0';
    return text + (span_ns > day ? 5 : 11);
}

static void put_time_axis(const struct view *v, double y)
{
    uint64_t span = v->last_ns - v->first_ns, step = time_step(span);
    uint64_t at = span == 0 ? v->first_ns : (v->first_ns + step - 1) / step * step;
    for (int i = 0; i <= N_TIME_TICKS && at <= v->last_ns; i++, at += step) {
        char text[TIME_TEXT_MAX];
        double x = x_of(v, at);
        fprintf(v->f, "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", x, x, y, y + 4);
        fprintf(v->f, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", x, y + 17,
                tick_text(text, at, step, span));
    }
}

static unsigned panels_of(const struct plotted *d)
{
    unsigned n = 0;
    for (int q = 0; q < N_QUANTITIES; q++)
        n += d->series[q].n > 0;
    return n;
}

static double height_of(const struct plotted *d)
{
    return TITLE_HEIGHT + panels_of(d) * (PANEL_HEIGHT + PANEL_GAP) + AXIS_HEIGHT;
}

static void put_device(const struct view *v, const struct plotted *d, double y)
{
    fprintf(v->f, "<text class=\"title\" x=\"%d\" y=\"%.1f\">", LEFT, y + 22);
    put_escaped(v->f, d->label);
    fprintf(v->f, "</text>\n");
    double at = y + TITLE_HEIGHT + 4;
    for (int q = 0; q < N_QUANTITIES; q++) {
        if (d->series[q].n == 0)
            continue;
        put_panel(v, &d->series[q], (enum quantity)q, at);
        at += PANEL_HEIGHT + PANEL_GAP;
    }
    put_time_axis(v, at - PANEL_GAP);
}

static void find_times(struct view *v, const struct plot *p)
{
    v->first_ns = UINT64_MAX;
    for (size_t i = 0; i < p->n_devices; i++) {
        for (int q = 0; q < N_QUANTITIES; q++) {
            const struct series *s = &p->devices[i].series[q];
            for (size_t k = 0; k < s->n; k++) {
                v->first_ns = s->samples[k].time_ns < v->first_ns ? s->samples[k].time_ns : v->first_ns;
                v->last_ns = s->samples[k].time_ns > v->last_ns ? s->samples[k].time_ns : v->last_ns;
            }
        }
    }
    if (v->first_ns == UINT64_MAX)
        v->first_ns = 0;
}

static int plot_finish(struct output *o, struct why *why)
{
    struct plot *p = (struct plot *)o;
    struct view v = {.f = p->file};
    double height = 30;
    char day[TIME_TEXT_MAX];
    find_times(&v, p);
    for (size_t i = 0; i < p->n_devices; i++)
        height += height_of(&p->devices[i]);
    fprintf(v.f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%.0f\" viewBox=\"0 0 %d %.0f\" "
            "font-family=\"Helvetica, Arial, sans-serif\">\n"
            "<style>.title{font-size:16px;font-weight:600}.name{font-size:12px;font-weight:600}.tick{font-size:11px;"
            "fill:#555}.grid{stroke:#e2e2e2}.axis{stroke:#555}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            WIDTH, height, WIDTH, height);
    double y = 4;
    for (size_t i = 0; i < p->n_devices; i++) {
        put_device(&v, &p->devices[i], y);
        y += height_of(&p->devices[i]);
    }
    time_text(day, v.first_ns, true);
    day[10] = '\0';
    if (p->n_devices == 0)
        fprintf(v.f, "<text class=\"tick\" x=\"%d\" y=\"20\">no power, voltage or current in this capture</text>\n",
                LEFT);
    else
        fprintf(v.f, "<text class=\"tick\" x=\"%d\" y=\"%.1f\">from %s, times in UTC</text>\n", LEFT, height - 10,
                day);
    fprintf(v.f, "</svg>\n");
    if (fflush(v.f) != 0 || ferror(v.f))
        return why_set(why, "%s: %s", p->path, strerror(errno));
    if (p->n_devices == 0)
        say_warn("--plot: no power, voltage or current in this capture; a list with mappings (--devices) tells which "
                 "data points they are");
    return 0;
}

static void plot_free(struct output *o)
{
    struct plot *p = (struct plot *)o;
    for (size_t i = 0; i < p->n_devices; i++)
        for (int q = 0; q < N_QUANTITIES; q++)
            free(p->devices[i].series[q].samples);
    fclose(p->file);
    free(p);
}

int output_plot(struct output **out, const char *path, struct why *why)
{
    struct plot *p = calloc(1, sizeof *p);
    if (p == NULL)
        return why_set(why, "out of memory");
    p->file = fopen(path, "w");
    if (p->file == NULL) {
        free(p);
        return why_set(why, "%s: %s", path, strerror(errno));
    }
    p->output = (struct output){.seen = plot_seen, .finish = plot_finish, .free = plot_free};
    p->path = path;
    *out = &p->output;
    return 0;
}
