/* fleet_files.c - a user's own house, out of the files that TinyTuya writes; see fleet.h. */
#include <stdlib.h>
#include "fleet_internal.h"
#include "hash.h"
#include "plug_internal.h"
#include "profile_store.h"

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
    return hash_mix(h ^ fleet_hash_text(span_of(s)));
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
    return devices_cid(e)[0] != '\0';
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
        rc = fleet_add_device(h->f, d, ids, why);
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
    if (fleet_has_id(h->f, span_of(e->id)))
        return leave_out(h, e, "its id appears twice");
    if (!fleet_id_is_good(e->id))
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
    int rc = fleet_add_device(h->f, &d, NULL, why);
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
    size_t most = devices->n + (snapshot != NULL ? snapshot->n : 0);
    int rc = fleet_reserve(f, most) == 0 && collect_subs(&h) == 0 ? 0 : why_set(why, "out of memory");
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
