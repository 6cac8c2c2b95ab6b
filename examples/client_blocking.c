/* client_blocking.c - read a plug and switch it, with nothing but blocking sockets.
 *
 *     TUYA_LOCAL_KEY='0123456789abcdef' ./client_blocking 192.168.1.50 6668 3.4 bf00000000000000000001
 *
 * The engine never touches the socket: turn() is the whole bridge between the two. It sends what waits, sleeps until
 * bytes come or the engine wants to be woken, and hands over what came.
 *
 *     cc client_blocking.c $(pkg-config --cflags --libs tuyawire) */
#define _DEFAULT_SOURCE /* getrandom(), getaddrinfo() */
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <tuyawire/tuyawire.h>

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int system_random(void *ctx, uint8_t *buf, size_t len)
{
    (void)ctx;
    return getrandom(buf, len, 0) == (ssize_t)len ? 0 : -1;
}

static struct tw_span text(const char *s)
{
    return (struct tw_span){(const uint8_t *)s, strlen(s)};
}

/* Send, sleep, receive: once. @return TW_OK, or why the connection is over */
static int turn(tw_client *c, int fd)
{
    struct tw_span out = tw_client_output(c);
    if (out.len > 0) {
        ssize_t n = send(fd, out.data, out.len, MSG_NOSIGNAL);
        if (n < 0)
            return tw_client_peer_closed(c);
        tw_client_sent(c, (size_t)n);
    }

    uint64_t now = now_ms(), deadline = tw_client_deadline(c);
    int wait = deadline == TW_CLIENT_NEVER ? -1 : deadline <= now ? 0 : (int)(deadline - now);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, wait) == 0)
        return tw_client_tick(c, now_ms());

    uint8_t buf[4096];
    ssize_t n = recv(fd, buf, sizeof buf, 0);
    return n <= 0 ? tw_client_peer_closed(c) : tw_client_feed(c, buf, (size_t)n, now_ms());
}

static void print_dps(const char *title, struct tw_span dps)
{
    struct tw_dp dp;
    size_t pos = 0;
    printf("%s\n", title);
    while (tw_dps_next(&dp, &pos, dps))
        printf("  %u = %.*s\n", (unsigned)dp.id, (int)dp.value.text.len, (const char *)dp.value.text.data);
}

/* Turn until this request is answered. @return TW_OK; TW_E_REFUSED; TW_E_TIMEOUT; why the connection is over */
static int answer_to(tw_client *c, int fd, uint32_t request, struct tw_client_event *ev)
{
    for (;;) {
        while (tw_client_next_event(c, ev)) {
            if (ev->type == TW_CLIENT_STATUS)
                print_dps("the device says", ev->body.dps);
            if (ev->type == TW_CLIENT_FAILED)
                return ev->error;
            if (ev->request != request)
                continue;
            if (ev->type == TW_CLIENT_REFUSED)
                return TW_E_REFUSED;
            return ev->type == TW_CLIENT_TIMEOUT ? TW_E_TIMEOUT : TW_OK;
        }
        turn(c, fd); /* what it returns comes as an event too */
    }
}

/* All data points; then data point 1 the other way round. */
static int read_and_switch(tw_client *c, int fd)
{
    struct tw_client_event ev;
    struct tw_dp relay;
    uint32_t request;
    int rc = tw_client_query(c, now_ms(), &request);
    if (rc == TW_OK)
        rc = answer_to(c, fd, request, &ev);
    if (rc != TW_OK)
        return rc;
    print_dps("all data points", ev.body.dps);
    if (tw_dps_find(&relay, ev.body.dps, 1) != TW_OK || relay.value.type != TW_VALUE_BOOL)
        return TW_OK;

    rc = tw_client_control(c, text(relay.value.boolean ? "{\"1\":false}" : "{\"1\":true}"), now_ms(), &request);
    if (rc == TW_OK)
        rc = answer_to(c, fd, request, &ev);
    if (rc == TW_OK)
        printf("switched\n");
    return rc;
}

static int dial(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return -1;
    int fd = socket(found->ai_family, found->ai_socktype, 0);
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
        close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

int main(int argc, char **argv)
{
    const char *key = getenv("TUYA_LOCAL_KEY");
    struct tw_client_config cfg;
    tw_client_config_init(&cfg);
    if (argc < 4 || tw_version_parse(&cfg.version, argv[3], strlen(argv[3])) != TW_OK || key == NULL ||
        strlen(key) != TW_KEY_LEN) {
        fputs("usage: TUYA_LOCAL_KEY='16 characters' client_blocking HOST PORT VERSION [ID]\n", stderr);
        return 2;
    }

    tw_crypto *crypto;
    tw_client *c;
    int fd = dial(argv[1], argv[2]);
    if (fd < 0 || tw_crypto_new(&crypto, 2) != TW_OK) {
        perror(argv[1]);
        return 1;
    }
    cfg.crypto = crypto;
    cfg.random = system_random;
    cfg.unix_time = (int64_t)time(NULL);
    cfg.device_id = text(argc > 4 ? argv[4] : "");
    memcpy(cfg.local_key, key, TW_KEY_LEN);
    int rc = tw_client_new(&c, &cfg);
    if (rc == TW_OK) {
        rc = tw_client_start(c, now_ms());
        if (rc == TW_OK)
            rc = read_and_switch(c, fd); /* no need to wait for the handshake: requests do */
        tw_client_free(c);
    }
    tw_crypto_free(crypto);
    close(fd);
    if (rc != TW_OK)
        fprintf(stderr, "%s\n", tw_strerror(rc));
    return rc == TW_OK ? 0 : 1;
}
