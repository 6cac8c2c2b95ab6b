/* directory.c - see directory.h. */
#include "directory.h"
#include <stdlib.h>
#include <string.h>
#include "common/cold.h"

enum {
    N_PLACES = 1024,
    ANNOUNCED_ID_MAX = 40,
    ID_TRIES = 64,       /* messages of one connection that are searched for a device id; our choice */
    HOUSEHOLD_MAX = 1000 /* keys that are compared with each other; more than a household: our choice */
};

/* What was last seen at an address. */
struct place {
    struct ip_address address;
    uint16_t port; /* 0: what an announcement said, for any port */
    bool has_version;
    enum tw_version version;
    size_t key_index; /* or TW_NO_INDEX */
    uint8_t id[ANNOUNCED_ID_MAX];
    uint8_t id_len; /* 0: unknown */
};

struct directory {
    const tw_keyring *ring;
    const struct devices *devices;
    const size_t *entry_of_key;
    bool keys_are_shared; /* several devices have the same key: only a message can tell them apart */
    struct place places[N_PLACES];
};

static bool has_shared_keys(const tw_keyring *ring)
{
    size_t n = tw_keyring_size(ring);
    for (size_t i = 0; i < n && n <= HOUSEHOLD_MAX; i++)
        for (size_t j = i + 1; j < n; j++)
            if (memcmp(tw_keyring_get(ring, i).key, tw_keyring_get(ring, j).key, TW_KEY_LEN) == 0)
                return true;
    return n > HOUSEHOLD_MAX; /* assume it */
}

struct directory *directory_new(const tw_keyring *ring, const struct devices *devices, const size_t *entry_of_key)
{
    struct directory *d = calloc(1, sizeof *d);
    if (d == NULL)
        return NULL;
    d->ring = ring;
    d->devices = devices;
    d->entry_of_key = entry_of_key;
    d->keys_are_shared = has_shared_keys(ring);
    return d;
}

void directory_free(struct directory *d)
{
    free(d);
}

const struct devices_entry *directory_device(const struct directory *d, struct tw_span id)
{
    return d->devices != NULL && id.len > 0 ? devices_by_id(d->devices, id) : NULL;
}

const struct devices_entry *directory_owner(const struct directory *d, const struct devices_entry *device,
                                            struct tw_span id, struct tw_span cid)
{
    return d->devices == NULL || cid.len == 0 ? device : devices_owner(d->devices, id, cid);
}

static const struct devices_entry *device_of_key(const struct directory *d, size_t key_index)
{
    if (d->devices == NULL || d->entry_of_key == NULL || key_index == TW_NO_INDEX)
        return NULL;
    size_t i = d->entry_of_key[key_index];
    return i != TW_NO_INDEX ? &d->devices->entries[i] : NULL;
}

/* ---- Addresses ---------------------------------------------------------------------------------------------------- */

static size_t place_of(const struct ip_address *a, uint16_t port)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < sizeof a->bytes; i++)
        h = (h ^ a->bytes[i]) * 16777619u;
    return ((h ^ port) * 16777619u >> 8) % N_PLACES;
}

static const struct place *find_place(const struct directory *d, const struct ip_address *a, uint16_t port)
{
    const struct place *p = &d->places[place_of(a, port)];
    bool same = p->address.version == a->version && p->port == port &&
                memcmp(p->address.bytes, a->bytes, sizeof a->bytes) == 0;
    return same ? p : NULL;
}

static void put_place(struct directory *d, const struct place *p)
{
    d->places[place_of(&p->address, p->port)] = *p;
}

void directory_announced(struct directory *d, const struct ip_address *a, const struct tw_discovery *disc)
{
    struct place p = {.address = *a, .key_index = TW_NO_INDEX};
    if (disc->is_request || disc->gw_id.len == 0 || disc->gw_id.len > sizeof p.id)
        return;
    memcpy(p.id, disc->gw_id.data, disc->gw_id.len);
    p.id_len = (uint8_t)disc->gw_id.len;
    const struct place *old = find_place(d, a, 0);
    bool shared = old != NULL && (old->id_len != p.id_len || memcmp(old->id, p.id, p.id_len) != 0);
    if (shared)
        p.id_len = 0; /* several devices at one address: a simulator, or a relay; the address tells nothing */
    p.has_version =
        !shared && tw_version_parse(&p.version, (const char *)disc->version.data, disc->version.len) == TW_OK;
    put_place(d, &p);
}

/* ---- Connections -------------------------------------------------------------------------------------------------- */

void who_init(struct who *w)
{
    *w = (struct who){.key_index = TW_NO_INDEX};
}

static COLD bool set_id(struct who *w, const struct directory *d, struct tw_span id)
{
    if (id.len == 0 || id.len > sizeof w->id_text)
        return false;
    memcpy(w->id_text, id.data, id.len);
    w->id = (struct tw_span){(const uint8_t *)w->id_text, id.len};
    w->device = directory_device(d, w->id);
    return true;
}

bool who_learn_key(struct who *w, const struct directory *d, size_t key_index)
{
    if (key_index == TW_NO_INDEX || key_index == w->key_index)
        return false;
    w->key_index = key_index;
    struct tw_keyring_entry e = tw_keyring_get(d->ring, key_index);
    if (e.id.len > 0 && !w->id_proven) {
        w->id = e.id;
        w->id_proven = true;
        w->device = device_of_key(d, key_index);
    }
    return true;
}

bool who_wants_body(const struct who *w, const struct directory *d)
{
    return w->id_tries < ID_TRIES && (!w->id_proven || d->keys_are_shared);
}

COLD bool who_learn_body(struct who *w, const struct directory *d, const struct tw_body *body)
{
    w->id_tries++;
    struct tw_span id = body->dev_id.len > 0 ? body->dev_id : body->gw_id;
    if (id.len == 0)
        return false;
    bool believed = !w->id_proven || (d->keys_are_shared && directory_device(d, id) != NULL);
    w->id_proven = true;
    w->id_tries = ID_TRIES;
    return believed && set_id(w, d, id);
}

void who_remember(struct who *w, struct directory *d, const struct tcp_endpoint *e, enum tw_version version)
{
    if (w->remembered && w->remembered_key == w->key_index && w->remembered_version == version)
        return;
    w->remembered = true;
    w->remembered_key = w->key_index;
    w->remembered_version = version;
    const struct place p = {
        .address = e->address, .port = e->port, .has_version = true, .version = version, .key_index = w->key_index};
    put_place(d, &p);
}

COLD void who_recall(struct who *w, const struct directory *d, const struct tcp_endpoint *e, struct who_hint *hint)
{
    const struct place *announced = find_place(d, &e->address, 0);
    const struct place *talked = find_place(d, &e->address, e->port);
    if (announced != NULL && announced->id_len > 0) {
        struct tw_span id = {announced->id, announced->id_len};
        hint->key_index = tw_keyring_find(d->ring, id);
        if (announced->has_version)
            hint->version = &announced->version;
        set_id(w, d, id);
    }
    if (talked != NULL && hint->key_index == TW_NO_INDEX)
        hint->key_index = talked->key_index;
    if (talked != NULL && hint->version == NULL)
        hint->version = &talked->version;
}
