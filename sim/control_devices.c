/* control_devices.c - the routes below /devices: data points, loads, buttons and faults. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "control_private.h"

enum { LIST_MAX = 1000, DPS_CAP = 64 * 1024, FAULTS_MAX = 256 };

/* The plug that ?cid= names, the device's own without. */
static struct plug *plug_of(struct device *d, const struct http_request *rq, struct http_reply *r)
{
    const char *cid = http_query(rq, "cid");
    struct plug *p = device_plug(d, control_span(cid));
    if (p == NULL)
        reply_error(r, 404, "no_such_cid", "device '%s' has no sub-device '%.64s'", d->id, cid);
    return p;
}

/* Data points as they stand, digits kept. @return false: out of memory */
static bool add_dps(cJSON *o, const struct plug *p)
{
    struct tw_text t = {.cap = DPS_CAP};
    t.data = malloc(t.cap);
    if (t.data == NULL)
        return false;
    plug_write(p, &t);
    t.data[t.len < t.cap ? t.len : t.cap - 1] = '\0';
    bool ok = !t.overflow && cJSON_AddRawToObject(o, "dps", t.data) != NULL;
    free(t.data);
    return ok;
}

static cJSON *device_summary(struct control *c, struct device *d)
{
    char address[64];
    uint16_t port;
    server_endpoint(c->cfg.server, d, address, &port);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "id", d->id);
    cJSON_AddStringToObject(o, "name", d->name);
    cJSON_AddStringToObject(o, "version", tw_version_name(d->version));
    cJSON_AddStringToObject(o, "profile", d->profile->name);
    cJSON_AddStringToObject(o, "ip", address);
    cJSON_AddNumberToObject(o, "port", port);
    cJSON_AddNumberToObject(o, "clients", (double)server_n_clients(c->cfg.server, d));
    return o;
}

void control_devices_get(struct control *c, const struct http_request *rq, struct http_reply *r)
{
    uint64_t offset = 0, limit = LIST_MAX;
    if (!query_number(rq, "offset", &offset, r) || !query_number(rq, "limit", &limit, r))
        return;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "device_count", (double)c->cfg.fleet->n);
    cJSON *list = cJSON_AddArrayToObject(o, "devices");
    for (size_t i = offset; i < c->cfg.fleet->n && i - offset < limit; i++)
        cJSON_AddItemToArray(list, device_summary(c, &c->cfg.fleet->devices[i]));
    reply_json(r, 200, o);
}

static void device_get(struct control *c, struct device *d, struct http_reply *r)
{
    device_advance(d, server_now_ms(c->cfg.server));
    cJSON *o = device_summary(c, d);
    add_dps(o, d->plug);
    cJSON *children = cJSON_AddArrayToObject(o, "children");
    for (size_t i = 0; i < d->n_children; i++) {
        cJSON *child = cJSON_CreateObject();
        cJSON_AddStringToObject(child, "cid", d->children[i].cid);
        cJSON_AddStringToObject(child, "name", d->children[i].name);
        add_dps(child, d->children[i].plug);
        cJSON_AddItemToArray(children, child);
    }
    reply_json(r, 200, o);
}

static void dps_get(struct control *c, struct device *d, const struct http_request *rq, struct http_reply *r)
{
    struct plug *p = plug_of(d, rq, r);
    if (p == NULL)
        return;
    plug_advance(p, server_now_ms(c->cfg.server));
    cJSON *o = cJSON_CreateObject();
    add_dps(o, p);
    reply_json(r, 200, o);
}

/* {"1":true} or {"dps":{"1":true}}: the hand at the plug. Nothing is done when one of them cannot be. */
static void dps_patch(struct control *c, struct device *d, const struct http_request *rq, struct http_reply *r)
{
    struct tw_body body;
    struct plug *p = plug_of(d, rq, r);
    if (p == NULL)
        return;
    if (tw_body_parse(&body, rq->body) != TW_OK) {
        reply_error(r, 400, "bad_json", "expected data points, such as {\"1\":true}");
        return;
    }
    struct tw_span dps = body.dps.len > 0 ? body.dps : body.json;
    const struct shape *shape = plug_shape(p);
    struct tw_dp dp;
    struct tw_span name;
    struct tw_value value;
    size_t n = 0, n_members = 0;
    for (size_t at = 0; tw_dps_next(&dp, &at, dps) == 1; n++) {
        if (dp.id > 255 || shape->position[dp.id] == 0) {
            reply_error(r, 422, "unknown_dp", "device '%s' has no data point %lu", d->id, (unsigned long)dp.id);
            return;
        }
    }
    if (n == 0) {
        reply_error(r, 400, "no_dps", "the body names no data point; expected something like {\"1\":true}");
        return;
    }
    for (size_t at = 0; tw_json_next_member(&name, &value, &at, dps) == 1;)
        n_members++;
    if (n_members != n) {
        reply_error(r, 422, "unknown_dp", "data points are named by their numbers, as in {\"1\":true}");
        return;
    }

    cJSON *o = cJSON_CreateObject();
    cJSON *outcomes = cJSON_AddObjectToObject(o, "outcomes");
    bool refused = false;
    for (size_t at = 0; tw_dps_next(&dp, &at, dps) == 1;) {
        char id[16];
        enum plug_outcome outcome = plug_set(p, &dp, server_now_ms(c->cfg.server));
        snprintf(id, sizeof id, "%lu", (unsigned long)dp.id);
        cJSON_DeleteItemFromObject(outcomes, id);
        cJSON_AddStringToObject(outcomes, id, plug_outcome_name(outcome));
        refused |= outcome != PLUG_APPLIED && outcome != PLUG_UNCHANGED;
    }
    add_dps(o, p);
    if (refused) {
        cJSON *error = cJSON_AddObjectToObject(o, "error");
        cJSON_AddStringToObject(error, "code", "not_applied");
        cJSON_AddStringToObject(error, "message", "some data points were not applied; outcomes says which and why");
    }
    server_touched(c->cfg.server, d);
    reply_json(r, refused ? 422 : 200, o);
}

/* A whole number of a body: *out keeps its value when it is absent. @return false: it is none, answered */
static bool body_number(const cJSON *o, const char *name, uint32_t *out, struct http_reply *r)
{
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(o, name);
    if (n == NULL)
        return true;
    if (!is_whole(n) || n->valuedouble > UINT32_MAX) {
        reply_error(r, 400, "bad_request", "%s is a whole number from 0 to %lu", name, (unsigned long)UINT32_MAX);
        return false;
    }
    *out = (uint32_t)n->valuedouble;
    return true;
}

/* What is plugged in at this relay; 0: the first. */
static void load_reply(struct control *c, struct plug *p, uint32_t relay, struct http_reply *r)
{
    struct load_spec load = plug_load_of(p, relay);
    struct plug_live live = plug_live(p, server_now_ms(c->cfg.server));
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "appliance", appliance_name(load.appliance));
    if (load.appliance == APPLIANCE_CONSTANT) {
        cJSON_AddNumberToObject(o, "watts", load.mw / 1000.0);
        cJSON_AddNumberToObject(o, "pf", load.pf_permille == 0 ? 1 : load.pf_permille / 1000.0);
    }
    cJSON *now = cJSON_AddObjectToObject(o, "live");
    cJSON_AddBoolToObject(now, "metered", live.metered);
    cJSON_AddNumberToObject(now, "volts", live.mv / 1000.0);
    cJSON_AddNumberToObject(now, "amperes", live.ma / 1000.0);
    cJSON_AddNumberToObject(now, "watts", (double)live.mw / 1000.0);
    cJSON_AddNumberToObject(now, "pf", live.pf_permille / 1000.0);
    cJSON_AddNumberToObject(now, "kwh", (double)live.total_mws / 3.6e9);
    reply_json(r, 200, o);
}

static void load_get(struct control *c, struct device *d, const struct http_request *rq, struct http_reply *r)
{
    struct plug *p = plug_of(d, rq, r);
    uint64_t relay = 0;
    if (p == NULL || !query_number(rq, "relay", &relay, r))
        return;
    if (relay > UINT32_MAX || !plug_has_outlet(p, (uint32_t)relay))
        reply_error(r, 404, "no_such_outlet", "data point %llu is no metered outlet of this device",
                    (unsigned long long)relay);
    else
        load_reply(c, p, (uint32_t)relay, r);
}

/* {"watts":60.0,"pf":0.9}, {"appliance":"kettle","delay_s":5}, {"scene":"overload"} */
static void load_put(struct control *c, struct device *d, const struct http_request *rq, struct http_reply *r)
{
    struct plug *p = plug_of(d, rq, r);
    cJSON *o = p != NULL ? request_object(rq, r) : NULL;
    if (o == NULL)
        return;
    const cJSON *watts = cJSON_GetObjectItemCaseSensitive(o, "watts"),
                *pf = cJSON_GetObjectItemCaseSensitive(o, "pf");
    const char *appliance = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "appliance"));
    const char *scene = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "scene"));
    struct load_spec load = {0};
    uint32_t relay = 0;
    if (!body_number(o, "delay_s", &load.delay_s, r) || !body_number(o, "relay", &relay, r)) {
        cJSON_Delete(o);
        return;
    }
    struct why why = {""};
    uint64_t now = server_now_ms(c->cfg.server);
    int rc;
    if (scene != NULL) {
        rc = plug_scene(p, scene, load.delay_s, now, &why);
    } else if (appliance != NULL && appliance_by_name(&load.appliance, appliance) != 0) {
        rc = why_set(&why, "there is no appliance '%.32s'", appliance);
    } else if (appliance == NULL &&
               (!cJSON_IsNumber(watts) || !(watts->valuedouble >= 0) || watts->valuedouble > 1e5)) {
        rc = why_set(&why, "expected {\"watts\":0..100000}, {\"appliance\":NAME} or {\"scene\":NAME}");
    } else if (pf != NULL && (!cJSON_IsNumber(pf) || !(pf->valuedouble > 0) || pf->valuedouble > 1)) {
        rc = why_set(&why, "pf is a power factor above 0, at most 1");
    } else {
        if (appliance == NULL) {
            load.appliance = APPLIANCE_CONSTANT;
            load.mw = (uint32_t)(watts->valuedouble * 1000 + 0.5);
            load.pf_permille = pf != NULL ? (uint16_t)(pf->valuedouble * 1000 + 0.5) : 1000;
        }
        rc = plug_load(p, relay, &load, now, &why);
    }
    cJSON_Delete(o);
    if (rc != 0) {
        reply_error(r, 422, "bad_load", "%s", why.text);
        return;
    }
    server_touched(c->cfg.server, d);
    load_reply(c, p, relay, r);
}

static void press_post(struct control *c, struct device *d, const struct http_request *rq, struct http_reply *r)
{
    struct plug *p = plug_of(d, rq, r);
    cJSON *o = p == NULL ? NULL : rq->body.len == 0 ? cJSON_CreateObject() : request_object(rq, r);
    if (o == NULL)
        return;
    uint32_t relay = 0;
    bool good = body_number(o, "relay", &relay, r);
    cJSON_Delete(o);
    if (!good)
        return;
    if (!plug_press(p, relay, server_now_ms(c->cfg.server))) {
        reply_error(r, 409, "not_pressed", "the button is locked (child_lock), or there is no such relay");
        return;
    }
    server_touched(c->cfg.server, d);
    dps_get(c, d, rq, r);
}

static void reboot_post(struct control *c, struct device *d, const struct http_request *rq, struct http_reply *r)
{
    cJSON *o = rq->body.len == 0 ? cJSON_CreateObject() : request_object(rq, r);
    if (o == NULL)
        return;
    uint32_t down_ms = 0;
    bool good = body_number(o, "down_ms", &down_ms, r);
    cJSON_Delete(o);
    if (!good)
        return;
    server_reboot(c->cfg.server, d, down_ms);
    device_get(c, d, r);
}

/* ---- faults --------------------------------------------------------------------------------------------------- */

static void add_fault(void *ctx, const struct fault *f)
{
    char spec[256];
    cJSON *o = cJSON_CreateObject();
    fault_format(spec, sizeof spec, &f->spec);
    cJSON_AddNumberToObject(o, "number", f->number);
    cJSON_AddStringToObject(o, "fault", fault_name(f->spec.kind));
    cJSON_AddStringToObject(o, "quirk", fault_number(f->spec.kind));
    cJSON_AddStringToObject(o, "spec", spec);
    if (f->device != NULL)
        cJSON_AddStringToObject(o, "device", f->device->id);
    else
        cJSON_AddNullToObject(o, "device");
    if (f->left >= 0)
        cJSON_AddNumberToObject(o, "left", (double)f->left);
    else
        cJSON_AddNullToObject(o, "left");
    cJSON_AddNumberToObject(o, "struck", (double)f->struck);
    cJSON_AddItemToArray(ctx, o);
}

void control_faults_get(struct control *c, const struct device *d, struct http_reply *r)
{
    cJSON *o = cJSON_CreateObject();
    server_fault_visit(c->cfg.server, d, add_fault, cJSON_AddArrayToObject(o, "faults"));
    if (d == NULL) {
        cJSON *kinds = cJSON_AddArrayToObject(o, "kinds");
        for (int k = 0; k < N_FAULTS; k++) {
            cJSON *kind = cJSON_CreateObject();
            cJSON_AddStringToObject(kind, "fault", fault_name((enum fault_kind)k));
            cJSON_AddStringToObject(kind, "quirk", fault_number((enum fault_kind)k));
            cJSON_AddStringToObject(kind, "text", fault_text((enum fault_kind)k));
            cJSON_AddItemToArray(kinds, kind);
        }
    }
    reply_json(r, 200, o);
}

/* {"fault":"late_status:ms=3000"} or {"fault":"late_status","ms":3000,"p":0.5}: any option of --fault is a member. */
static int fault_of_body(struct fault_spec *spec, const cJSON *o, struct why *why)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "fault"));
    if (text == NULL)
        return why_set(why, "expected {\"fault\":NAME}; GET /faults lists the names");
    if (fault_parse(spec, text, why) != 0)
        return -1;
    const cJSON *member;
    cJSON_ArrayForEach(member, o)
    {
        char number[32];
        const char *value = cJSON_GetStringValue(member);
        if (strcmp(member->string, "fault") == 0)
            continue;
        if (cJSON_IsNumber(member)) {
            snprintf(number, sizeof number, "%.10g", member->valuedouble);
            value = number;
        }
        if (value == NULL)
            return why_set(why, "'%.32s' has to be a number or a text", member->string);
        if (fault_set(spec, member->string, value, why) != 0)
            return -1;
    }
    return 0;
}

static void count_fault(void *ctx, const struct fault *f)
{
    (void)f;
    ++*(size_t *)ctx;
}

void control_faults_post(struct control *c, struct device *d, const struct http_request *rq, struct http_reply *r)
{
    cJSON *o = request_object(rq, r);
    if (o == NULL)
        return;
    struct fault_spec spec;
    struct why why = {""};
    int rc = fault_of_body(&spec, o, &why);
    cJSON_Delete(o);
    if (rc == 0 && spec.device[0] != '\0') {
        if (d != NULL && strcmp(spec.device, d->id) != 0)
            rc = why_set(&why, "device=%s: this path is that of %s", spec.device, d->id);
        else if (fleet_find(c->cfg.fleet, control_span(spec.device)) == NULL)
            rc = why_set(&why, "there is no device %s", spec.device);
    }
    size_t n = 0;
    server_fault_visit(c->cfg.server, NULL, count_fault, &n);
    if (rc == 0 && n >= FAULTS_MAX) /* each frame asks all of them */
        rc = why_set(&why, "%zu faults are on already: DELETE some", n);
    if (rc != 0) {
        reply_error(r, 422, "bad_fault", "%s", why.text);
        return;
    }
    uint32_t number = server_fault_add(c->cfg.server, d, &spec);
    if (number == 0) {
        reply_error(r, 503, "no_memory", "out of memory");
        return;
    }
    cJSON *answer = cJSON_CreateObject();
    cJSON_AddNumberToObject(answer, "number", number);
    server_fault_visit(c->cfg.server, d, add_fault, cJSON_AddArrayToObject(answer, "faults"));
    reply_json(r, 201, answer);
}

void control_faults_delete(struct control *c, const struct device *d, const struct http_request *rq,
                           struct http_reply *r)
{
    uint64_t number = UINT64_MAX;
    if (!query_number(rq, "number", &number, r))
        return;
    size_t removed = number == UINT64_MAX   ? server_fault_clear(c->cfg.server, d)
                     : number <= UINT32_MAX ? server_fault_remove(c->cfg.server, d, (uint32_t)number)
                                            : 0;
    if (number != UINT64_MAX && removed == 0) {
        reply_error(r, 404, "no_such_fault", "no fault has the number %llu", (unsigned long long)number);
        return;
    }
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "removed", (double)removed);
    reply_json(r, 200, o);
}

/* ---- the routes ----------------------------------------------------------------------------------------------- */

void control_route_device(struct control *c, struct device *d, const char *what, const struct http_request *rq,
                          struct http_reply *r)
{
    const char *m = rq->method;
    if (path_is(what, "")) {
        if (!path_is(m, "GET"))
            reply_not_allowed(r, "GET, HEAD");
        else
            device_get(c, d, r);
    } else if (path_is(what, "/dps")) {
        if (path_is(m, "GET"))
            dps_get(c, d, rq, r);
        else if (path_is(m, "PATCH"))
            dps_patch(c, d, rq, r);
        else
            reply_not_allowed(r, "GET, HEAD, PATCH");
    } else if (path_is(what, "/load")) {
        if (path_is(m, "GET"))
            load_get(c, d, rq, r);
        else if (path_is(m, "PUT"))
            load_put(c, d, rq, r);
        else
            reply_not_allowed(r, "GET, HEAD, PUT");
    } else if (path_is(what, "/faults")) {
        if (path_is(m, "GET"))
            control_faults_get(c, d, r);
        else if (path_is(m, "POST"))
            control_faults_post(c, d, rq, r);
        else if (path_is(m, "DELETE"))
            control_faults_delete(c, d, rq, r);
        else
            reply_not_allowed(r, "GET, HEAD, POST, DELETE");
    } else if (path_is(what, "/press") || path_is(what, "/reboot")) {
        if (!path_is(m, "POST"))
            reply_not_allowed(r, "POST");
        else if (path_is(what, "/press"))
            press_post(c, d, rq, r);
        else
            reboot_post(c, d, rq, r);
    } else {
        reply_error(r, 404, "not_found", "a device has /dps, /load, /faults, /press and /reboot");
    }
}
