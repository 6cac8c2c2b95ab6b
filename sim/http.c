/* http.c - libmicrohttpd in the libuv loop; what for is in http.h. */
#define _GNU_SOURCE /* POLLRDHUP */
#include "http.h"
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { TIMEOUT_S = 60, BACKLOG_WAIT_MS = 1000, LISTENERS_CHECK_MS = 1000 };

/* A client that listens to events: what it has not taken yet. */
struct stream {
    struct http *http;
    struct MHD_Connection *connection;
    char *queue;
    size_t len, cap;
    bool suspended, ended;
    struct stream *next;
};

struct http_call {
    struct MHD_Connection *connection;
    char *body;
    size_t len, cap;
    bool too_large, no_memory;
};

struct http {
    struct http_config cfg;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    uv_timer_t timer, check;
    struct stream *streams;
    uint16_t port;
    unsigned n_handles;
    bool stopping;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* ---- the loop ------------------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

/* Let libmicrohttpd do what is due, and ask when it wants to be called again. */
static void run(struct http *h)
{
    if (h->stopping)
        return;
    MHD_run(h->daemon);
    MHD_UNSIGNED_LONG_LONG ms;
    if (MHD_get_timeout(h->daemon, &ms) == MHD_YES)
        uv_timer_start(&h->timer, on_timer, ms < BACKLOG_WAIT_MS ? ms : BACKLOG_WAIT_MS, 0);
    else
        uv_timer_stop(&h->timer);
}

static void on_timer(uv_timer_t *timer)
{
    run(timer->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    run(poll->data);
}

/* ---- the door ------------------------------------------------------------------------------------------------- */

static bool is_loopback(const struct sockaddr_storage *a)
{
    if (a->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

/* Is "127.0.0.1:6680", "localhost", "[::1]:6680" this machine talking to itself? */
static bool host_is_local(const char *host)
{
    char name[64];
    size_t n = host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":");
    if (n == 0 || n >= sizeof name)
        return false;
    memcpy(name, host, n);
    name[n] = '\0';
    struct in_addr v4;
    return strcasecmp(name, "localhost") == 0 || strcmp(name, "[::1") == 0 ||
           (inet_pton(AF_INET, name, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127);
}

/* Of equal length or not, in the same time for every wrong token of a length. */
static bool same_secret(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    volatile unsigned char differ = n != m;
    for (size_t i = 0; i < m; i++)
        differ |= (unsigned char)(a[n == 0 ? 0 : i % (n + 1)] ^ b[i]);
    return differ == 0;
}

static const char *header(struct MHD_Connection *c, const char *name)
{
    return MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);
}

/* NULL: come in. Otherwise why not, and *status. */
static const char *turned_away(const struct http *h, struct MHD_Connection *c, const char *path, unsigned *status)
{
    static const char bearer[] = "Bearer ";
    const char *host = header(c, "Host"), *origin = header(c, "Origin"), *auth = header(c, "Authorization");
    *status = MHD_HTTP_FORBIDDEN;
    if (origin != NULL && (host == NULL || strncmp(origin, "http://", 7) != 0 || strcasecmp(origin + 7, host) != 0))
        return "requests from other web sites are refused";
    if (h->cfg.token == NULL)
        return host == NULL || host_is_local(host) ? NULL : "Host is not this machine: use 127.0.0.1, or set a token";
    if (h->cfg.public_path(path))
        return NULL;
    *status = MHD_HTTP_UNAUTHORIZED;
    if (auth == NULL || strncasecmp(auth, bearer, sizeof bearer - 1) != 0 ||
        !same_secret(auth + sizeof bearer - 1, h->cfg.token))
        return "send the token of --control-token-file: Authorization: Bearer TOKEN";
    return NULL;
}

/* ---- streams -------------------------------------------------------------------------------------------------- */

static ssize_t stream_read(void *cls, uint64_t pos, char *buf, size_t max)
{
    (void)pos;
    struct stream *s = cls;
    if (s->ended || s->http->stopping)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (s->len == 0) {
        MHD_suspend_connection(s->connection);
        s->suspended = true;
        return 0;
    }
    size_t n = s->len < max ? s->len : max;
    memcpy(buf, s->queue, n);
    memmove(s->queue, s->queue + n, s->len - n);
    s->len -= n;
    return (ssize_t)n;
}

static void stream_free(void *cls)
{
    struct stream *s = cls;
    for (struct stream **at = &s->http->streams; *at != NULL; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            break;
        }
    }
    free(s->queue);
    free(s);
}

static void stream_wake(struct stream *s)
{
    if (!s->suspended)
        return;
    s->suspended = false;
    MHD_resume_connection(s->connection);
}

static void stream_put(struct stream *s, const char *text, size_t len)
{
    if (s->ended)
        return;
    if (s->len + len > s->cap) {
        size_t cap = s->cap == 0 ? 4096 : s->cap;
        while (cap < s->len + len)
            cap *= 2;
        char *queue = s->len + len > HTTP_STREAM_QUEUE_MAX ? NULL : realloc(s->queue, cap);
        if (queue == NULL) {
            s->ended = true;
            stream_wake(s);
            return;
        }
        s->queue = queue;
        s->cap = cap;
    }
    memcpy(s->queue + s->len, text, len);
    s->len += len;
    stream_wake(s);
}

/* libmicrohttpd does not look at connections that wait for something to say: who has left would keep its place until
 * the next event, and all places taken let nobody in. */
static void on_check(uv_timer_t *timer)
{
    struct http *h = timer->data;
    if (h->streams == NULL)
        uv_timer_stop(timer);
    for (struct stream *s = h->streams; s != NULL; s = s->next) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(s->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct pollfd p = {.fd = info != NULL ? info->connect_fd : -1, .events = POLLRDHUP};
        if (poll(&p, 1, 0) > 0) {
            s->ended = true;
            stream_wake(s);
        }
    }
    run(h);
}

/* see http.h */
void http_publish(struct http *h, const char *text, size_t len)
{
    if (h->streams == NULL || h->stopping)
        return;
    for (struct stream *s = h->streams; s != NULL; s = s->next)
        stream_put(s, text, len);
    uv_timer_start(&h->timer, on_timer, 0, 0);
}

/* see http.h */
bool http_has_streams(const struct http *h)
{
    return h->streams != NULL;
}

/* ---- requests ------------------------------------------------------------------------------------------------- */

static struct MHD_Response *stream_response(struct http *h, struct MHD_Connection *c, const struct http_reply *reply)
{
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->http = h;
    s->connection = c;
    s->next = h->streams;
    h->streams = s;
    if (!uv_is_active((uv_handle_t *)&h->check))
        uv_timer_start(&h->check, on_check, LISTENERS_CHECK_MS, LISTENERS_CHECK_MS);
    stream_put(s, reply->body, reply->len);
    struct MHD_Response *r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, stream_read, s, stream_free);
    if (r == NULL)
        stream_free(s);
    return r;
}

static enum MHD_Result answer(struct http *h, struct MHD_Connection *c, struct http_reply *reply)
{
    static char nothing[1];
    struct MHD_Response *r;
    if (reply->stream) {
        r = stream_response(h, c, reply);
        free(reply->body);
    } else if (reply->body == NULL) {
        r = MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT);
    } else {
        r = MHD_create_response_from_buffer(reply->len, reply->body, MHD_RESPMEM_MUST_FREE);
        if (r == NULL)
            free(reply->body);
    }
    if (r == NULL)
        return MHD_NO;
    MHD_add_response_header(r, "Content-Type", reply->type != NULL ? reply->type : "application/json");
    MHD_add_response_header(r, "Cache-Control", "no-store");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (reply->allow != NULL)
        MHD_add_response_header(r, "Allow", reply->allow);
    if (reply->status == MHD_HTTP_UNAUTHORIZED)
        MHD_add_response_header(r, "WWW-Authenticate", "Bearer");
    enum MHD_Result result = MHD_queue_response(c, reply->status, r);
    MHD_destroy_response(r);
    return result;
}

static enum MHD_Result refuse(struct http *h, struct MHD_Connection *c, unsigned status, const char *code,
                              const char *message)
{
    struct http_reply reply = {.status = status};
    size_t cap = strlen(code) + strlen(message) + 64;
    reply.body = malloc(cap);
    if (reply.body == NULL)
        return MHD_NO;
    reply.len =
        (size_t)snprintf(reply.body, cap, "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}\n", code, message);
    return answer(h, c, &reply);
}

static void collect(struct http_call *call, const char *data, size_t len)
{
    if (call->too_large || call->len + len > HTTP_BODY_MAX) {
        call->too_large = true;
        return;
    }
    if (call->len + len > call->cap) {
        size_t cap = call->cap == 0 ? 1024 : call->cap;
        while (cap < call->len + len)
            cap *= 2;
        char *body = realloc(call->body, cap);
        if (body == NULL) {
            call->no_memory = true;
            return;
        }
        call->body = body;
        call->cap = cap;
    }
    memcpy(call->body + call->len, data, len);
    call->len += len;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url, const char *method,
                                  const char *version, const char *data, size_t *size, void **state)
{
    (void)version;
    struct http *h = cls;
    struct http_call *call = *state;
    if (call == NULL) {
        call = calloc(1, sizeof *call);
        if (call == NULL)
            return MHD_NO;
        call->connection = c;
        *state = call;
        return MHD_YES;
    }
    if (*size > 0) {
        collect(call, data, *size);
        *size = 0;
        return MHD_YES;
    }

    unsigned status;
    const char *why = turned_away(h, c, url, &status);
    if (why != NULL)
        return refuse(h, c, status, status == MHD_HTTP_UNAUTHORIZED ? "unauthorized" : "forbidden", why);
    if (call->too_large)
        return refuse(h, c, MHD_HTTP_CONTENT_TOO_LARGE, "too_large", "a body may have 1 MiB");
    if (call->no_memory)
        return refuse(h, c, MHD_HTTP_SERVICE_UNAVAILABLE, "no_memory", "out of memory");
    if (strcmp(method, MHD_HTTP_METHOD_HEAD) == 0)
        method = MHD_HTTP_METHOD_GET; /* libmicrohttpd leaves the body away */
    struct http_request rq = {method, url, {(const uint8_t *)call->body, call->len}, call};
    struct http_reply reply = {0};
    h->cfg.handle(h->cfg.ctx, &rq, &reply);
    return answer(h, c, &reply);
}

static void on_done(void *cls, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode code)
{
    (void)cls;
    (void)c;
    (void)code;
    struct http_call *call = *state;
    if (call != NULL)
        free(call->body);
    free(call);
    *state = NULL;
}

/* see http.h */
const char *http_query(const struct http_request *rq, const char *name)
{
    return MHD_lookup_connection_value(rq->call->connection, MHD_GET_ARGUMENT_KIND, name);
}

/* ---- start and stop ------------------------------------------------------------------------------------------- */

static int parse_address(struct sockaddr_storage *out, const char *host, uint16_t port)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    memset(out, 0, sizeof *out);
    if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    if (uv_ip4_addr(host, port, &v4) == 0)
        memcpy(out, &v4, sizeof v4);
    else if (uv_ip6_addr(host, port, &v6) == 0)
        memcpy(out, &v6, sizeof v6);
    else
        return -1;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct http *h = handle->data;
    if (--h->n_handles > 0)
        return;
    if (h->closed != NULL)
        h->closed(h->closed_ctx);
    free(h);
}

/* see http.h */
int http_start(struct http **out, const struct http_config *cfg, struct why *why)
{
    struct sockaddr_storage address;
    if (parse_address(&address, cfg->host, cfg->port) != 0)
        return why_set(why, "'%s' is no IP address to listen on", cfg->host);
    if (cfg->token == NULL && !is_loopback(&address))
        return why_set(why, "%s is open to the network: give --control-token-file as well, or listen on 127.0.0.1",
                       cfg->host);
    struct http *h = calloc(1, sizeof *h);
    if (h == NULL)
        return why_set(why, "out of memory");
    h->cfg = *cfg;

    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (address.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0);
    errno = 0;
    h->daemon = MHD_start_daemon(flags, cfg->port, NULL, NULL, on_request, h, MHD_OPTION_SOCK_ADDR, &address,
                                 MHD_OPTION_NOTIFY_COMPLETED, on_done, NULL, MHD_OPTION_CONNECTION_LIMIT,
                                 (unsigned)HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S,
                                 MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_END);
    const union MHD_DaemonInfo *fd =
        h->daemon != NULL ? MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    const union MHD_DaemonInfo *port =
        h->daemon != NULL ? MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    if (fd == NULL || port == NULL || uv_poll_init(cfg->loop, &h->poll, fd->epoll_fd) != 0) {
        int error = errno;
        if (h->daemon != NULL)
            MHD_stop_daemon(h->daemon);
        free(h);
        return why_set(why, "cannot listen on %s port %u for the control API: %s", cfg->host, (unsigned)cfg->port,
                       error != 0 ? strerror(error) : "address in use?");
    }
    h->port = port->port;
    uv_timer_init(cfg->loop, &h->timer);
    uv_timer_init(cfg->loop, &h->check);
    h->n_handles = 3;
    h->poll.data = h->timer.data = h->check.data = h;
    uv_poll_start(&h->poll, UV_READABLE, on_poll);
    run(h);
    *out = h;
    return 0;
}

/* see http.h */
uint16_t http_port(const struct http *h)
{
    return h->port;
}

/* see http.h */
void http_stop(struct http *h, void (*closed)(void *ctx), void *ctx)
{
    if (h == NULL) {
        if (closed != NULL)
            closed(ctx);
        return;
    }
    h->stopping = true;
    h->closed = closed;
    h->closed_ctx = ctx;
    uv_poll_stop(&h->poll);
    for (struct stream *s = h->streams; s != NULL; s = s->next)
        stream_wake(s);
    MHD_run(h->daemon); /* hands the end to streams that were woken */
    MHD_stop_daemon(h->daemon);
    uv_close((uv_handle_t *)&h->poll, on_closed);
    uv_close((uv_handle_t *)&h->timer, on_closed);
    uv_close((uv_handle_t *)&h->check, on_closed);
}
