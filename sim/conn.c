/* conn.c - one client's connection: bytes between its socket and the device engine of the library. */
#include "server_private.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "fuzzed.h"
#include "line.h"
#include "strike.h"

/* Queued because the socket took only a part. */
struct rest {
    uv_write_t request;
    struct conn *conn;
    uint8_t bytes[];
};

/* ---- closing ---------------------------------------------------------------------------------------------------- */

static void leave_outlet(struct conn *c)
{
    struct outlet *o = c->outlet;
    if (o == NULL)
        return;
    if (c->prev_of_outlet != NULL)
        c->prev_of_outlet->next_of_outlet = c->next_of_outlet;
    else
        o->conns = c->next_of_outlet;
    if (c->next_of_outlet != NULL)
        c->next_of_outlet->prev_of_outlet = c->prev_of_outlet;
    o->n_conns--;
    o->left_ms = server_real_ms(o->server);
}

static void on_closed(uv_handle_t *h)
{
    struct conn *c = h->data;
    struct server *s = c->server;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    s->n_conns--;
    free(c);
}

static void end(struct conn *c, const char *reason)
{
    struct server *s = c->server;
    c->closing = true;
    s->counters.closed++;
    server_emit(s, &(struct server_event){.type = SERVER_DISCONNECTED,
                                          .device = c->outlet != NULL ? c->outlet->device : NULL,
                                          .flow = c->flow,
                                          .reason = reason});
    if (c->n_later > 0)
        later_forget(&s->later, c);
    tap_close(c);
    line_free(c);
    leave_outlet(c);
    tw_device_free(c->engine);
    c->engine = NULL;
    free(c->lobby);
    c->lobby = NULL;
    free(c->held);
    c->held = NULL;
}

void conn_close(struct conn *c, const char *reason)
{
    if (c->closing)
        return;
    end(c, reason);
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

void conn_reset(struct conn *c, const char *reason)
{
    if (c->closing)
        return;
    end(c, reason);
    if (uv_tcp_close_reset(&c->tcp, on_closed) != 0)
        uv_close((uv_handle_t *)&c->tcp, on_closed);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void pause_reading(struct conn *c)
{
    if (!c->paused && uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp) > WRITE_PAUSE) {
        c->paused = true;
        uv_read_stop((uv_stream_t *)&c->tcp);
    }
}

static void start_reading(struct conn *c);

static void on_rest_written(uv_write_t *request, int status)
{
    struct rest *rest = request->data;
    struct conn *c = rest->conn;
    free(rest);
    if (c->closing)
        return;
    if (status != 0) {
        conn_close(c, "write error");
        return;
    }
    if (c->paused && uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp) < WRITE_RESUME) {
        c->paused = false;
        start_reading(c);
    }
}

static void write_rest(struct conn *c, const uint8_t *bytes, size_t n)
{
    if (uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp) > WRITE_MAX) {
        conn_close(c, "client does not read");
        return;
    }
    struct rest *rest = malloc(sizeof *rest + n);
    if (rest == NULL) {
        conn_close(c, "out of memory");
        return;
    }
    rest->conn = c;
    rest->request.data = rest;
    memcpy(rest->bytes, bytes, n);
    uv_buf_t buf = uv_buf_init((char *)rest->bytes, (unsigned)n);
    if (uv_write(&rest->request, (uv_stream_t *)&c->tcp, &buf, 1, on_rest_written) != 0) {
        free(rest);
        conn_close(c, "write error");
        return;
    }
    pause_reading(c);
}

void conn_write(struct conn *c, const uint8_t *bytes, size_t n)
{
    if (c->closing || c->half_closed || n == 0)
        return;
    c->server->counters.bytes_out += n;
    if (c->tap != NULL)
        tap_bytes(c, true, bytes, n);
    uv_buf_t buf = uv_buf_init((char *)bytes, (unsigned)n);
    int sent = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
    if (sent < 0 && sent != UV_EAGAIN) {
        conn_close(c, "write error");
        return;
    }
    size_t done = sent > 0 ? (size_t)sent : 0;
    if (done < n)
        write_rest(c, bytes + done, n - done);
}

void conn_flush(struct conn *c)
{
    if (c->closing || c->engine == NULL)
        return;
    struct tw_span out = tw_device_output(c->engine);
    if (out.len == 0)
        return;
    if (c->line != NULL)
        line_put(c, out.data, out.len);
    else
        conn_write(c, out.data, out.len);
    if (!c->closing)
        tw_device_sent(c->engine, out.len);
}

int conn_emit(struct conn *c, const struct tw_message *m, unsigned flags)
{
    return c->server->fuzzed != NULL ? fuzzed_emit(c, m, flags) : conn_emit_plain(c, m, flags);
}

int conn_emit_plain(struct conn *c, const struct tw_message *m, unsigned flags)
{
    size_t before = tw_device_output(c->engine).len;
    int rc = tw_device_send(c->engine, m, flags);
    if (rc == TW_E_CAPACITY)
        c->server->counters.frames_dropped++; /* more at once than the engine holds */
    if (rc != TW_OK)
        return rc;
    c->server->counters.frames_out++;
    if (c->tap != NULL) {
        struct tw_span out = tw_device_output(c->engine);
        tap_message_out(c, m, (struct tw_span){out.data + before, out.len - before},
                        (flags & TW_DEVICE_LOCAL_KEY) != 0);
    }
    return TW_OK;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static void count_event(struct server *s, const struct tw_device_event *ev)
{
    switch (ev->type) {
    case TW_DEVICE_DAMAGED: s->counters.damaged++; break;
    case TW_DEVICE_QUERY:
    case TW_DEVICE_NULL_QUERY: s->counters.queries++; break;
    case TW_DEVICE_CONTROL: s->counters.controls++; break;
    default: break;
    }
    s->counters.frames_in++;
}

void conn_engine_input(struct conn *c, const uint8_t *bytes, size_t n)
{
    struct server *s = c->server;
    tw_device_feed(c->engine, bytes, n, server_now_ms(s));
    struct tw_device_event ev;
    while (!c->closing && tw_device_next_event(c->engine, &ev)) {
        count_event(s, &ev);
        if (c->tap != NULL)
            tap_message_in(c, &ev);
        if (ev.type == TW_DEVICE_CLOSING) {
            conn_flush(c);
            conn_close(c, tw_error_name(ev.error));
            return;
        }
        answer_event(c, &ev);
        /* The engine keeps a quarter of a mebibyte at most; small requests in one segment may bring more than that. */
        if (!c->closing && tw_device_output(c->engine).len > FLUSH_AT)
            conn_flush(c);
    }
    conn_flush(c);
}

static int grow_lobby(struct conn *c, size_t need)
{
    size_t cap = c->lobby_cap > 0 ? c->lobby_cap : LOBBY_MIN;
    while (cap < need)
        cap *= 2;
    uint8_t *lobby = cap > c->lobby_cap ? realloc(c->lobby, cap) : c->lobby;
    if (lobby == NULL)
        return -1;
    c->lobby = lobby;
    c->lobby_cap = (uint16_t)cap;
    return 0;
}

/* The device that is meant takes over, with what has come so far. */
static void leave_lobby(struct conn *c, struct device *d)
{
    uint8_t *lobby = c->lobby;
    size_t len = c->lobby_len;
    c->lobby = NULL;
    if (conn_adopt(c, d) == 0)
        conn_engine_input(c, lobby, len);
    free(lobby);
}

static void look_around_lobby(struct conn *c)
{
    static const uint8_t heartbeat_reply[] = {0, 0,    0x55, 0xAA, 0, 0, 0,    0,    0,    0,    0, 9, 0,    0,
                                              0, 0x0C, 0,    0,    0, 0, 0xB0, 0x51, 0xAB, 0x03, 0, 0, 0xAA, 0x55};
    while (!c->closing) {
        struct device *d = NULL;
        size_t used = 0;
        switch (finder_look(c->server->finder, c->lobby, c->lobby_len, &d, &used)) {
        case FIND_MORE: return;
        case FIND_NOBODY:
            if (c->tap != NULL)
                tap_unknown(c, false, c->lobby, c->lobby_len, TW_E_NO_KEY);
            conn_close(c, "no device has this key");
            return;
        case FIND_HEARTBEAT:
            if (c->tap != NULL) {
                tap_unknown(c, false, c->lobby, used, TW_OK);
                tap_unknown(c, true, heartbeat_reply, sizeof heartbeat_reply, TW_OK);
            }
            conn_write(c, heartbeat_reply, sizeof heartbeat_reply);
            break;
        case FIND_SKIP:
            if (c->tap != NULL)
                tap_unknown(c, false, c->lobby, used, TW_E_NO_KEY);
            if (++c->n_skipped > SKIPPED_MAX)
                conn_close(c, "no device has this key");
            break;
        case FIND_DEVICE: leave_lobby(c, d); return;
        }
        if (c->closing)
            return; /* the client was gone when it was answered */
        memmove(c->lobby, c->lobby + used, c->lobby_len - used);
        c->lobby_len = (uint16_t)(c->lobby_len - used);
    }
}

/* Bytes of a client that has not said yet which device it means. It may send more at once than a first frame can have. */
static void lobby_input(struct conn *c, const uint8_t *bytes, size_t n)
{
    while (n > 0 && !c->closing && c->engine == NULL) {
        size_t room = FIND_BYTES_MAX - c->lobby_len, taken = n < room ? n : room;
        if (taken == 0 || grow_lobby(c, c->lobby_len + taken) != 0) {
            conn_close(c, "no frame");
            return;
        }
        memcpy(c->lobby + c->lobby_len, bytes, taken);
        c->lobby_len = (uint16_t)(c->lobby_len + taken);
        bytes += taken, n -= taken;
        look_around_lobby(c);
    }
    if (n > 0 && !c->closing)
        conn_engine_input(c, bytes, n);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct conn *c = h->data;
    *buf = uv_buf_init((char *)c->server->read_buffer, READ_BUFFER);
}

static void take_in(struct conn *c, const uint8_t *bytes, size_t n)
{
    c->server->counters.bytes_in += n;
    if (c->tap != NULL)
        tap_bytes(c, false, bytes, n);
    if (c->mute)
        return;
    if (c->engine != NULL)
        conn_engine_input(c, bytes, n);
    else
        lobby_input(c, bytes, n);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = stream->data;
    if (n < 0)
        conn_close(c, n == UV_EOF ? "client left" : "client reset");
    else if (n > 0)
        take_in(c, (const uint8_t *)buf->base, (size_t)n);
}

static void start_reading(struct conn *c)
{
    if (uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0)
        conn_close(c, "read error");
}

/* ---- accepting -------------------------------------------------------------------------------------------------- */

static uint32_t idle_limit(const struct server *s, const struct device *d)
{
    if (s->cfg.idle_timeout_ms >= 0)
        return (uint32_t)s->cfg.idle_timeout_ms;
    return d->profile->lan.idle_timeout_s * 1000;
}

/* What the loop would read next from the device's clients, now: who left before another came has left, and does not keep
 * its place because the loop tells of the newcomer first. */
static void hear_out(struct outlet *o)
{
    uint8_t bytes[4096];
    for (struct conn *c = o->conns; c != NULL; c = c->next_of_outlet) {
        uv_os_fd_t fd;
        if (uv_fileno((uv_handle_t *)&c->tcp, &fd) != 0)
            continue;
        for (int i = 0; i < HEARD_OUT && !c->closing && !c->paused; i++) {
            ssize_t n = recv(fd, bytes, sizeof bytes, 0);
            if (n > 0)
                take_in(c, bytes, (size_t)n);
            else if (n == 0)
                conn_close(c, "client left");
            else if (errno == EAGAIN)
                break;
            else if (errno != EINTR)
                conn_close(c, "client reset");
        }
    }
}

int conn_adopt(struct conn *c, struct device *d)
{
    struct server *s = c->server;
    struct outlet *o = outlet_of(s, d);
    if (o == NULL) {
        conn_close(c, "out of memory");
        return -1;
    }
    if (o->moved != NULL && c->listener != o->moved) {
        s->counters.refused++;
        conn_reset(c, "moved away");
        return -1;
    }
    if (outlet_is_full(o) || strike_standing(o, FAULT_ONE_CLIENT) || strike_standing(o, FAULT_LINGER))
        hear_out(o);
    if (!strike_accept(c, o))
        return -1;
    if (outlet_is_full(o)) {
        s->counters.refused++;
        conn_close(c, "too many clients");
        return -1;
    }
    struct tw_device_config cfg;
    tw_device_config_init(&cfg, d->version, d->key);
    cfg.idle_timeout_ms = idle_limit(s, d);
    /* As the real ones: a heartbeat's answer proves no key, and 3.1 does not insist on a CRC. */
    cfg.quirks = TW_DEVICE_VENDOR_HEARTBEAT | TW_DEVICE_ZERO_CRC;
    strike_config(o, &cfg);
    if (tw_device_new(&c->engine, s->host, &cfg, server_now_ms(s)) != TW_OK) {
        conn_close(c, "out of memory");
        return -1;
    }
    if (o->n_conns == 0)
        outlet_settle(o);
    c->outlet = o;
    c->next_of_outlet = o->conns;
    if (o->conns != NULL)
        o->conns->prev_of_outlet = c;
    o->conns = c;
    o->n_conns++;
    server_arm_sweep(s, tw_device_deadline(c->engine));
    strike_line(c);
    outlet_arm(o);
    return 0;
}

void conn_accept(struct listener *l)
{
    struct server *s = l->server;
    struct conn *c = calloc(1, sizeof *c);
    if (c == NULL)
        return;
    c->server = s;
    c->listener = l;
    uv_tcp_init(s->cfg.loop, &c->tcp);
    c->tcp.data = c;
    c->next = s->conns;
    if (s->conns != NULL)
        s->conns->prev = c;
    s->conns = c;
    s->n_conns++;
    c->flow = ++s->flows;
    c->since_ms = server_now_ms(s);
    if (uv_accept((uv_stream_t *)&l->tcp, (uv_stream_t *)&c->tcp) != 0) {
        conn_close(c, "accept failed");
        return;
    }
    uv_tcp_nodelay(&c->tcp, 1);
    s->counters.accepted++;
    c->tap = tap_open(c);
    struct device *d = listen_device(c);
    server_emit(s, &(struct server_event){.type = SERVER_CONNECTED, .device = d, .flow = c->flow});
    if (l->by_address && d == NULL) {
        conn_close(c, "no device at this address");
        return;
    }
    if (d != NULL && conn_adopt(c, d) != 0)
        return;
    if (d == NULL)
        server_arm_sweep(s, c->since_ms + TW_DEVICE_HANDSHAKE_MS);
    start_reading(c);
}
