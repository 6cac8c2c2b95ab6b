/* store.c - see store.h. */
#include "store.h"
#include <stdlib.h>
#include <string.h>

static size_t place_of(const struct store *s, uint32_t id)
{
    size_t at = 0;
    while (at < s->n && s->dps[at].id < id)
        at++;
    return at;
}

static int put(struct store *s, uint32_t id, struct tw_span text)
{
    size_t at = place_of(s, id);
    bool is_new = at == s->n || s->dps[at].id != id;
    char *copy = is_new && s->n == STORE_DPS_MAX ? NULL : malloc(text.len + 1);
    if (copy == NULL)
        return -1;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    if (is_new) {
        if (s->n == s->cap) {
            size_t cap = s->cap == 0 ? 32 : 2 * s->cap;
            struct store_dp *dps = realloc(s->dps, cap * sizeof *dps);
            if (dps == NULL) {
                free(copy);
                return -1;
            }
            s->dps = dps;
            s->cap = cap;
        }
        memmove(s->dps + at + 1, s->dps + at, (s->n - at) * sizeof *s->dps);
        s->dps[at] = (struct store_dp){.id = id};
        s->n++;
    }
    free(s->dps[at].text);
    s->dps[at].text = copy;
    s->dps[at].len = text.len;
    s->dps[at].heard = s->clock;
    return 0;
}

int store_merge(struct store *s, struct tw_span dps)
{
    struct tw_dp dp;
    size_t pos = 0;
    int rc = 0;
    s->clock++;
    while (tw_dps_next(&dp, &pos, dps)) {
        if (put(s, dp.id, dp.value.text) != 0)
            rc = -1;
    }
    return rc;
}

const struct store_dp *store_find(const struct store *s, uint32_t id)
{
    size_t at = place_of(s, id);
    return at < s->n && s->dps[at].id == id ? &s->dps[at] : NULL;
}

struct tw_span store_text(const struct store_dp *dp)
{
    return (struct tw_span){(const uint8_t *)dp->text, dp->len};
}

struct tw_value store_value(const struct store_dp *dp)
{
    struct tw_value value = {.type = TW_VALUE_NULL};
    (void)tw_json_value(&value, store_text(dp)); /* out of a body that was parsed */
    return value;
}

void store_free(struct store *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->dps[i].text);
    free(s->dps);
    *s = (struct store){0};
}
