/* ready.c - see ready.h. */
#include "ready.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEVICES_MAX = 100 }; /* listed; a larger fleet has its --devices-out */

static void put_key(struct tw_text *t, const uint8_t key[TW_KEY_LEN])
{
    bool printable = true;
    for (size_t i = 0; i < TW_KEY_LEN; i++)
        printable = printable && key[i] >= 0x20 && key[i] < 0x7F;
    if (printable) {
        tw_text_put_string(t, (struct tw_span){key, TW_KEY_LEN});
        return;
    }
    char hex[2 * TW_KEY_LEN + 7] = "\"hex:";
    for (size_t i = 0; i < TW_KEY_LEN; i++)
        snprintf(hex + 5 + 2 * i, 3, "%02x", key[i]);
    tw_text_put(t, hex);
    tw_text_put(t, "\"");
}

static void put_text(struct tw_text *t, const char *s)
{
    tw_text_put_string(t, (struct tw_span){(const uint8_t *)s, strlen(s)});
}

static void put_device(struct tw_text *t, const struct server *s, const struct device *d)
{
    char ip[64];
    uint16_t port;
    server_endpoint(s, d, ip, &port);
    tw_text_put(t, "{\"id\":");
    put_text(t, d->id);
    tw_text_put(t, ",\"name\":");
    put_text(t, d->name);
    tw_text_put(t, ",\"key\":");
    put_key(t, d->key);
    tw_text_put(t, ",\"version\":");
    put_text(t, tw_version_name(d->version));
    tw_text_put(t, ",\"profile\":");
    put_text(t, d->profile->name);
    tw_text_put(t, ",\"ip\":");
    put_text(t, ip);
    tw_text_put(t, ",\"port\":");
    tw_text_put_int(t, port);
    tw_text_put(t, "}");
}

static void put_line(struct tw_text *t, const struct server *s, const char *control)
{
    const struct server_config *cfg = server_config(s);
    const struct fleet *f = cfg->fleet;
    size_t n = f->n < DEVICES_MAX ? f->n : DEVICES_MAX;
    char ip[64];
    uint16_t port = 0;
    server_endpoint(s, &f->devices[0], ip, &port);
    tw_text_put(t, "{\"event\":\"ready\",\"pid\":");
    tw_text_put_int(t, getpid());
    tw_text_put(t, ",\"listen\":");
    put_text(t, cfg->listen);
    tw_text_put(t, ",\"port\":");
    tw_text_put_int(t, port);
    tw_text_put(t, ",\"control\":");
    if (control != NULL)
        put_text(t, control);
    else
        tw_text_put(t, "null");
    tw_text_put(t, ",\"seed\":");
    tw_text_put_int(t, (int64_t)cfg->seed);
    tw_text_put(t, ",\"device_count\":");
    tw_text_put_int(t, (int64_t)f->n);
    tw_text_put(t, ",\"devices\":[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            tw_text_put(t, ",");
        put_device(t, s, &f->devices[i]);
    }
    tw_text_put(t, "]}\n");
}

char *ready_line(const struct server *s, const char *control, size_t *len)
{
    for (size_t cap = 64 * 1024;; cap *= 2) {
        struct tw_text t = {.data = malloc(cap), .cap = cap};
        if (t.data == NULL)
            return NULL;
        put_line(&t, s, control);
        if (!t.overflow) {
            *len = t.len;
            return t.data;
        }
        free(t.data);
    }
}
