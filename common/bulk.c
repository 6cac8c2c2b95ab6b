/* bulk.c - see common/bulk.h. */
#define _GNU_SOURCE /* memmem() */
#include "common/bulk.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Length of the object at p: to the bracket that closes the first one, strings passed over. 0: it does not close. */
static size_t object_len(const char *p, const char *end)
{
    size_t depth = 0;
    for (const char *at = p; at < end; at++) {
        switch (*at) {
        case '{':
        case '[': depth++; break;
        case '}':
        case ']':
            if (--depth == 0)
                return (size_t)(at - p) + 1;
            break;
        case '"':
            for (at++; at < end && *at != '"'; at++)
                at += *at == '\\';
            break;
        default: break;
        }
    }
    return 0;
}

static uint64_t hash_of(const char *p, size_t len)
{
    uint64_t h = len;
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        h = (h ^ w) * 0x9E3779B97F4A7C15u;
        h ^= h >> 29;
    }
    while (len-- > 0)
        h = (h ^ (unsigned char)*p++) * 0x100000001B3u;
    return h ^ h >> 32;
}

static bool same(const struct bulk_item *item, const char *p, const char *end)
{
    return (size_t)(end - p) >= item->text.len && memcmp(p, item->text.data, item->text.len) == 0;
}

static bool grow(struct bulk *b)
{
    if (b->n == b->cap) {
        size_t cap = b->cap == 0 ? 64 : b->cap * 2;
        struct bulk_item *items = realloc(b->items, cap * sizeof *items);
        if (items == NULL)
            return false;
        b->items = items;
        b->cap = cap;
    }
    if ((b->n + 1) * 2 <= b->n_slots)
        return true;
    size_t n_slots = b->n_slots == 0 ? 256 : b->n_slots * 2;
    uint32_t *slots = calloc(n_slots, sizeof *slots);
    if (slots == NULL)
        return false;
    for (size_t i = 0; i < b->n; i++) {
        size_t at = (size_t)b->items[i].hash & (n_slots - 1);
        while (slots[at] != 0)
            at = (at + 1) & (n_slots - 1);
        slots[at] = (uint32_t)i + 1;
    }
    free(b->slots);
    b->slots = slots;
    b->n_slots = n_slots;
    return true;
}

/* Position of this text among the items; -1: no memory. */
static int64_t intern(struct bulk *b, const char *p, size_t len)
{
    if (!grow(b))
        return -1;
    uint64_t hash = hash_of(p, len);
    size_t at = (size_t)hash & (b->n_slots - 1);
    for (; b->slots[at] != 0; at = (at + 1) & (b->n_slots - 1)) {
        const struct bulk_item *item = &b->items[b->slots[at] - 1];
        if (item->hash == hash && item->text.len == len && memcmp(item->text.data, p, len) == 0)
            return (int64_t)b->slots[at] - 1;
    }
    b->items[b->n] = (struct bulk_item){.text = {(const uint8_t *)p, len}, .hash = hash};
    b->slots[at] = (uint32_t)++b->n;
    return (int64_t)b->n - 1;
}

/* The value of a member with this name at p, if it is an object; NULL: something else stands here. In JSON a quote
 * that follows '{' or ',' begins a name: within a string it would be escaped. */
static const char *object_of(const char *p, size_t name_len, const char *begin, const char *end)
{
    const char *before = p;
    while (before > begin && is_space(before[-1]))
        before--;
    if (before == begin || (before[-1] != '{' && before[-1] != ','))
        return NULL;
    const char *value = p + name_len;
    while (value < end && is_space(*value))
        value++;
    if (value == end || *value++ != ':')
        return NULL;
    while (value < end && is_space(*value))
        value++;
    return value < end && *value == '{' ? value : NULL;
}

/* The next place of each name, so that none is looked for twice; NULL: no more. */
struct finder {
    const char *mapping, *dps, *end;
};

static const char *find(const char *p, const char *end, const char *name)
{
    return p == NULL || p == end ? NULL : memmem(p, (size_t)(end - p), name, strlen(name));
}

static const char *next_name(struct finder *f, size_t *name_len, const char *p)
{
    static const char mapping[] = "\"mapping\"", dps[] = "\"dps\"";
    if (f->mapping != NULL && f->mapping < p)
        f->mapping = find(p, f->end, mapping);
    if (f->dps != NULL && f->dps < p)
        f->dps = find(p, f->end, dps);
    bool dps_first = f->dps != NULL && (f->mapping == NULL || f->dps < f->mapping);
    *name_len = dps_first ? sizeof dps - 1 : sizeof mapping - 1;
    return dps_first ? f->dps : f->mapping;
}

/* see common/bulk.h */
int bulk_take(struct bulk *b, char *out, size_t *out_len, const char *text, size_t len)
{
    const char *p = text, *end = text + len, *copied = text;
    struct finder f = {find(text, end, "\"mapping\""), find(text, end, "\"dps\""), end};
    size_t name_len, n = 0, last = 0;
    while ((p = next_name(&f, &name_len, p)) != NULL) {
        const char *value = object_of(p, name_len, text, end);
        p += name_len;
        if (value == NULL)
            continue;
        bool again = b->n > 0 && same(&b->items[last], value, end);
        size_t value_len = again ? b->items[last].text.len : object_len(value, end);
        int64_t position = again ? (int64_t)last : value_len > 0 ? intern(b, value, value_len) : 0;
        if (position < 0)
            return -1;
        char marker[32];
        size_t marker_len = (size_t)snprintf(marker, sizeof marker, "{\"\":%lld}", (long long)position);
        if (value_len < marker_len && value_len > 0) { /* {}: there is nothing to save */
            p = value + value_len;
            continue;
        }
        if (value_len == 0)
            break;
        memcpy(out + n, copied, (size_t)(value - copied));
        n += (size_t)(value - copied);
        memcpy(out + n, marker, marker_len);
        n += marker_len;
        last = (size_t)position;
        p = copied = value + value_len;
    }
    memcpy(out + n, copied, (size_t)(end - copied));
    n += (size_t)(end - copied);
    out[n] = '\0';
    *out_len = n;
    return 0;
}

/* see common/bulk.h */
struct bulk_item *bulk_item_of(const struct bulk *b, const cJSON *value)
{
    const cJSON *number = cJSON_IsObject(value) ? value->child : NULL;
    if (number == NULL || number->string == NULL || number->string[0] != '\0' || !cJSON_IsNumber(number))
        return NULL;
    return number->valuedouble >= 0 && number->valuedouble < (double)b->n ? &b->items[number->valueint] : NULL;
}

void bulk_free(struct bulk *b)
{
    free(b->items);
    free(b->slots);
    *b = (struct bulk){0};
}
