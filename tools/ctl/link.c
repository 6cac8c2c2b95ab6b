/* link.c - see link.h. */
#include "link.h"
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

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
    struct link *l = req->data;
    if (l != NULL && status < 0)
        end(l, status);
    else if (l != NULL)
        l->uv_error = 1; /* resolved */
    /* found stays with req->addrinfo */
    (void)found;
}

static bool is_resolved(void *ctx)
{
    struct link *l = ctx;
    return l->uv_error == 1;
}

static bool is_connected(void *ctx)
{
    struct link *l = ctx;
    return l->connected;
}

/* The address of host: numbers as they stand, names by asking the system. */
static int resolve(struct link *l, struct sockaddr_storage *out, uint64_t limit_ms)
{
    if (uv_ip4_addr(l->host, l->port, (struct sockaddr_in *)out) == 0)
        return 0;
    if (uv_ip6_addr(l->host, l->port, (struct sockaddr_in6 *)out) == 0)
        return 0;
    uv_getaddrinfo_t *req = calloc(1, sizeof *req);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    if (req == NULL)
        return UV_ENOMEM;
    req->data = l;
    int rc = uv_getaddrinfo(l->loop, req, on_resolved, l->host, NULL, &hints);
    if (rc != 0) {
        free(req);
        return rc;
    }
    if (!link_run(l, is_resolved, l, limit_ms)) {
        rc = l->uv_error != 0 ? l->uv_error : UV_EAI_AGAIN;
        if (l->uv_error == 0)
            req->data = NULL; /* still under way in a thread of libuv: it must find its memory, so it keeps it */
        else
            free(req);
        return rc;
    }
    memcpy(out, req->addrinfo->ai_addr, req->addrinfo->ai_addrlen);
    if (out->ss_family == AF_INET)
        ((struct sockaddr_in *)out)->sin_port = htons(l->port);
    else
        ((struct sockaddr_in6 *)out)->sin6_port = htons(l->port);
    l->uv_error = 0;
    uv_freeaddrinfo(req->addrinfo);
    free(req);
    return 0;
}

static bool is_stopped(const struct link *l)
{
    return l->stop != NULL && *l->stop;
}

int link_connect(struct link *l, uv_loop_t *loop, const char *host, uint16_t port, uint64_t limit_ms,
                 struct trouble *t)
{
    *l = (struct link){.loop = loop, .host = host, .port = port, .stop = l->stop};
    uv_timer_init(loop, &l->timer);
    uv_tcp_init(loop, &l->tcp);
    l->timer.data = l->tcp.data = l;
    l->handles = 2;
    if (is_stopped(l))
        return trouble_set(t, TROUBLE_OURS, "", "interrupted");

    struct sockaddr_storage address;
    uv_connect_t req;
    uint64_t start = link_now();
    int rc = resolve(l, &address, limit_ms);
    if (rc != 0)
        return trouble_from_uv(t, rc, false, host, port);
    rc = uv_tcp_connect(&req, &l->tcp, (const struct sockaddr *)&address, on_connect);
    if (rc != 0)
        return trouble_from_uv(t, rc, false, host, port);
    uint64_t spent = link_now() - start;
    if (link_run(l, is_connected, l, spent < limit_ms ? limit_ms - spent : 0))
        return 0;
    rc = l->uv_error != 0 ? l->uv_error : UV_ETIMEDOUT;
    link_close(l); /* while req still lives */
    return trouble_from_uv(t, rc, false, host, port);
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
