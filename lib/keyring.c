/* keyring.c - what an observer knows beforehand; contract in tuyawire/observer.h. */
#include "keyring.h"
#include <stdlib.h>
#include <string.h>
#include "internal.h"
#include "tuyawire/error.h"

/* Keyed contexts that are kept ready. Our choice: more connections than this seldom talk at the same time. */
enum { N_BENCH_KEYS = 64, N_FIRST = 16 };

/* see tuyawire/observer.h */
int tw_keyring_new(tw_keyring **out)
{
    tw_keyring *k = calloc(1, sizeof *k);
    if (k == NULL)
        return TW_E_NOMEM;
    k->common_version = -1;
    k->plain = malloc(TW_FRAME_LENGTH_MAX);
    int rc = k->plain == NULL ? TW_E_NOMEM : tw_crypto_new(&k->crypto, N_BENCH_KEYS);
    if (rc != TW_OK) {
        tw_keyring_free(k);
        return rc;
    }
    *out = k;
    return TW_OK;
}

/* see tuyawire/observer.h */
void tw_keyring_free(tw_keyring *k)
{
    if (k == NULL)
        return;
    for (size_t i = 0; i < k->n; i++)
        tw__secret_free(k->keys[i], sizeof *k->keys[i]);
    free(k->keys);
    free(k->order);
    tw__secret_free(k->sessions, k->cap_sessions * sizeof *k->sessions);
    tw__secret_free(k->plain, TW_FRAME_LENGTH_MAX);
    tw_crypto_free(k->crypto);
    free(k);
}

static int reserve_key(tw_keyring *k)
{
    if (k->n < k->cap)
        return TW_OK;
    size_t cap = k->cap == 0 ? N_FIRST : 2 * k->cap;
    uint32_t *order = realloc(k->order, cap * sizeof *order);
    if (order == NULL)
        return TW_E_NOMEM;
    k->order = order;
    struct tw__local_key **keys = realloc(k->keys, cap * sizeof *keys);
    if (keys == NULL)
        return TW_E_NOMEM;
    k->keys = keys;
    k->cap = cap;
    return TW_OK;
}

/* see tuyawire/observer.h */
int tw_keyring_add(tw_keyring *k, const uint8_t key[TW_KEY_LEN], struct tw_span id, const enum tw_version *version)
{
    if (reserve_key(k) != TW_OK)
        return TW_E_NOMEM;
    struct tw__local_key *l = malloc(sizeof *l + id.len);
    if (l == NULL)
        return TW_E_NOMEM;
    memcpy(l->key, key, TW_KEY_LEN);
    l->version = version != NULL ? (int)*version : -1;
    l->id_len = id.len;
    if (id.len > 0)
        memcpy(l->id, id.data, id.len);
    k->keys[k->n] = l;
    if (k->n == 0 || k->common_version != l->version)
        k->common_version = k->n == 0 ? l->version : -1;
    k->order[k->n] = (uint32_t)k->n;
    k->n++;
    return TW_OK;
}

/* see tuyawire/observer.h */
int tw_keyring_add_session(tw_keyring *k, const struct tw_session_secret *s)
{
    const struct tw_version_traits *traits = tw_version_traits(s->version);
    if (traits == NULL || !traits->negotiates)
        return TW_E_ARGUMENT;
    if (k->n_sessions == k->cap_sessions) {
        size_t cap = k->cap_sessions == 0 ? N_FIRST : 2 * k->cap_sessions;
        struct tw_session_secret *grown =
            tw__secret_grow(k->sessions, k->cap_sessions * sizeof *grown, cap * sizeof *grown);
        if (grown == NULL)
            return TW_E_NOMEM;
        k->sessions = grown;
        k->cap_sessions = cap;
    }
    k->sessions[k->n_sessions++] = *s;
    return TW_OK;
}

/* see tuyawire/observer.h */
size_t tw_keyring_size(const tw_keyring *k)
{
    return k->n;
}

/* see tuyawire/observer.h */
size_t tw_keyring_n_sessions(const tw_keyring *k)
{
    return k->n_sessions;
}

/* see tuyawire/observer.h */
struct tw_keyring_entry tw_keyring_get(const tw_keyring *k, size_t i)
{
    const struct tw__local_key *l = k->keys[i];
    return (struct tw_keyring_entry){
        .key = l->key,
        .id = {l->id_len > 0 ? l->id : NULL, l->id_len},
        .has_version = l->version >= 0,
        .version = l->version >= 0 ? (enum tw_version)l->version : TW_V33,
    };
}

/* see tuyawire/observer.h */
size_t tw_keyring_find(const tw_keyring *k, struct tw_span id)
{
    for (size_t i = 0; id.len > 0 && i < k->n; i++) {
        const struct tw__local_key *l = k->keys[i];
        if (l->id_len == id.len && memcmp(l->id, id.data, id.len) == 0)
            return i;
    }
    return TW_NO_INDEX;
}

/* see tuyawire/observer.h */
tw_crypto *tw_keyring_crypto(tw_keyring *k)
{
    return k->crypto;
}

/* see keyring.h */
void tw__keyring_fitted(tw_keyring *k, size_t index)
{
    size_t at = 0;
    while (at < k->n && k->order[at] != index)
        at++;
    if (at == k->n)
        return;
    memmove(k->order + 1, k->order, at * sizeof *k->order);
    k->order[0] = (uint32_t)index;
}
