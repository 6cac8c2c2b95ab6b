/* client_request.c - what was asked of a device, and what answers it; see tuyawire/client.h.
 *
 * Requests stand in one list, oldest first, whether they wait for the session key, for an earlier request of the same
 * command, or for their answer. */
#include "client_internal.h"
#include <stdlib.h>
#include <string.h>
#include "bytes.h"
#include "internal.h"
#include "tuyawire/error.h"
#include "tuyawire/frame.h"

enum {
    FALLBACK_MS =
        1000, /* for an answer to a query form that is only a guess. Our choice: the slowest query replies that
                           logs show took 0.55 s */
    BODY_MAX = 4096,
};

/* What a null map asks for when the caller names nothing: switches, countdown, measurements of the common families
 * (spec energy-dps section 2). More would make the request longer than the 255 bytes that such devices read. */
static const uint32_t usual_dps[] = {1, 2, 3, 4, 5, 6, 9, 17, 18, 19, 20};

static bool in_flight(const struct tw_client *c, uint32_t command)
{
    for (size_t i = 0; i < c->n_requests; i++) {
        if (c->requests[i].sent && c->requests[i].command == command)
            return true;
    }
    return false;
}

static uint64_t time_limit(const struct tw_client *c, const struct request *r)
{
    if (r->guessed)
        return FALLBACK_MS;
    return r->is_query || r->null_map || r->command == TW_CMD_LAN_EXT_STREAM ? c->cfg.query_ms : c->cfg.ack_ms;
}

static void drop_body(struct request *r)
{
    tw__secret_free(r->body, r->body_len);
    r->body = NULL;
}

/* see client_internal.h */
int tw__client_pump(struct tw_client *c)
{
    if (!c->established)
        return TW_OK;
    for (size_t i = 0; i < c->n_requests; i++) {
        struct request *r = &c->requests[i];
        if (r->sent)
            continue;
        if (in_flight(c, r->command))
            return TW_OK;
        int rc = tw__client_emit(c, r->command, (struct tw_span){r->body, r->body_len}, &r->seq);
        if (rc != TW_OK)
            return rc;
        drop_body(r);
        r->sent = true;
        r->deadline = c->now_ms + time_limit(c, r);
    }
    return TW_OK;
}

static void remove_request(struct tw_client *c, struct request *r)
{
    drop_body(r);
    size_t i = (size_t)(r - c->requests);
    memmove(r, r + 1, (c->n_requests - i - 1) * sizeof *r);
    c->n_requests--;
}

/* ---- bodies -------------------------------------------------------------------------------------------------- */

static struct tw_body_ids ids_now(const struct tw_client *c)
{
    return (struct tw_body_ids){.id = c->cfg.device_id,
                                .cid = c->cfg.cid,
                                .t = c->cfg.unix_time + (int64_t)((c->now_ms - c->start_ms) / 1000)};
}

/* {"1":null,"2":null} */
static void put_null_map(struct tw_text *t, const uint32_t *dp_ids, size_t n)
{
    tw_text_put(t, "{");
    for (size_t i = 0; i < n; i++) {
        tw_text_put(t, i == 0 ? "\"" : ",\"");
        tw_text_put_int(t, dp_ids[i]);
        tw_text_put(t, "\":null");
    }
    tw_text_put(t, "}");
}

/* Give the request a body of its own. */
static int set_body(struct request *r, struct tw_span body)
{
    uint8_t *copy = malloc(body.len > 0 ? body.len : 1);
    if (copy == NULL)
        return TW_E_NOMEM;
    if (body.len > 0)
        memcpy(copy, body.data, body.len);
    drop_body(r);
    r->body = copy;
    r->body_len = body.len;
    return TW_OK;
}

/* Make r a null map for these data points. */
static int make_null_map(struct tw_client *c, struct request *r, const uint32_t *dp_ids, size_t n)
{
    char map_room[TW__CLIENT_DPS_ASKED * 20], body_room[BODY_MAX];
    struct tw_text map = {.data = map_room, .cap = sizeof map_room};
    struct tw_text body = {.data = body_room, .cap = sizeof body_room};
    struct tw_body_ids ids = ids_now(c);
    put_null_map(&map, dp_ids, n);
    int rc = tw_body_control(&body, c->cfg.version, TW_CMD_CONTROL_NEW, &ids,
                             (struct tw_span){(const uint8_t *)map.data, map.len});
    if (rc != TW_OK)
        return rc;
    r->command = TW_CMD_CONTROL_NEW;
    r->null_map = true;
    r->n_asked = n;
    memcpy(r->asked, dp_ids, n * sizeof *dp_ids);
    return set_body(r, (struct tw_span){(const uint8_t *)body.data, body.len});
}

/* Give a query the command and body of this form. */
static int make_query(struct tw_client *c, struct request *r, enum query_form form)
{
    if (form == FORM_NULL_MAP)
        return make_null_map(c, r, usual_dps, sizeof usual_dps / sizeof usual_dps[0]);
    char room[BODY_MAX];
    struct tw_text body = {.data = room, .cap = sizeof room};
    struct tw_body_ids ids = ids_now(c);
    r->command = form == FORM_NEW ? TW_CMD_DP_QUERY_NEW : c->traits->query;
    int rc = tw_body_query(&body, c->cfg.version, r->command, &ids);
    return rc != TW_OK ? rc : set_body(r, (struct tw_span){(const uint8_t *)body.data, body.len});
}

/* ---- receiving ----------------------------------------------------------------------------------------------- */

/* Is this message the answer to r? Up to 3.3 the number is echoed; a number that an earlier request of ours had is a
 * late answer to that one. Numbers that we never used come from devices that do not echo. */
static bool answers(const struct tw_client *c, const struct request *r, const struct tw_message *m)
{
    if (!r->sent || r->command != m->command)
        return false;
    return !c->traits->seq_echo || m->seq == 0 || m->seq >= r->seq;
}

static struct request *find_request(struct tw_client *c, const struct tw_message *m)
{
    for (size_t i = 0; i < c->n_requests; i++) {
        if (answers(c, &c->requests[i], m))
            return &c->requests[i];
    }
    return NULL;
}

/* Did r ask for one of these data points? */
static bool asked_for(const struct request *r, struct tw_span dps)
{
    struct tw_dp dp;
    for (size_t k = 0; k < r->n_asked; k++) {
        if (tw_dps_find(&dp, dps, r->asked[k]) == TW_OK)
            return true;
    }
    return false;
}

/* The null map or, failing that, the refresh that these data points answer: a refresh may go unanswered, and must not
 * take away what a query waits for. */
static struct request *find_asked(struct tw_client *c, struct tw_span dps)
{
    struct request *refresh = NULL;
    for (size_t i = 0; i < c->n_requests; i++) {
        struct request *r = &c->requests[i];
        if (!r->sent || r->delivered || !(r->null_map || r->refresh) || !asked_for(r, dps))
            continue;
        if (r->null_map)
            return r;
        if (refresh == NULL)
            refresh = r;
    }
    return refresh;
}

static bool is_duplicate(struct tw_client *c, uint32_t counter, uint32_t source)
{
    size_t n = c->n_seen < TW__CLIENT_STATUS_SEEN ? c->n_seen : TW__CLIENT_STATUS_SEEN;
    for (size_t i = 0; i < n; i++) {
        if (c->seen[i].counter == counter && c->seen[i].source == source)
            return true;
    }
    c->seen[c->n_seen % TW__CLIENT_STATUS_SEEN].counter = counter;
    c->seen[c->n_seen % TW__CLIENT_STATUS_SEEN].source = source;
    c->n_seen++;
    return false;
}

/* A push of the device; each (counter, source) once (spec section 3.0). A header of zeros, or none, tells nothing. */
static int on_status(struct tw_client *c, const struct tw_message *m, const struct tw_body *body)
{
    bool signed31 = m->has_header && m->header.signature[0] != '\0';
    if (m->has_header && !signed31 && m->header.source != 0 && is_duplicate(c, m->header.counter, m->header.source))
        return TW_OK;
    if (c->traits->with_header == TW_ENCODING_B64 && body->counter >= 0 &&
        is_duplicate(c, (uint32_t)body->counter, 1))
        return TW_OK;

    struct request *asked = find_asked(c, body->dps);
    struct tw_client_event ev = tw__client_event(TW_CLIENT_STATUS, m);
    if (asked == NULL)
        return tw__client_queue(c, &ev);
    ev.request = asked->id;
    if (asked->null_map) {
        ev.type = TW_CLIENT_REPLY;
        asked->delivered = true;
        if (asked->is_query)
            c->form = FORM_NULL_MAP;
    }
    if (asked->acked || asked->refresh)
        remove_request(c, asked);
    return tw__client_queue(c, &ev);
}

static enum query_form next_form(const struct tw_client *c, const struct request *r)
{
    if (r->null_map)
        return FORM_OF_VERSION; /* that was the last one */
    if (c->traits->query == TW_CMD_DP_QUERY_NEW || r->command == TW_CMD_DP_QUERY_NEW)
        return FORM_NULL_MAP;
    return FORM_NEW;
}

/* "json obj data unvalid": the device wants to be asked in another way (spec sections 2 and 5.6). */
static int ask_again(struct tw_client *c, struct request *r, enum query_form form)
{
    r->sent = false;
    r->guessed = true;
    return make_query(c, r, form);
}

static int finish_refused(struct tw_client *c, struct request *r, struct tw_client_event *ev)
{
    if (r->delivered) { /* its values came before */
        remove_request(c, r);
        return TW_OK;
    }
    ev->type = TW_CLIENT_REFUSED;
    ev->request = r->id;
    int rc = tw__client_queue(c, ev);
    remove_request(c, r);
    return rc;
}

/* A request that was refused in its first form and unanswered in the others. */
static int finish_unanswered(struct tw_client *c, struct request *r)
{
    static const char text[] = TW_TEXT_JSON_OBJ;
    if (r->delivered) { /* its values came, only the ACK did not */
        remove_request(c, r);
        return TW_OK;
    }
    if (r->is_query && r->guessed) {
        enum query_form form = next_form(c, r);
        if (form != FORM_OF_VERSION)
            return ask_again(c, r, form);
        struct tw_client_event ev = {.command = c->traits->query, .return_code = 1};
        ev.payload = (struct tw_span){(const uint8_t *)text, sizeof text - 1};
        return finish_refused(c, r, &ev);
    }
    struct tw_client_event ev = {.type = TW_CLIENT_TIMEOUT, .error = TW_E_TIMEOUT, .command = r->command};
    ev.request = r->id;
    int rc = tw__client_queue(c, &ev);
    remove_request(c, r);
    return rc;
}

static int on_text(struct tw_client *c, struct request *r, const struct tw_message *m)
{
    bool other_form = m->payload.len == sizeof TW_TEXT_JSON_OBJ - 1 &&
                      memcmp(m->payload.data, TW_TEXT_JSON_OBJ, m->payload.len) == 0;
    if (r->is_query && other_form) {
        enum query_form form = next_form(c, r);
        if (form != FORM_OF_VERSION)
            return ask_again(c, r, form);
    }
    struct tw_client_event ev = tw__client_event(TW_CLIENT_REFUSED, m);
    return finish_refused(c, r, &ev);
}

static int on_ack(struct tw_client *c, struct request *r, const struct tw_message *m)
{
    if (r->null_map && !r->delivered) { /* values follow */
        r->acked = true;
        return TW_OK;
    }
    if (r->delivered) {
        remove_request(c, r);
        return TW_OK;
    }
    struct tw_client_event ev = tw__client_event(TW_CLIENT_ACK, m);
    bool is_control = m->command == TW_CMD_CONTROL || m->command == TW_CMD_CONTROL_NEW;
    if (ev.return_code != 0 && !is_control)
        return finish_refused(c, r, &ev);
    ev.request = r->id;
    int rc = tw__client_queue(c, &ev);
    remove_request(c, r);
    return rc;
}

static int on_reply(struct tw_client *c, struct request *r, const struct tw_message *m)
{
    if (r->delivered) { /* a null map whose values came in a STATUS before */
        remove_request(c, r);
        return TW_OK;
    }
    struct tw_client_event ev = tw__client_event(TW_CLIENT_REPLY, m);
    if (ev.return_code != 0)
        return finish_refused(c, r, &ev);
    if (r->is_query)
        c->form = r->command == c->traits->query ? FORM_OF_VERSION : FORM_NEW;
    ev.request = r->id;
    int rc = tw__client_queue(c, &ev);
    remove_request(c, r);
    return rc;
}

/* see client_internal.h */
int tw__client_on_message(struct tw_client *c, const struct tw_message *m)
{
    if (tw_command_is_handshake(m->command))
        return TW_OK; /* a RESP on a live session is ignored (spec section 4.5) */

    struct tw_body body = {.counter = -1};
    bool is_json = tw_body_parse(&body, m->payload) == TW_OK;
    /* ECB has no integrity of its own: what came out of it under another key is noise. */
    if (!is_json && m->encrypted && !c->traits->negotiates && !is_printable(m->payload))
        return TW_E_PAYLOAD;
    if (m->command == TW_CMD_STATUS && is_json)
        return on_status(c, m, &body);

    struct request *r = find_request(c, m);
    if (r == NULL && is_json && m->command == TW_CMD_DP_QUERY && find_asked(c, body.dps) != NULL)
        return on_status(c, m, &body); /* some device22 answer a null map so (spec section 5.6) */
    if (r == NULL) {
        struct tw_client_event ev = tw__client_event(TW_CLIENT_OTHER, m);
        bool is_echo = m->payload.len == 0 && (m->command == TW_CMD_HEART_BEAT || ev.return_code == 0);
        return is_echo ? TW_OK : tw__client_queue(c, &ev);
    }
    if (m->payload.len == 0)
        return on_ack(c, r, m);
    return is_json ? on_reply(c, r, m) : on_text(c, r, m);
}

/* see client_internal.h */
int tw__client_end_overdue(struct tw_client *c)
{
    for (size_t i = 0; i < c->n_requests;) {
        struct request *r = &c->requests[i];
        if (!r->sent || c->now_ms < r->deadline) {
            i++;
            continue;
        }
        int rc = finish_unanswered(c, r); /* removes r, or makes it wait again in another form */
        if (rc != TW_OK)
            return rc;
    }
    return TW_OK;
}

/* see client_internal.h */
uint64_t tw__client_next_overdue(const struct tw_client *c)
{
    uint64_t at = TW_CLIENT_NEVER;
    for (size_t i = 0; i < c->n_requests; i++) {
        if (c->requests[i].sent && c->requests[i].deadline < at)
            at = c->requests[i].deadline;
    }
    return at;
}

/* see client_internal.h */
void tw__client_drop_requests(struct tw_client *c)
{
    while (c->n_requests > 0)
        remove_request(c, &c->requests[c->n_requests - 1]);
}

/* ---- public -------------------------------------------------------------------------------------------------- */

/* A fresh request at the end of the list; its body is still to be set. */
static int new_request(struct tw_client *c, uint64_t now_ms, struct request **out)
{
    int rc = tw__client_usable(c);
    if (rc != TW_OK)
        return rc;
    if (c->n_requests == TW_CLIENT_REQUESTS_MAX)
        return TW_E_CAPACITY;
    tw__client_set_now(c, now_ms);
    struct request *r = &c->requests[c->n_requests];
    memset(r, 0, sizeof *r);
    *out = r;
    return TW_OK;
}

static size_t frame_size(const struct tw_client *c, const struct request *r)
{
    struct tw_message m;
    tw_message_init(&m, c->cfg.version, TW_TO_DEVICE, 0, r->command);
    m.payload.len = r->body_len;
    return tw_message_size(&m);
}

/* The request is complete: put it in line. rc: what making it returned. */
static int submit(struct tw_client *c, struct request *r, int rc, uint32_t *request)
{
    if (rc == TW_OK && frame_size(c, r) > TW_FRAME_SIZE_TO_DEVICE_MAX)
        rc = TW_E_TOO_LARGE;
    if (rc == TW_E_CAPACITY) /* of the room for a body */
        rc = TW_E_TOO_LARGE;
    if (rc != TW_OK) {
        drop_body(r);
        return rc;
    }
    c->next_id = c->next_id == UINT32_MAX ? 1 : c->next_id + 1;
    r->id = c->next_id;
    c->n_requests++;
    if (request != NULL)
        *request = r->id;
    rc = tw__client_pump(c);
    return rc == TW_OK ? TW_OK : tw__client_fail(c, rc);
}

/* see tuyawire/client.h */
int tw_client_query(tw_client *c, uint64_t now_ms, uint32_t *request)
{
    struct request *r;
    int rc = new_request(c, now_ms, &r);
    if (rc != TW_OK)
        return rc;
    r->is_query = true;
    return submit(c, r, make_query(c, r, c->form), request);
}

/* see tuyawire/client.h */
int tw_client_query_dps(tw_client *c, const uint32_t *dp_ids, size_t n, uint64_t now_ms, uint32_t *request)
{
    struct request *r;
    int rc = new_request(c, now_ms, &r);
    if (rc != TW_OK)
        return rc;
    if (n == 0 || n > TW__CLIENT_DPS_ASKED)
        return TW_E_ARGUMENT;
    return submit(c, r, make_null_map(c, r, dp_ids, n), request);
}

/* The command that sets data points. Up to 3.3, a device that answered only the newer query takes the newer control
 * (spec section 2); one that answers only null maps takes the old (spec section 5.6). */
static uint32_t control_command(const struct tw_client *c)
{
    return c->form == FORM_NEW ? TW_CMD_CONTROL_NEW : c->traits->control;
}

/* see tuyawire/client.h */
int tw_client_control(tw_client *c, struct tw_span dps, uint64_t now_ms, uint32_t *request)
{
    struct request *r;
    int rc = new_request(c, now_ms, &r);
    if (rc != TW_OK)
        return rc;
    struct tw_body object;
    if (tw_body_parse(&object, dps) != TW_OK)
        return TW_E_JSON;
    char room[BODY_MAX];
    struct tw_text body = {.data = room, .cap = sizeof room};
    struct tw_body_ids ids = ids_now(c);
    r->command = control_command(c);
    rc = tw_body_control(&body, c->cfg.version, r->command, &ids, object.json);
    if (rc == TW_OK)
        rc = set_body(r, (struct tw_span){(const uint8_t *)body.data, body.len});
    return submit(c, r, rc, request);
}

/* see tuyawire/client.h */
int tw_client_send(tw_client *c, uint32_t command, struct tw_span body, uint64_t now_ms, uint32_t *request)
{
    struct request *r;
    int rc = new_request(c, now_ms, &r);
    if (rc != TW_OK)
        return rc;
    if (tw_command_is_handshake(command))
        return TW_E_ARGUMENT;
    if (body.len > BODY_MAX)
        return TW_E_TOO_LARGE;
    r->command = command;
    return submit(c, r, set_body(r, body), request);
}

/* see tuyawire/client.h */
int tw_client_refresh(tw_client *c, const uint32_t *dp_ids, size_t n, uint64_t now_ms, uint32_t *request)
{
    struct request *r;
    int rc = new_request(c, now_ms, &r);
    if (rc != TW_OK)
        return rc;
    if (n > TW__CLIENT_DPS_ASKED)
        return TW_E_ARGUMENT;
    char room[BODY_MAX];
    struct tw_text body = {.data = room, .cap = sizeof room};
    r->command = TW_CMD_UPDATEDPS;
    r->refresh = true;
    r->n_asked = n;
    if (n > 0)
        memcpy(r->asked, dp_ids, n * sizeof *dp_ids);
    rc = tw_body_refresh(&body, dp_ids, n);
    if (rc == TW_OK)
        rc = set_body(r, (struct tw_span){(const uint8_t *)body.data, body.len});
    return submit(c, r, rc, request);
}

/* see tuyawire/client.h */
int tw_client_heartbeat(tw_client *c, uint64_t now_ms, uint32_t *request)
{
    return tw_client_send(c, TW_CMD_HEART_BEAT, (struct tw_span){0}, now_ms, request);
}

/* see tuyawire/client.h */
int tw_client_subdevices(tw_client *c, uint64_t now_ms, uint32_t *request)
{
    char room[128];
    struct tw_text body = {.data = room, .cap = sizeof room};
    int rc = tw_body_subdev_query(&body);
    if (rc != TW_OK)
        return rc;
    return tw_client_send(c, TW_CMD_LAN_EXT_STREAM, (struct tw_span){(const uint8_t *)body.data, body.len}, now_ms,
                          request);
}
