/* control.c - the routes of the control API; contract in control.h, HTTP in http.c. */
#include "control.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/options.h"
#include "control_page.h"
#include "control_private.h"
#include "model/state.h"
#include "tuyawire/command.h"

enum { PATH_ID_MAX = 128 };

/* ---- answers -------------------------------------------------------------------------------------------------- */

void reply_text(struct http_reply *r, const char *type, const char *text, size_t len)
{
    r->type = type;
    r->status = 200;
    r->body = malloc(len + 1);
    if (r->body == NULL) {
        r->status = 503;
        return;
    }
    memcpy(r->body, text, len);
    r->len = len;
}

void reply_json(struct http_reply *r, unsigned status, cJSON *object)
{
    char *text = object != NULL ? cJSON_PrintUnformatted(object) : NULL;
    cJSON_Delete(object);
    if (text == NULL) {
        r->status = 503;
        return;
    }
    r->status = status;
    r->body = text;
    r->len = strlen(text);
}

void reply_error(struct http_reply *r, unsigned status, const char *code, const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    for (char *at = message; *at != '\0'; at++)
        if ((unsigned char)*at >= 0x80)
            *at = '?'; /* what a client sent need not be UTF-8, or was cut within a character */
    cJSON *o = cJSON_CreateObject();
    cJSON *error = cJSON_AddObjectToObject(o, "error");
    cJSON_AddStringToObject(error, "code", code);
    cJSON_AddStringToObject(error, "message", message);
    reply_json(r, status, o);
}

cJSON *request_object(const struct http_request *rq, struct http_reply *r)
{
    if (tw_json_check(rq->body) != TW_OK) {
        reply_error(r, 400, "bad_json", "the body has to be one JSON object in UTF-8, at most %d levels deep",
                    TW_JSON_DEPTH_MAX);
        return NULL;
    }
    cJSON *o = cJSON_ParseWithLength((const char *)rq->body.data, rq->body.len);
    if (!cJSON_IsObject(o)) {
        cJSON_Delete(o);
        reply_error(r, 400, "bad_json", "the body has to be a JSON object");
        return NULL;
    }
    return o;
}

bool query_number(const struct http_request *rq, const char *name, uint64_t *out, struct http_reply *r)
{
    const char *text = http_query(rq, name);
    struct why why;
    int64_t n;
    if (text == NULL)
        return true;
    if (opt_integer(&n, text, 0, INT64_MAX, &why) != 0) {
        reply_error(r, 400, "bad_request", "%s: %s", name, why.text);
        return false;
    }
    *out = (uint64_t)n;
    return true;
}

bool is_whole(const cJSON *n)
{
    /* above 2^53 a double has no whole numbers to tell apart */
    return cJSON_IsNumber(n) && n->valuedouble >= 0 && n->valuedouble <= 9007199254740992.0 &&
           n->valuedouble == (double)(uint64_t)n->valuedouble;
}

int command_by_text(uint32_t *out, const char *text)
{
    char *end;
    unsigned long n = strtoul(text, &end, 0);
    if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && n <= 0xFFFF) {
        *out = (uint32_t)n;
        return 0;
    }
    for (uint32_t command = 0; command <= 0xFF; command++) {
        const char *name = tw_command_name(command);
        if (name != NULL && strcmp(name, text) == 0) {
            *out = command;
            return 0;
        }
    }
    return -1;
}

struct tw_span control_span(const char *text)
{
    return (struct tw_span){(const uint8_t *)text, text != NULL ? strlen(text) : 0};
}

bool path_is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

void reply_not_allowed(struct http_reply *r, const char *allow)
{
    reply_error(r, 405, "method_not_allowed", "this path takes %s", allow);
    r->allow = allow;
}

struct device *device_by_id(struct control *c, const char *id, struct http_reply *r)
{
    struct device *d = fleet_find(c->cfg.fleet, control_span(id));
    if (d == NULL)
        reply_error(r, 404, "no_such_device", "there is no device '%.64s'; GET /devices lists them", id);
    return d;
}

/* ---- clock and reset ------------------------------------------------------------------------------------------ */

static void clock_get(struct control *c, struct http_reply *r)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "clock", server_config(c->cfg.server)->virtual_clock ? "virtual" : "real");
    cJSON_AddNumberToObject(o, "now_ms", (double)server_now_ms(c->cfg.server));
    cJSON_AddNumberToObject(o, "unix", (double)server_unix_s(c->cfg.server));
    reply_json(r, 200, o);
}

static void clock_advance(struct control *c, const struct http_request *rq, struct http_reply *r)
{
    cJSON *o = request_object(rq, r);
    if (o == NULL)
        return;
    const cJSON *ms = cJSON_GetObjectItemCaseSensitive(o, "ms");
    double n = cJSON_IsNumber(ms) ? ms->valuedouble : -1;
    cJSON_Delete(o);
    if (!(n >= 0) || n > 366.0 * 86400 * 1000) {
        reply_error(r, 400, "bad_request", "expected {\"ms\":N}, N from 0 to a year");
        return;
    }
    if (!server_advance(c->cfg.server, (uint64_t)n)) {
        reply_error(r, 409, "real_clock", "the clock is real; start tuya-sim with --clock virtual to move it");
        return;
    }
    clock_get(c, r);
}

/* A plug as it was made. @return false: out of memory, the old one stays */
static bool renew(struct plug **p, const struct fleet *f)
{
    struct plug *fresh;
    if (plug_new(&fresh, plug_shape(*p), &f->world, plug_number_of(*p), 0) != 0)
        return false;
    plug_free(*p);
    *p = fresh;
    return true;
}

static void reset_post(struct control *c, struct http_reply *r)
{
    struct fleet *f = c->cfg.fleet;
    bool ok = true;
    server_reset(c->cfg.server);
    for (size_t i = 0; i < f->n; i++) {
        struct device *d = &f->devices[i];
        ok &= renew(&d->plug, f);
        for (size_t k = 0; k < d->n_children; k++)
            ok &= renew(&d->children[k].plug, f);
    }
    struct why why = {"out of memory"};
    size_t unknown;
    if (ok && c->initial != NULL)
        ok = state_apply(f, (struct tw_span){(const uint8_t *)c->initial, c->initial_len},
                         server_now_ms(c->cfg.server), NULL, &unknown, &why) >= 0;
    if (!ok) {
        reply_error(r, 503, "not_reset", "%s", why.text);
        return;
    }
    server_start_faults(c->cfg.server);
    for (size_t i = 0; i < f->n; i++)
        server_touched(c->cfg.server, &f->devices[i]);
    clock_get(c, r);
}

/* ---- the routes ----------------------------------------------------------------------------------------------- */

static void journal_delete(struct control *c, struct http_reply *r)
{
    journal_clear(server_journal(c->cfg.server));
    reply_json(r, 200, cJSON_CreateObject());
}

static void healthz_get(struct control *c, struct http_reply *r)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "status", "ok");
    cJSON_AddNumberToObject(o, "device_count", (double)c->cfg.fleet->n);
    reply_json(r, 200, o);
}

/* Everything that is not below /devices/{id}. @return false: no such path */
static bool route_plain(struct control *c, const struct http_request *rq, struct http_reply *r)
{
    const char *p = rq->path, *m = rq->method;
    bool get = path_is(m, "GET"), post = path_is(m, "POST"), delete = path_is(m, "DELETE");
    if (path_is(p, "/faults")) {
        if (get)
            control_faults_get(c, NULL, r);
        else if (post)
            control_faults_post(c, NULL, rq, r);
        else if (delete)
            control_faults_delete(c, NULL, rq, r);
        else
            reply_not_allowed(r, "GET, HEAD, POST, DELETE");
        return true;
    }
    if (path_is(p, "/journal")) {
        if (get)
            control_journal_get(c, rq, r);
        else if (delete)
            journal_delete(c, r);
        else
            reply_not_allowed(r, "GET, HEAD, DELETE");
        return true;
    }
    if (path_is(p, "/verify") || path_is(p, "/clock/advance") || path_is(p, "/reset")) {
        if (!post)
            reply_not_allowed(r, "POST");
        else if (path_is(p, "/verify"))
            control_verify(c, rq, r);
        else if (path_is(p, "/reset"))
            reset_post(c, r);
        else
            clock_advance(c, rq, r);
        return true;
    }
    bool known = path_is(p, "/healthz") || path_is(p, "/devices") || path_is(p, "/clock") || path_is(p, "/events") ||
                 path_is(p, "/metrics") || path_is(p, "/");
    if (known && !get)
        reply_not_allowed(r, "GET, HEAD");
    else if (path_is(p, "/healthz"))
        healthz_get(c, r);
    else if (path_is(p, "/devices"))
        control_devices_get(c, rq, r);
    else if (path_is(p, "/clock"))
        clock_get(c, r);
    else if (path_is(p, "/events"))
        control_events_get(c, r);
    else if (path_is(p, "/metrics"))
        control_metrics_get(c, r);
    else if (path_is(p, "/"))
        reply_text(r, "text/html; charset=utf-8", (const char *)control_page, control_page_len);
    return known;
}

static void handle(void *ctx, const struct http_request *rq, struct http_reply *r)
{
    static const char prefix[] = "/devices/";
    struct control *c = ctx;
    if (route_plain(c, rq, r))
        return;
    if (strncmp(rq->path, prefix, sizeof prefix - 1) != 0) {
        reply_error(r, 404, "not_found", "no such path; docs/openapi.json lists them");
        return;
    }
    char id[PATH_ID_MAX];
    const char *from = rq->path + sizeof prefix - 1;
    size_t n = strcspn(from, "/");
    snprintf(id, sizeof id, "%.*s", (int)(n < sizeof id ? n : sizeof id - 1), from);
    struct device *d = device_by_id(c, id, r);
    if (d != NULL)
        control_route_device(c, d, from + n, rq, r);
}

static bool public_path(const char *path)
{
    return path_is(path, "/") || path_is(path, "/healthz");
}

/* ---- start and stop ------------------------------------------------------------------------------------------- */

/* see control.h */
int control_start(struct control **out, const struct control_config *cfg, struct why *why)
{
    struct control *c = calloc(1, sizeof *c);
    if (c == NULL)
        return why_set(why, "out of memory");
    c->cfg = *cfg;
    if (cfg->has_values &&
        (c->initial = state_write(cfg->fleet, server_now_ms(cfg->server), 0, &c->initial_len)) == NULL) {
        free(c);
        return why_set(why, "out of memory");
    }
    struct http_config http = {
        .loop = server_config(cfg->server)->loop,
        .host = cfg->host,
        .port = cfg->port,
        .token = cfg->token,
        .handle = handle,
        .public_path = public_path,
        .ctx = c,
    };
    int rc = http_start(&c->http, &http, why);
    if (rc == 0 && server_subscribe(cfg->server, control_on_event, c) != 0) {
        http_stop(c->http, NULL, NULL);
        rc = why_set(why, "out of memory");
    }
    if (rc != 0) {
        free(c->initial);
        free(c);
        return -1;
    }
    *out = c;
    return 0;
}

/* see control.h */
uint16_t control_port(const struct control *c)
{
    return http_port(c->http);
}

static void on_stopped(void *ctx)
{
    struct control *c = ctx;
    free(c->initial); /* has the keys of the fleet, as the user's own files do */
    free(c);
}

/* see control.h */
void control_stop(struct control *c)
{
    if (c == NULL)
        return;
    server_unsubscribe(c->cfg.server, control_on_event, c);
    http_stop(c->http, on_stopped, c);
}
