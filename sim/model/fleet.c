/* fleet.c - who is there; see fleet.h. */
#include "fleet.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "arena.h"
#include "hash.h"
#include "plug_internal.h"
#include "profile_store.h"

enum { SOURCE_ID = 10, SOURCE_KEY, SOURCE_CHILD, SOURCE_NAME };
enum { ID_MAX = 64 };

/* Where an id leads: a device, or with child > 0 its sub-device child - 1. */
struct slot {
    uint32_t device; /* position + 1; 0: free */
    uint32_t child;
};

struct fleet_store {
    struct arena arena;
    struct slot *slots;
    size_t n_slots, n_used; /* a power of two, at most half full */
    size_t cap;             /* devices there is room for */
};

static struct tw_span span_of(const char *s)
{
    return (struct tw_span){(const uint8_t *)s, strlen(s)};
}

/* ---- index ---- */

static uint64_t hash_text(struct tw_span s)
{
    uint64_t h = s.len;
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ s.data[i]) * 0x100000001B3u; /* FNV-1a */
    return hash_mix(h);
}

static const char *slot_id(const struct fleet *f, const struct slot *s)
{
    const struct device *d = &f->devices[s->device - 1];
    return s->child == 0 ? d->id : d->children[s->child - 1].id;
}

/* The slot of this id, or the free one where it would stand. */
static struct slot *find_slot(const struct fleet *f, struct tw_span id)
{
    const struct fleet_store *st = f->store;
    for (size_t i = (size_t)hash_text(id) & (st->n_slots - 1);; i = (i + 1) & (st->n_slots - 1)) {
        struct slot *s = &st->slots[i];
        if (s->device == 0)
            return s;
        const char *known = slot_id(f, s);
        if (strlen(known) == id.len && memcmp(known, id.data, id.len) == 0)
            return s;
    }
}

/* Room for one more id; false: no memory. */
static bool grow_index(struct fleet *f)
{
    struct fleet_store *st = f->store;
    if ((st->n_used + 1) * 2 <= st->n_slots)
        return true;
    size_t old_n = st->n_slots;
    struct slot *old = st->slots, *slots = calloc(old_n * 2, sizeof *slots);
    if (slots == NULL)
        return false;
    st->slots = slots;
    st->n_slots = old_n * 2;
    for (size_t i = 0; i < old_n; i++) {
        if (old[i].device != 0)
            *find_slot(f, span_of(slot_id(f, &old[i]))) = old[i];
    }
    free(old);
    return true;
}

/* @return false: no memory, or the id is taken by another */
static bool index_id(struct fleet *f, const char *id, uint32_t device, uint32_t child)
{
    if (!grow_index(f))
        return false;
    struct slot *s = find_slot(f, span_of(id));
    if (s->device != 0)
        return false;
    *s = (struct slot){device, child};
    f->store->n_used++;
    return true;
}

/* see fleet.h */
struct device *fleet_find(const struct fleet *f, struct tw_span id)
{
    const struct slot *s = find_slot(f, id);
    return s->device != 0 && s->child == 0 ? &f->devices[s->device - 1] : NULL;
}

/* see fleet.h */
struct plug *fleet_find_plug(const struct fleet *f, struct tw_span id)
{
    const struct slot *s = find_slot(f, id);
    if (s->device == 0)
        return NULL;
    const struct device *d = &f->devices[s->device - 1];
    return s->child == 0 ? d->plug : d->children[s->child - 1].plug;
}

/* ---- life ---- */

/* see fleet.h */
int fleet_init(struct fleet *f, uint64_t seed, int64_t epoch_s)
{
    enum { FIRST_SLOTS = 64 };
    *f = (struct fleet){.world = {seed, epoch_s}, .store = calloc(1, sizeof *f->store)};
    if (f->store == NULL)
        return -1;
    f->store->slots = calloc(FIRST_SLOTS, sizeof *f->store->slots);
    f->store->n_slots = FIRST_SLOTS;
    if (f->store->slots != NULL)
        return 0;
    fleet_free(f);
    return -1;
}

static void wipe(volatile uint8_t *p, size_t len)
{
    while (len-- > 0)
        *p++ = 0;
}

static void free_device(struct device *d)
{
    wipe(d->key, sizeof d->key);
    for (size_t i = 0; i < d->n_children; i++)
        plug_free(d->children[i].plug);
    plug_free(d->plug);
    profile_unref(d->profile);
}

/* see fleet.h */
void fleet_free(struct fleet *f)
{
    for (size_t i = 0; i < f->n; i++)
        free_device(&f->devices[i]);
    free(f->devices);
    if (f->store != NULL) {
        arena_free(&f->store->arena);
        free(f->store->slots);
        free(f->store);
    }
    *f = (struct fleet){0};
}

static bool printable(const char *s)
{
    for (; *s != '\0'; s++) {
        if (*s <= ' ' || *s > '~')
            return false;
    }
    return true;
}

/* 22 characters: "bf" and 20 hex digits; 20 characters: 8 digits and 12 hex digits of a MAC address, as the first
 * generation has them. Source: ids in the logs of TuyaAPI issue 268 and TinyTuya issue 506. */
static void make_id(char out[23], uint64_t key, uint64_t n, uint32_t length)
{
    uint64_t a = hash_at(key, 2 * n), b = hash_at(key, 2 * n + 1);
    if (length == 20)
        snprintf(out, 23, "%08u%012llx", (unsigned)(a % 100000000u), (unsigned long long)(b >> 16));
    else
        snprintf(out, 23, "bf%016llx%04x", (unsigned long long)a, (unsigned)(b & 0xffff));
}

/* Number for the chance of a sub-device: apart from those of devices. */
static uint32_t child_number(uint32_t number, size_t child)
{
    return (uint32_t)hash_mix((uint64_t)number << 16 ^ (child + 1)) | 0x80000000u;
}

/* ids: of the sub-devices, "" or NULL where there is none. */
static int make_plugs(struct fleet *f, struct device *d, const char *const *ids)
{
    const struct profile *p = d->profile;
    if (plug_new(&d->plug, &p->shape, &f->world, d->number, 0) != 0)
        return -1;
    if (p->n_children == 0)
        return 0;
    d->children = arena_alloc(&f->store->arena, p->n_children * sizeof *d->children);
    for (size_t i = 0; d->children != NULL && i < p->n_children; i++) {
        struct device_child *c = &d->children[i];
        c->cid = p->children[i].cid;
        c->name = p->children[i].name;
        char id[23];
        make_id(id, hash_key(f->world.seed, d->number, SOURCE_CHILD), i, 22);
        c->id = arena_text(&f->store->arena, ids != NULL && ids[i][0] != '\0' ? ids[i] : id);
        if (plug_new(&c->plug, &p->children[i].shape, &f->world, child_number(d->number, i), 0) != 0)
            return -1;
        d->n_children = i + 1;
    }
    return d->children != NULL ? 0 : -1;
}

/* fleet_add() with what only a user's file knows. */
static int add(struct fleet *f, const struct device *in, const char *const *child_ids, struct why *why)
{
    struct fleet_store *st = f->store;
    if (in->id[0] == '\0' || strlen(in->id) > ID_MAX || !printable(in->id))
        return why_set(why, "\"%.40s\" is no device id: expected 1 to 64 printable characters without blanks",
                       in->id);
    if (find_slot(f, span_of(in->id))->device != 0)
        return why_set(why, "the id %s appears twice", in->id);
    if (f->n == st->cap) {
        size_t cap = st->cap == 0 ? 1 : st->cap * 2;
        struct device *devices = realloc(f->devices, cap * sizeof *devices);
        if (devices == NULL)
            return why_set(why, "out of memory");
        f->devices = devices;
        st->cap = cap;
    }
    struct device *d = &f->devices[f->n];
    *d = *in;
    d->number = (uint32_t)f->n;
    d->id = arena_text(&st->arena, in->id);
    d->name = arena_text(&st->arena, in->name);
    d->ip = arena_text(&st->arena, in->ip);
    profile_ref(d->profile);
    if (make_plugs(f, d, child_ids) != 0 || st->arena.failed) {
        free_device(d);
        return why_set(why, "out of memory");
    }
    f->n++;
    if (!index_id(f, d->id, (uint32_t)f->n, 0)) {
        free_device(&f->devices[--f->n]);
        return why_set(why, "out of memory");
    }
    for (size_t i = 0; i < d->n_children; i++)
        index_id(f, d->children[i].id, (uint32_t)f->n, (uint32_t)i + 1); /* taken: the first one keeps it */
    return 0;
}

/* see fleet.h */
int fleet_add(struct fleet *f, const struct profile *profile, const char *id, const char *name,
              const uint8_t key[TW_KEY_LEN], enum tw_version version, struct why *why)
{
    struct device d = {.id = id, .name = name, .version = version, .profile = profile};
    memcpy(d.key, key, TW_KEY_LEN);
    return add(f, &d, NULL, why);
}

/* ---- generated ---- */

/* see fleet.h */
int fleet_mix_parse(struct fleet_mix *out, const char *text, struct why *why)
{
    struct fleet_mix mix = {.n = 0};
    for (const char *p = text;; p++) {
        size_t len = strcspn(p, ":,");
        unsigned long weight = 1;
        char *end = (char *)(uintptr_t)p + len;
        if (mix.n == TW_N_VERSIONS || tw_version_parse(&mix.parts[mix.n].version, p, len) != TW_OK)
            return why_set(why, "\"%.40s\": expected 3.1 to 3.5, or a mix like 3.3:40,3.4:40,3.5:20", text);
        if (*end == ':')
            weight = end[1] >= '0' && end[1] <= '9' ? strtoul(end + 1, &end, 10) : 0;
        if (weight == 0 || weight > 1000000 || (*end != ',' && *end != '\0'))
            return why_set(why, "\"%.40s\": a share is a whole number from 1 to 1000000", text);
        for (size_t i = 0; i < mix.n; i++) {
            if (mix.parts[i].version == mix.parts[mix.n].version)
                return why_set(why, "\"%.40s\": a version appears twice", text);
        }
        mix.parts[mix.n++].weight = (uint32_t)weight;
        if (*end == '\0')
            break;
        p = end;
    }
    *out = mix;
    return 0;
}

/* The version whose turn it is: the one that is owed most. */
static enum tw_version mix_next(const struct fleet_mix *mix, int64_t owed[TW_N_VERSIONS], enum tw_version otherwise)
{
    if (mix == NULL || mix->n == 0)
        return otherwise;
    int64_t total = 0;
    size_t best = 0;
    for (size_t i = 0; i < mix->n; i++) {
        owed[i] += mix->parts[i].weight;
        total += mix->parts[i].weight;
        if (owed[i] > owed[best])
            best = i;
    }
    owed[best] -= total;
    return mix->parts[best].version;
}

static void make_key(uint8_t out[TW_KEY_LEN], uint64_t seed, uint64_t n)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    uint64_t key = hash_key(seed, n, SOURCE_KEY);
    for (size_t i = 0; i < TW_KEY_LEN; i++)
        out[i] = (uint8_t)letters[hash_range(hash_at(key, i), 0, sizeof letters - 2)];
}

static void make_name(char out[64], uint64_t seed, size_t n, const char *category)
{
    static const char *const rooms[] = {"Kitchen", "Living room", "Bedroom", "Bathroom", "Office",  "Hall",
                                        "Cellar",  "Garage",      "Attic",   "Garden",   "Laundry", "Workshop"};
    static const char *const things[][2] = {{"cz", "plug"},     {"pc", "strip"},     {"dlq", "meter"},
                                            {"zndb", "meter"},  {"dj", "lamp"},      {"kg", "switch"},
                                            {"wg2", "gateway"}, {"wgsxj", "gateway"}};
    const char *thing = "plug";
    for (size_t i = 0; i < sizeof things / sizeof things[0]; i++) {
        if (strcmp(things[i][0], category) == 0)
            thing = things[i][1];
    }
    size_t room = hash_range(hash_key(seed, n, SOURCE_NAME), 0, sizeof rooms / sizeof rooms[0] - 1);
    snprintf(out, 64, "%s %s %zu", rooms[room], thing, n + 1);
}

/* see fleet.h */
int fleet_generate(struct fleet *f, const struct profile *profile, size_t n, const struct fleet_mix *mix,
                   struct why *why)
{
    int64_t owed[TW_N_VERSIONS] = {0};
    uint64_t seed = f->world.seed, attempt = 0;
    for (size_t i = 0; i < n; i++) {
        char id[23], name[64];
        do /* two equal ids among 2^80 would be a wonder, but not an error */
            make_id(id, hash_key(seed, f->n, SOURCE_ID), attempt++, profile->id_length);
        while (find_slot(f, span_of(id))->device != 0);
        attempt = 0;
        make_name(name, seed, f->n, profile->shape.category);
        struct device d = {.id = id, .name = name, .profile = profile};
        d.version = mix_next(mix, owed, profile->version);
        make_key(d.key, seed, f->n);
        if (add(f, &d, NULL, why) != 0)
            return -1;
    }
    return 0;
}

/* ---- one device ---- */

/* see fleet.h */
struct plug *device_plug(const struct device *d, struct tw_span cid)
{
    if (cid.len == 0)
        return d->plug;
    for (size_t i = 0; i < d->n_children; i++) {
        if (strlen(d->children[i].cid) == cid.len && memcmp(d->children[i].cid, cid.data, cid.len) == 0)
            return d->children[i].plug;
    }
    return NULL;
}

/* see fleet.h */
void device_advance(struct device *d, uint64_t now_ms)
{
    plug_advance(d->plug, now_ms);
    for (size_t i = 0; i < d->n_children; i++)
        plug_advance(d->children[i].plug, now_ms);
}

/* see fleet.h */
uint64_t device_deadline(const struct device *d)
{
    uint64_t at = plug_deadline(d->plug);
    for (size_t i = 0; i < d->n_children; i++) {
        uint64_t mine = plug_deadline(d->children[i].plug);
        if (mine < at)
            at = mine;
    }
    return at;
}

/* see fleet.h */
void device_power_cycle(struct device *d, uint64_t now_ms)
{
    plug_power_cycle(d->plug, now_ms);
    for (size_t i = 0; i < d->n_children; i++)
        plug_power_cycle(d->children[i].plug, now_ms);
}

/* ---- the user's house ---- */

/* Profiles that were made, by what they were made of. */
struct made {
    uint64_t hash;
    const struct devices_entry *entry; /* the first of its kind */
    const char *values;
    const struct profile *profile;
};

struct house {
    struct fleet *f;
    const struct devices *devices, *snapshot; /* snapshot may be NULL */
    struct problems *problems;
    struct made *made; /* hash table */
    size_t n_made, n_slots;
    const struct devices_dp *last_dps; /* and its hash */
    uint64_t last_hash;
    const struct devices_entry **subs; /* those behind a gateway, sorted by it */
    size_t n_subs;
};

static uint64_t hash_more(uint64_t h, const char *s)
{
    return hash_mix(h ^ hash_text(span_of(s)));
}

static uint64_t hash_mapping(const struct devices_entry *e)
{
    uint64_t h = e->has_mapping;
    for (size_t i = 0; i < e->n_dps; i++) {
        const struct devices_dp *dp = &e->dps[i];
        h = hash_more(hash_more(h ^ dp->id, dp->code), dp->unit);
        h = hash_mix(h ^ (uint64_t)dp->type ^ (uint64_t)dp->scale << 8 ^ (uint64_t)dp->has_range << 16);
        h = hash_mix(h ^ (uint64_t)dp->min) ^ hash_mix((uint64_t)dp->max + 1) ^ (uint64_t)dp->step;
        h = hash_mix(h ^ (uint64_t)dp->max_len);
        for (size_t k = 0; k < dp->n_labels; k++)
            h = hash_more(h, dp->labels[k]);
    }
    return h;
}

/* Of everything that goes into a shape. Devices that share a mapping mostly follow one another. */
static uint64_t hash_entry(struct house *house, const struct devices_entry *e, struct tw_span values)
{
    if (house->last_dps == NULL || house->last_dps != e->dps) {
        house->last_dps = e->dps;
        house->last_hash = hash_mapping(e);
    }
    uint64_t h = hash_more(hash_more(hash_more(house->last_hash, e->category), e->product_id), e->product_name);
    h ^= strlen(e->id) == 20;
    struct tw_dp v;
    for (size_t pos = 0; tw_dps_next(&v, &pos, values) == 1;)
        h = hash_mix(h ^ v.id << 3 ^ (uint64_t)v.value.type);
    return h == 0 ? 1 : h;
}

/* Two devices with one 64-bit hash are one kind: there are far fewer than 2^32 kinds in a house. */
static int profile_for(const struct profile **out, struct house *h, const struct devices_entry *e,
                       struct tw_span values)
{
    if ((h->n_made + 1) * 2 > h->n_slots) {
        size_t n = h->n_slots == 0 ? 64 : h->n_slots * 2;
        struct made *made = calloc(n, sizeof *made);
        if (made == NULL)
            return -1;
        for (size_t i = 0; i < h->n_slots; i++) {
            size_t at = (size_t)h->made[i].hash & (n - 1);
            while (h->made[i].hash != 0 && made[at].hash != 0)
                at = (at + 1) & (n - 1);
            if (h->made[i].hash != 0)
                made[at] = h->made[i];
        }
        free(h->made);
        h->made = made;
        h->n_slots = n;
    }
    uint64_t hash = hash_entry(h, e, values);
    size_t at = (size_t)hash & (h->n_slots - 1);
    while (h->made[at].hash != 0 && h->made[at].hash != hash)
        at = (at + 1) & (h->n_slots - 1);
    if (h->made[at].hash == 0) {
        if (profile_of_device(&h->made[at].profile, e, values, NULL, 0) != 0)
            return -1;
        h->made[at].hash = hash;
        h->n_made++;
    }
    *out = profile_ref(h->made[at].profile);
    return 0;
}

static const struct devices_entry *in_snapshot(const struct house *h, const struct devices_entry *e)
{
    return h->snapshot != NULL ? devices_by_id(h->snapshot, span_of(e->id)) : NULL;
}

static struct tw_span values_of(const struct house *h, const struct devices_entry *e)
{
    const struct devices_entry *s = in_snapshot(h, e);
    return span_of(s != NULL && s->values[0] != '\0' ? s->values : e->values);
}

static bool is_sub(const struct devices_entry *e)
{
    return e->sub || e->node_id[0] != '\0' || e->parent[0] != '\0';
}

static bool is_gateway(const struct devices_entry *e)
{
    return strcmp(profile_of_category(e->category), "zigbee-gateway") == 0;
}

/* The gateway of a sub-device: its parent, or the one with the same key. */
static const struct devices_entry *gateway_of(const struct devices *d, const struct devices_entry *sub)
{
    if (sub->parent[0] != '\0')
        return devices_by_id(d, span_of(sub->parent));
    const struct devices_entry *found = NULL;
    for (size_t i = 0; sub->key_state == DEVICES_KEY_OK && i < d->n; i++) {
        const struct devices_entry *e = &d->entries[i];
        if (is_sub(e) || e->key_state != DEVICES_KEY_OK || memcmp(e->key, sub->key, TW_KEY_LEN) != 0)
            continue;
        if (found == NULL || is_gateway(e))
            found = e;
    }
    return found;
}

static int leave_out(struct house *h, const struct devices_entry *e, const char *reason)
{
    problem_add(h->problems, "%s (%s): %s", e->id, e->name, reason);
    h->f->n_left_out++;
    return 0;
}

static int restore_values(const struct house *h, const struct devices_entry *e)
{
    struct plug *p = fleet_find_plug(h->f, span_of(e->id));
    return p == NULL ? 0 : plug_restore_all(p, values_of(h, e));
}

static int add_gateway(struct house *h, struct device *d, const struct devices_entry *e, size_t from, size_t n,
                       struct why *why)
{
    struct profile_sub *subs = calloc(n, sizeof *subs);
    const char **ids = calloc(n, sizeof *ids);
    int rc = subs != NULL && ids != NULL ? 0 : why_set(why, "out of memory");
    for (size_t i = 0; rc == 0 && i < n; i++) {
        subs[i] = (struct profile_sub){h->subs[2 * (from + i)], values_of(h, h->subs[2 * (from + i)])};
        ids[i] = subs[i].entry->id;
    }
    if (rc == 0 && profile_of_device(&d->profile, e, values_of(h, e), subs, n) != 0)
        rc = why_set(why, "out of memory");
    if (rc == 0) {
        d->version = e->has_version ? e->version : d->profile->version;
        rc = add(h->f, d, ids, why);
        profile_unref(d->profile);
    }
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = restore_values(h, subs[i].entry) == 0 ? 0 : why_set(why, "out of memory");
    free(subs);
    free(ids);
    return rc;
}

static int compare_subs(const void *a, const void *b)
{
    const struct devices_entry *const *x = a, *const *y = b;
    if (x[1] != y[1])
        return (uintptr_t)x[1] < (uintptr_t)y[1] ? -1 : 1;
    return (uintptr_t)x[0] < (uintptr_t)y[0] ? -1 : x[0] != y[0];
}

/* Pairs of sub-device and gateway, sorted by gateway, in the order of the file. */
static int collect_subs(struct house *h)
{
    const struct devices *d = h->devices;
    size_t n = 0;
    for (size_t i = 0; i < d->n; i++)
        n += is_sub(&d->entries[i]);
    h->subs = calloc(2 * n + 1, sizeof *h->subs);
    if (h->subs == NULL)
        return -1;
    for (size_t i = 0; n > 0 && i < d->n; i++) {
        const struct devices_entry *e = &d->entries[i], *gateway = is_sub(e) ? gateway_of(d, e) : NULL;
        if (!is_sub(e))
            continue;
        if (gateway == NULL || is_sub(gateway)) {
            leave_out(h, e, "a sub-device, and no gateway with its parent's id or with its key is in the list");
            continue;
        }
        h->subs[2 * h->n_subs] = e;
        h->subs[2 * h->n_subs++ + 1] = gateway;
    }
    qsort(h->subs, h->n_subs, 2 * sizeof *h->subs, compare_subs);
    return 0;
}

static size_t first_sub(const struct house *h, const struct devices_entry *gateway)
{
    size_t low = 0, high = h->n_subs;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((uintptr_t)h->subs[2 * middle + 1] < (uintptr_t)gateway)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int add_entry(struct house *h, const struct devices_entry *e, struct why *why)
{
    struct why key_why;
    if (is_sub(e))
        return 0; /* comes with its gateway */
    if (devices_key_check(e, &key_why) != 0)
        return leave_out(h, e,
                         e->key_state == DEVICES_KEY_ABSENT ? "it has no key" : "its key is not 16 characters long");
    if (find_slot(h->f, span_of(e->id))->device != 0)
        return leave_out(h, e, "its id appears twice");
    if (!printable(e->id) || strlen(e->id) > ID_MAX)
        return leave_out(h, e, "its id is no device id");
    const struct devices_entry *s = in_snapshot(h, e);
    struct device d = {.id = e->id, .name = e->name, .ip = e->ip[0] || s == NULL ? e->ip : s->ip};
    memcpy(d.key, e->key, TW_KEY_LEN);
    size_t from = first_sub(h, e), n = 0;
    while (from + n < h->n_subs && h->subs[2 * (from + n) + 1] == e)
        n++;
    if (n > 0)
        return add_gateway(h, &d, e, from, n, why);
    if (profile_for(&d.profile, h, e, values_of(h, e)) != 0)
        return why_set(why, "out of memory");
    d.version = e->has_version ? e->version : s != NULL && s->has_version ? s->version : d.profile->version;
    int rc = add(h->f, &d, NULL, why);
    profile_unref(d.profile);
    return rc != 0 ? rc : restore_values(h, e) == 0 ? 0 : why_set(why, "out of memory");
}

/* see fleet.h */
int fleet_from_files(struct fleet *f, const struct devices *devices, const struct devices *snapshot,
                     struct problems *problems, struct why *why)
{
    if (devices == NULL) {
        devices = snapshot;
        snapshot = NULL;
    }
    struct house h = {.f = f, .devices = devices, .snapshot = snapshot, .problems = problems};
    size_t before = f->n;
    int rc = collect_subs(&h) == 0 ? 0 : why_set(why, "out of memory");
    for (size_t i = 0; rc == 0 && i < devices->n; i++)
        rc = add_entry(&h, &devices->entries[i], why);
    for (size_t i = 0; rc == 0 && snapshot != NULL && i < snapshot->n; i++) {
        const struct devices_entry *e = &snapshot->entries[i];
        if (devices_by_id(devices, span_of(e->id)) == NULL && e->key_state == DEVICES_KEY_OK)
            rc = add_entry(&h, e, why);
    }
    for (size_t i = 0; i < h.n_slots; i++)
        profile_unref(h.made[i].profile);
    free(h.made);
    free(h.subs);
    if (rc == 0 && f->n == before)
        rc = why_set(why, "none of the %zu devices in the list can be simulated: %.200s", devices->n, problems->text);
    return rc;
}

/* see fleet.h */
int fleet_from_devices(struct fleet *f, const struct devices *devices, struct problems *problems, struct why *why)
{
    return fleet_from_files(f, devices, NULL, problems, why);
}

/* ---- devices.json ---- */

static void put(struct tw_text *t, const char *name, const char *value)
{
    tw_text_put(t, "        \"");
    tw_text_put(t, name);
    tw_text_put(t, "\": ");
    tw_text_put_string(t, span_of(value));
    tw_text_put(t, ",\n");
}

/* A key of any bytes: as text where it is text, in hex where it is not. */
static void put_key(struct tw_text *t, const uint8_t key[TW_KEY_LEN])
{
    bool text = true;
    for (size_t i = 0; i < TW_KEY_LEN; i++)
        text = text && key[i] >= ' ' && key[i] <= '~';
    tw_text_put(t, "        \"key\": ");
    if (text) {
        tw_text_put_string(t, (struct tw_span){key, TW_KEY_LEN});
    } else {
        char hex[2 * TW_KEY_LEN + 5] = "hex:";
        for (size_t i = 0; i < TW_KEY_LEN; i++)
            snprintf(hex + 4 + 2 * i, 3, "%02x", key[i]);
        tw_text_put_string(t, span_of(hex));
    }
    tw_text_put(t, ",\n");
}

/* The mapping that was written last, and where: most devices have the same. */
struct last_mapping {
    const struct shape *shape;
    size_t begin, end;
};

static void put_mapping(struct tw_text *t, struct last_mapping *last, const struct shape *shape)
{
    size_t begin = t->len;
    if (last->shape == shape && !t->overflow)
        tw_text_put_span(t, (struct tw_span){(const uint8_t *)t->data + last->begin, last->end - last->begin});
    else
        shape_write_mapping(t, shape);
    *last = (struct last_mapping){shape, begin, t->len};
}

static void put_entry(struct tw_text *t, struct last_mapping *last, const struct device *d,
                      const struct device_child *child, const struct shape *shape, const char *ip)
{
    char mac[18];
    snprintf(mac, sizeof mac, "02:00:%02x:%02x:%02x:%02x", (unsigned)(d->number >> 24),
             (unsigned)(d->number >> 16 & 255), (unsigned)(d->number >> 8 & 255), (unsigned)(d->number & 255));
    tw_text_put(t, "    {\n");
    put(t, "name", child != NULL ? child->name : d->name);
    put(t, "id", child != NULL ? child->id : d->id);
    put_key(t, d->key);
    put(t, "mac", child != NULL ? "" : mac);
    put(t, "category", shape->category);
    put(t, "product_name", shape->product_name);
    put(t, "product_id", shape->product_id);
    put(t, "model", "");
    tw_text_put(t, child != NULL ? "        \"sub\": true,\n" : "        \"sub\": false,\n");
    if (child != NULL) {
        put(t, "node_id", child->cid);
        put(t, "parent", d->id);
    }
    tw_text_put(t, "        \"mapping\": ");
    put_mapping(t, last, shape);
    tw_text_put(t, ",\n");
    put(t, "ip", child != NULL ? "" : ip);
    tw_text_put(t, "        \"version\": \"");
    tw_text_put(t, child != NULL ? "" : tw_version_traits(d->version)->name);
    tw_text_put(t, "\"\n    }");
}

static void put_devices(struct tw_text *t, const struct fleet *f, const char *const *ip, size_t n_ip)
{
    struct last_mapping last = {NULL, 0, 0};
    tw_text_put(t, "[\n");
    for (size_t i = 0; i < f->n; i++) {
        const struct device *d = &f->devices[i];
        const char *address = ip == NULL || n_ip == 0 ? d->ip : ip[i < n_ip ? i : n_ip - 1];
        if (i > 0)
            tw_text_put(t, ",\n");
        put_entry(t, &last, d, NULL, &d->profile->shape, address);
        for (size_t k = 0; k < d->n_children; k++) {
            tw_text_put(t, ",\n");
            put_entry(t, &last, d, &d->children[k], &d->profile->children[k].shape, address);
        }
    }
    tw_text_put(t, "\n]\n");
}

/* see fleet.h. Source of the shape: TinyTuya wizard, 2025. */
char *fleet_write_devices(const struct fleet *f, const char *const *ip, size_t n_ip, size_t *len)
{
    for (size_t cap = 8192 + f->n * 2560;; cap *= 2) {
        struct tw_text t = {.data = malloc(cap), .cap = cap - 1};
        if (t.data == NULL)
            return NULL;
        put_devices(&t, f, ip, n_ip);
        if (!t.overflow) {
            t.data[t.len] = '\0';
            *len = t.len;
            return t.data;
        }
        free(t.data);
    }
}
