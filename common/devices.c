/* devices.c - devices.json and snapshot.json; see common/devices.h.
 *
 * cJSON reads the text, one walk over each object copies what we know into one arena, and the tree is freed. Lists
 * are iterated, never indexed: cJSON_GetArrayItem() walks from the front each time. */
#include "common/devices.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "common/bulk.h"
#include "common/file.h"
#include "common/units.h"
#include "tuyawire/dps.h"
#include "tuyawire/error.h"

enum { ARENA_CHUNK = 64 * 1024, SCALE_MAX = 9 };

struct chunk {
    struct chunk *next;
    size_t used, size;
    max_align_t data[];
};

struct devices_store {
    struct chunk *chunks;
    struct devices_entry *entries;
    const struct devices_entry **by_id, **by_cid; /* sorted; of equal ones the last of the file stands first */
    struct bulk bulk;                             /* while the text is read */
    bool broken;                                  /* something that was taken out of it is not JSON */
};

static void *take(struct devices_store *s, size_t size)
{
    size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    struct chunk *c = s->chunks;
    if (c == NULL || c->size - c->used < size) {
        size_t room = size > ARENA_CHUNK ? size : ARENA_CHUNK;
        c = malloc(sizeof *c + room);
        if (c == NULL)
            return NULL;
        *c = (struct chunk){s->chunks, 0, room};
        s->chunks = c;
    }
    void *p = (char *)c->data + c->used;
    c->used += size;
    return p;
}

static const char *keep_span(struct devices_store *s, struct tw_span text)
{
    char *copy = take(s, text.len + 1);
    if (copy == NULL)
        return "";
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return copy;
}

/* A copy of text; "" for NULL and for text that does not fit into memory, which only costs a name. */
static const char *keep(struct devices_store *s, const char *text)
{
    if (text == NULL || *text == '\0')
        return "";
    size_t size = strlen(text) + 1;
    char *copy = take(s, size);
    return copy == NULL ? "" : memcpy(copy, text, size);
}

static const char *text_of(const cJSON *item)
{
    const char *text = cJSON_GetStringValue(item);
    return text == NULL ? "" : text;
}

/* A number, or a number written as a string. */
static bool number_of(int64_t *out, const cJSON *item)
{
    double d;
    if (cJSON_IsNumber(item)) {
        d = item->valuedouble;
    } else {
        char *end;
        const char *text = text_of(item);
        d = strtod(text, &end);
        if (end == text || *end != '\0')
            return false;
    }
    if (!(d >= -9e18 && d <= 9e18))
        return false;
    *out = (int64_t)d;
    return true;
}

/* --- mapping --- */

static const struct {
    const char *name;
    enum devices_dp_type type;
} type_names[] = {
    {"Boolean", DEVICES_DP_BOOLEAN}, {"Integer", DEVICES_DP_INTEGER}, {"Enum", DEVICES_DP_ENUM},
    {"Bitmap", DEVICES_DP_BITMAP},   {"Raw", DEVICES_DP_RAW},         {"String", DEVICES_DP_STRING},
    {"Json", DEVICES_DP_JSON},       {"bool", DEVICES_DP_BOOLEAN},    {"value", DEVICES_DP_INTEGER},
};

static enum devices_dp_type type_of(const cJSON *item)
{
    const char *text = text_of(item);
    for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++) {
        if (strcasecmp(text, type_names[i].name) == 0)
            return type_names[i].type;
    }
    return DEVICES_DP_UNKNOWN;
}

/* see common/devices.h */
const char *devices_dp_type_name(enum devices_dp_type type)
{
    for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++) {
        if (type_names[i].type == type)
            return type_names[i].name;
    }
    return "unknown";
}

static void read_labels(struct devices_dp *dp, struct devices_store *s, const cJSON *list)
{
    size_t n = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, list) n++;
    const char **labels = n == 0 ? NULL : take(s, n * sizeof *labels);
    if (labels == NULL)
        return;
    size_t i = 0;
    cJSON_ArrayForEach(item, list) labels[i++] = keep(s, text_of(item));
    dp->labels = labels;
    dp->n_labels = n;
}

static void read_values(struct devices_dp *dp, struct devices_store *s, const cJSON *values)
{
    if (!cJSON_IsObject(values)) /* the members of a list have no names */
        return;
    bool has_min = false, has_max = false;
    const cJSON *item;
    cJSON_ArrayForEach(item, values)
    {
        const char *name = item->string;
        int64_t n;
        if (strcmp(name, "unit") == 0)
            dp->unit = keep(s, text_of(item));
        else if (strcmp(name, "range") == 0 || strcmp(name, "label") == 0)
            read_labels(dp, s, item);
        else if (!number_of(&n, item))
            continue;
        else if (strcmp(name, "scale") == 0)
            dp->scale = n < 0 ? 0 : (n > SCALE_MAX ? SCALE_MAX : (int)n);
        else if (strcmp(name, "min") == 0)
            dp->min = n, has_min = true;
        else if (strcmp(name, "max") == 0)
            dp->max = n, has_max = true;
        else if (strcmp(name, "step") == 0)
            dp->step = n > 0 ? n : 1;
        else if (strcmp(name, "maxlen") == 0)
            dp->max_len = n < 0 ? -1 : n;
    }
    dp->has_range = has_min && has_max;
}

static uint32_t dp_id_of(const char *name)
{
    uint64_t id = 0;
    for (const char *p = name; *p != '\0' && id <= UINT32_MAX; p++) {
        if (*p < '0' || *p > '9')
            return 0;
        id = id * 10 + (uint64_t)(*p - '0');
    }
    return id <= UINT32_MAX ? (uint32_t)id : 0;
}

static void read_dp(struct devices_dp *dp, struct devices_store *s, const cJSON *entry)
{
    *dp = (struct devices_dp){
        .id = dp_id_of(entry->string), .code = "", .unit = "", .scale = -1, .step = 1, .max_len = -1};
    const cJSON *item;
    cJSON_ArrayForEach(item, entry)
    {
        if (strcmp(item->string, "code") == 0) {
            dp->code = keep(s, text_of(item));
        } else if (strcmp(item->string, "type") == 0) {
            dp->type = type_of(item);
        } else if (strcmp(item->string, "values") == 0 && cJSON_IsString(item)) {
            cJSON *inner = cJSON_Parse(item->valuestring); /* a string that holds JSON, as delivered by the cloud */
            read_values(dp, s, inner);
            cJSON_Delete(inner);
        } else if (strcmp(item->string, "values") == 0) {
            read_values(dp, s, item);
        }
    }
    if (*dp->code == '\0' && dp->id == 0)
        dp->code = keep(s, entry->string);
    if (dp->scale >= 0)
        return;
    /* The cloud did not know the values: a standard code means what it means everywhere. */
    const struct units_dp *known = *dp->unit == '\0' ? units_by_code(dp->code) : NULL;
    dp->unit = known != NULL ? known->unit : dp->unit;
    dp->scale = known != NULL ? known->scale : 0;
}

static int compare_dps(const void *a, const void *b)
{
    uint32_t x = ((const struct devices_dp *)a)->id, y = ((const struct devices_dp *)b)->id;
    return (x > y) - (x < y);
}

static void read_own_mapping(struct devices_entry *e, struct devices_store *s, const cJSON *mapping)
{
    if (!cJSON_IsObject(mapping))
        return;
    e->has_mapping = true;
    size_t n = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, mapping) n += cJSON_IsObject(item) ? 1 : 0;
    struct devices_dp *dps = n == 0 ? NULL : take(s, n * sizeof *dps);
    if (dps == NULL)
        return;
    size_t i = 0;
    cJSON_ArrayForEach(item, mapping)
    {
        if (cJSON_IsObject(item))
            read_dp(&dps[i++], s, item);
    }
    qsort(dps, n, sizeof *dps, compare_dps);
    e->dps = dps;
    e->n_dps = n;
}

/* Devices with the same mapping share what was read from it. */
static void read_mapping(struct devices_entry *e, struct devices_store *s, const cJSON *mapping)
{
    struct bulk_item *item = bulk_item_of(&s->bulk, mapping);
    if (item == NULL) {
        read_own_mapping(e, s, mapping);
        return;
    }
    if (!item->is_made) {
        cJSON *tree = cJSON_ParseWithLength((const char *)item->text.data, item->text.len);
        struct devices_entry first = {.dps = NULL};
        s->broken |= tree == NULL;
        read_own_mapping(&first, s, tree);
        cJSON_Delete(tree);
        item->made = first.dps;
        item->n_made = first.n_dps;
        item->is_made = true;
    }
    e->has_mapping = true;
    e->dps = item->made;
    e->n_dps = item->n_made;
}

/* --- one device --- */

/* The wizard's list, the cloud's own answer (which the wizard keeps, too), and what is made of that. */
static bool is_key_name(const char *name)
{
    return strcmp(name, "key") == 0 || strcmp(name, "local_key") == 0 || strcmp(name, "localKey") == 0;
}

static void read_key(struct devices_entry *e, const cJSON *item)
{
    const char *text = text_of(item);
    if (*text == '\0' && e->key_len > 0)
        return; /* under another name there is one */
    e->key_len = strlen(text);
    e->key_state = e->key_len == 0            ? DEVICES_KEY_ABSENT
                   : e->key_len == TW_KEY_LEN ? DEVICES_KEY_OK
                                              : DEVICES_KEY_LENGTH;
    if (e->key_state == DEVICES_KEY_OK)
        memcpy(e->key, text, TW_KEY_LEN);
    if (cJSON_IsString(item))
        explicit_bzero(item->valuestring, e->key_len); /* the tree is freed soon, and free() does not wipe */
}

static void read_version(struct devices_entry *e, struct devices_store *s, const cJSON *item)
{
    char number[32];
    const char *text = text_of(item);
    if (cJSON_IsNumber(item)) {
        snprintf(number, sizeof number, "%.1f", item->valuedouble);
        text = number;
    }
    if (*text == '\0')
        return;
    e->version_text = keep(s, text);
    e->has_version = tw_version_parse(&e->version, text, strlen(text)) == TW_OK;
}

/* A scan keeps the whole reply, {"dps":{"dps":{..}}}; the scanner's other output keeps the data points alone. */
static void read_values_text(struct devices_entry *e, struct devices_store *s, const cJSON *dps)
{
    const struct bulk_item *item = bulk_item_of(&s->bulk, dps);
    if (item == NULL)
        return; /* null, or {} */
    struct tw_span object = item->text, name;
    struct tw_value v;
    struct tw_dp first;
    size_t pos = 0;
    s->broken |= tw_json_check(object) != TW_OK;
    if (s->broken)
        return;
    while (tw_json_next_member(&name, &v, &pos, item->text) == 1) {
        if (name.len == 3 && memcmp(name.data, "dps", 3) == 0 && v.type == TW_VALUE_OBJECT)
            object = v.text;
    }
    pos = 0;
    if (tw_dps_next(&first, &pos, object) == 1)
        e->values = keep_span(s, object);
}

static const struct {
    const char *name;
    size_t offset;
} text_members[] = {
    {"name", offsetof(struct devices_entry, name)},
    {"ip", offsetof(struct devices_entry, ip)},
    {"mac", offsetof(struct devices_entry, mac)},
    {"uuid", offsetof(struct devices_entry, uuid)},
    {"category", offsetof(struct devices_entry, category)},
    {"product_id", offsetof(struct devices_entry, product_id)},
    {"productKey", offsetof(struct devices_entry, product_id)},
    {"product_name", offsetof(struct devices_entry, product_name)},
    {"node_id", offsetof(struct devices_entry, node_id)},
    {"parent", offsetof(struct devices_entry, parent)},
};

static bool read_text_member(struct devices_entry *e, struct devices_store *s, const cJSON *item)
{
    for (size_t i = 0; i < sizeof text_members / sizeof *text_members; i++) {
        if (strcmp(item->string, text_members[i].name) != 0)
            continue;
        const char **place = (const char **)((char *)e + text_members[i].offset);
        if (*text_of(item) != '\0')
            *place = keep(s, text_of(item));
        return true;
    }
    return false;
}

/* False: the entry has no id. */
static bool read_entry(struct devices_entry *e, struct devices_store *s, const cJSON *object)
{
    *e = (struct devices_entry){.name = "",
                                .id = "",
                                .ip = "",
                                .mac = "",
                                .uuid = "",
                                .category = "",
                                .product_id = "",
                                .product_name = "",
                                .version_text = "",
                                .node_id = "",
                                .parent = "",
                                .values = "",
                                .key_state = DEVICES_KEY_ABSENT};
    const char *gw_id = "";
    bool has_ver = false;
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        const char *name = item->string;
        int64_t port;
        if (name == NULL || read_text_member(e, s, item))
            continue;
        if (strcmp(name, "id") == 0)
            e->id = keep(s, text_of(item));
        else if (strcmp(name, "gwId") == 0)
            gw_id = text_of(item);
        else if (is_key_name(name))
            read_key(e, item);
        else if (strcmp(name, "ver") == 0 || (strcmp(name, "version") == 0 && !has_ver))
            read_version(e, s, item), has_ver = strcmp(name, "ver") == 0;
        else if (strcmp(name, "sub") == 0)
            e->sub = cJSON_IsTrue(item);
        else if (strcmp(name, "mapping") == 0)
            read_mapping(e, s, item);
        else if (strcmp(name, "dps") == 0)
            read_values_text(e, s, item);
        else if (strcmp(name, "port") == 0 && number_of(&port, item) && port > 0 && port <= 65535)
            e->port = (uint16_t)port;
    }
    if (*e->id == '\0')
        e->id = keep(s, gw_id);
    return *e->id != '\0';
}

/* --- the list --- */

static const char *id_of(const struct devices_entry *e)
{
    return e->id;
}

/* see common/devices.h */
const char *devices_cid(const struct devices_entry *e)
{
    if (e->node_id[0] != '\0')
        return e->node_id;
    return e->sub || e->parent[0] != '\0' ? e->id : "";
}

static int compare(const void *a, const void *b, const char *(*name_of)(const struct devices_entry *))
{
    const struct devices_entry *x = *(const struct devices_entry *const *)a;
    const struct devices_entry *y = *(const struct devices_entry *const *)b;
    int by_name = strcmp(name_of(x), name_of(y));
    return by_name != 0 ? by_name : (x < y) - (x > y);
}

static int compare_ids(const void *a, const void *b)
{
    return compare(a, b, id_of);
}

static int compare_cids(const void *a, const void *b)
{
    return compare(a, b, devices_cid);
}

static int read_list(struct devices *d, const cJSON *list)
{
    struct devices_store *s = d->store;
    size_t n = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, list) n++;
    s->entries = calloc(n + 1, sizeof *s->entries);
    s->by_id = calloc(n + 1, sizeof *s->by_id);
    s->by_cid = calloc(n + 1, sizeof *s->by_cid);
    if (s->entries == NULL || s->by_id == NULL || s->by_cid == NULL)
        return -1;

    cJSON_ArrayForEach(item, list)
    {
        if (read_entry(&s->entries[d->n], s, item))
            d->n++;
        else
            d->n_left_out++;
    }
    for (size_t i = 0; i < d->n; i++)
        s->by_id[i] = s->by_cid[i] = &s->entries[i];
    qsort(s->by_id, d->n, sizeof *s->by_id, compare_ids);
    qsort(s->by_cid, d->n, sizeof *s->by_cid, compare_cids);
    d->entries = s->entries;
    return 0;
}

static bool is_blank(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r' || *p == '\0'))
        p++;
    return p == end;
}

/* cJSON says where: it reads the whole text once more for that. */
static int why_not_json(struct why *why, const char *name, const char *text, size_t len)
{
    const char *at = NULL;
    cJSON *root = cJSON_ParseWithLengthOpts(text, len, &at, 0);
    if (root != NULL && is_blank(at, text + len))
        at = text; /* it is content with what we are not: text that is not UTF-8, or too deep */
    cJSON_Delete(root);
    size_t line = 1, column = 1;
    if (at == NULL || at < text || at > text + len)
        at = text;
    for (const char *p = text; p < at; p++) {
        column = *p == '\n' ? 1 : column + 1;
        line += *p == '\n';
    }
    bool at_end = at + 1 >= text + len; /* cJSON names the last byte when it wants more */
    return why_set(why, "%s, line %zu, column %zu: this is not JSON%s", name, line, column,
                   at_end ? " (does the file end in the middle?)" : "");
}

static const cJSON *list_in(const cJSON *root)
{
    if (cJSON_IsArray(root))
        return root;
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "devices");
    if (list == NULL)
        list = cJSON_GetObjectItemCaseSensitive(root, "result");
    return cJSON_IsArray(list) ? list : NULL;
}

/* The tree of a text; what is bulky stays outside, in bulk. NULL: it is not JSON, or there is no memory. */
static cJSON *tree_of(struct bulk *bulk, const char *text, size_t len)
{
    char *copy = malloc(len + 1);
    size_t n = 0;
    const char *end = NULL;
    cJSON *root = NULL;
    if (copy != NULL && bulk_take(bulk, copy, &n, text, len) == 0)
        root = cJSON_ParseWithLengthOpts(copy, n, &end, 0);
    if (root != NULL && !is_blank(end, copy + n)) {
        cJSON_Delete(root);
        root = NULL;
    }
    if (copy != NULL)
        explicit_bzero(copy, n); /* keys */
    free(copy);
    return root;
}

/* see common/devices.h */
int devices_parse(struct devices *out, const char *text, size_t len, const char *name, struct why *why)
{
    struct devices d = {.store = calloc(1, sizeof(struct devices_store))};
    cJSON *root = d.store == NULL ? NULL : tree_of(&d.store->bulk, text, len);
    const cJSON *list = list_in(root);
    int rc;
    if (d.store == NULL)
        rc = why_set(why, "%s: out of memory", name);
    else if (root == NULL)
        rc = why_not_json(why, name, text, len);
    else if (list == NULL)
        rc = why_set(why, "%s: expected a list of devices, or an object with a list \"devices\"", name);
    else if (read_list(&d, list) != 0)
        rc = why_set(why, "%s: out of memory", name);
    else if (d.store->broken)
        rc = why_not_json(why, name, text, len);
    else if (d.n == 0)
        rc = why_set(why, "%s: there is no device with an \"id\" in it", name);
    else
        rc = 0;
    cJSON_Delete(root);
    if (d.store != NULL)
        bulk_free(&d.store->bulk);
    if (rc == 0)
        *out = d;
    else
        devices_free(&d);
    return rc;
}

int devices_load(struct devices *out, const char *path, struct why *why)
{
    struct file_bytes f;
    if (file_read(&f, path, FILE_LIMIT_DEFAULT, why) != 0)
        return -1;
    int rc = devices_parse(out, f.data, f.len, strcmp(path, "-") == 0 ? "standard input" : path, why);
    file_free(&f);
    return rc;
}

void devices_free(struct devices *d)
{
    struct devices_store *s = d->store;
    if (s == NULL)
        return;
    if (s->entries != NULL)
        explicit_bzero(s->entries, d->n * sizeof *s->entries);
    for (struct chunk *c = s->chunks, *next; c != NULL; c = next) {
        next = c->next;
        free(c);
    }
    free(s->entries);
    free(s->by_id);
    free(s->by_cid);
    free(s);
    *d = (struct devices){0};
}

/* --- looking up --- */

static bool is_text(const char *text, struct tw_span s)
{
    return strlen(text) == s.len && memcmp(text, s.data, s.len) == 0;
}

/* The first place in sorted whose name is not before the one that is looked for. */
static size_t find_place(const struct devices_entry *const *sorted, size_t n,
                         const char *(*name_of)(const struct devices_entry *), struct tw_span name)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strncmp(name_of(sorted[middle]), (const char *)name.data, name.len) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* see common/devices.h */
const struct devices_entry *devices_by_id(const struct devices *d, struct tw_span id)
{
    if (d->n == 0)
        return NULL;
    size_t i = find_place(d->store->by_id, d->n, id_of, id);
    return i < d->n && is_text(d->store->by_id[i]->id, id) ? d->store->by_id[i] : NULL;
}

static const struct devices_entry *sub_device(const struct devices *d, struct tw_span gateway, struct tw_span cid)
{
    const struct devices_entry *found = NULL;
    for (size_t i = find_place(d->store->by_cid, d->n, devices_cid, cid); i < d->n; i++) {
        const struct devices_entry *e = d->store->by_cid[i];
        if (!is_text(devices_cid(e), cid))
            break;
        if (gateway.len > 0 && is_text(e->parent, gateway))
            return e;
        if (found == NULL && (gateway.len == 0 || e->parent[0] == '\0'))
            found = e;
    }
    return found;
}

/* see common/devices.h */
const struct devices_entry *devices_owner(const struct devices *d, struct tw_span id, struct tw_span cid)
{
    const struct devices_entry *speaker = id.len > 0 ? devices_by_id(d, id) : NULL;
    if (cid.len == 0 || (speaker != NULL && (is_text(speaker->id, cid) || is_text(speaker->node_id, cid))))
        return speaker;
    return d->n > 0 ? sub_device(d, id, cid) : NULL;
}

enum match { MATCH_NAME, MATCH_PREFIX };

static bool matches(const struct devices_entry *e, const char *text, enum match how)
{
    if (how == MATCH_NAME)
        return strcasecmp(e->name, text) == 0;
    size_t len = strlen(text);
    return len > 0 && (strncasecmp(e->name, text, len) == 0 || strncmp(e->id, text, len) == 0);
}

/* The only entry that matches; NULL if none does, or several do, of which *n counts and why names some. */
static const struct devices_entry *find_only(size_t *n, const struct devices *d, const char *text, enum match how,
                                             struct why *why)
{
    const struct devices_entry *found = NULL;
    char names[200] = "";
    *n = 0;
    for (size_t i = 0; i < d->n; i++) {
        const struct devices_entry *e = &d->entries[i];
        if (!matches(e, text, how))
            continue;
        found = e;
        size_t used = strlen(names);
        if (++*n <= 4)
            snprintf(names + used, sizeof names - used, "%s'%.24s' (%.24s)", used == 0 ? "" : ", ", e->name, e->id);
    }
    if (*n <= 1)
        return found;
    why_set(why, "'%s' fits %zu devices: %s%s; use the id", text, *n, names, *n > 4 ? ", ..." : "");
    return NULL;
}

/* see common/devices.h */
const struct devices_entry *devices_find(const struct devices *d, const char *text, struct why *why)
{
    const struct devices_entry *e = devices_by_id(d, (struct tw_span){(const uint8_t *)text, strlen(text)});
    for (int how = MATCH_NAME; e == NULL && how <= MATCH_PREFIX; how++) {
        size_t n;
        e = find_only(&n, d, text, (enum match)how, why);
        if (n > 1)
            return NULL;
    }
    if (e == NULL)
        why_set(why, "no device has the id or name '%s'; the list has %zu, the first is '%s'", text, d->n,
                d->n == 0 ? "" : d->entries[0].name);
    return e;
}

const struct devices_dp *devices_dp(const struct devices_entry *e, uint32_t id)
{
    struct devices_dp key = {.id = id};
    return e->n_dps == 0 ? NULL : bsearch(&key, e->dps, e->n_dps, sizeof *e->dps, compare_dps);
}

const struct devices_dp *devices_dp_by_code(const struct devices_entry *e, const char *code)
{
    for (size_t i = 0; i < e->n_dps; i++) {
        if (strcmp(e->dps[i].code, code) == 0)
            return &e->dps[i];
    }
    return NULL;
}

int devices_key_check(const struct devices_entry *e, struct why *why)
{
    const char *name = *e->name == '\0' ? e->id : e->name;
    if (e->key_state == DEVICES_KEY_ABSENT)
        return why_set(why, "'%s' has no key in the device list: run the wizard that wrote it again", name);
    if (e->key_state == DEVICES_KEY_LENGTH)
        return why_set(why, "the key of '%s' in the device list has %zu bytes, expected 16", name, e->key_len);
    return 0;
}
