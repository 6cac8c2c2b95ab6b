/* main.c - tuya-sim: a plug that is not there. */
#define _GNU_SOURCE /* getrandom() */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <uv.h>
#include "common/file.h"
#include "common/options.h"
#include "console.h"
#include "control.h"
#include "options.h"
#include "ready.h"
#include "server.h"
#include "setup.h"
#include "tuyawire/discovery.h"

enum { VIRTUAL_EPOCH_S = 1700000000 }; /* 2023-11-14: a virtual clock starts the same day in every run */

/* What one run holds; main() makes it, run_end() releases it. */
struct run {
    struct sim_options options;
    struct fleet fleet;
    struct server *server;
    struct control *control; /* NULL: not asked for */
    struct console *console; /* NULL: no terminal */
    struct file_bytes token; /* of the control API; data NULL: none */
    uv_loop_t loop;
    uv_signal_t signals[3];
    size_t n_signals;
    uv_timer_t parent;
    pid_t parent_pid;
};

static void run_end(struct run *r)
{
    if (server_closed(r->server))
        return;
    console_stop(r->console);
    control_stop(r->control);
    server_stop(r->server);
    for (size_t i = 0; i < r->n_signals; i++)
        uv_close((uv_handle_t *)&r->signals[i], NULL);
    if (r->options.exit_with_parent)
        uv_close((uv_handle_t *)&r->parent, NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    run_end(handle->data);
}

static bool is_ignored(int number)
{
    struct sigaction act;
    return sigaction(number, NULL, &act) == 0 && act.sa_handler == SIG_IGN;
}

static void watch_signals(struct run *r)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (numbers[i] == SIGHUP && is_ignored(SIGHUP))
            continue; /* nohup */
        uv_signal_t *handle = &r->signals[r->n_signals++];
        uv_signal_init(&r->loop, handle);
        handle->data = r;
        uv_signal_start(handle, on_signal, numbers[i]);
    }
}

static void on_parent_check(uv_timer_t *timer)
{
    struct run *r = timer->data;
    if (getppid() != r->parent_pid)
        run_end(r);
}

/* By looking, and not by PR_SET_PDEATHSIG: that one strikes when the thread ends that started us. */
static void watch_parent(struct run *r)
{
    enum { CHECK_MS = 200 };
    uv_timer_init(&r->loop, &r->parent);
    r->parent.data = r;
    uv_timer_start(&r->parent, on_parent_check, 0, CHECK_MS);
}

static uint64_t draw_seed(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        seed = (uint64_t)time(NULL);
    return seed >> 1; /* so that it can be typed back as a whole number of 63 bits */
}

static struct server_config config_of(struct run *r, uint64_t seed, int64_t epoch_s)
{
    const struct sim_options *o = &r->options;
    uint16_t base = o->discovery_base;
    struct server_config cfg = {
        .loop = &r->loop,
        .fleet = &r->fleet,
        .listen = o->listen,
        .port = o->port,
        .spread = o->spread,
        .seed = seed,
        .virtual_clock = o->virtual_clock,
        .epoch_s = epoch_s,
        .status_delay_ms = o->status_delay_ms,
        .max_clients = o->max_clients,
        .idle_timeout_ms = o->idle_timeout_ms,
        .journal_memory = o->control != NULL,
        .journal_path = o->journal,
        .write_path = o->write,
        .state_path = o->state,
        .discovery = o->discovery,
        .fuzz = o->fuzz,
        .faults = o->faults,
        .n_faults = o->n_faults,
        .discovery_ports = {TW_UDP_PORT_CLEAR, TW_UDP_PORT_ENCRYPTED, TW_UDP_PORT_REQUEST},
    };
    if (o->spread == SPREAD_ADDRESS)
        cfg.listen = "127.0.1.1";
    if (base != 0)
        for (uint16_t i = 0; i < 3; i++)
            cfg.discovery_ports[i] = (uint16_t)(base + i);
    if (cfg.discovery == NULL)
        cfg.discovery =
            strncmp(cfg.listen, "127.", 4) == 0 || strcmp(cfg.listen, "::1") == 0 ? "127.0.0.1" : "255.255.255.255";
    else if (strcmp(cfg.discovery, "off") == 0)
        cfg.discovery = NULL;
    return cfg;
}

static int write_all(int fd, const char *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = write(fd, text + at, len - at);
        if (n < 0 && errno != EINTR)
            return -1;
        at += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int tell_ready(const struct run *r, const char *control)
{
    const struct sim_options *o = &r->options;
    size_t len;
    struct why why;
    char *line = ready_line(r->server, control, &len);
    if (line == NULL) {
        say_warn("out of memory");
        return EXIT_CODE_INPUT;
    }
    int rc = -1;
    if (o->ready_file != NULL && file_write_atomic(o->ready_file, line, len, 0600, &why) != 0) {
        say_warn("--ready-file: %s", why.text);
        rc = EXIT_CODE_INPUT;
    }
    if (o->ready_fd >= 0 &&
        (write_all(o->ready_fd, line, len) != 0 || (o->ready_fd > 2 && close(o->ready_fd) != 0))) {
        say_warn("--ready-fd %d: %s", o->ready_fd, strerror(errno));
        rc = EXIT_CODE_INPUT;
    }
    bool printed = !o->json || fwrite(line, 1, len, stdout) == len;
    if ((fflush(stdout) != 0 || !printed) && errno != EPIPE) { /* who has read enough of it may go */
        say_warn("--json: stdout: %s", strerror(errno));
        rc = EXIT_CODE_INPUT;
    }
    free(line);
    return rc;
}

static void greet(const struct run *r)
{
    const struct fleet *f = &r->fleet;
    const struct server_config *cfg = server_config(r->server);
    const struct device *d = &f->devices[0];
    char ip[64];
    uint16_t port;
    server_endpoint(r->server, d, ip, &port);
    bool demo = r->options.id == NULL && !r->options.has_key && r->options.count == 0 && r->options.devices == NULL &&
                r->options.snapshot == NULL;
    if (f->n == 1)
        say_warn("%s, protocol %s, on %s port %u, id %s, key %s, seed %llu", d->profile->name,
                 tw_version_name(d->version), ip, port, d->id, demo ? "0123456789abcdef (well known)" : "(hidden)",
                 (unsigned long long)cfg->seed);
    else
        say_warn("%zu devices, the first on %s port %u, seed %llu", f->n, ip, port, (unsigned long long)cfg->seed);
}

/* The first line of the token file. */
static int read_token(struct file_bytes *out, const char *path, struct why *why)
{
    enum { TOKEN_FILE_MAX = 4096, TOKEN_MIN = 8 }; /* bytes; our choice */
    if (file_read(out, path, TOKEN_FILE_MAX, why) != 0)
        return -1;
    out->data[strcspn(out->data, "\r\n")] = '\0';
    if (strlen(out->data) >= TOKEN_MIN)
        return 0;
    return why_set(why, "%s: the first line has to be a token of at least %d characters", path, TOKEN_MIN);
}

/* Open the control API.
 * @param text  "127.0.0.1:6680" with the port that it got
 * @return -1: it is open; otherwise the exit status, and why */
static int start_control(struct run *r, char *text, size_t cap, struct why *why)
{
    const struct sim_options *o = &r->options;
    struct opt_address address;
    if (opt_address(&address, o->control, -1, why) != 0)
        return EXIT_CODE_USAGE;
    if (o->control_token_file != NULL && read_token(&r->token, o->control_token_file, why) != 0)
        return EXIT_CODE_INPUT;
    struct control_config cfg = {
        .server = r->server,
        .fleet = &r->fleet,
        .host = address.host,
        .port = address.port,
        .token = r->token.data,
        .has_values = o->snapshot != NULL || o->state != NULL || o->has_load || o->scene != NULL,
    };
    if (control_start(&r->control, &cfg, why) != 0)
        return EXIT_CODE_CONNECT;
    bool v6 = strchr(address.host, ':') != NULL;
    snprintf(text, cap, "%s%s%s:%u", v6 ? "[" : "", address.host, v6 ? "]" : "", (unsigned)control_port(r->control));
    return -1;
}

static void on_quit(void *ctx)
{
    run_end(ctx);
}

/* A devices.json of 20 MB has just been read and forgotten. */
static void give_back_memory(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

static int add_faults(struct run *r)
{
    const struct fault_spec *wrong = server_start_faults(r->server);
    return wrong != NULL ? say_usage("--fault", "there is no device %s", wrong->device) : -1;
}

/* A test may hand on its terminal without a thought: it wants its Ctrl-C, and may kill us without a chance to tidy up. */
static bool is_started_by_program(const struct sim_options *o)
{
    return o->json || o->ready_file != NULL || o->ready_fd >= 0 || o->exit_with_parent;
}

static int serve(struct run *r)
{
    const struct sim_options *o = &r->options;
    uint64_t seed = o->has_seed ? o->seed : o->fuzz.on ? o->fuzz.seed : draw_seed();
    int64_t epoch_s = o->virtual_clock ? VIRTUAL_EPOCH_S : (int64_t)time(NULL);
    int rc = setup_fleet(&r->fleet, o, seed, epoch_s);
    if (rc != -1)
        return rc;
    give_back_memory();
    struct server_config cfg = config_of(r, seed, epoch_s);
    struct why why;
    int started = server_start(&r->server, &cfg, &why);
    if (started != 0) {
        say_warn("%s", why.text);
        return started == SERVER_CANNOT_OPEN ? EXIT_CODE_INPUT : EXIT_CODE_CONNECT;
    }
    int faults = add_faults(r);
    watch_signals(r);
    if (o->exit_with_parent)
        watch_parent(r);
    char control[300];
    if (o->control != NULL)
        rc = start_control(r, control, sizeof control, &why);
    if (rc != -1)
        say_warn("--control: %s", why.text);
    if (rc == -1)
        rc = faults;
    if (rc == -1 && o->devices_out != NULL)
        rc = setup_write_devices(&r->fleet, o->devices_out, r->server);
    if (rc == -1)
        greet(r);
    if (rc == -1)
        rc = tell_ready(r, o->control != NULL ? control : NULL);
    struct console_config keys = {r->server, &r->fleet, opt_colour_wanted(OPT_COLOUR_AUTO, stdout), on_quit, r};
    if (rc == -1 && !is_started_by_program(o) && console_start(&r->console, &keys, &why) == -1)
        say_warn("%s", why.text);
    if (rc != -1)
        run_end(r);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    return rc == -1 ? EXIT_CODE_OK : rc;
}

int main(int argc, char **argv)
{
    struct run r = {.parent_pid = getppid()};
    say_program("tuya-sim");
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is a disk error like any other */
    int rc = sim_options_parse(&r.options, argc, argv);
    if (rc != -1)
        rc = say_flush(rc);
    if (rc == -1) {
        uv_loop_init(&r.loop);
        rc = serve(&r);
        server_free(r.server);
        fleet_free(&r.fleet);
        uv_loop_close(&r.loop);
        file_free(&r.token);
    }
    sim_options_free(&r.options);
    return rc;
}
