/* link.h - one connection to a device: the client engine on libuv.
 *
 * A command line tool asks and waits, so this is written to be waited on: link_run() turns the event loop until a
 * condition holds, a limit has passed, or the connection is over. */
#ifndef CTL_LINK_H
#define CTL_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>
#include "trouble.h"
#include "tuyawire/client.h"

typedef void link_event_fn(void *ctx, const struct tw_client_event *ev);
typedef bool link_done_fn(void *ctx);

struct link {
    uv_loop_t *loop; /* borrowed */
    uv_tcp_t tcp;
    uv_timer_t timer;
    unsigned handles;  /* of the two above, not closed yet */
    tw_client *client; /* NULL: only bytes, as probes want them */
    enum tw_version version;
    link_event_fn *on_event;
    void *ctx;
    bool connected, over;
    int uv_error; /* 0, or why connecting, reading or writing failed; UV_EOF: closed by the device */
    int error;    /* the engine's, when it failed */
    size_t bytes_in;
    uint8_t first[2048]; /* the first bytes that came, for those who want to know what it is */
    const char *host;    /* borrowed, for messages */
    uint16_t port;
    const bool *stop; /* true: no wait goes on, on this connection and those after it; NULL: nobody stops it */
};

/** Milliseconds of a clock that never goes back. */
uint64_t link_now(void);

/** Connect to the first address of host that takes the connection. limit_ms: for all of them together, and for looking up
 * the name. @return 0; -1 and t. After either, link_close() is due */
int link_connect(struct link *l, uv_loop_t *loop, const char *host, uint16_t port, uint64_t limit_ms,
                 struct trouble *t);

/** Is a name still looked up that took too long? At exit libuv would wait for it, however long. */
bool link_is_looking_up(void);

/** Start the engine on a connection that stands; takes over client. */
void link_start(struct link *l, tw_client *client, enum tw_version v, link_event_fn *on_event, void *ctx);

/** Send bytes as they are. */
void link_write(struct link *l, const uint8_t *data, size_t len);

/** Send what the engine has to send. To be called after making requests. */
void link_flush(struct link *l);

/** Turn the loop until done(ctx) (NULL: never), the limit, the end of the connection, or stop.
 * @return true: done; false: one of the others */
bool link_run(struct link *l, link_done_fn *done, void *ctx, uint64_t limit_ms);

/** Let time pass, with no connection, until done(ctx) (NULL: never) or the limit. */
void link_pause(uv_loop_t *loop, link_done_fn *done, void *ctx, uint64_t limit_ms);

/** Why it is over, as trouble. @return -1 */
int link_trouble(const struct link *l, struct trouble *t);

/** Close at once and release everything, the engine too. Safe to call twice. */
void link_close(struct link *l);

#endif
