/* control_events.c - what happens, as server-sent events and as numbers for Prometheus. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "control_private.h"

enum { METRICS_DEVICES_MAX = 100 };

static const char *event_name(enum server_event_type type)
{
    switch (type) {
    case SERVER_CONNECTED: return "connected";
    case SERVER_DISCONNECTED: return "disconnected";
    case SERVER_MESSAGE: return "message";
    case SERVER_CHANGED: return "changed";
    case SERVER_FAULT: return "fault";
    case SERVER_RESET: return "reset";
    }
    return "unknown";
}

/* Add a span as it stands, when it is JSON text. */
static void add_raw(cJSON *o, const char *name, struct tw_span s)
{
    char *text = malloc(s.len + 1);
    if (text == NULL)
        return;
    if (s.len > 0)
        memcpy(text, s.data, s.len);
    while (s.len > 0 && text[s.len - 1] == '\n')
        s.len--;
    text[s.len] = '\0';
    cJSON_AddRawToObject(o, name, text);
    free(text);
}

static void add_text(cJSON *o, const char *name, struct tw_span s)
{
    char text[256];
    snprintf(text, sizeof text, "%.*s", (int)(s.len < sizeof text ? s.len : sizeof text - 1), (const char *)s.data);
    cJSON_AddStringToObject(o, name, text);
}

/* see control_private.h */
void control_on_event(void *ctx, const struct server_event *ev)
{
    struct control *c = ctx;
    if (!http_has_streams(c->http))
        return;
    cJSON *o = cJSON_CreateObject();
    if (ev->device != NULL)
        cJSON_AddStringToObject(o, "device", ev->device->id);
    else
        cJSON_AddNullToObject(o, "device");
    if (ev->flow != 0)
        cJSON_AddNumberToObject(o, "flow", (double)ev->flow);
    if (ev->reason != NULL)
        cJSON_AddStringToObject(o, "reason", ev->reason);
    if (ev->cid.len > 0)
        add_text(o, "cid", ev->cid);
    if (ev->dps.len > 0)
        add_raw(o, "dps", ev->dps);
    if (ev->entry != NULL) {
        cJSON_AddNumberToObject(o, "number", (double)ev->entry->number);
        add_raw(o, "entry", ev->entry->line);
    }
    char *data = cJSON_PrintUnformatted(o);
    cJSON_Delete(o);
    if (data == NULL)
        return;
    size_t cap = strlen(data) + 96;
    char *text = malloc(cap);
    if (text != NULL) {
        int n = snprintf(text, cap, "id: %llu\nevent: %s\ndata: %s\n\n", (unsigned long long)++c->event_number,
                         event_name(ev->type), data);
        http_publish(c->http, text, (size_t)n);
    }
    free(text);
    free(data);
}

/* see control_private.h */
void control_events_get(struct control *c, struct http_reply *r)
{
    char hello[128];
    int n = snprintf(hello, sizeof hello, "retry: 1000\nid: %llu\nevent: hello\ndata: {\"now_ms\":%llu}\n\n",
                     (unsigned long long)c->event_number, (unsigned long long)server_now_ms(c->cfg.server));
    reply_text(r, "text/event-stream", hello, (size_t)n);
    r->stream = true;
}

/* ---- GET /metrics --------------------------------------------------------------------------------------------- */

struct page {
    char *text;
    size_t len, cap;
};

static void say(struct page *p, const char *format, ...) SAY_FORMAT(2, 3);
static void say(struct page *p, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof line || p->len + (size_t)n >= p->cap)
        return;
    memcpy(p->text + p->len, line, (size_t)n);
    p->len += (size_t)n;
}

static void metric(struct page *p, const char *name, const char *type, const char *help, uint64_t value)
{
    say(p, "# HELP tuya_sim_%s %s\n# TYPE tuya_sim_%s %s\ntuya_sim_%s %llu\n", name, help, name, type, name,
        (unsigned long long)value);
}

static void count_connection(void *ctx, const struct server_connection *connection)
{
    (void)connection;
    ++*(uint64_t *)ctx;
}

/* Ids are printable ASCII; quotes and backslashes are escaped as the format wants it. */
static void label(char *out, size_t cap, const char *text)
{
    size_t n = 0;
    for (; *text != '\0' && n + 2 < cap; text++) {
        if (*text == '"' || *text == '\\')
            out[n++] = '\\';
        out[n++] = *text;
    }
    out[n] = '\0';
}

static void device_metrics(struct page *p, struct control *c)
{
    const struct fleet *f = c->cfg.fleet;
    size_t n = f->n < METRICS_DEVICES_MAX ? f->n : METRICS_DEVICES_MAX;
    say(p,
        "# HELP tuya_sim_device_clients Clients connected to a device, the first %d devices\n"
        "# TYPE tuya_sim_device_clients gauge\n",
        METRICS_DEVICES_MAX);
    for (size_t i = 0; i < n; i++) {
        char id[160];
        label(id, sizeof id, f->devices[i].id);
        say(p, "tuya_sim_device_clients{device=\"%s\"} %zu\n", id, server_n_clients(c->cfg.server, &f->devices[i]));
    }
    say(p, "# HELP tuya_sim_device_watts Active power behind the plug\n# TYPE tuya_sim_device_watts gauge\n");
    for (size_t i = 0; i < n; i++) {
        struct plug_live live = plug_live(f->devices[i].plug, server_now_ms(c->cfg.server));
        char id[160];
        label(id, sizeof id, f->devices[i].id);
        if (live.metered)
            say(p, "tuya_sim_device_watts{device=\"%s\"} %llu.%03llu\n", id, (unsigned long long)(live.mw / 1000),
                (unsigned long long)(live.mw % 1000));
    }
}

/* see control_private.h */
void control_metrics_get(struct control *c, struct http_reply *r)
{
    struct page p = {.cap = 8192 + METRICS_DEVICES_MAX * 512};
    const struct server_counters *n = server_counters(c->cfg.server);
    uint64_t connections = 0;
    server_visit_connections(c->cfg.server, NULL, count_connection, &connections);
    p.text = malloc(p.cap);
    if (p.text == NULL) {
        reply_error(r, 503, "no_memory", "out of memory");
        return;
    }
    metric(&p, "devices", "gauge", "Simulated devices", c->cfg.fleet->n);
    metric(&p, "connections", "gauge", "Open TCP connections", connections);
    metric(&p, "connections_accepted_total", "counter", "TCP connections accepted", n->accepted);
    metric(&p, "connections_refused_total", "counter", "TCP connections closed at once, the device being full",
           n->refused);
    metric(&p, "connections_closed_total", "counter", "TCP connections that ended", n->closed);
    metric(&p, "frames_received_total", "counter", "Frames from clients", n->frames_in);
    metric(&p, "frames_sent_total", "counter", "Frames to clients", n->frames_out);
    metric(&p, "frames_damaged_total", "counter", "Bytes or frames from clients that could not be read", n->damaged);
    metric(&p, "frames_dropped_total", "counter", "Frames to clients that found no room", n->frames_dropped);
    metric(&p, "received_bytes_total", "counter", "Bytes from clients", n->bytes_in);
    metric(&p, "sent_bytes_total", "counter", "Bytes to clients", n->bytes_out);
    metric(&p, "controls_total", "counter", "Controls", n->controls);
    metric(&p, "queries_total", "counter", "Queries", n->queries);
    metric(&p, "pushes_total", "counter", "Status pushes", n->pushes);
    metric(&p, "faults_total", "counter", "Faults that struck", n->faults_fired);
    metric(&p, "disk_errors_total", "counter", "Journal, capture or state writes that failed", n->disk_errors);
    device_metrics(&p, c);
    reply_text(r, "text/plain; version=0.0.4; charset=utf-8", p.text, p.len);
    free(p.text);
}
