/* client_internal.h - one connection as the two files of the client engine see it: client.c moves bytes and makes events
 * of them, client_request.c knows what was asked and what answers it. */
#ifndef TW_CLIENT_INTERNAL_H
#define TW_CLIENT_INTERNAL_H

#include "tuyawire/client.h"
#include "tuyawire/version.h"

#if defined(__GNUC__)
#pragma GCC visibility push(hidden)
#endif

enum {
    TW__CLIENT_DPS_ASKED = 32,  /* data points of one null map or refresh */
    TW__CLIENT_STATUS_SEEN = 8, /* (counter, source) pairs remembered against duplicates. Our choice */
};

/* How a device wants to be asked for everything (spec sections 2 and 5.6). */
enum query_form { FORM_OF_VERSION, FORM_NEW, FORM_NULL_MAP };

struct buffer {
    uint8_t *data;
    size_t len, cap;
};

struct request {
    uint32_t id;
    uint32_t command;
    uint32_t seq; /* valid once sent */
    bool sent;
    bool is_query;     /* may fall back to another form when refused */
    bool null_map;     /* answered by a STATUS besides the ACK */
    bool refresh;      /* answered by an ACK or by a STATUS, devices differ */
    bool acked;        /* null map: the ACK has come, the values have not */
    bool delivered;    /* null map: the values have come, the ACK has not */
    bool guessed;      /* the form is a guess: answers come soon or not at all */
    uint64_t deadline; /* valid once sent */
    uint8_t *body;     /* owned; NULL once sent */
    size_t body_len;
    uint32_t asked[TW__CLIENT_DPS_ASKED]; /* null map, refresh */
    size_t n_asked;
};

struct queued {
    struct tw_client_event event; /* payload.data is not valid; see offset */
    size_t offset;                /* of the payload in plain */
};

struct tw_client {
    struct tw_client_config cfg; /* spans point to the arrays below */
    const struct tw_version_traits *traits;
    uint8_t device_id[TW_CLIENT_ID_MAX], cid[TW_CLIENT_ID_MAX];
    struct tw_session session;

    bool started, established;
    int error;
    unsigned skipped; /* messages passed over during the handshake */
    enum query_form form;
    uint32_t seq;     /* of the next frame */
    uint32_t counter; /* of the next control */
    uint32_t next_id;

    uint64_t start_ms, now_ms, handshake_deadline, next_heartbeat, last_heartbeat;
    unsigned unanswered; /* heart beats since the last sign of life */

    struct buffer rx, tx, plain;
    size_t tx_sent;

    struct queued *events;
    size_t n_events, events_cap, next_event;

    struct request requests[TW_CLIENT_REQUESTS_MAX];
    size_t n_requests;

    struct {
        uint32_t counter, source;
    } seen[TW__CLIENT_STATUS_SEEN];
    size_t n_seen; /* counts on; the ring index is n_seen % TW__CLIENT_STATUS_SEEN */
};

/* ---- client.c ---- */

/* Queue an event. Its payload may lie in plain (opened in place), in rx or in static text; it is copied. */
int tw__client_queue(struct tw_client *c, const struct tw_client_event *ev);

/* The event of this type that a message is. */
struct tw_client_event tw__client_event(enum tw_client_event_type type, const struct tw_message *m);

/* Seal one message behind what waits in tx. seq: the number it got. */
int tw__client_emit(struct tw_client *c, uint32_t command, struct tw_span body, uint32_t *seq);

/* The one place where an error becomes sticky; returns it. */
int tw__client_fail(struct tw_client *c, int error);

/* TW_OK; the sticky error; TW_E_STATE before the start. */
int tw__client_usable(const struct tw_client *c);

void tw__client_set_now(struct tw_client *c, uint64_t now_ms);

/* ---- client_request.c ---- */

/* An opened message of an established connection. */
int tw__client_on_message(struct tw_client *c, const struct tw_message *m);

/* Send what may be sent now. Order is kept: a request that has to wait holds up those behind it. */
int tw__client_pump(struct tw_client *c);

/* End, or ask again in another form, what is overdue. */
int tw__client_end_overdue(struct tw_client *c);

/* When the next request is; TW_CLIENT_NEVER: none. */
uint64_t tw__client_next_overdue(const struct tw_client *c);

void tw__client_drop_requests(struct tw_client *c);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
