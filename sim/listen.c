/* listen.c - where devices listen: one address and port for all, one address each, or one port each. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include "server_private.h"

enum {
    BACKLOG = 1024,         /* real plugs: 5; a test bench opens a thousand at once */
    SPARE_DESCRIPTORS = 64, /* files, loop, discovery */
    CLIENTS_PER_DEVICE = 3,
    MOVED_ADDRESSES = 0x7FC80000, /* 127.200.0.0 */
};

static void on_listener_closed(uv_handle_t *h)
{
    struct listener *l = h->data;
    server_handle_closed(l->server);
}

static void on_connection(uv_stream_t *stream, int status)
{
    if (status == 0)
        conn_accept(stream->data);
}

static int parse_address(struct sockaddr_storage *out, const char *text, uint16_t port)
{
    if (uv_ip4_addr(text, port, (struct sockaddr_in *)out) == 0)
        return 0;
    return uv_ip6_addr(text, port, (struct sockaddr_in6 *)out);
}

static void on_dropped(uv_handle_t *h)
{
    struct listener *l = h->data;
    server_handle_closed(l->server);
    free(l);
}

void listen_drop(struct server *s, struct listener *l)
{
    size_t i = 0;
    while (s->listeners[i] != l)
        i++;
    memmove(&s->listeners[i], &s->listeners[i + 1], (--s->n_listeners - i) * sizeof(struct listener *));
    uv_close((uv_handle_t *)&l->tcp, on_dropped);
}

/* @return 0; -1 and why: there is no new listener */
static int add_listener(struct server *s, const struct sockaddr_storage *at, struct device *d, bool wildcard,
                        struct why *why)
{
    struct listener *l = calloc(1, sizeof *l);
    struct listener **list = realloc(s->listeners, (s->n_listeners + 1) * sizeof(struct listener *));
    if (list != NULL)
        s->listeners = list;
    if (l == NULL || list == NULL) {
        free(l);
        return why_set(why, "out of memory");
    }
    l->server = s;
    l->device = d;
    l->by_address = wildcard;
    uv_tcp_init_ex(s->cfg.loop, &l->tcp, at->ss_family);
    l->tcp.data = l;
    s->n_open++;
    s->listeners[s->n_listeners++] = l;

    uv_os_fd_t fd;
    int rc = 0;
    if (wildcard && uv_fileno((uv_handle_t *)&l->tcp, &fd) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) != 0)
        rc = uv_translate_sys_error(errno);
    if (rc == 0)
        rc = uv_tcp_bind(&l->tcp, (const struct sockaddr *)at, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&l->tcp, BACKLOG, on_connection);
    if (rc == 0)
        return 0;
    listen_drop(s, l);
    return why_set(why, "%s", uv_strerror(rc));
}

static uint16_t listener_port(const struct listener *l)
{
    struct sockaddr_storage at;
    int len = sizeof at;
    if (uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&at, &len) != 0)
        return 0;
    return ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                          : ((struct sockaddr_in *)&at)->sin_port);
}

/* The n-th device's address: 127.0.1.1 and on, without the .0 and .255 that look like networks. */
static uint32_t spread_address(size_t i)
{
    return 0x7F000000u + (uint32_t)(1 + i / 254) * 256 + (uint32_t)(1 + i % 254);
}

/* One wildcard listener on the loopback device serves any number of addresses; where the system does not allow it,
 * each address gets its own. */
static int listen_by_address(struct server *s, struct why *why)
{
    struct fleet *f = s->cfg.fleet;
    if ((f->n + 253) / 254 > 65534)
        return why_set(why, "--spread address: at most %d devices", 65534 * 254);
    struct sockaddr_storage at = {0};
    parse_address(&at, "0.0.0.0", s->cfg.port);
    if (add_listener(s, &at, NULL, true, why) == 0)
        return 0;

    s->one_each = true;
    uint16_t port = s->cfg.port;
    for (size_t i = 0; i < f->n; i++) {
        struct in_addr ip = {htonl(spread_address(i))};
        char text[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &ip, text, sizeof text);
        parse_address(&at, text, port);
        struct why reason;
        if (add_listener(s, &at, &f->devices[i], false, &reason) != 0)
            return why_set(why, "cannot listen on %s:%u: %s", text, port, reason.text);
        if (port == 0)
            port = listener_port(s->listeners[0]);
    }
    return 0;
}

static int listen_by_port(struct server *s, struct why *why)
{
    struct fleet *f = s->cfg.fleet;
    uint16_t first = s->cfg.port != 0 ? s->cfg.port : 1024;
    if (first + f->n - 1 > 65535)
        return why_set(why, "--spread port: %zu devices do not fit above port %u", f->n, first);
    s->one_each = true;
    for (size_t i = 0; i < f->n; i++) {
        struct sockaddr_storage at = {0};
        uint16_t port = (uint16_t)(s->cfg.port == 0 ? 0 : s->cfg.port + i);
        struct why reason;
        if (parse_address(&at, s->cfg.listen, port) != 0)
            return why_set(why, "--listen: %s is no IPv4 or IPv6 address", s->cfg.listen);
        if (add_listener(s, &at, &f->devices[i], false, &reason) != 0)
            return why_set(why, "cannot listen on %s port %u: %s", s->cfg.listen, port, reason.text);
    }
    return 0;
}

static int listen_once(struct server *s, struct why *why)
{
    struct sockaddr_storage at = {0};
    struct why reason;
    if (parse_address(&at, s->cfg.listen, s->cfg.port) != 0)
        return why_set(why, "--listen: %s is no IPv4 or IPv6 address", s->cfg.listen);
    struct device *only = s->cfg.fleet->n == 1 ? &s->cfg.fleet->devices[0] : NULL;
    if (add_listener(s, &at, only, false, &reason) != 0)
        return why_set(why, "cannot listen on %s port %u: %s", s->cfg.listen, s->cfg.port, reason.text);
    return 0;
}

/* Each client is a descriptor. */
static void raise_descriptor_limit(const struct server *s)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    rlim_t want = s->cfg.fleet->n * CLIENTS_PER_DEVICE + SPARE_DESCRIPTORS;
    if (s->cfg.spread == SPREAD_PORT)
        want += s->cfg.fleet->n;
    if (limit.rlim_cur >= want && limit.rlim_cur >= 4096)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < want)
        say_warn("the system allows %llu open files: not all of %zu devices can have %d clients at once "
                 "(raise it with ulimit -n)",
                 (unsigned long long)limit.rlim_cur, s->cfg.fleet->n, CLIENTS_PER_DEVICE);
}

int listen_open(struct server *s, struct why *why)
{
    raise_descriptor_limit(s);
    switch (s->cfg.spread) {
    case SPREAD_NONE: return listen_once(s, why);
    case SPREAD_ADDRESS: return listen_by_address(s, why);
    case SPREAD_PORT: return listen_by_port(s, why);
    }
    return -1;
}

void listen_close(struct server *s)
{
    for (size_t i = 0; i < s->n_listeners; i++)
        uv_close((uv_handle_t *)&s->listeners[i]->tcp, on_listener_closed);
}

/* On loopback the whole of 127/8 is ours; elsewhere another port has to stand for another address. */
void outlet_move(struct outlet *o)
{
    struct server *s = o->server;
    struct sockaddr_storage at = {0};
    char addr[64];
    uint16_t port;
    struct why why;
    if (o->moved != NULL)
        return;
    server_endpoint(s, o->device, addr, &port);
    if (strncmp(addr, "127.", 4) == 0) {
        struct in_addr ip = {htonl(MOVED_ADDRESSES + 1 + o->device->number)};
        inet_ntop(AF_INET, &ip, addr, sizeof addr);
    } else {
        port = 0;
    }
    parse_address(&at, addr, port);
    if (add_listener(s, &at, o->device, false, &why) != 0) {
        say_warn("%s cannot move to %s port %u: %s", o->device->id, addr, port, why.text);
        return;
    }
    o->moved = s->listeners[s->n_listeners - 1];
    for (struct conn *c = o->conns; c != NULL; c = c->next_of_outlet)
        c->mute = true; /* nobody says goodbye from an address that is not his any more */
}

static void endpoint_of(const struct listener *l, char addr[64], uint16_t *port)
{
    struct sockaddr_storage at;
    int len = sizeof at;
    *port = listener_port(l);
    if (uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&at, &len) == 0)
        uv_ip_name((struct sockaddr *)&at, addr, 64);
}

void server_endpoint(const struct server *s, const struct device *d, char addr[64], uint16_t *port)
{
    const struct outlet *o = d->user;
    if (o != NULL && o->moved != NULL) {
        endpoint_of(o->moved, addr, port);
        return;
    }
    struct listener *const l = s->listeners[s->one_each ? d->number : 0];
    *port = listener_port(l);
    if (s->cfg.spread == SPREAD_ADDRESS) {
        struct in_addr ip = {htonl(spread_address(d->number))};
        inet_ntop(AF_INET, &ip, addr, 64);
        return;
    }
    size_t len = strlen(s->cfg.listen);
    memcpy(addr, s->cfg.listen, len < 63 ? len : 63);
    addr[len < 63 ? len : 63] = '\0';
}

/* Which device listens at the address that the client called? */
struct device *listen_device(const struct conn *c)
{
    const struct fleet *f = c->server->cfg.fleet;
    if (!c->listener->by_address)
        return c->listener->device;
    struct sockaddr_storage at;
    int len = sizeof at;
    if (uv_tcp_getsockname(&c->tcp, (struct sockaddr *)&at, &len) != 0 || at.ss_family != AF_INET)
        return NULL;
    uint32_t ip = ntohl(((struct sockaddr_in *)&at)->sin_addr.s_addr) - 0x7F000000u;
    uint32_t block = ip / 256, host = ip % 256;
    if (block < 1 || host < 1 || host > 254)
        return NULL;
    size_t i = (size_t)(block - 1) * 254 + host - 1;
    return i < f->n ? &f->devices[i] : NULL;
}
