/* fleet.c - who is there; see fleet.h. */
#include "fleet_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "arena.h"
#include "hash.h"

enum { SOURCE_ID = 10, SOURCE_KEY, SOURCE_CHILD, SOURCE_NAME };

/* Where an id leads: a device, or with child > 0 its sub-device child - 1. */
struct slot {
    uint32_t device; /* position + 1; 0: free */
    uint32_t child;
};

struct fleet_store {
    struct arena arena;
    struct slot *slots;
    size_t n_slots, n_used; /* a power of two, at most three quarters full */
    size_t cap;             /* devices there is room for */
};

/* ---- index ---- */

uint64_t fleet_hash_text(struct tw_span s)
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
    for (size_t i = (size_t)fleet_hash_text(id) & (st->n_slots - 1);; i = (i + 1) & (st->n_slots - 1)) {
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
    if ((st->n_used + 1) * 4 <= st->n_slots * 3)
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

bool fleet_id_is_good(const char *id)
{
    size_t n = 0;
    for (; id[n] != '\0'; n++) {
        if (id[n] <= ' ' || id[n] > '~' || n == DEVICE_ID_MAX)
            return false;
    }
    return n > 0;
}

bool fleet_has_id(const struct fleet *f, struct tw_span id)
{
    return find_slot(f, id)->device != 0;
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

int fleet_reserve(struct fleet *f, size_t n)
{
    struct fleet_store *st = f->store;
    if (f->n + n <= st->cap)
        return 0;
    struct device *devices = realloc(f->devices, (f->n + n) * sizeof *devices);
    if (devices == NULL)
        return -1;
    f->devices = devices;
    st->cap = f->n + n;
    return 0;
}

int fleet_add_device(struct fleet *f, const struct device *in, const char *const *child_ids, struct why *why)
{
    struct fleet_store *st = f->store;
    if (!fleet_id_is_good(in->id))
        return why_set(why, "\"%.40s\" is no device id: expected 1 to 64 printable characters without blanks",
                       in->id);
    if (fleet_has_id(f, span_of(in->id)))
        return why_set(why, "the id %s appears twice", in->id);
    if (fleet_reserve(f, 1) != 0)
        return why_set(why, "out of memory");
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
    return fleet_add_device(f, &d, NULL, why);
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
    if (fleet_reserve(f, n) != 0)
        return why_set(why, "out of memory");
    for (size_t i = 0; i < n; i++) {
        char id[23], name[64];
        do /* two equal ids among 2^80 would be a wonder, but not an error */
            make_id(id, hash_key(seed, f->n, SOURCE_ID), attempt++, profile->id_length);
        while (fleet_has_id(f, span_of(id)));
        attempt = 0;
        make_name(name, seed, f->n, profile->shape.category);
        struct device d = {.id = id, .name = name, .profile = profile};
        d.version = mix_next(mix, owed, profile->version);
        make_key(d.key, seed, f->n);
        if (fleet_add_device(f, &d, NULL, why) != 0)
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
