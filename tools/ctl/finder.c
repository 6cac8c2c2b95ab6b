/* finder.c - see finder.h. */
#include "finder.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/say.h"
#include "session.h"
#include "tuyawire/discovery.h"
#include "tuyawire/error.h"

enum {
    ASK_MS = 6000, /* the app's period, spec section 7.4 */
    DATAGRAM_MAX = 4096,
    RECEIVE_BUFFER = 1 << 20, /* a big house announces itself all at once */
    DESTINATIONS_MAX = 32,
};

struct finder {
    uv_loop_t *loop;
    tw_crypto *crypto;
    struct finder_options options;
    finder_fn *on_found;
    void *ctx;
    uv_udp_t ears[3];
    bool open[3];
    uv_timer_t timer;
    unsigned handles;
    uint8_t datagram[DATAGRAM_MAX], plain[DATAGRAM_MAX];
};

/* ---- hearing --------------------------------------------------------------------------------------------------- */

static void copy_span(char *out, size_t cap, struct tw_span s)
{
    size_t n = s.len < cap - 1 ? s.len : cap - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = s.data[i] >= 0x20 && s.data[i] < 0x7f ? (char)s.data[i] : '.';
    out[n] = '\0';
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct finder *f = h->data;
    *buf = uv_buf_init((char *)f->datagram, sizeof f->datagram);
}

static void on_datagram(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
    (void)flags;
    struct finder *f = udp->data;
    struct tw_discovery d;
    if (n <= 0 || from == NULL)
        return;
    if (tw_discovery_open(&d, f->crypto, (const uint8_t *)buf->base, (size_t)n, f->plain, sizeof f->plain) != TW_OK)
        return;
    if (d.is_request || d.gw_id.len == 0)
        return; /* other searchers, and our own question */
    struct found found = {.bound = d.active == 2, .answered = udp == &f->ears[2]};
    copy_span(found.id, sizeof found.id, d.gw_id);
    copy_span(found.ip, sizeof found.ip, d.ip);
    copy_span(found.uuid, sizeof found.uuid, d.uuid);
    copy_span(found.product_key, sizeof found.product_key, d.product_key);
    copy_span(found.version_text, sizeof found.version_text, d.version);
    found.has_version = tw_version_parse(&found.version, found.version_text, strlen(found.version_text)) == TW_OK;
    if (found.ip[0] == '\0')
        uv_ip_name(from, found.ip, sizeof found.ip);
    f->on_found(f->ctx, &found);
}

/* A socket that shares its port with other programs, whichever of the two ways they chose. */
static int shared_socket(uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1, size = RECEIVE_BUFFER, fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0)
        return -errno;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
#ifdef SO_REUSEPORT
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
#endif
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

static int listen_on(struct finder *f, size_t i)
{
    int fd = shared_socket(f->options.ports[i]);
    if (fd < 0 && f->options.quiet)
        return -1;
    if (fd < 0) {
        say_warn("cannot listen on UDP port %u: %s; devices that announce themselves there stay unseen",
                 f->options.ports[i], strerror(-fd));
        return -1;
    }
    uv_udp_init(f->loop, &f->ears[i]);
    f->ears[i].data = f;
    f->handles++;
    f->open[i] = true;
    if (uv_udp_open(&f->ears[i], fd) != 0) {
        close(fd);
        return -1;
    }
    return uv_udp_recv_start(&f->ears[i], on_alloc, on_datagram);
}

/* ---- asking ---------------------------------------------------------------------------------------------------- */

/* One question: from which of our addresses it goes out is the system's choice, and stands in it. */
static void ask_at(struct finder *f, struct sockaddr_in to)
{
    struct sockaddr_in own;
    socklen_t own_len = sizeof own;
    char ip[INET_ADDRSTRLEN];
    uint8_t nonce[TW_NONCE_LEN], datagram[512];
    size_t len;
    int on = 1, fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0)
        return;
    to.sin_family = AF_INET;
    to.sin_port = htons(f->options.ports[2]);
    setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 &&
        getsockname(fd, (struct sockaddr *)&own, &own_len) == 0 &&
        inet_ntop(AF_INET, &own.sin_addr, ip, sizeof ip) != NULL && session_random(NULL, nonce, sizeof nonce) == 0 &&
        tw_discovery_seal_request(datagram, sizeof datagram, &len, f->crypto,
                                  (struct tw_span){(const uint8_t *)ip, strlen(ip)}, nonce) == TW_OK)
        (void)!send(fd, datagram, len, MSG_DONTWAIT); /* networks without a route: nobody is there */
    close(fd);
}

static void ask_interfaces(struct finder *f)
{
    struct ifaddrs *list;
    struct sockaddr_in everywhere = {.sin_addr.s_addr = INADDR_BROADCAST}, loopback = {0};
    inet_pton(AF_INET, "127.255.255.255", &loopback.sin_addr);
    ask_at(f, everywhere);
    ask_at(f, loopback); /* a simulator on this machine */
    if (getifaddrs(&list) != 0)
        return;
    unsigned n = 0;
    for (struct ifaddrs *i = list; i != NULL && n < DESTINATIONS_MAX; i = i->ifa_next) {
        bool can = i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_INET && (i->ifa_flags & IFF_BROADCAST) &&
                   (i->ifa_flags & IFF_UP) && i->ifa_broadaddr != NULL;
        if (!can)
            continue;
        ask_at(f, *(struct sockaddr_in *)(void *)i->ifa_broadaddr);
        n++;
    }
    freeifaddrs(list);
}

static void on_timer(uv_timer_t *timer)
{
    struct finder *f = timer->data;
    for (size_t i = 0; i < f->options.n_broadcast; i++) {
        struct sockaddr_in to;
        if (uv_ip4_addr(f->options.broadcast[i], 0, &to) == 0)
            ask_at(f, to);
    }
    if (f->options.n_broadcast == 0)
        ask_interfaces(f);
}

/* ---- life ------------------------------------------------------------------------------------------------------ */

static void on_closed(uv_handle_t *h)
{
    struct finder *f = h->data;
    f->handles--;
}

int finder_open(struct finder **out, uv_loop_t *loop, tw_crypto *crypto, const struct finder_options *options,
                finder_fn *on_found, void *ctx, struct trouble *t)
{
    struct finder *f = calloc(1, sizeof *f);
    if (f == NULL)
        return trouble_set(t, TROUBLE_OURS, "", "out of memory");
    f->loop = loop;
    f->crypto = crypto;
    f->options = *options;
    f->on_found = on_found;
    f->ctx = ctx;
    int listening = 0;
    for (size_t i = 0; i < 3; i++)
        listening += listen_on(f, i) == 0;
    uv_timer_init(loop, &f->timer);
    f->timer.data = f;
    f->handles++;
    if (listening == 0) {
        finder_close(f);
        return trouble_set(t, TROUBLE_UNREACHABLE, "end the program that holds them, or choose --discovery-port",
                           "none of the discovery ports can be listened on");
    }
    uv_timer_start(&f->timer, on_timer, 0, ASK_MS);
    *out = f;
    return 0;
}

void finder_close(struct finder *f)
{
    if (f == NULL)
        return;
    for (size_t i = 0; i < 3; i++) {
        if (f->open[i])
            uv_close((uv_handle_t *)&f->ears[i], on_closed);
    }
    uv_close((uv_handle_t *)&f->timer, on_closed);
    while (f->handles > 0)
        uv_run(f->loop, UV_RUN_ONCE);
    free(f);
}
