/* stats.c - a summary per device: messages by command, losses, repetitions, what stayed closed, reply times. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/utf8.h"
#include "output.h"

enum {
    DEVICES_MAX = 4096, /* that are told apart; our choice */
    LABEL_MAX = 96,
    N_COMMANDS = 256, /* larger numbers share the last place */
    /* Reply times in microseconds, 8 places per doubling: percentiles within 9 %. */
    STEPS = 8,
    N_TIMES = 40 * STEPS,
};

struct device_stats {
    char label[LABEL_MAX];
    uint64_t commands[2][N_COMMANDS]; /* to and from the device; announcements count as from */
    uint64_t messages, undecoded, connections, lost_bytes, repeated, out_of_order, bytes;
    uint64_t verdicts[N_VERDICTS];
    uint64_t n_replies, min_ns, max_ns;
    uint32_t times[N_TIMES];
};

struct stats {
    struct output output;
    struct out *out; /* NULL: stderr */
    struct device_stats **devices;
    size_t n;
    uint64_t first_ns, last_ns;
};

static struct device_stats *find_device(struct stats *t, const char *label)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->devices[i]->label, label) == 0)
            return t->devices[i];
    if (t->n == DEVICES_MAX)
        return t->devices[DEVICES_MAX - 1];
    struct device_stats *d = calloc(1, sizeof *d);
    if (d == NULL)
        return NULL;
    snprintf(d->label, sizeof d->label, "%s", t->n == DEVICES_MAX - 1 ? "all further devices" : label);
    t->devices[t->n++] = d;
    return d;
}

static void write_label(char label[LABEL_MAX], const struct devices_entry *device, struct tw_span id,
                        const char *address)
{
    if (device != NULL && device->name[0] != '\0')
        snprintf(label, LABEL_MAX, "%.60s (%.*s)", device->name, id.len > 30 ? 30 : (int)id.len,
                 (const char *)id.data);
    else if (id.len > 0)
        snprintf(label, LABEL_MAX, "%.*s", id.len > 60 ? 60 : (int)id.len, (const char *)id.data);
    else
        snprintf(label, LABEL_MAX, "%s", address != NULL ? address : "frames of a log");
    utf8_clean(label, strlen(label)); /* anybody may announce an id */
}

/* Messages are counted per connection first: whose it is may come out in its last message. */
struct tally {
    uint64_t commands[2][N_COMMANDS];
    uint64_t messages, undecoded, bytes, n_replies, min_ns, max_ns;
    uint32_t times[N_TIMES];
};

static size_t place_of(uint64_t ns)
{
    uint64_t us = ns / 1000;
    unsigned log = 0;
    while (us >> log > 1)
        log++;
    size_t place = log * STEPS + (log >= 3 ? (size_t)(us >> (log - 3)) & (STEPS - 1) : 0);
    return place < N_TIMES ? place : N_TIMES - 1;
}

static uint64_t time_of(size_t place)
{
    unsigned log = (unsigned)(place / STEPS);
    return (((uint64_t)1 << log) + (log >= 3 ? (uint64_t)(place % STEPS) << (log - 3) : 0)) * 1000;
}

static void count(struct tally *y, const struct seen *s)
{
    int dir = s->record.dir == RECORD_TO_DEVICE ? 0 : 1;
    if (s->record.cmd >= 0) {
        y->commands[dir][s->record.cmd < N_COMMANDS ? s->record.cmd : N_COMMANDS - 1]++;
        y->messages++;
        y->undecoded += s->record.error != TW_OK;
    }
    y->bytes += s->raw.len;
    if (s->reply_ns == 0)
        return;
    y->min_ns = y->n_replies == 0 || s->reply_ns < y->min_ns ? s->reply_ns : y->min_ns;
    y->max_ns = s->reply_ns > y->max_ns ? s->reply_ns : y->max_ns;
    y->n_replies++;
    y->times[place_of(s->reply_ns)]++;
}

static void merge(struct device_stats *d, const struct tally *y)
{
    for (int dir = 0; dir < 2; dir++)
        for (int i = 0; i < N_COMMANDS; i++)
            d->commands[dir][i] += y->commands[dir][i];
    for (int i = 0; i < N_TIMES; i++)
        d->times[i] += y->times[i];
    if (y->n_replies > 0) {
        d->min_ns = d->n_replies == 0 || y->min_ns < d->min_ns ? y->min_ns : d->min_ns;
        d->max_ns = y->max_ns > d->max_ns ? y->max_ns : d->max_ns;
    }
    d->messages += y->messages;
    d->undecoded += y->undecoded;
    d->bytes += y->bytes;
    d->n_replies += y->n_replies;
}

static void stats_seen(struct output *o, struct seen *s)
{
    struct stats *t = (struct stats *)o;
    struct tally once = {0};
    struct tally *y = &once;
    if (t->first_ns == 0)
        t->first_ns = s->record.time_ns;
    if (s->record.time_ns > t->last_ns)
        t->last_ns = s->record.time_ns;
    if (s->conversation != NULL) {
        if (s->conversation->tally == NULL)
            s->conversation->tally = calloc(1, sizeof *y);
        y = s->conversation->tally;
        if (y != NULL)
            count(y, s);
        return;
    }
    char label[LABEL_MAX];
    write_label(label, s->device, s->record.device, s->record.src);
    struct device_stats *d = find_device(t, label);
    if (d == NULL)
        return;
    count(y, s);
    merge(d, y);
    d->verdicts[s->verdict.kind]++;
}

static void stats_closed(struct output *o, struct conversation *c, uint64_t time_ns)
{
    struct stats *t = (struct stats *)o;
    (void)time_ns;
    char label[LABEL_MAX];
    write_label(label, c->who.device, c->who.id, c->address[c->device_side >= 0 ? c->device_side : 1]);
    struct device_stats *d = find_device(t, label);
    if (d != NULL) {
        if (c->tally != NULL)
            merge(d, c->tally);
        for (int kind = 0; kind < N_VERDICTS; kind++)
            d->verdicts[kind] += c->verdict.n[kind];
        for (int side = 0; side < 2; side++) {
            d->lost_bytes += c->flow->counts[side].lost_bytes;
            d->repeated += c->flow->counts[side].repeated;
            d->out_of_order += c->flow->counts[side].out_of_order;
        }
        d->connections++;
    }
    free(c->tally);
    c->tally = NULL;
}

/* ---- Printing ------------------------------------------------------------------------------------------------------- */

static void put(struct stats *t, const char *format, ...) SAY_FORMAT(2, 3);
static void put(struct stats *t, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (t->out != NULL)
        out_text(t->out, text);
    else
        fputs(text, stderr);
}

static double percentile(const struct device_stats *d, unsigned percent)
{
    uint64_t want = (d->n_replies * percent + 99) / 100, sum = 0;
    for (size_t i = 0; i < N_TIMES; i++) {
        sum += d->times[i];
        if (sum < want || sum == 0)
            continue;
        uint64_t ns = time_of(i);
        ns = ns < d->min_ns ? d->min_ns : ns > d->max_ns ? d->max_ns : ns;
        return (double)ns / 1e6;
    }
    return 0;
}

static void put_commands(struct stats *t, const struct device_stats *d)
{
    for (int i = 0; i < N_COMMANDS; i++) {
        if (d->commands[0][i] + d->commands[1][i] == 0)
            continue;
        const char *name = tw_command_name((uint32_t)i);
        char number[24];
        snprintf(number, sizeof number, "command 0x%02x", (unsigned)i);
        put(t, "  %-22s %10" PRIu64 " to it  %10" PRIu64 " from it\n", name != NULL ? name : number,
            d->commands[0][i], d->commands[1][i]);
    }
}

static void put_device(struct stats *t, const struct device_stats *d)
{
    put(t, "%s\n", d->label);
    put(t, "  %" PRIu64 " message%s, %" PRIu64 " bytes of frames, %" PRIu64 " connection%s, %" PRIu64 " undecoded\n",
        d->messages, d->messages == 1 ? "" : "s", d->bytes, d->connections, d->connections == 1 ? "" : "s",
        d->undecoded);
    put_commands(t, d);
    if (d->n_replies > 0)
        put(t, "  replies after %.2f ms at best, %.2f median, %.2f at 95 %%, %.2f at worst (%" PRIu64 ")\n",
            (double)d->min_ns / 1e6, percentile(d, 50), percentile(d, 95), (double)d->max_ns / 1e6, d->n_replies);
    if (d->lost_bytes + d->repeated + d->out_of_order > 0)
        put(t,
            "  TCP: %" PRIu64 " bytes lost in the capture, %" PRIu64 " segments repeated, %" PRIu64 " out of order\n",
            d->lost_bytes, d->repeated, d->out_of_order);
    for (int kind = 1; kind < N_VERDICTS; kind++)
        if (d->verdicts[kind] > 0)
            put(t, "  ! %s: %" PRIu64 "\n", verdict_name((enum verdict_kind)kind), d->verdicts[kind]);
}

static int by_label(const void *a, const void *b)
{
    return strcmp((*(struct device_stats *const *)a)->label, (*(struct device_stats *const *)b)->label);
}

static int stats_finish(struct output *o, struct why *why)
{
    struct stats *t = (struct stats *)o;
    char first[TIME_TEXT_MAX], last[TIME_TEXT_MAX];
    (void)why;
    if (t->n > 0)
        qsort(t->devices, t->n, sizeof *t->devices, by_label);
    time_text(first, t->first_ns, true);
    time_text(last, t->last_ns, true);
    if (t->first_ns > 0)
        put(t, "%s to %s, %zu device%s\n", first, last, t->n, t->n == 1 ? "" : "s");
    for (size_t i = 0; i < t->n; i++)
        put_device(t, t->devices[i]);
    return 0;
}

static void stats_free(struct output *o)
{
    struct stats *t = (struct stats *)o;
    for (size_t i = 0; i < t->n; i++)
        free(t->devices[i]);
    free(t->devices);
    free(t);
}

struct output *output_stats(struct out *out)
{
    struct stats *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->devices = calloc(DEVICES_MAX, sizeof(struct device_stats *));
    if (t->devices == NULL) {
        free(t);
        return NULL;
    }
    t->output =
        (struct output){.seen = stats_seen, .closed = stats_closed, .finish = stats_finish, .free = stats_free};
    t->out = out;
    return &t->output;
}
