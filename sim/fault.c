/* fault.c - names and options of faults; see fault.h. */
#include "fault.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "common/options.h"
#include "tuyawire/command.h"

enum { ALWAYS = 1000000 };

static const struct kind {
    const char *number, *name, *text;
    uint32_t ms, n;
} kinds[N_FAULTS] = {
#define X(id, q, name, ms, n, text) [FAULT_##id] = {q, name, text, ms, n},
    FAULT_LIST(X)
#undef X
};

const char *fault_name(enum fault_kind kind)
{
    return kinds[kind].name;
}

const char *fault_number(enum fault_kind kind)
{
    return kinds[kind].number;
}

const char *fault_text(enum fault_kind kind)
{
    return kinds[kind].text;
}

int fault_by_name(enum fault_kind *out, const char *name)
{
    if (strcmp(name, "bad_crc") == 0 || strcmp(name, "bad_hmac") == 0 || strcmp(name, "bad_tag") == 0) {
        *out = FAULT_BAD_CHECK; /* which one it is, the version decides */
        return 0;
    }
    for (int i = 0; i < N_FAULTS; i++)
        if (strcmp(kinds[i].name, name) == 0 ||
            (kinds[i].number[0] != '\0' && strcasecmp(kinds[i].number, name) == 0)) {
            *out = (enum fault_kind)i;
            return 0;
        }
    return -1;
}

void fault_spec_init(struct fault_spec *spec, enum fault_kind kind)
{
    *spec = (struct fault_spec){
        .kind = kind, .probability = ALWAYS, .count = -1, .ms = kinds[kind].ms, .n = kinds[kind].n, .command = -1};
}

static int parse_probability(uint32_t *out, const char *value, struct why *why)
{
    char *end;
    double p = strtod(value, &end);
    if (end == value || *end != '\0' || !(p >= 0.0 && p <= 1.0))
        return why_set(why, "p=%s: expected a probability from 0 to 1", value);
    *out = (uint32_t)(p * ALWAYS + 0.5);
    return 0;
}

static int parse_command(int64_t *out, const char *value, struct why *why)
{
    for (uint32_t command = 0; command < 256; command++) {
        const char *name = tw_command_name(command);
        if (name != NULL && strcasecmp(name, value) == 0) {
            *out = command;
            return 0;
        }
    }
    char *end;
    unsigned long number = strtoul(value, &end, 0);
    if (end == value || *end != '\0' || number > UINT32_MAX)
        return why_set(why, "cmd=%s: expected a command such as CONTROL or 0x07", value);
    *out = (int64_t)number;
    return 0;
}

int fault_set(struct fault_spec *spec, const char *option, const char *value, struct why *why)
{
    int64_t number;
    if (strcmp(option, "p") == 0)
        return parse_probability(&spec->probability, value, why);
    if (strcmp(option, "cmd") == 0)
        return parse_command(&spec->command, value, why);
    if (strcmp(option, "device") == 0) {
        if (strlen(value) >= sizeof spec->device)
            return why_set(why, "device=%s: no device has such a long id", value);
        strcpy(spec->device, value);
        return 0;
    }
    static const struct {
        const char *name;
        int64_t max;
    } numbers[] = {{"count", INT32_MAX}, {"skip", INT32_MAX}, {"ms", 86400000}, {"n", INT32_MAX}};
    size_t i = 0;
    while (i < sizeof numbers / sizeof numbers[0] && strcmp(numbers[i].name, option) != 0)
        i++;
    if (i == sizeof numbers / sizeof numbers[0])
        return why_set(why, "%s: unknown option; there are p, count, skip, ms, n, cmd and device", option);
    struct why reason;
    if (opt_integer(&number, value, 0, numbers[i].max, &reason) != 0)
        return why_set(why, "%s=%s: %s", option, value, reason.text);
    switch (i) {
    case 0: spec->count = number; break;
    case 1: spec->skip = (uint32_t)number; break;
    case 2: spec->ms = (uint32_t)number; break;
    default: spec->n = (uint32_t)number; break;
    }
    return 0;
}

int fault_parse(struct fault_spec *out, const char *text, struct why *why)
{
    char copy[512];
    if (strlen(text) >= sizeof copy)
        return why_set(why, "too long");
    strcpy(copy, text);
    char *options = strchr(copy, ':');
    if (options != NULL)
        *options++ = '\0';
    if (options != NULL && options[strspn(options, ",")] == '\0')
        return why_set(why, "%s: expected options behind the colon, such as p=0.5", text);
    enum fault_kind kind;
    if (fault_by_name(&kind, copy) != 0)
        return why_set(why, "%s: there is no such fault; --list-faults shows them all", copy);
    struct fault_spec spec;
    fault_spec_init(&spec, kind);
    char *rest;
    for (char *item = options != NULL ? strtok_r(options, ",", &rest) : NULL; item != NULL;
         item = strtok_r(NULL, ",", &rest)) {
        char *value = strchr(item, '=');
        if (value == NULL)
            return why_set(why, "%s: expected option=value, such as ms=500", item);
        *value++ = '\0';
        if (fault_set(&spec, item, value, why) != 0)
            return -1;
    }
    *out = spec;
    return 0;
}

void fault_format(char *out, size_t cap, const struct fault_spec *spec)
{
    struct fault_spec plain;
    fault_spec_init(&plain, spec->kind);
    size_t len = (size_t)snprintf(out, cap, "%s", kinds[spec->kind].name);
    char sep = ':';
#define PUT(differs, ...)                                                                                            \
    if ((differs) && len + 1 < cap) {                                                                                \
        out[len++] = sep;                                                                                            \
        sep = ',';                                                                                                   \
        len += (size_t)snprintf(out + len, cap - len, __VA_ARGS__);                                                  \
    }
    PUT(spec->probability != ALWAYS, "p=%" PRIu32 ".%06" PRIu32, spec->probability / ALWAYS,
        spec->probability % ALWAYS)
    PUT(spec->count >= 0, "count=%" PRId64, spec->count)
    PUT(spec->skip != 0, "skip=%" PRIu32, spec->skip)
    PUT(spec->ms != plain.ms, "ms=%" PRIu32, spec->ms)
    PUT(spec->n != plain.n, "n=%" PRIu32, spec->n)
    PUT(spec->command >= 0, "cmd=%" PRId64, spec->command)
    PUT(spec->device[0] != '\0', "device=%s", spec->device)
#undef PUT
}

void fault_list(FILE *out)
{
    fputs("--fault NAME[:option=value,...], also by number (Q06). Options of all: p=0..1 (probability), count=N\n"
          "(how often), skip=N (so many occasions first), cmd=CONTROL (only for this request), device=ID.\n\n"
          "number  name                    ms       n  what it does\n",
          out);
    for (int i = 0; i < N_FAULTS; i++) {
        char ms[16] = "-", n[16] = "-";
        if (kinds[i].ms != 0)
            snprintf(ms, sizeof ms, "%" PRIu32, kinds[i].ms);
        if (kinds[i].n != 0)
            snprintf(n, sizeof n, "%" PRIu32, kinds[i].n);
        fprintf(out, "%-6s  %-22s %6s  %6s  %s\n", kinds[i].number, kinds[i].name, ms, n, kinds[i].text);
    }
}
