/* client_libuv.c - follow a plug from an event loop.
 *
 *     TUYA_LOCAL_KEY='0123456789abcdef' ./client_libuv 127.0.0.1 6668 3.5 bf00000000000000000001 3
 *
 * prints the first 3 changes and ends. Three callbacks are all it takes: bytes came, time passed, connection stands.
 * Each ends with flush(), which sends what waits, sets the one timer, and takes the events. Heart beats need no code:
 * the engine asks to be woken for them.
 *
 *     cc client_libuv.c $(pkg-config --cflags --libs tuyawire libuv) */
#define _DEFAULT_SOURCE /* getrandom() */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <uv.h>
#include <tuyawire/tuyawire.h>

struct follower {
    uv_tcp_t tcp;
    uv_timer_t timer;
    tw_client *client;
    int changes_left;
    int error;
};

static int system_random(void *ctx, uint8_t *buf, size_t len)
{
    (void)ctx;
    return getrandom(buf, len, 0) == (ssize_t)len ? 0 : -1;
}

static struct tw_span text(const char *s)
{
    return (struct tw_span){(const uint8_t *)s, strlen(s)};
}

static void end(struct follower *f, int error)
{
    f->error = error;
    if (!uv_is_closing((uv_handle_t *)&f->tcp)) {
        uv_close((uv_handle_t *)&f->tcp, NULL);
        uv_close((uv_handle_t *)&f->timer, NULL);
    }
}

static void take_events(struct follower *f)
{
    struct tw_client_event ev;
    while (tw_client_next_event(f->client, &ev)) {
        switch (ev.type) {
        case TW_CLIENT_ESTABLISHED: printf("connected\n"); break;
        case TW_CLIENT_REPLY:
        case TW_CLIENT_STATUS:
            printf("%s %.*s\n", ev.type == TW_CLIENT_REPLY ? "state" : "change", (int)ev.body.dps.len,
                   (const char *)ev.body.dps.data);
            if (ev.type == TW_CLIENT_STATUS && --f->changes_left == 0)
                end(f, TW_OK);
            break;
        case TW_CLIENT_FAILED: end(f, ev.error); break;
        default: break;
        }
    }
    fflush(stdout);
}

static void on_timer(uv_timer_t *timer);

static void on_written(uv_write_t *req, int status)
{
    (void)status; /* a broken connection is seen by reading, too */
    free(req);
}

static void send_output(struct follower *f)
{
    struct tw_span out = tw_client_output(f->client);
    struct {
        uv_write_t req; /* first: on_written() frees it */
        uint8_t data[];
    } *w = out.len > 0 ? malloc(sizeof *w + out.len) : NULL;
    if (w == NULL)
        return;
    memcpy(w->data, out.data, out.len);
    uv_buf_t buf = uv_buf_init((char *)w->data, (unsigned)out.len);
    if (uv_write(&w->req, (uv_stream_t *)&f->tcp, &buf, 1, on_written) != 0)
        free(w);
    tw_client_sent(f->client, out.len);
}

static void flush(struct follower *f)
{
    send_output(f);
    take_events(f);
    uint64_t deadline = tw_client_deadline(f->client), now = uv_now(f->tcp.loop);
    if (!uv_is_closing((uv_handle_t *)&f->timer) && deadline != TW_CLIENT_NEVER)
        uv_timer_start(&f->timer, on_timer, deadline > now ? deadline - now : 0, 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct follower *f = timer->data;
    tw_client_tick(f->client, uv_now(timer->loop));
    flush(f);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    static char room[65536];
    (void)h, (void)suggested;
    *buf = uv_buf_init(room, sizeof room);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct follower *f = stream->data;
    if (n < 0)
        tw_client_peer_closed(f->client);
    else
        tw_client_feed(f->client, (const uint8_t *)buf->base, (size_t)n, uv_now(stream->loop));
    flush(f);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct follower *f = req->handle->data;
    if (status < 0) {
        fprintf(stderr, "%s\n", uv_strerror(status));
        end(f, TW_E_CLOSED);
        return;
    }
    uv_read_start(req->handle, on_alloc, on_read);
    tw_client_start(f->client, uv_now(req->handle->loop));
    tw_client_query(f->client, uv_now(req->handle->loop), NULL);
    flush(f);
}

int main(int argc, char **argv)
{
    const char *key = getenv("TUYA_LOCAL_KEY");
    struct tw_client_config cfg;
    struct sockaddr_in address;
    tw_client_config_init(&cfg);
    if (argc < 6 || tw_version_parse(&cfg.version, argv[3], strlen(argv[3])) != TW_OK || key == NULL ||
        strlen(key) != TW_KEY_LEN || uv_ip4_addr(argv[1], atoi(argv[2]), &address) != 0) {
        fputs("usage: TUYA_LOCAL_KEY='16 characters' client_libuv ADDRESS PORT VERSION ID CHANGES\n", stderr);
        return 2;
    }

    struct follower f = {.changes_left = atoi(argv[5])};
    tw_crypto *crypto;
    uv_connect_t req;
    if (tw_crypto_new(&crypto, 2) != TW_OK)
        return 1;
    cfg.crypto = crypto;
    cfg.random = system_random;
    cfg.unix_time = (int64_t)time(NULL);
    cfg.device_id = text(argv[4]);
    memcpy(cfg.local_key, key, TW_KEY_LEN);
    if (tw_client_new(&f.client, &cfg) != TW_OK)
        return 1;

    uv_loop_t *loop = uv_default_loop();
    uv_tcp_init(loop, &f.tcp);
    uv_timer_init(loop, &f.timer);
    f.tcp.data = f.timer.data = &f;
    uv_tcp_connect(&req, &f.tcp, (const struct sockaddr *)&address, on_connected);
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
    tw_client_free(f.client);
    tw_crypto_free(crypto);
    if (f.error != TW_OK)
        fprintf(stderr, "%s\n", tw_strerror(f.error));
    return f.error == TW_OK ? 0 : 1;
}
