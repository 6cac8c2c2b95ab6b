/* fleet_write.c - the devices.json of a fleet, for clients; see fleet.h. */
#include <stdio.h>
#include <stdlib.h>
#include "fleet_internal.h"

enum { TUYA_PORT = 6668 }; /* TuyaOpen tuya_lan.c */

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
                      const struct device_child *child, const struct shape *shape, const char *ip, uint16_t port)
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
    if (child == NULL && port != 0 && port != TUYA_PORT) {
        tw_text_put(t, "        \"port\": ");
        tw_text_put_int(t, port);
        tw_text_put(t, ",\n");
    }
    tw_text_put(t, "        \"version\": \"");
    tw_text_put(t, child != NULL ? "" : tw_version_traits(d->version)->name);
    tw_text_put(t, "\"\n    }");
}

static void put_devices(struct tw_text *t, const struct fleet *f, fleet_endpoint *endpoint, void *ctx)
{
    struct last_mapping last = {NULL, 0, 0};
    tw_text_put(t, "[\n");
    for (size_t i = 0; i < f->n; i++) {
        const struct device *d = &f->devices[i];
        char ip[64];
        uint16_t port = 0;
        if (endpoint != NULL)
            endpoint(ctx, d, ip, &port);
        if (i > 0)
            tw_text_put(t, ",\n");
        put_entry(t, &last, d, NULL, &d->profile->shape, endpoint != NULL ? ip : d->ip, port);
        for (size_t k = 0; k < d->n_children; k++) {
            tw_text_put(t, ",\n");
            put_entry(t, &last, d, &d->children[k], &d->profile->children[k].shape, "", 0);
        }
    }
    tw_text_put(t, "\n]\n");
}

/* see fleet.h. Source of the shape: TinyTuya wizard, 2025. */
char *fleet_write_devices(const struct fleet *f, fleet_endpoint *endpoint, void *ctx, size_t *len)
{
    for (size_t cap = 8192 + f->n * 2560;; cap *= 2) {
        struct tw_text t = {.data = malloc(cap), .cap = cap - 1};
        if (t.data == NULL)
            return NULL;
        put_devices(&t, f, endpoint, ctx);
        if (!t.overflow) {
            t.data[t.len] = '\0';
            *len = t.len;
            return t.data;
        }
        free(t.data);
    }
}
