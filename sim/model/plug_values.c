/* plug_values.c - the data points of a plug: how they are kept, and how they are written. Contracts are in plug.h and
 * plug_internal.h. */
#include <stdlib.h>
#include <string.h>
#include "common/base64.h"
#include "plug_internal.h"

static bool readable(const struct plug *p, size_t pos)
{
    return (plug_flags(p)[pos] & DP_KNOWN) != 0 && p->shape->dps[pos].access != DP_WO;
}

void plug_due(struct plug *p, size_t pos)
{
    if (!readable(p, pos) || (plug_flags(p)[pos] & DP_DUE) != 0 || !plug_own(p))
        return;
    uint8_t *flags = &plug_flags(p)[pos];
    *flags |= DP_DUE;
    p->n_due++;
}

static struct tw_span text_of(const struct plug *p, size_t pos)
{
    const struct dp_spec *dp = &p->shape->dps[pos];
    if ((plug_flags(p)[pos] & DP_TEXT) != 0)
        return (struct tw_span){(const uint8_t *)p->texts[pos]->text, p->texts[pos]->len};
    if (dp->type == DP_STRING || dp->type == DP_RAW)
        return (struct tw_span){(const uint8_t *)dp->text, dp->text_len};
    return (struct tw_span){0};
}

int64_t plug_number(const struct plug *p, size_t pos)
{
    if ((plug_flags(p)[pos] & DP_TEXT) == 0)
        return p->values[pos];
    const struct value_text *v = p->texts[pos];
    int64_t n = 0;
    bool negative = v->len > 0 && v->text[0] == '-';
    for (size_t i = negative; i < v->len && v->text[i] >= '0' && v->text[i] <= '9' && n < INT64_MAX / 10 - 1; i++)
        n = n * 10 + (v->text[i] - '0');
    return negative ? -n : n;
}

/* @return 1: differs from before; 0: the same; -1: no memory */
int plug_store_text(struct plug *p, size_t pos, struct tw_span json)
{
    struct tw_span old = text_of(p, pos);
    if (old.len == json.len && json.len > 0 && memcmp(old.data, json.data, json.len) == 0)
        return 0;
    if (!plug_own(p))
        return -1;
    if (p->texts == NULL && (p->texts = calloc(p->shape->n_dps, sizeof *p->texts)) == NULL)
        return -1;
    struct value_text *v = malloc(sizeof *v + json.len);
    if (v == NULL)
        return -1;
    v->len = (uint32_t)json.len;
    memcpy(v->text, json.data, json.len);
    free(p->texts[pos]);
    p->texts[pos] = v;
    plug_flags(p)[pos] |= DP_TEXT;
    int64_t n = plug_number(p, pos); /* not what it was before: a relay of "off" is open, whatever it was */
    p->values[pos] = n < INT32_MIN ? INT32_MIN : n > INT32_MAX ? INT32_MAX : (int32_t)n;
    return 1;
}

/* @return as plug_store_text() */
int plug_store_number(struct plug *p, size_t pos, int64_t value)
{
    if (value < INT32_MIN || value > INT32_MAX) {
        char digits[24];
        struct tw_text t = {.data = digits, .cap = sizeof digits};
        tw_text_put_int(&t, value);
        return plug_store_text(p, pos, (struct tw_span){(const uint8_t *)digits, t.len});
    }
    if ((plug_flags(p)[pos] & DP_TEXT) == 0 && p->values[pos] == value)
        return 0;
    if (!plug_own(p))
        return -1;
    uint8_t *flags = &plug_flags(p)[pos];
    *flags &= (uint8_t)~DP_TEXT;
    p->values[pos] = (int32_t)value;
    return 1;
}

static void after_report(struct plug *p, size_t pos, bool changed)
{
    if (!plug_own(p))
        return;
    uint8_t *flags = &plug_flags(p)[pos];
    changed |= (*flags & DP_KNOWN) == 0;
    *flags |= DP_KNOWN;
    if (changed)
        plug_due(p, pos);
}

void plug_report(struct plug *p, size_t pos, int64_t value, bool always)
{
    const struct dp_spec *dp = &p->shape->dps[pos];
    if (dp->type == DP_INTEGER && value > dp->max)
        value = dp->max;
    if (dp->type == DP_INTEGER && value < dp->min)
        value = dp->min;
    after_report(p, pos, plug_store_number(p, pos, value) > 0 || always);
}

int plug_report_text(struct plug *p, size_t pos, struct tw_span json, bool always)
{
    int changed = plug_store_text(p, pos, json);
    if (changed >= 0)
        after_report(p, pos, changed > 0 || always);
    return changed < 0 ? -1 : 0;
}

/* Digits of a number without printf: this is the path of every reply. @return behind the last one */
static char *put_digits(char *out, int32_t value)
{
    char reversed[12];
    uint32_t v = value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
    size_t n = 0;
    do
        reversed[n++] = (char)('0' + v % 10);
    while ((v /= 10) != 0);
    if (value < 0)
        *out++ = '-';
    while (n > 0)
        *out++ = reversed[--n];
    return out;
}

/* What stands for a value, if it needs no digits. */
static struct tw_span word_of(const struct plug *p, size_t pos)
{
    static const struct tw_span truth[] = {{(const uint8_t *)"false", 5}, {(const uint8_t *)"true", 4}},
                                none = {(const uint8_t *)"\"\"", 2};
    const struct dp_spec *dp = &p->shape->dps[pos];
    struct tw_span text = text_of(p, pos);
    if (text.len > 0)
        return text;
    if (dp->type == DP_BOOL)
        return truth[p->values[pos] != 0];
    if (dp->type == DP_ENUM)
        return (uint32_t)p->values[pos] < dp->n_range ? dp->words[p->values[pos]] : none;
    return (struct tw_span){0};
}

void plug_put_value(const struct plug *p, struct tw_text *t, size_t pos)
{
    char digits[12];
    struct tw_span word = word_of(p, pos);
    if (word.len == 0)
        word = (struct tw_span){(const uint8_t *)digits, (size_t)(put_digits(digits, p->values[pos]) - digits)};
    tw_text_put_span(t, word);
}

size_t plug_bytes(const struct plug *p, size_t pos, uint8_t out[PLUG_BYTES_MAX])
{
    char text[PLUG_BYTES_MAX / 3 * 4 + 16];
    struct tw_text t = {.data = text, .cap = sizeof text};
    plug_put_value(p, &t, pos);
    return t.overflow || t.len < 2 ? 0 : base64_decode(out, PLUG_BYTES_MAX, text + 1, t.len - 2);
}

static void put_member(const struct plug *p, struct tw_text *t, size_t pos, size_t n_before)
{
    enum { DIGITS_MAX = 11 };
    const struct dp_spec *dp = &p->shape->dps[pos];
    struct tw_span word = word_of(p, pos);
    if (t->overflow || t->cap - t->len < 1u + sizeof dp->key + DIGITS_MAX + word.len) { /* tight: step by step */
        tw_text_put(t, n_before > 0 ? "," : "");
        tw_text_put(t, dp->key);
        plug_put_value(p, t, pos);
        return;
    }
    char *at = t->data + t->len;
    if (n_before > 0)
        *at++ = ',';
    memcpy(at, dp->key, sizeof dp->key); /* of fixed size, and there is room: the key is shorter */
    at += dp->key_len;
    if (word.len == 0) {
        at = put_digits(at, p->values[pos]);
    } else {
        memcpy(at, word.data, word.len);
        at += word.len;
    }
    t->len = (size_t)(at - t->data);
}

/* see plug.h */
size_t plug_write(const struct plug *p, struct tw_text *t)
{
    size_t n = 0;
    tw_text_put(t, "{");
    for (size_t i = 0; i < p->shape->n_dps; i++) {
        if (readable(p, i))
            put_member(p, t, i, n++);
    }
    tw_text_put(t, "}");
    return n;
}

/* see plug.h */
size_t plug_write_ids(const struct plug *p, struct tw_text *t, const uint32_t *ids, size_t n_ids)
{
    size_t n = 0;
    bool wanted[256] = {false};
    for (size_t i = 0; i < n_ids; i++) {
        if (ids[i] < 256)
            wanted[ids[i]] = true;
    }
    tw_text_put(t, "{");
    for (size_t i = 0; i < p->shape->n_dps; i++) {
        if (wanted[p->shape->dps[i].id] && readable(p, i))
            put_member(p, t, i, n++);
    }
    tw_text_put(t, "}");
    return n;
}

/* see plug.h */
bool plug_write_value(const struct plug *p, struct tw_text *t, uint32_t id)
{
    const struct dp_spec *dp = shape_dp(p->shape, id);
    if (dp == NULL || !readable(p, (size_t)(dp - p->shape->dps)))
        return false;
    plug_put_value(p, t, (size_t)(dp - p->shape->dps));
    return true;
}

/* see plug.h */
bool plug_has_due(const struct plug *p)
{
    return p->n_due > 0;
}

/* see plug.h */
size_t plug_take_due(struct plug *p, struct tw_text *t, size_t max)
{
    if (p->n_due == 0)
        return 0;
    uint8_t *flags = plug_flags(p);
    size_t n = 0, last = 0;
    tw_text_put(t, "{");
    for (size_t i = 0; i < p->shape->n_dps && (max == 0 || n < max); i++) {
        if ((flags[i] & DP_DUE) != 0) {
            put_member(p, t, i, n++);
            last = i;
        }
    }
    tw_text_put(t, "}");
    if (t->overflow)
        return 0;
    for (size_t i = 0; i <= last; i++)
        flags[i] &= (uint8_t)~DP_DUE;
    p->n_due = (uint16_t)(p->n_due - n);
    return n;
}

/* see plug.h */
void plug_mark(struct plug *p, uint32_t id)
{
    const struct dp_spec *dp = shape_dp(p->shape, id);
    if (dp != NULL)
        plug_due(p, (size_t)(dp - p->shape->dps));
}

/* see plug.h */
void plug_drop_due(struct plug *p)
{
    uint8_t *flags = plug_flags(p);
    for (size_t i = 0; p->n_due > 0 && i < p->shape->n_dps; i++)
        flags[i] &= (uint8_t)~DP_DUE;
    p->n_due = 0;
}

/* see plug.h */
void plug_hide(struct plug *p, uint32_t id)
{
    const struct dp_spec *dp = shape_dp(p->shape, id);
    if (dp == NULL || !plug_own(p))
        return;
    uint8_t *flags = &plug_flags(p)[dp - p->shape->dps];
    if ((*flags & DP_DUE) != 0)
        p->n_due--;
    *flags &= (uint8_t) ~(DP_KNOWN | DP_DUE);
}
