/* state.c - see state.h. Reading is in place (tuyawire/dps.h): 10,000 devices are 10 MB, and a tree of them would cost
 * more than everything else at start. */
#include "state.h"
#include <stdlib.h>
#include <string.h>
#include "mains.h"
#include "plug_internal.h"

/* No counter of a file is taken seriously beyond this: 1.25 GWh in mW s. Sums of such numbers stay within 64 bits. */
#define COUNTER_MAX ((int64_t)1 << 52)

static struct tw_span span_of(const char *s)
{
    return (struct tw_span){(const uint8_t *)s, strlen(s)};
}

/* ---- out ---- */

static void put_name(struct tw_text *t, const char *name)
{
    tw_text_put(t, ",\"");
    tw_text_put(t, name);
    tw_text_put(t, "\":");
}

static void put_member(struct tw_text *t, const char *name, const char *value)
{
    put_name(t, name);
    tw_text_put_string(t, span_of(value));
}

static void put_number(struct tw_text *t, const char *name, uint64_t n)
{
    put_name(t, name);
    tw_text_put_int(t, n > INT64_MAX ? INT64_MAX : (int64_t)n);
}

static void put_fraction(struct tw_text *t, uint64_t ms)
{
    const char digits[] = {'.', (char)('0' + ms / 100 % 10), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10)};
    tw_text_put_int(t, (int64_t)(ms / 1000));
    tw_text_put_span(t, (struct tw_span){(const uint8_t *)digits, sizeof digits});
}

static uint64_t unix_ms(const struct plug *p, uint64_t now_ms)
{
    return (uint64_t)p->world->epoch_s * 1000 + now_ms;
}

static void put_countdowns(struct tw_text *t, const struct plug *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->shape->n_dps; i++) {
        uint64_t end = plug_countdown_end(p, i);
        if (end == NEVER)
            continue;
        if (n++ == 0)
            tw_text_put(t, ",\"countdown\":{");
        else
            tw_text_put(t, ",");
        tw_text_put(t, p->shape->dps[i].key);
        tw_text_put(t, "[");
        tw_text_put_int(t, (int64_t)unix_ms(p, end));
        tw_text_put(t, ",");
        tw_text_put_int(t, (int64_t)(end - p->now_ms));
        tw_text_put(t, "]");
    }
    tw_text_put(t, n > 0 ? "}" : "");
}

static void put_loads(struct tw_text *t, const struct plug *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->shape->metering.n_relays; i++) {
        uint8_t relay = p->shape->metering.relays[i];
        const struct load_spec *l = meter_load(p, relay);
        if (l == NULL || l->appliance == APPLIANCE_NONE)
            continue;
        tw_text_put(t, n++ == 0 ? ",\"load\":{\"" : ",\"");
        tw_text_put_int(t, relay);
        tw_text_put(t, "\":{\"appliance\":\"");
        tw_text_put(t, appliance_name(l->appliance));
        tw_text_put(t, "\"");
        put_number(t, "mw", l->mw);
        put_number(t, "pf", l->pf_permille);
        tw_text_put(t, "}");
    }
    tw_text_put(t, n > 0 ? "}" : "");
}

static void put_meter(struct tw_text *t, const struct plug *p)
{
    struct meter_memory m = meter_remember(p);
    put_number(t, "true_mws", m.true_mws);
    put_number(t, "total_mws", m.total_mws);
    put_number(t, "increment_mws", m.increment_mws);
    put_number(t, "debt_mws", m.debt_mws);
    if (m.period_s != NEVER)
        put_number(t, "period_s", m.period_s);
    put_number(t, "mains", (uint64_t)m.mains);
    put_number(t, "readings", p->readings);
    put_loads(t, p);
}

/* "dps" and "tuyawire" of one plug. Write-only values are kept as well: the device has them. One that it began with and
 * that was made absent is null: left out, it would be back after a restart. */
static void put_plug(struct tw_text *t, const struct plug *p, const char *id)
{
    size_t n = 0;
    tw_text_put(t, ",\"dps\":{\"devId\":");
    tw_text_put_string(t, span_of(id));
    tw_text_put(t, ",\"dps\":{");
    for (size_t i = 0; i < p->shape->n_dps; i++) {
        bool known = (plug_flags(p)[i] & DP_KNOWN) != 0;
        if (!known && !p->shape->dps[i].has_initial)
            continue;
        tw_text_put(t, n++ > 0 ? "," : "");
        tw_text_put(t, p->shape->dps[i].key);
        if (known)
            plug_put_value(p, t, i);
        else
            tw_text_put(t, "null");
    }
    tw_text_put(t, "}},\"tuyawire\":{\"form\":1");
    put_countdowns(t, p);
    if (p->meter != NULL)
        put_meter(t, p);
    tw_text_put(t, "}");
}

static void put_key(struct tw_text *t, const uint8_t key[TW_KEY_LEN])
{
    bool ascii = true;
    for (size_t i = 0; i < TW_KEY_LEN; i++)
        ascii = ascii && key[i] >= ' ' && key[i] <= '~';
    put_name(t, "key");
    tw_text_put_string(t, ascii ? (struct tw_span){key, TW_KEY_LEN} : (struct tw_span){0}); /* in hex it is no text */
}

static void write_device(struct tw_text *t, const struct device *d)
{
    tw_text_put(t, "{\"id\":");
    tw_text_put_string(t, span_of(d->id));
    put_member(t, "ip", d->ip);
    put_member(t, "name", d->name);
    put_key(t, d->key);
    tw_text_put(t, ",\"mac\":\"\"");
    put_member(t, "ver", tw_version_traits(d->version)->name);
    tw_text_put(t, ",\"origin\":\"broadcast\"");
    put_plug(t, d->plug, d->id);
    for (size_t i = 0; i < d->n_children; i++) {
        const struct device_child *c = &d->children[i];
        tw_text_put(t, i == 0 ? ",\"children\":[{\"id\":" : ",{\"id\":");
        tw_text_put_string(t, span_of(c->id));
        put_member(t, "name", c->name);
        put_member(t, "node_id", c->cid);
        put_plug(t, c->plug, c->id);
        tw_text_put(t, "}");
    }
    tw_text_put(t, d->n_children > 0 ? "]}" : "}");
}

/* see state.h */
void state_write_device(struct tw_text *t, struct device *d, uint64_t now_ms)
{
    device_advance(d, now_ms);
    write_device(t, d);
}

static uint64_t fleet_ms(const struct fleet *f, uint64_t now_ms)
{
    return (uint64_t)f->world.epoch_s * 1000 + now_ms;
}

/* Plugs that nobody touched are not advanced for this: what they remember does not depend on it. */
static void bring_up(const struct fleet *f, uint64_t now_ms)
{
    for (size_t i = 0; i < f->n; i++) {
        struct device *d = &f->devices[i];
        if (d->plug->owns_values)
            plug_advance(d->plug, now_ms);
        for (size_t k = 0; k < d->n_children; k++) {
            if (d->children[k].plug->owns_values)
                plug_advance(d->children[k].plug, now_ms);
        }
    }
}

/* see state.h */
char *state_write(const struct fleet *f, uint64_t now_ms, uint64_t generation, size_t *len)
{
    bring_up(f, now_ms);
    for (size_t cap = 4096 + f->n * 1024;; cap *= 2) {
        struct tw_text t = {.data = malloc(cap), .cap = cap - 1};
        if (t.data == NULL)
            return NULL;
        tw_text_put(&t, "{\"timestamp\":");
        put_fraction(&t, fleet_ms(f, now_ms));
        put_number(&t, "generation", generation);
        tw_text_put(&t, ",\"devices\":[");
        for (size_t i = 0; i < f->n; i++) {
            tw_text_put(&t, i > 0 ? ",\n" : "\n");
            write_device(&t, &f->devices[i]);
        }
        tw_text_put(&t, "\n]}\n");
        if (!t.overflow) {
            t.data[t.len] = '\0';
            *len = t.len;
            return t.data;
        }
        free(t.data);
    }
}

/* ---- in ---- */

static bool same(struct tw_span s, const char *word)
{
    return s.len == strlen(word) && memcmp(s.data, word, s.len) == 0;
}

static bool find_member(struct tw_value *out, struct tw_span object, const char *name)
{
    struct tw_span key;
    struct tw_value v;
    bool found = false;
    for (size_t pos = 0; tw_json_next_member(&key, &v, &pos, object) == 1;) {
        if (same(key, name)) {
            *out = v;
            found = true;
        }
    }
    return found;
}

static uint64_t number_of(struct tw_span object, const char *name, uint64_t otherwise)
{
    struct tw_value v;
    bool fits =
        find_member(&v, object, name) && v.type == TW_VALUE_INTEGER && v.integer >= 0 && v.integer <= COUNTER_MAX;
    return fits ? (uint64_t)v.integer : otherwise;
}

/* A string without its quotes. Escapes stay: ids have none. */
static struct tw_span text_of(struct tw_value v)
{
    return v.type == TW_VALUE_STRING ? (struct tw_span){v.text.data + 1, v.text.len - 2} : (struct tw_span){0};
}

static void read_countdowns(struct plug *p, struct tw_span object, uint64_t now_ms)
{
    struct tw_dp dp;
    for (size_t pos = 0; tw_dps_next(&dp, &pos, object) == 1;) {
        struct tw_value end, left;
        size_t at = 0;
        if (dp.value.type != TW_VALUE_ARRAY || tw_json_next_element(&end, &at, dp.value.text) != 1 ||
            tw_json_next_element(&left, &at, dp.value.text) != 1 || end.type != TW_VALUE_INTEGER ||
            left.type != TW_VALUE_INTEGER || left.integer < 0 || left.integer > (int64_t)INT32_MAX * 1000)
            continue;
        int64_t begin = (int64_t)unix_ms(p, 0), latest = (int64_t)now_ms + left.integer;
        int64_t at_ms = end.integer < begin ? 0 : end.integer - begin;
        plug_resume_countdown(p, dp.id, (uint64_t)(at_ms < latest ? at_ms : latest));
    }
}

static void read_loads(struct plug *p, struct tw_span object)
{
    struct tw_dp dp;
    for (size_t pos = 0; tw_dps_next(&dp, &pos, object) == 1;) {
        struct tw_value name;
        char word[32] = "";
        struct load_spec l = {0};
        if (dp.value.type != TW_VALUE_OBJECT || !find_member(&name, dp.value.text, "appliance") ||
            text_of(name).len >= sizeof word)
            continue;
        if (text_of(name).len > 0)
            memcpy(word, text_of(name).data, text_of(name).len);
        if (appliance_by_name(&l.appliance, word) != 0)
            continue;
        l.mw = (uint32_t)(number_of(dp.value.text, "mw", 0) % 100000001);
        l.pf_permille = (uint16_t)(number_of(dp.value.text, "pf", 1000) % 1001);
        meter_restore_load(p, dp.id, &l);
    }
}

static void read_own(struct plug *p, struct tw_span object, uint64_t now_ms)
{
    struct tw_value v;
    if (find_member(&v, object, "countdown") && v.type == TW_VALUE_OBJECT)
        read_countdowns(p, v.text, now_ms);
    if (!p->shape->has_metering || !find_member(&v, object, "true_mws"))
        return;
    struct meter_memory m = {
        number_of(object, "true_mws", 0), number_of(object, "total_mws", 0),    number_of(object, "increment_mws", 0),
        number_of(object, "debt_mws", 0), number_of(object, "period_s", NEVER), (int)number_of(object, "mains", 0),
    };
    if (m.mains > MAINS_BROWNOUT)
        m.mains = MAINS_NORMAL;
    meter_recall(p, &m);
    uint64_t readings = number_of(object, "readings", READINGS_BY_RULE);
    p->readings = readings <= READINGS_STUCK ? (uint8_t)readings : (uint8_t)READINGS_BY_RULE;
    if (find_member(&v, object, "load") && v.type == TW_VALUE_OBJECT)
        read_loads(p, v.text);
}

/* Values stand at dps.dps or, in the scanner's JSON output, flat at dps. @return 1: some were taken; 0; -1: no memory */
static int read_plug(struct plug *p, struct tw_span entry, uint64_t now_ms)
{
    struct tw_value dps, inner, own;
    if (!find_member(&dps, entry, "dps") || dps.type != TW_VALUE_OBJECT)
        return 0;
    if (find_member(&inner, dps.text, "dps") && inner.type == TW_VALUE_OBJECT)
        dps = inner;
    if (now_ms > p->now_ms)
        plug_advance(p, now_ms);
    if (plug_restore_all(p, dps.text) != 0)
        return -1;
    meter_begin_period(p);
    if (find_member(&own, entry, "tuyawire") && own.type == TW_VALUE_OBJECT)
        read_own(p, own.text, now_ms);
    plug_drop_due(p);
    return 1;
}

/* One entry and those in its "children". @return as read_plug(); 0 if the fleet does not have it */
static int read_entry(struct fleet *f, struct tw_span entry, uint64_t now_ms, size_t *n_unknown)
{
    struct tw_value id, children, child;
    if (!find_member(&id, entry, "id") || text_of(id).len == 0)
        return 0;
    struct plug *p = fleet_find_plug(f, text_of(id));
    if (p == NULL) {
        ++*n_unknown;
        return 0;
    }
    int rc = read_plug(p, entry, now_ms);
    if (rc < 0 || !find_member(&children, entry, "children") || children.type != TW_VALUE_ARRAY)
        return rc;
    for (size_t pos = 0; rc >= 0 && tw_json_next_element(&child, &pos, children.text) == 1;) {
        p = child.type == TW_VALUE_OBJECT && find_member(&id, child.text, "id") ? fleet_find_plug(f, text_of(id))
                                                                                : NULL;
        if (p != NULL && read_plug(p, child.text, now_ms) < 0)
            rc = -1;
    }
    return rc;
}

/* Where the text stops being JSON: as far as a prefix of it could still become a value. Only for the message. */
static int not_a_snapshot(struct why *why, struct tw_span text)
{
    size_t lines = 1;
    for (size_t i = 0; i < text.len; i++)
        lines += text.data[i] == '\n';
    if (text.len == 0)
        return why_set(why, "the file is empty");
    return why_set(why, "not JSON, or cut (%zu bytes, %zu lines)", text.len, lines);
}

/* see state.h */
int state_apply(struct fleet *f, struct tw_span text, uint64_t now_ms, uint64_t *generation, size_t *n_unknown,
                struct why *why)
{
    while (text.len > 0 && strchr(" \t\r\n", text.data[text.len - 1]) != NULL)
        text.len--;
    while (text.len > 0 && strchr(" \t\r\n", text.data[0]) != NULL) {
        text.data++;
        text.len--;
    }
    if (text.len == 0 || tw_json_check(text) != TW_OK)
        return not_a_snapshot(why, text);
    struct tw_value list = {.type = TW_VALUE_ARRAY, .text = text}, entry;
    if (text.data[0] != '[' &&
        (text.data[0] != '{' || !find_member(&list, text, "devices") || list.type != TW_VALUE_ARRAY))
        return why_set(why, "no snapshot: expected an object with a list \"devices\", or a list");
    for (size_t pos = 0; tw_json_next_element(&entry, &pos, list.text) == 1;) {
        if (entry.type != TW_VALUE_OBJECT)
            return why_set(why, "no snapshot: something in the list of devices is no object");
    }
    if (generation != NULL)
        *generation = text.data[0] == '{' ? number_of(text, "generation", 0) : 0;
    size_t unknown = 0;
    int n = 0;
    for (size_t pos = 0; tw_json_next_element(&entry, &pos, list.text) == 1;) {
        int rc = read_entry(f, entry.text, now_ms, &unknown);
        if (rc < 0)
            return why_set(why, "out of memory");
        n += rc;
    }
    if (n_unknown != NULL)
        *n_unknown = unknown;
    return n;
}

/* see state.h */
int state_apply_device(struct fleet *f, struct tw_span line, uint64_t now_ms, struct why *why)
{
    if (line.len == 0 || line.data[0] != '{' || tw_json_check(line) != TW_OK)
        return why_set(why, "not a device as JSON");
    size_t unknown = 0;
    int rc = read_entry(f, line, now_ms, &unknown);
    return rc < 0 ? why_set(why, "out of memory") : unknown > 0 ? 1 : 0;
}
