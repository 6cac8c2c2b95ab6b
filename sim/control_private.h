/* control_private.h - what the files of the control API share: control.c (routes, clock, reset),
 * control_devices.c (what is below /devices), control_verify.c (journal and verify), control_events.c (events and
 * metrics). */
#ifndef SIM_CONTROL_PRIVATE_H
#define SIM_CONTROL_PRIVATE_H

#include <cjson/cJSON.h>
#include "control.h"
#include "http.h"

struct control {
    struct control_config cfg;
    struct http *http;
    char *initial; /* state_write() at the start; NULL: plugs fresh from their profiles */
    size_t initial_len;
    uint64_t event_number;
};

/* Answers. They take over the JSON object; a NULL object is "out of memory". */
void reply_json(struct http_reply *r, unsigned status, cJSON *object);
void reply_error(struct http_reply *r, unsigned status, const char *code, const char *format, ...) SAY_FORMAT(4, 5);
void reply_text(struct http_reply *r, const char *type, const char *text, size_t len);

/* The body as one JSON object, or NULL and the error is answered. Free with cJSON_Delete(). */
cJSON *request_object(const struct http_request *rq, struct http_reply *r);

/* A whole number of a query: *out keeps its value when it is absent. @return false: it is none, answered */
bool query_number(const struct http_request *rq, const char *name, uint64_t *out, struct http_reply *r);

/* Is this a whole number, at least 0? */
bool is_whole(const cJSON *n);

/* A command by name ("CONTROL") or number ("7", "0x0d"). @return 0 or -1 */
int command_by_text(uint32_t *out, const char *text);

/* The device that ?device= or a member names, NULL and an answered 404 when there is none. */
struct device *device_by_id(struct control *c, const char *id, struct http_reply *r);

/* A text as a span; NULL is empty. */
struct tw_span control_span(const char *text);

bool path_is(const char *a, const char *b);
void reply_not_allowed(struct http_reply *r, const char *allow);

/* control_devices.c */
void control_devices_get(struct control *c, const struct http_request *rq, struct http_reply *r);
void control_route_device(struct control *c, struct device *d, const char *what, const struct http_request *rq,
                          struct http_reply *r);
void control_faults_get(struct control *c, const struct device *d, struct http_reply *r);
void control_faults_post(struct control *c, struct device *d, const struct http_request *rq, struct http_reply *r);
void control_faults_delete(struct control *c, const struct device *d, const struct http_request *rq,
                           struct http_reply *r);

/* control_verify.c */
void control_journal_get(struct control *c, const struct http_request *rq, struct http_reply *r);
void control_verify(struct control *c, const struct http_request *rq, struct http_reply *r);

/* control_events.c */
void control_on_event(void *ctx, const struct server_event *ev);
void control_events_get(struct control *c, struct http_reply *r);
void control_metrics_get(struct control *c, struct http_reply *r);

#endif
