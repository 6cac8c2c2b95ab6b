/* control.c - every request to the control API is answered: a status, JSON that parses, errors with code and message.
 *
 * Reaches: sim/control*.c and what stands below (plugs, faults, loads, journal, virtual clock). HTTP is left out: this
 * file stands in for sim/http.c. Input: two bytes choose method, path and query, the body follows. */
#define _DEFAULT_SOURCE /* pthread_rwlock_t in uv.h */
#include "common/fuzz.h"
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>
#include "control.h"
#include "http.h"

const struct fuzz_harness fuzz_harness = {
    .name = "control",
    .claim = "every request to the control API is answered with a status, and errors with a code and a message",
    .form = FUZZ_TEXT,
    .context_len = 2,
};

static const char *const methods[] = {"POST", "PATCH", "PUT", "GET", "DELETE", "OPTIONS", "POST", "PATCH"};
static const char *const paths[] = {
    "/devices/fake0000000000000000id/dps",
    "/devices/fake0000000000000000id/load",
    "/devices/fake0000000000000000id/faults",
    "/devices/fake0000000000000000id/press",
    "/devices/fake0000000000000000id/reboot",
    "/devices/fake0000000000000000id",
    "/devices/fake0000000000000gateway/dps",
    "/devices/nobody/dps",
    "/verify",
    "/clock/advance",
    "/faults",
    "/journal",
    "/devices",
    "/clock",
    "/healthz",
    "/metrics",
    "/events",
    "/nowhere",
};
static const char *const values[] = {NULL,     "", "0", "1", "-1", "18446744073709551616", "fake0000000000000000id",
                                     "CONTROL"};
enum { N_METHODS = 8, N_PATHS = sizeof paths / sizeof *paths, N_VALUES = 8, BODY_MAX = 1 << 14 };

static struct http_config door;
static uint8_t query;

/* ---- in place of sim/http.c ---- */

struct http {
    int nothing;
};
static struct http the_http;

int http_start(struct http **out, const struct http_config *cfg, struct why *why)
{
    (void)why;
    door = *cfg;
    *out = &the_http;
    return 0;
}

uint16_t http_port(const struct http *h)
{
    return h == &the_http ? 1 : 0;
}

void http_stop(struct http *h, void (*closed)(void *ctx), void *ctx)
{
    if (h == &the_http && closed != NULL)
        closed(ctx);
}

const char *http_query(const struct http_request *rq, const char *name)
{
    return rq != NULL && query != 0 ? values[(query + strlen(name)) % N_VALUES] : NULL;
}

void http_publish(struct http *h, const char *text, size_t len)
{
    CHECK(h == &the_http && len > 0 && memchr(text, '\0', len) == NULL);
}

bool http_has_streams(const struct http *h)
{
    return h == &the_http;
}

/* ---- the simulation, the same before each input ---- */

static uv_loop_t loop;
static struct fleet fleet;
static struct server *server;

static void begin(void)
{
    struct why why;
    const struct profile *plug, *gateway;
    struct control *control;
    CHECK(uv_loop_init(&loop) == 0);
    CHECK(fleet_init(&fleet, 1, 1700000000) == 0);
    CHECK(profile_builtin(&plug, "energy-plug") == 0 && profile_builtin(&gateway, "zigbee-gateway") == 0);
    CHECK(fleet_add(&fleet, plug, fuzz_device_id, NULL, fuzz_local_key, TW_V33, &why) == 0);
    CHECK(fleet_add(&fleet, gateway, "fake0000000000000gateway", NULL, fuzz_local_key, TW_V34, &why) == 0);
    profile_unref(plug);
    profile_unref(gateway);
    const struct server_config cfg = {.loop = &loop,
                                      .fleet = &fleet,
                                      .listen = "127.0.0.1",
                                      .seed = 1,
                                      .virtual_clock = true,
                                      .epoch_s = 1700000000,
                                      .status_delay_ms = 20,
                                      .max_clients = -1,
                                      .idle_timeout_ms = -1,
                                      .journal_memory = true};
    CHECK(server_start(&server, &cfg, &why) == 0);
    const struct control_config control_cfg = {.server = server, .fleet = &fleet, .host = "127.0.0.1"};
    CHECK(control_start(&control, &control_cfg, &why) == 0);
}

static void check_error(const cJSON *o)
{
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(o, "error");
    CHECK(cJSON_IsString(cJSON_GetObjectItemCaseSensitive(error, "code")));
    CHECK(cJSON_IsString(cJSON_GetObjectItemCaseSensitive(error, "message")));
}

/* @return the status */
static unsigned ask(const char *method, const char *path, struct tw_span body)
{
    const struct http_request rq = {.method = method, .path = path, .body = body};
    struct http_reply r = {0};
    door.handle(door.ctx, &rq, &r);
    CHECK(r.status >= 200 && r.status <= 599 && r.status != 500);
    CHECK(r.body != NULL || r.len == 0);
    CHECK((r.status == 405) == (r.allow != NULL));
    if (r.type == NULL && r.len > 0) {
        cJSON *o = cJSON_ParseWithLength(r.body, r.len);
        CHECK(o != NULL);
        if (r.status >= 400)
            check_error(o);
        cJSON_Delete(o);
    } else {
        CHECK(r.status < 400);
    }
    free(r.body);
    return r.status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > BODY_MAX)
        return 0;
    if (server == NULL)
        begin();
    query = data[1];
    CHECK(ask("POST", "/reset", (struct tw_span){0}) == 200);
    unsigned status =
        ask(methods[(data[0] / N_PATHS) % N_METHODS], paths[data[0] % N_PATHS], (struct tw_span){data + 2, size - 2});
    fuzz_gate(status < 400);
    CHECK(ask("GET", "/devices", (struct tw_span){0}) < 500);
    CHECK(ask("GET", "/metrics", (struct tw_span){0}) == 200);
    uv_run(&loop, UV_RUN_NOWAIT);
    return 0;
}
