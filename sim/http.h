/* http.h - HTTP in the libuv loop: libmicrohttpd speaks it, this file waits for it and guards the door.
 *
 * libmicrohttpd runs without threads of its own: its epoll descriptor is one more descriptor of the loop. A handler is
 * called once per request, with the whole body, and answers at once; or it turns the request into a stream of
 * server-sent events, which http_publish() feeds.
 *
 * The door: with a token, each request but those the handler's public_path() names has to bring it (Authorization:
 * Bearer). Without one only loopback is listened on, and a request whose Host or Origin is somebody else's (a web page
 * in the user's browser, a rebound name) is turned away. */
#ifndef SIM_HTTP_H
#define SIM_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>
#include "common/say.h"
#include "tuyawire/span.h"

enum {
    HTTP_BODY_MAX = 1024 * 1024,
    HTTP_CONNECTIONS_MAX = 128,
    HTTP_STREAM_QUEUE_MAX = 256 * 1024
}; /* bytes, ours */

struct http;
struct http_call; /* one request under way */

struct http_request {
    const char *method; /**< "GET", also for HEAD */
    const char *path;   /**< without the query, percent-decoded: "/devices/bf01/dps" */
    struct tw_span body;
    struct http_call *call; /**< for http_query() */
};

/** What to answer. Zeroed before the handler is called. */
struct http_reply {
    unsigned status;
    const char *type; /**< static; NULL: application/json */
    char *body;       /**< malloc'ed, taken over; NULL: empty */
    size_t len;
    bool stream;       /**< answer with a stream of events; body is its first piece */
    const char *allow; /**< for 405 */
};

struct http_config {
    uv_loop_t *loop;
    const char *host;  /**< address to listen on */
    uint16_t port;     /**< 0: ephemeral */
    const char *token; /**< NULL: none is asked for. Borrowed */
    void (*handle)(void *ctx, const struct http_request *rq, struct http_reply *reply);
    bool (*public_path)(const char *path); /**< no token needed */
    void *ctx;
};

/** Listen. @return 0; -1 and why: address in use, not loopback without a token, .. */
int http_start(struct http **out, const struct http_config *cfg, struct why *why);
uint16_t http_port(const struct http *h);
/** Close all connections; `closed` is called when the loop has let go, and h is gone then. */
void http_stop(struct http *h, void (*closed)(void *ctx), void *ctx);

/** The value of a query parameter; NULL: absent. Valid during the handler. */
const char *http_query(const struct http_request *rq, const char *name);

/** Append to every open stream. Who does not read HTTP_STREAM_QUEUE_MAX bytes in time is cut off. */
void http_publish(struct http *h, const char *text, size_t len);
bool http_has_streams(const struct http *h);

#endif
