/* show.c - see show.h. */
#include "show.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/utf8.h"

static struct {
    bool json, colour;
} setup;

void show_setup(bool json, bool colour)
{
    setup.json = json;
    setup.colour = colour && !json;
}

void show_flush(void)
{
    int code = say_flush(EXIT_CODE_OK);
    if (code != EXIT_CODE_OK)
        exit(code);
}

bool show_is_json(void)
{
    return setup.json;
}

void show_colour(enum show_colour c)
{
    static const char *const codes[] = {"\x1b[0m", "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[1m"};
    if (setup.colour)
        fputs(codes[c], stdout);
}

enum units_family show_family(const struct session *s)
{
    char *room = malloc(65536);
    struct tw_text t = {.data = room, .cap = 65536};
    enum units_family family = UNITS_FAMILY_UNKNOWN;
    if (room != NULL) {
        tw_text_put(&t, "{");
        for (size_t i = 0; i < s->store.n; i++) {
            const struct store_dp *dp = &s->store.dps[i];
            tw_text_put(&t, i == 0 ? "\"" : ",\"");
            tw_text_put_int(&t, dp->id);
            tw_text_put(&t, "\":");
            tw_text_put_span(&t, store_text(dp));
        }
        tw_text_put(&t, "}");
        if (!t.overflow)
            family = units_family_of((struct tw_span){(const uint8_t *)room, t.len});
        free(room);
    }
    if (family == UNITS_FAMILY_UNKNOWN && s->target.entry != NULL)
        family = units_family_of_category(s->target.entry->category);
    return family;
}

struct meaning show_meaning(const struct devices_entry *device, enum units_family family, uint32_t dp_id)
{
    const struct devices_dp *mapped = device != NULL ? devices_dp(device, dp_id) : NULL;
    if (mapped != NULL) {
        /* Lists often lack the unit of energy and such; the standard code knows it. */
        const struct units_dp *known = units_by_code(mapped->code);
        const char *unit = mapped->unit[0] != '\0' || known == NULL ? mapped->unit : known->unit;
        return (struct meaning){.code = mapped->code, .unit = unit, .scale = mapped->scale};
    }
    const struct units_dp *known = units_by_id(family, dp_id);
    if (known != NULL)
        return (struct meaning){.code = known->code, .unit = known->unit, .scale = known->scale};
    return (struct meaning){.code = "", .unit = "", .scale = 0};
}

void show_clean(const char *text, size_t len)
{
    for (size_t i = 0, n; i < len; i += n) {
        n = utf8_visible_len((const uint8_t *)text + i, len - i);
        fwrite(n > 0 ? text + i : ".", 1, n > 0 ? n : 1, stdout);
        n = n > 0 ? n : 1;
    }
}

void show_json(const char *text, size_t len)
{
    /* Below U+0020 a control character in valid JSON is a blank between tokens; above it stands in a string. */
    for (size_t i = 0, n; i < len; i += n) {
        n = utf8_json_control((const uint8_t *)text + i, len - i);
        if (n > 0)
            printf("\\u00%02x", (unsigned char)text[i + n - 1]);
        else
            putchar((unsigned char)text[i] < 0x20 ? ' ' : text[i]);
        n = n > 0 ? n : 1;
    }
}

void show_string_len(const char *text, size_t len)
{
    static const char stranger[] = "\xef\xbf\xbd"; /* U+FFFD */
    size_t cap = 6 * 3 * len + 2;                  /* every byte as \u00xx, and the quotes */
    uint8_t *utf8 = malloc(3 * len + 1);
    char *room = malloc(cap);
    struct tw_text t = {.data = room, .cap = cap};
    size_t at = 0;
    for (size_t i = 0, n; utf8 != NULL && room != NULL && i < len; i += n) {
        n = utf8_len((const uint8_t *)text + i, len - i);
        memcpy(utf8 + at, n > 0 ? text + i : stranger, n > 0 ? n : 3);
        at += n > 0 ? n : 3;
        n = n > 0 ? n : 1;
    }
    if (utf8 != NULL && room != NULL) {
        tw_text_put_string(&t, (struct tw_span){utf8, at});
        show_json(room, t.len);
    }
    free(utf8);
    free(room);
}

void show_string(const char *text)
{
    show_string_len(text, strlen(text));
}

void show_hex(FILE *out, struct tw_span bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        fprintf(out, "%02x", bytes.data[i]);
}

void show_begin(const struct session *s)
{
    show_begin_about(s, (struct tw_span){(const uint8_t *)s->target.cid, strlen(s->target.cid)}, s->target.entry);
}

void show_begin_about(const struct session *s, struct tw_span cid, const struct devices_entry *device)
{
    fputs("{\"device\":", stdout);
    if (s->target.id[0] != '\0')
        show_string(s->target.id);
    else
        fputs("null", stdout);
    if (cid.len > 0) {
        fputs(",\"cid\":", stdout);
        show_string_len((const char *)cid.data, cid.len);
    }
    if (device != NULL && device->name[0] != '\0') {
        fputs(",\"name\":", stdout);
        show_string(device->name);
    }
}

void show_end(void)
{
    fputs("}\n", stdout);
    show_flush();
}

void show_dps_json(const struct session *s, uint64_t since)
{
    const char *comma = "";
    fputs(",\"dps\":{", stdout);
    for (size_t i = 0; i < s->store.n; i++) {
        const struct store_dp *dp = &s->store.dps[i];
        if (dp->heard <= since)
            continue;
        printf("%s\"%u\":", comma, (unsigned)dp->id);
        show_json(dp->text, dp->len);
        comma = ",";
    }
    fputs("}", stdout);
}

void show_value(const struct devices_entry *device, enum units_family family, uint32_t dp_id, struct tw_span json)
{
    struct tw_value v = {.type = TW_VALUE_NULL};
    struct meaning m = show_meaning(device, family, dp_id);
    char number[UNITS_NUMBER_MAX];
    (void)tw_json_value(&v, json); /* out of a body that was parsed */
    switch (v.type) {
    case TW_VALUE_BOOL:
        show_colour(v.boolean ? SHOW_GOOD : SHOW_DIM);
        fputs(v.boolean ? "on" : "off", stdout);
        show_colour(SHOW_PLAIN);
        break;
    case TW_VALUE_INTEGER:
        units_scale(number, v.text, m.scale);
        printf("%s%s%s", number, m.unit[0] != '\0' ? " " : "", m.unit);
        break;
    default: show_clean((const char *)json.data, json.len); break;
    }
}

void show_table(const struct session *s, uint64_t since)
{
    enum units_family family = show_family(s);
    size_t width = 0;
    for (size_t i = 0; i < s->store.n; i++) {
        size_t len = strlen(show_meaning(s->target.entry, family, s->store.dps[i].id).code);
        width = len > width ? len : width;
    }
    for (size_t i = 0; i < s->store.n; i++) {
        const struct store_dp *dp = &s->store.dps[i];
        if (dp->heard <= since)
            continue;
        show_colour(SHOW_BOLD);
        printf("%5u", (unsigned)dp->id);
        show_colour(SHOW_PLAIN);
        printf("  ");
        if (width > 0)
            printf("%-*s  ", (int)width, show_meaning(s->target.entry, family, dp->id).code);
        show_value(s->target.entry, family, dp->id, store_text(dp));
        putchar('\n');
    }
    show_flush();
}
