/* announce.c - see announce.h. Spec protocol 7, device behaviour 10 and 3.1 (pause at the client limit). */
#include "announce.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "pcapng.h"
#include "server_private.h"
#include "strike.h"

enum {
    PERIOD_MS = 5000, /* devices were seen to use 3 to 6 s */
    STEPS = 50,       /* a large fleet spreads over the period, as real devices do */
    AT_ONCE = 100,    /* up to so many devices announce together */
    TARGETS_MAX = 16,
    ANSWERS_PER_S = 20, /* spec section 9, rule 8: the answer is larger than the question */
    DATAGRAM_MAX = 1500,
};

struct announcer {
    struct server *server;
    int fd;           /* sends, from any port */
    uv_udp_t ears[2]; /* hear requests */
    size_t n_ears;
    uv_timer_t timer;
    struct sockaddr_in targets[TARGETS_MAX];
    size_t n_targets;
    char own_ip[INET_ADDRSTRLEN]; /* when listening on all addresses */
    size_t next;                  /* device of the next step */
    uint64_t due_ms;
    uint64_t second;
    unsigned answered;
    uint8_t buffer[DATAGRAM_MAX], plain[DATAGRAM_MAX];
};

/* ---- one datagram ----------------------------------------------------------------------------------------------- */

static void send_to(struct announcer *a, const uint8_t *bytes, size_t n, const struct sockaddr_in *to)
{
    if (sendto(a->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)to, sizeof *to) < 0)
        return; /* nobody may be listening; announcements are repeated anyway */
    if (a->server->pcapng != NULL) {
        struct sockaddr_in from = {.sin_family = AF_INET};
        socklen_t len = sizeof from;
        getsockname(a->fd, (struct sockaddr *)&from, &len);
        if (from.sin_addr.s_addr == htonl(INADDR_ANY))
            inet_pton(AF_INET, a->own_ip, &from.sin_addr);
        pcapng_datagram(a->server->pcapng, (struct sockaddr *)&from, (const struct sockaddr *)to, bytes, n,
                        tap_now_ns(a->server));
    }
}

static struct tw_span span_of(const char *text)
{
    return (struct tw_span){(const uint8_t *)text, strlen(text)};
}

/* The announcement of a device, sealed. 0: too large, no memory. */
static size_t announcement(struct announcer *a, const struct device *d, uint8_t *out, size_t cap)
{
    struct server *s = a->server;
    char ip[64], uuid[24];
    uint16_t port;
    server_endpoint(s, d, ip, &port);
    if (strcmp(ip, "0.0.0.0") == 0)
        strcpy(ip, a->own_ip);
    size_t id_len = strlen(d->id), from = id_len > 16 ? id_len - 16 : 0;
    snprintf(uuid, sizeof uuid, "%.16s", d->id + from);
    struct tw_announcement what = {.ip = span_of(ip),
                                   .gw_id = span_of(d->id),
                                   .uuid = d->version == TW_V35 ? span_of(uuid) : (struct tw_span){0},
                                   .product_key = span_of(d->profile->shape.product_id),
                                   .active = 2};
    char json[512];
    struct tw_text t = {json, sizeof json, 0, false};
    if (tw_body_announcement(&t, d->version, &what) != TW_OK)
        return 0;
    uint8_t nonce[TW_NONCE_LEN];
    rng_fill(&s->rng, nonce, sizeof nonce);
    size_t len;
    if (tw_discovery_seal_announcement(out, cap, &len, s->crypto, d->version,
                                       (struct tw_span){(uint8_t *)json, t.len}, nonce) != TW_OK)
        return 0;
    return len;
}

/* ---- unasked ---------------------------------------------------------------------------------------------------- */

static bool is_quiet(const struct server *s, const struct device *d)
{
    const struct outlet *o = d->user;
    if (s->n_faults > 0) {
        struct outlet standing = {.server = (struct server *)s, .device = (struct device *)d};
        if (strike_standing(&standing, FAULT_SILENT) ||
            (o != NULL && o->n_conns > 0 && strike_standing(&standing, FAULT_BROADCAST_PAUSE)))
            return true;
    }
    if (o == NULL)
        return false;
    if (server_real_ms(s) < o->down_until)
        return true;
    /* With all places taken a device stops announcing itself (vendor documentation). */
    return outlet_is_full(o);
}

static void announce(struct announcer *a, const struct device *d)
{
    const struct server *s = a->server;
    if (is_quiet(s, d))
        return;
    uint8_t datagram[DATAGRAM_MAX];
    size_t len = announcement(a, d, datagram, sizeof datagram);
    bool clear = tw_version_traits(d->version)->discovery_port == TW_UDP_PORT_CLEAR;
    for (size_t i = 0; i < a->n_targets && len > 0; i++) {
        struct sockaddr_in to = a->targets[i];
        to.sin_port = htons(s->cfg.discovery_ports[clear ? 0 : 1]);
        send_to(a, datagram, len, &to);
    }
}

uint64_t announcer_due_ms(const struct announcer *a)
{
    return a->due_ms;
}

void announcer_tick(struct announcer *a)
{
    const struct fleet *f = a->server->cfg.fleet;
    size_t n = f->n <= AT_ONCE ? f->n : (f->n + STEPS - 1) / STEPS;
    uint64_t wait = f->n <= AT_ONCE ? PERIOD_MS : PERIOD_MS / STEPS;
    for (size_t i = 0; i < n; i++) {
        announce(a, &f->devices[a->next]);
        a->next = (a->next + 1) % f->n;
    }
    a->due_ms = server_now_ms(a->server) + wait;
}

void announcer_reset(struct announcer *a)
{
    a->due_ms = 0;
    a->next = 0;
}

static void on_timer(uv_timer_t *timer)
{
    struct announcer *a = timer->data;
    announcer_tick(a);
    uv_timer_start(&a->timer, on_timer, a->due_ms - server_now_ms(a->server), 0);
}

/* ---- asked ------------------------------------------------------------------------------------------------------ */

static bool may_answer(struct announcer *a)
{
    uint64_t second = server_real_ms(a->server) / 1000;
    if (second != a->second) {
        a->second = second;
        a->answered = 0;
    }
    return a->answered++ < ANSWERS_PER_S;
}

/* The answer goes to the address in the request. So that nobody is flooded in another's name, it has to be the one
 * the request came from. */
static void on_request(struct announcer *a, const struct tw_discovery *q, const struct sockaddr_in *from)
{
    char ip[INET_ADDRSTRLEN], asked[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &from->sin_addr, ip, sizeof ip);
    if (q->ip.len == 0 || q->from.len == 0 || q->ip.len >= sizeof asked)
        return;
    memcpy(asked, q->ip.data, q->ip.len);
    asked[q->ip.len] = '\0';
    if (strcmp(ip, asked) != 0 || !may_answer(a))
        return;
    struct sockaddr_in to = *from;
    to.sin_port = htons(a->server->cfg.discovery_ports[2]);
    const struct fleet *f = a->server->cfg.fleet;
    for (size_t i = 0; i < f->n; i++) {
        const struct outlet *o = f->devices[i].user;
        if (f->devices[i].version != TW_V35 || (o != NULL && server_real_ms(a->server) < o->down_until))
            continue;
        uint8_t datagram[DATAGRAM_MAX];
        size_t len = announcement(a, &f->devices[i], datagram, sizeof datagram);
        if (len > 0)
            send_to(a, datagram, len, &to);
    }
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct announcer *a = h->data;
    *buf = uv_buf_init((char *)a->buffer, sizeof a->buffer);
}

static void on_datagram(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
    struct announcer *a = udp->data;
    (void)flags;
    if (n <= 0 || from == NULL || from->sa_family != AF_INET)
        return;
    struct tw_discovery q;
    if (tw_discovery_open(&q, a->server->crypto, (const uint8_t *)buf->base, (size_t)n, a->plain, sizeof a->plain) ==
            TW_OK &&
        q.is_request)
        on_request(a, &q, (const struct sockaddr_in *)from);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static int parse_targets(struct announcer *a, const char *text, struct why *why)
{
    char copy[512];
    if (strlen(text) >= sizeof copy)
        return why_set(why, "--discovery: too long");
    strcpy(copy, text);
    char *rest;
    for (char *item = strtok_r(copy, ",", &rest); item != NULL; item = strtok_r(NULL, ",", &rest)) {
        struct sockaddr_in *to = &a->targets[a->n_targets];
        if (a->n_targets == TARGETS_MAX)
            return why_set(why, "--discovery: at most %d addresses", TARGETS_MAX);
        if (uv_ip4_addr(item, 0, to) != 0)
            return why_set(why, "--discovery: '%s' is no IPv4 address", item);
        a->n_targets++;
    }
    return a->n_targets > 0 ? 0 : why_set(why, "--discovery: expected off or an address");
}

/* The first address of this machine that is no loopback: what announcements name when all are listened on. */
static void find_own_ip(struct announcer *a)
{
    strcpy(a->own_ip, "127.0.0.1");
    uv_interface_address_t *list;
    int n;
    if (uv_interface_addresses(&list, &n) != 0)
        return;
    for (int i = n; i-- > 0;)
        if (!list[i].is_internal && list[i].address.address4.sin_family == AF_INET)
            uv_ip4_name(&list[i].address.address4, a->own_ip, sizeof a->own_ip);
    uv_free_interface_addresses(list, n);
}

static void on_ear_closed(uv_handle_t *h)
{
    struct announcer *a = h->data;
    server_handle_closed(a->server);
}

static void add_ear(struct announcer *a, const char *ip)
{
    struct server *s = a->server;
    uv_udp_t *ear = &a->ears[a->n_ears];
    struct sockaddr_in at;
    uv_ip4_addr(ip, s->cfg.discovery_ports[2], &at);
    uv_udp_init(s->cfg.loop, ear);
    ear->data = a;
    a->n_ears++;
    s->n_open++;
    /* Whoever asks on this machine listens on the same port: several may. */
    int rc = uv_udp_bind(ear, (const struct sockaddr *)&at, UV_UDP_REUSEADDR);
    if (rc == 0)
        rc = uv_udp_recv_start(ear, on_alloc, on_datagram);
    if (rc != 0)
        say_warn("cannot listen on %s UDP port %u: %s; requests for silent 3.5 devices stay unanswered", ip,
                 s->cfg.discovery_ports[2], uv_strerror(rc));
}

static bool has_v35(const struct fleet *f)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->devices[i].version == TW_V35)
            return true;
    return false;
}

int announcer_open(struct announcer **out, struct server *s, struct why *why)
{
    struct announcer *a = calloc(1, sizeof *a);
    if (a == NULL)
        return why_set(why, "out of memory");
    a->server = s;
    a->fd = -1;
    if (parse_targets(a, s->cfg.discovery, why) != 0) {
        free(a);
        return -1;
    }
    find_own_ip(a);
    a->fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (a->fd < 0) {
        why_set(why, "cannot open a UDP socket: %s", strerror(errno));
        free(a);
        return -1;
    }
    int on = 1;
    fcntl(a->fd, F_SETFD, FD_CLOEXEC);
    setsockopt(a->fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
    struct sockaddr_in from;
    bool loopback = strncmp(s->cfg.listen, "127.", 4) == 0;
    if (loopback && uv_ip4_addr(s->cfg.listen, 0, &from) == 0)
        (void)!bind(a->fd, (struct sockaddr *)&from, sizeof from);
    if (has_v35(s->cfg.fleet)) {
        /* On loopback requests come as broadcasts or to the device's address; a socket on the wildcard would compete
         * with the client's own. */
        add_ear(a, loopback ? "127.255.255.255" : "0.0.0.0");
        if (loopback && strcmp(s->cfg.listen, "127.0.0.1") != 0)
            add_ear(a, s->cfg.listen);
    }
    uv_timer_init(s->cfg.loop, &a->timer);
    a->timer.data = a;
    s->n_open++;
    *out = a;
    if (!s->cfg.virtual_clock)
        uv_timer_start(&a->timer, on_timer, 0, 0);
    return 0;
}

void announcer_close(struct announcer *a)
{
    uv_close((uv_handle_t *)&a->timer, on_ear_closed);
    for (size_t i = 0; i < a->n_ears; i++)
        uv_close((uv_handle_t *)&a->ears[i], on_ear_closed);
}

void announcer_free(struct announcer *a)
{
    if (a == NULL)
        return;
    if (a->fd >= 0)
        close(a->fd);
    free(a);
}
