/* meaning.c - names, units and scales of data points, strings, and times as text. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "common/units.h"
#include "common/utf8.h"
#include "output.h"

static bool is_of_sub_device(const struct seen *s)
{
    return s->has_body && s->body.cid.len > 0 && (s->owner == NULL || s->owner != s->device);
}

const struct devices_entry *sub_device_of(const struct seen *s)
{
    return is_of_sub_device(s) ? s->owner : NULL;
}

struct tw_span name_of_sub_device(const struct seen *s)
{
    const struct devices_entry *e = sub_device_of(s);
    return e != NULL ? (struct tw_span){(const uint8_t *)e->name, strlen(e->name)} : (struct tw_span){0};
}

static enum units_family look_for_family(const struct seen *s)
{
    enum units_family found = s->has_body ? units_family_of(s->body.dps) : UNITS_FAMILY_UNKNOWN;
    return found == UNITS_FAMILY_UNKNOWN && s->owner != NULL ? units_family_of_category(s->owner->category) : found;
}

/* A reply with many data points betrays the family; it is remembered for the pushes of single values. A sub-device speaks
 * through its gateway, whose data points are others. */
static enum units_family family_of(struct seen *s)
{
    struct conversation *c = s->conversation;
    if (c == NULL || is_of_sub_device(s))
        return look_for_family(s);
    if (c->family == UNITS_FAMILY_UNKNOWN)
        c->family = (int)look_for_family(s);
    return (enum units_family)c->family;
}

struct meaning meaning_of(struct seen *s, uint32_t dp_id)
{
    const struct devices_dp *dp = s->owner != NULL ? devices_dp(s->owner, dp_id) : NULL;
    if (dp != NULL) {
        const struct units_dp *known = dp->unit[0] == '\0' ? units_by_code(dp->code) : NULL;
        return (struct meaning){dp->code, known != NULL ? known->unit : dp->unit, dp->scale};
    }
    const struct units_dp *u = units_by_id(family_of(s), dp_id);
    if (u != NULL)
        return (struct meaning){u->code, u->unit, u->scale};
    return (struct meaning){"", "", 0};
}

static bool is_visible(struct tw_span s)
{
    for (size_t i = 0, n; i < s.len; i += n) {
        n = utf8_visible_len(s.data + i, s.len - i);
        if (n == 0)
            return false;
    }
    return true;
}

struct tw_span string_text(struct tw_span json)
{
    static char room[TW_FRAME_LENGTH_MAX];
    struct tw_span inner = {json.data + 1, json.len - 2};
    size_t len;
    if (inner.len == 0 || memchr(inner.data, '\\', inner.len) == NULL)
        return inner;
    if (tw_json_string(room, sizeof room, &len, inner) != TW_OK)
        return inner; /* half a character that UTF-8 cannot say */
    struct tw_span undone = {(const uint8_t *)room, len};
    return is_visible(undone) ? undone : inner;
}

void time_text(char out[TIME_TEXT_MAX], uint64_t time_ns, bool date)
{
    time_t seconds = (time_t)(time_ns / 1000000000u);
    struct tm tm = {0};
    char day[24] = "";
    gmtime_r(&seconds, &tm);
    if (date)
        snprintf(day, sizeof day, "%04d-%02d-%02dT", (tm.tm_year + 1900) % 10000, (tm.tm_mon + 1) % 100,
                 tm.tm_mday % 100);
    snprintf(out, TIME_TEXT_MAX, "%s%02d:%02d:%02d.%06u%s", day, tm.tm_hour % 100, tm.tm_min % 100, tm.tm_sec % 100,
             (unsigned)(time_ns % 1000000000u / 1000u), date ? "Z" : "");
}
