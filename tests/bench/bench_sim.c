/* bench_sim.c - tuya-sim against a bare libuv server that answers with as many bytes and does nothing else.
 *
 * Status queries over 50 connections. One at a time: how many per second, as a share of the bare server's rate.
 * 16 in flight: processor time of the server per request, as a multiple of the bare server's. Both servers run all
 * the time and take turns (A B A B ..); the median of the pairs counts. Requests are sealed before the clock starts.
 *
 *     bench_sim path/to/tuya-sim */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>
#include "tuyawire/tuyawire.h"

enum { CONNECTIONS = 50, DEPTH = 16, PAIRS = 7, TURN_MS = 300, REPLY_MAX = 2048 };

static const uint8_t key[TW_KEY_LEN] = "0123456789abcdef";
static const char device_id[] = "tuyawiredemoplug000001";

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Time on a processor so far. */
static uint64_t cpu_ns(pid_t pid)
{
    char path[64];
    unsigned long long ns = 0;
    snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
    FILE *f = fopen(path, "r");
    if (f == NULL || fscanf(f, "%llu", &ns) != 1)
        die(path);
    fclose(f);
    return ns;
}

/* ---- the bare server -------------------------------------------------------------------------------------------- */

static size_t echo_request, echo_reply;

struct echo {
    uv_tcp_t tcp;
    size_t waiting; /* bytes of a request that is not complete */
};

static char echo_in[65536], echo_out[65536 * 4];

static void echo_alloc(uv_handle_t *h, size_t n, uv_buf_t *buf)
{
    (void)h;
    (void)n;
    *buf = uv_buf_init(echo_in, sizeof echo_in);
}

static void echo_closed(uv_handle_t *h)
{
    free(h->data);
}

static void echo_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct echo *e = s->data;
    (void)buf;
    if (n < 0) {
        uv_close((uv_handle_t *)s, echo_closed);
        return;
    }
    e->waiting += (size_t)n;
    size_t requests = e->waiting / echo_request;
    e->waiting %= echo_request;
    uv_buf_t out = uv_buf_init(echo_out, (unsigned)(requests * echo_reply));
    if (requests > 0 && uv_try_write(s, &out, 1) != (int)out.len)
        abort(); /* the client always reads */
}

static void echo_connection(uv_stream_t *s, int status)
{
    struct echo *e = calloc(1, sizeof *e);
    if (status != 0 || e == NULL)
        abort();
    uv_tcp_init(s->loop, &e->tcp);
    e->tcp.data = e;
    uv_accept(s, (uv_stream_t *)&e->tcp);
    uv_tcp_nodelay(&e->tcp, 1);
    uv_read_start((uv_stream_t *)&e->tcp, echo_alloc, echo_read);
}

/* @return its pid; *port is where it listens */
static pid_t start_echo(uint16_t *port, size_t request, size_t reply)
{
    int ends[2];
    if (pipe(ends) != 0)
        die("pipe");
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid > 0) {
        close(ends[1]);
        if (read(ends[0], port, sizeof *port) != sizeof *port)
            die("echo server");
        close(ends[0]);
        return pid;
    }
    echo_request = request;
    echo_reply = reply;
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t server;
    struct sockaddr_in at;
    int len = sizeof at;
    uv_ip4_addr("127.0.0.1", 0, &at);
    uv_tcp_init(loop, &server);
    uv_tcp_bind(&server, (struct sockaddr *)&at, 0);
    uv_listen((uv_stream_t *)&server, 128, echo_connection);
    uv_tcp_getsockname(&server, (struct sockaddr *)&at, &len);
    uint16_t p = ntohs(at.sin_port);
    if (write(ends[1], &p, sizeof p) != sizeof p)
        _exit(1);
    uv_run(loop, UV_RUN_DEFAULT);
    _exit(0);
}

static pid_t start_sim(uint16_t *port, const char *program, enum tw_version v)
{
    int ends[2];
    char fd[16], line[65536];
    if (pipe(ends) != 0)
        die("pipe");
    snprintf(fd, sizeof fd, "%d", ends[1]);
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDERR_FILENO);
        close(ends[0]);
        execl(program, "tuya-sim", "-P", tw_version_name(v), "--port", "0", "--max-clients", "0", "--discovery",
              "off", "--clock", "virtual", "--seed", "1", "--ready-fd", fd, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    size_t n = 0;
    ssize_t got;
    while (n < sizeof line - 1 && (got = read(ends[0], line + n, sizeof line - 1 - n)) > 0)
        n += (size_t)got;
    close(ends[0]);
    line[n] = '\0';
    const char *at = strstr(line, "\"port\":");
    if (at == NULL) {
        fprintf(stderr, "%s did not start\n", program);
        exit(1);
    }
    *port = (uint16_t)atoi(at + 7);
    return pid;
}

/* ---- the client ------------------------------------------------------------------------------------------------- */

struct link {
    int fd;
    uint32_t seq;
    uint8_t key[TW_KEY_LEN];
    size_t got; /* bytes of the replies of this round */
};

struct target {
    pid_t pid;
    struct link links[CONNECTIONS];
    size_t request_len, reply_len;
};

static int dial(uint16_t port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) != 0)
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static int random_bytes(void *ctx, uint8_t *buf, size_t len)
{
    uint32_t *state = ctx;
    for (size_t i = 0; i < len; i++)
        buf[i] = (uint8_t)((*state = *state * 1664525u + 1013904223u) >> 24);
    return 0;
}

static uint32_t chance = 1;

static size_t seal(tw_crypto *c, struct link *l, enum tw_version v, uint32_t command, struct tw_span payload,
                   uint8_t *out, size_t cap)
{
    struct tw_message m;
    uint8_t nonce[TW_NONCE_LEN];
    size_t len = 0;
    random_bytes(&chance, nonce, sizeof nonce);
    tw_message_init(&m, v, TW_TO_DEVICE, ++l->seq, command);
    m.payload = payload;
    const uint8_t *k = tw_version_traits(v)->negotiates && !tw_command_is_handshake(command) ? l->key : key;
    if (tw_message_seal(out, cap, &len, c, &m, k, nonce) != TW_OK)
        abort();
    return len;
}

static size_t read_frame(int fd, uint8_t *buf, size_t cap, struct tw_frame *f, enum tw_version v)
{
    const struct tw_frame_rules rules = {tw_version_traits(v)->integrity, TW_FROM_DEVICE, false, 0};
    size_t n = 0, used;
    while (tw_frame_parse(f, &used, buf, n, &rules) != TW_OK) {
        ssize_t got = read(fd, buf + n, cap - n);
        if (got <= 0)
            die("read");
        n += (size_t)got;
    }
    return used;
}

static void negotiate(tw_crypto *c, struct link *l, enum tw_version v)
{
    struct tw_session s;
    struct tw_message m;
    struct tw_frame f;
    uint8_t nonce[TW_SESSION_NONCE_LEN], finish[TW_HMAC_LEN], buf[512], plain[512];
    random_bytes(&chance, nonce, sizeof nonce);
    tw_session_init(&s, v, key);
    tw_session_start(&s, nonce);
    size_t n = seal(c, l, v, TW_CMD_SESS_KEY_NEG_START, (struct tw_span){nonce, sizeof nonce}, buf, sizeof buf);
    if (write(l->fd, buf, n) != (ssize_t)n)
        die("write");
    read_frame(l->fd, buf, sizeof buf, &f, v);
    if (tw_message_open(&m, c, &f, v, TW_FROM_DEVICE, key, plain, sizeof plain, 0) != TW_OK ||
        tw_session_on_resp(&s, c, &m, finish) != TW_OK)
        abort();
    n = seal(c, l, v, TW_CMD_SESS_KEY_NEG_FINISH, (struct tw_span){finish, sizeof finish}, buf, sizeof buf);
    if (write(l->fd, buf, n) != (ssize_t)n)
        die("write");
    memcpy(l->key, s.key, TW_KEY_LEN);
}

static struct tw_span query_body(enum tw_version v)
{
    static char text[256];
    struct tw_text t = {text, sizeof text, 0, false};
    const struct tw_body_ids ids = {.id = {(const uint8_t *)device_id, sizeof device_id - 1}, .t = 1700000000};
    tw_body_query(&t, v, tw_version_traits(v)->query, &ids);
    return (struct tw_span){(uint8_t *)text, t.len};
}

/* Everything that one link will send in one turn, sealed beforehand. */
struct script {
    uint8_t *bytes;
    size_t n; /* requests */
};

static void write_script(struct script *s, tw_crypto *c, struct link *l, enum tw_version v, bool real, size_t n,
                         size_t len)
{
    s->n = n;
    s->bytes = realloc(s->bytes, n * len + 512);
    bool fresh = v == TW_V35; /* its sequence numbers have to grow; the others repeat one frame */
    for (size_t i = 0; i < n; i++) {
        if (!real)
            memset(s->bytes + i * len, 0, len);
        else if (fresh || i == 0)
            seal(c, l, v, tw_version_traits(v)->query, query_body(v), s->bytes + i * len, len + 512);
        else
            memcpy(s->bytes + i * len, s->bytes, len);
    }
}

/* Ask for TURN_MS, depth requests in flight per link. @return requests answered */
static size_t run_turn(struct target *t, struct script *scripts, size_t depth)
{
    static uint8_t sink[65536 * 4];
    struct epoll_event events[CONNECTIONS];
    size_t sent[CONNECTIONS] = {0}, done = 0, active = 0;
    int poll = epoll_create1(0);
    uint64_t end = now_ns() + TURN_MS * 1000000ull;
    for (size_t i = 0; i < CONNECTIONS; i++) {
        struct link *l = &t->links[i];
        struct epoll_event ev = {.events = EPOLLIN, .data.u64 = i};
        epoll_ctl(poll, EPOLL_CTL_ADD, l->fd, &ev);
        l->got = 0;
        if (write(l->fd, scripts[i].bytes, depth * t->request_len) < 0)
            die("write");
        sent[i] = depth;
        active++;
    }
    bool over = false;
    while (active > 0) {
        int n = epoll_wait(poll, events, CONNECTIONS, 5000);
        if (n <= 0)
            die("a server stopped answering");
        if (!over)
            over = now_ns() >= end;
        for (int k = 0; k < n; k++) {
            size_t i = events[k].data.u64;
            struct link *l = &t->links[i];
            ssize_t got = read(l->fd, sink, sizeof sink);
            if (got <= 0)
                die("read");
            l->got += (size_t)got;
            if (l->got < depth * t->reply_len)
                continue;
            l->got = 0;
            done += depth;
            if (over || sent[i] + depth > scripts[i].n) {
                active--;
                continue;
            }
            if (write(l->fd, scripts[i].bytes + sent[i] * t->request_len, depth * t->request_len) < 0)
                die("write");
            sent[i] += depth;
        }
    }
    close(poll);
    return done;
}

struct measure {
    double rate, cpu_ns; /* requests per second; processor time of the server per request */
};

static struct measure measure(struct target *t, tw_crypto *c, enum tw_version v, bool real, size_t depth)
{
    static struct script scripts[CONNECTIONS];
    size_t n = depth == 1 ? 3000 : 20000;
    for (size_t i = 0; i < CONNECTIONS; i++)
        write_script(&scripts[i], c, &t->links[i], v, real, n, t->request_len);
    uint64_t cpu = cpu_ns(t->pid), begin = now_ns();
    size_t done = run_turn(t, scripts, depth);
    double seconds = (double)(now_ns() - begin) / 1e9;
    return (struct measure){(double)done / seconds, (double)(cpu_ns(t->pid) - cpu) / (double)done};
}

/* ---- pairs ------------------------------------------------------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, compare);
    return v[n / 2];
}

static void bench_version(const char *program, enum tw_version v)
{
    tw_crypto *c;
    uint16_t port;
    struct target sim, echo;
    if (tw_crypto_new(&c, CONNECTIONS * 2) != TW_OK)
        abort();
    sim.pid = start_sim(&port, program, v);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        struct link *l = &sim.links[i];
        *l = (struct link){.fd = dial(port)};
        if (tw_version_traits(v)->negotiates)
            negotiate(c, l, v);
    }
    uint8_t request[1024], reply[REPLY_MAX];
    struct tw_frame f;
    sim.request_len = seal(c, &sim.links[0], v, tw_version_traits(v)->query, query_body(v), request, sizeof request);
    if (write(sim.links[0].fd, request, sim.request_len) < 0)
        die("write");
    sim.reply_len = read_frame(sim.links[0].fd, reply, sizeof reply, &f, v);

    echo.request_len = sim.request_len;
    echo.reply_len = sim.reply_len;
    echo.pid = start_echo(&port, echo.request_len, echo.reply_len);
    for (size_t i = 0; i < CONNECTIONS; i++)
        echo.links[i] = (struct link){.fd = dial(port)};

    double rate[PAIRS], cpu1[PAIRS], cpu[PAIRS];
    struct measure a, b, a16, b16;
    for (size_t i = 0; i < PAIRS; i++) {
        a = measure(&sim, c, v, true, 1);
        b = measure(&echo, c, v, false, 1);
        a16 = measure(&sim, c, v, true, DEPTH);
        b16 = measure(&echo, c, v, false, DEPTH);
        rate[i] = a.rate / b.rate;
        cpu1[i] = a.cpu_ns / b.cpu_ns;
        cpu[i] = a16.cpu_ns / b16.cpu_ns;
    }
    printf("%s  one at a time: %.2f of the bare rate (%.0f/s), processor time %.2f times;  16 in flight: processor "
           "time %.2f times (%.0f of %.0f ns)\n",
           tw_version_name(v), median(rate, PAIRS), a.rate, median(cpu1, PAIRS), median(cpu, PAIRS), a16.cpu_ns,
           b16.cpu_ns);
    fflush(stdout);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        close(sim.links[i].fd);
        close(echo.links[i].fd);
    }
    kill(sim.pid, SIGTERM);
    kill(echo.pid, SIGTERM);
    waitpid(sim.pid, NULL, 0);
    waitpid(echo.pid, NULL, 0);
    tw_crypto_free(c);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: bench_sim path/to/tuya-sim [version ..]\n", stderr);
        return 2;
    }
    static const enum tw_version versions[] = {TW_V31, TW_V33, TW_V34, TW_V35}; /* 3.2 refuses queries */
    puts("status queries over 50 connections; aims: 0.85, and 1.6 (3.1, 3.3), 2.2 (3.4), 3.2 (3.5)");
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        bool wanted = argc == 2;
        for (int k = 2; k < argc; k++)
            wanted = wanted || strcmp(argv[k], tw_version_name(versions[i])) == 0;
        if (wanted)
            bench_version(argv[1], versions[i]);
    }
    return 0;
}
