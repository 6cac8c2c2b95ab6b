/* link.c - see link.h. */
#include "link.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tuyawire/error.h"

uint64_t link_now(void)
{
    return uv_hrtime() / 1000000;
}

static void on_closed(uv_handle_t *h)
{
    struct link *l = h->data;
    l->handles--;
}

/* Only wakes uv_run(); link_run() looks at the clock itself. */
static void on_timer(uv_timer_t *timer)
{
    (void)timer;
}

static void end(struct link *l, int uv_error)
{
    if (l->over)
        return;
    l->over = true;
    l->uv_error = uv_error;
}

static void drain(struct link *l)
{
    struct tw_client_event ev;
    while (tw_client_next_event(l->client, &ev)) {
        if (ev.type == TW_CLIENT_FAILED) {
            l->error = ev.error;
            l->over = true;
        }
        if (l->on_event != NULL)
            l->on_event(l->ctx, &ev);
    }
}

struct write {
    uv_write_t req;
    uint8_t data[];
};

static void on_written(uv_write_t *req, int status)
{
    if (status < 0 && status != UV_ECANCELED)
        end(req->handle->data, status);
    free(req);
}

void link_write(struct link *l, const uint8_t *data, size_t len)
{
    if (l->over || len == 0)
        return;
    struct write *w = malloc(sizeof *w + len);
    if (w == NULL) {
        end(l, UV_ENOMEM);
        return;
    }
    memcpy(w->data, data, len);
    uv_buf_t buf = uv_buf_init((char *)w->data, (unsigned)len);
    int rc = uv_write(&w->req, (uv_stream_t *)&l->tcp, &buf, 1, on_written);
    if (rc != 0) {
        free(w);
        end(l, rc);
    }
}

void link_flush(struct link *l)
{
    if (l->client == NULL)
        return;
    struct tw_span out = tw_client_output(l->client);
    link_write(l, out.data, out.len);
    tw_client_sent(l->client, out.len);
    drain(l);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)h, (void)suggested;
    static char room[65536]; /* one loop, one reader: libuv uses it before it asks again */
    *buf = uv_buf_init(room, sizeof room);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct link *l = stream->data;
    if (l->over || n == 0)
        return;
    if (n < 0) {
        if (l->client != NULL) {
            tw_client_peer_closed(l->client);
            drain(l);
        }
        l->over = false; /* the end has a more precise cause than the engine knows */
        end(l, (int)n);
        return;
    }
    size_t len = (size_t)n;
    if (l->bytes_in < sizeof l->first) {
        size_t room = sizeof l->first - l->bytes_in;
        memcpy(l->first + l->bytes_in, buf->base, len < room ? len : room);
    }
    l->bytes_in += len;
    if (l->client == NULL)
        return;
    (void)tw_client_feed(l->client, (const uint8_t *)buf->base, len, link_now());
    link_flush(l);
}

static void on_connect(uv_connect_t *req, int status)
{
    struct link *l = req->handle->data;
    if (status == UV_ECANCELED)
        return;
    if (status < 0) {
        end(l, status);
        return;
    }
    l->connected = true;
    uv_tcp_nodelay(&l->tcp, 1);
    uv_read_start((uv_stream_t *)&l->tcp, on_alloc, on_read);
}

static bool is_connected(void *ctx)
{
    struct link *l = ctx;
    return l->connected;
}

static bool is_stopped(const struct link *l)
{
    return l->stop != NULL && *l->stop;
}

/* ---- names ----------------------------------------------------------------------------------------------------- */

/* Looked up in a thread of libuv, which nobody can stop: one that is not waited for any longer frees itself. */
struct lookup {
    uv_getaddrinfo_t req;
    bool done, abandoned;
    int status;
};

static unsigned n_abandoned; /* lookups still under way */

bool link_is_looking_up(void)
{
    return n_abandoned > 0;
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
    struct lookup *k = req->data;
    k->done = true;
    k->status = status;
    if (!k->abandoned)
        return;
    n_abandoned--;
    uv_freeaddrinfo(found);
    free(k);
}

static bool is_resolved(void *ctx)
{
    const struct lookup *k = ctx;
    return k->done;
}

/* All addresses of host, the one the system likes best first; to be freed with uv_freeaddrinfo(). Numbers need no
 * looking up. */
static int resolve(struct link *l, struct addrinfo **out, uint64_t limit_ms)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    char port[8];
    struct lookup *k = calloc(1, sizeof *k);
    if (k == NULL)
        return UV_ENOMEM;
    k->req.data = k;
    snprintf(port, sizeof port, "%u", (unsigned)l->port);
    int rc = uv_getaddrinfo(l->loop, &k->req, NULL, l->host, port, &hints);
    if (rc != 0) {
        hints.ai_flags = AI_NUMERICSERV;
        rc = uv_getaddrinfo(l->loop, &k->req, on_resolved, l->host, port, &hints);
        if (rc == 0 && !link_run(l, is_resolved, k, limit_ms)) {
            k->abandoned = true;
            n_abandoned++;
            return UV_EAI_AGAIN;
        }
        rc = rc != 0 ? rc : k->status;
    }
    *out = k->req.addrinfo;
    free(k);
    return rc;
}

/* ---- connecting ------------------------------------------------------------------------------------------------ */

static void close_socket(struct link *l)
{
    uv_close((uv_handle_t *)&l->tcp, on_closed);
    while (l->handles > 1)
        uv_run(l->loop, UV_RUN_ONCE);
}

static void open_socket(struct link *l)
{
    uv_tcp_init(l->loop, &l->tcp);
    l->tcp.data = l;
    l->handles++;
}

/* One address. After a failure the link is as it was before. */
static int connect_to(struct link *l, const struct addrinfo *address, uint64_t limit_ms)
{
    uv_connect_t req;
    int rc = uv_tcp_connect(&req, &l->tcp, address->ai_addr, on_connect);
    if (rc == 0 && link_run(l, is_connected, l, limit_ms))
        return 0;
    if (rc == 0)
        rc = l->uv_error != 0 ? l->uv_error : UV_ETIMEDOUT;
    close_socket(l); /* while req still lives */
    open_socket(l);
    l->over = false;
    l->uv_error = 0;
    return rc;
}

/* One after the other, each with its share of the time that is left: a name may have an address of either kind while
 * the device listens on one. @return 0; what the first said, since the system likes it best */
static int connect_to_any(struct link *l, const struct addrinfo *found, uint64_t end_at)
{
    unsigned left = 0;
    int first = 0;
    for (const struct addrinfo *a = found; a != NULL; a = a->ai_next)
        left++;
    for (const struct addrinfo *a = found; a != NULL; a = a->ai_next, left--) {
        uint64_t now = link_now();
        int rc = connect_to(l, a, now < end_at ? (end_at - now) / left : 0);
        if (rc == 0)
            return 0;
        if (first == 0)
            first = rc;
        if (is_stopped(l))
            break;
    }
    return first;
}

int link_connect(struct link *l, uv_loop_t *loop, const char *host, uint16_t port, uint64_t limit_ms,
                 struct trouble *t)
{
    *l = (struct link){.loop = loop, .host = host, .port = port, .stop = l->stop, .handles = 1};
    uv_timer_init(loop, &l->timer);
    l->timer.data = l;
    open_socket(l);
    if (is_stopped(l))
        return trouble_set(t, TROUBLE_OURS, "", "interrupted");

    struct addrinfo *found;
    uint64_t end_at = link_now() + limit_ms;
    int rc = resolve(l, &found, limit_ms);
    if (rc == 0) {
        rc = connect_to_any(l, found, end_at);
        uv_freeaddrinfo(found);
    }
    return rc == 0 ? 0 : trouble_from_uv(t, rc, false, host, port);
}

void link_start(struct link *l, tw_client *client, enum tw_version v, link_event_fn *on_event, void *ctx)
{
    l->client = client;
    l->version = v;
    l->on_event = on_event;
    l->ctx = ctx;
    (void)tw_client_start(client, link_now());
    link_flush(l);
}

bool link_run(struct link *l, link_done_fn *done, void *ctx, uint64_t limit_ms)
{
    uint64_t end_at = link_now() + limit_ms;
    while (!l->over && !is_stopped(l) && !(done != NULL && done(ctx))) {
        uint64_t now = link_now(), wake = end_at;
        if (now >= end_at)
            return false;
        if (l->client != NULL && tw_client_deadline(l->client) < wake)
            wake = tw_client_deadline(l->client);
        uv_update_time(l->loop);
        uv_timer_start(&l->timer, on_timer, wake > now ? wake - now : 0, 0);
        uv_run(l->loop, UV_RUN_ONCE);
        uv_timer_stop(&l->timer);
        if (l->client != NULL && !l->over && tw_client_deadline(l->client) <= link_now()) {
            (void)tw_client_tick(l->client, link_now());
            link_flush(l);
        }
    }
    return done != NULL && done(ctx);
}

void link_pause(uv_loop_t *loop, link_done_fn *done, void *ctx, uint64_t limit_ms)
{
    struct link nothing = {.loop = loop};
    uv_timer_init(loop, &nothing.timer);
    link_run(&nothing, done, ctx, limit_ms);
    uv_close((uv_handle_t *)&nothing.timer, NULL);
    uv_run(loop, UV_RUN_NOWAIT);
}

int link_trouble(const struct link *l, struct trouble *t)
{
    if (l->uv_error != 0 && l->uv_error != UV_EOF)
        return trouble_from_uv(t, l->uv_error, true, l->host, l->port);
    bool established =
        l->client != NULL && (tw_client_session(l->client) != NULL || !tw_version_traits(l->version)->negotiates);
    return trouble_from_engine(t, l->uv_error == UV_EOF ? TW_E_CLOSED : l->error, l->version, established,
                               l->bytes_in > 0);
}

void link_close(struct link *l)
{
    if (l->loop == NULL)
        return;
    if (!uv_is_closing((uv_handle_t *)&l->tcp))
        uv_close((uv_handle_t *)&l->tcp, on_closed);
    if (!uv_is_closing((uv_handle_t *)&l->timer))
        uv_close((uv_handle_t *)&l->timer, on_closed);
    while (l->handles > 0)
        uv_run(l->loop, UV_RUN_ONCE);
    tw_client_free(l->client);
    l->client = NULL;
    l->over = true;
    l->connected = false;
    l->loop = NULL;
}
