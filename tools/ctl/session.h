/* session.h - a device that is talked to: finds out its version, connects, asks, tries again where that is safe. */
#ifndef CTL_SESSION_H
#define CTL_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>
#include "common/devices.h"
#include "link.h"
#include "store.h"
#include "trouble.h"
#include "tuyawire/client.h"

/** Where the version of a target comes from, and so what to think when it does not work. */
enum version_source {
    VERSION_UNKNOWN,   /* find out */
    VERSION_FROM_LIST, /* lists grow old: find out, and go on with what is found */
    VERSION_ASKED_FOR, /* find out, and say so */
    VERSION_CERTAIN,   /* the device has told it */
};

/** Whom to talk to. Texts are never NULL. */
struct target {
    char host[256];
    uint16_t port;
    char id[TW_CLIENT_ID_MAX + 1];
    char cid[TW_CLIENT_ID_MAX + 1];
    bool has_key;
    uint8_t key[TW_KEY_LEN];
    enum version_source version_source;
    enum tw_version version;
    const struct devices_entry *entry; /* name and mapping; NULL: not from a list */
};

struct session_options {
    uint64_t timeout_ms; /* for connecting and for each answer */
    unsigned retries;
    bool debug;
};

/** How a request ended. */
struct answer {
    bool done;
    enum tw_client_event_type type; /* REPLY, ACK, STATUS (refresh), REFUSED, TIMEOUT */
    uint32_t command, return_code;
    char *text; /* payload, NUL-terminated, owned */
    size_t len;
};

struct session {
    uv_loop_t *loop;
    struct session_options options;
    struct target target;
    tw_crypto *crypto;
    struct link link;
    bool is_open;
    struct store store;
    bool null_map;
    bool asked_ranges; /* devices that answer only null maps: everything was asked for once */
    bool was_reached;  /* a connection has stood */
    uint32_t waiting;  /* the request whose answer goes into `answer` */
    struct answer answer;
    link_event_fn *on_event; /* may be NULL: told of every event */
    void *ctx;
};

/** @return 0, -1 and t */
int session_init(struct session *s, uv_loop_t *loop, const struct target *target,
                 const struct session_options *options, struct trouble *t);
void session_free(struct session *s);

/** Connect and be ready for requests; nothing to do if that is so already. Finds out the version if need be. */
int session_open(struct session *s, struct trouble *t);
void session_close(struct session *s);

/** One thing to ask. */
struct ask {
    enum { ASK_QUERY, ASK_NULL_MAP, ASK_CONTROL, ASK_REFRESH, ASK_HEARTBEAT, ASK_SUBDEVICES, ASK_SEND } kind;
    const uint32_t *dp_ids; /* NULL_MAP, REFRESH */
    size_t n;
    const char *text;   /* CONTROL: the data points; SEND: the body */
    uint32_t command;   /* SEND */
    link_done_fn *done; /* something that will do instead of the answer; NULL: nothing does */
    void *ctx;
    bool once; /* must not be sent a second time, even if nobody knows whether the first arrived */
};

/** Ask, wait for the answer, and try again (unless once) when it does not come. A refusal is an answer too; see
 * s->answer. Data points in replies and pushes go to s->store. @return 0; -1 and t */
int session_ask(struct session *s, const struct ask *a, struct trouble *t);

/** All data points, also of devices that have to be asked in pieces. @return 0; -1 and t: refused too */
int session_status(struct session *s, struct trouble *t);

/** Set data points ({"1":true}) and make sure of it: by the ACK and the pushed values, or by a query.
 * @param once  send the control at most once
 * @return 0; -1 and t */
int session_control(struct session *s, const char *dps, bool once, struct trouble *t);

/** Wait for pushes for so long, or until done. */
bool session_wait(struct session *s, link_done_fn *done, void *ctx, uint64_t limit_ms);

/** Let time pass. */
void session_pause(struct session *s, uint64_t ms);

/** What tw_random_fn wants, from the system. */
int session_random(void *ctx, uint8_t *buf, size_t len);

#endif
