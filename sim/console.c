/* console.c - the keys of tuya-sim; what they do is in console.h. */
#include "console.h"
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/units.h"
#include "common/utf8.h"

enum { TABLE_CAP = 64 * 1024, TEXT_MAX = 200, CTRL_C = 3, CTRL_D = 4, CTRL_Z = 26 };

struct console {
    struct console_config cfg;
    uv_tty_t tty;
    size_t current; /* device */
    char in[64];
};

/* In raw mode a line ends with both. */
static void line(const char *format, ...) SAY_FORMAT(1, 2);
static void line(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    fputs("\r\n", stdout);
    fflush(stdout);
}

static struct device *current(struct console *c)
{
    return &c->cfg.fleet->devices[c->current];
}

static void help(void)
{
    line("1-9 press a button   s state   c clients   f faults   n/p next/previous device   ? help   q quit");
}

/* ---- tables --------------------------------------------------------------------------------------------------- */

/* A client may have chosen it: nothing that a terminal would act on. */
static void visible(char out[TEXT_MAX + 1], struct tw_span text)
{
    size_t n = text.len < TEXT_MAX ? text.len : TEXT_MAX;
    memcpy(out, text.data, n);
    utf8_clean(out, n);
    out[n] = '\0';
}

static void plug_table(struct console *c, const char *title, struct plug *p)
{
    struct tw_text t = {.cap = TABLE_CAP};
    t.data = malloc(t.cap);
    if (t.data == NULL)
        return;
    plug_advance(p, server_now_ms(c->cfg.server));
    plug_write(p, &t);
    const struct shape *shape = plug_shape(p);
    const char *on = c->cfg.colour ? "\x1b[32m" : "", *off = c->cfg.colour ? "\x1b[0m" : "";
    line("%s", title);
    struct tw_dp dp;
    for (size_t at = 0; tw_dps_next(&dp, &at, (struct tw_span){(const uint8_t *)t.data, t.len}) == 1;) {
        uint8_t position = dp.id <= 255 ? shape->position[dp.id] : 0;
        const struct dp_spec *spec = position != 0 ? &shape->dps[position - 1] : NULL;
        bool lit = dp.value.type == TW_VALUE_BOOL && dp.value.boolean;
        char value[TEXT_MAX + 1];
        if (dp.value.type == TW_VALUE_INTEGER && spec != NULL)
            units_scale(value, dp.value.text, (int)spec->scale);
        else
            visible(value, dp.value.text);
        line("  %3lu  %-20s %s%s%s %s", (unsigned long)dp.id, spec != NULL ? spec->code : "", lit ? on : "", value,
             lit ? off : "", spec != NULL ? spec->unit : "");
    }
    struct plug_live live = plug_live(p, server_now_ms(c->cfg.server));
    if (live.metered)
        line("  now  %llu.%llu W, %u.%u V, %u mA, %llu Wh in all", (unsigned long long)(live.mw / 1000),
             (unsigned long long)(live.mw % 1000 / 100), (unsigned)(live.mv / 1000), (unsigned)(live.mv % 1000 / 100),
             (unsigned)live.ma, (unsigned long long)(live.total_mws / 3600000));
    free(t.data);
}

static void state(struct console *c)
{
    struct device *d = current(c);
    char title[256], address[64];
    uint16_t port;
    server_endpoint(c->cfg.server, d, address, &port);
    snprintf(title, sizeof title, "%s  %s  protocol %s  %s:%u  clients %zu", d->name[0] != '\0' ? d->name : d->id,
             d->profile->name, tw_version_name(d->version), address, (unsigned)port,
             server_n_clients(c->cfg.server, d));
    plug_table(c, title, d->plug);
    for (size_t i = 0; i < d->n_children; i++) {
        snprintf(title, sizeof title, "  %s  %s", d->children[i].cid, d->children[i].name);
        plug_table(c, title, d->children[i].plug);
    }
}

static void show_client(void *ctx, const struct server_connection *k)
{
    struct console *c = ctx;
    line("  #%llu %s for %llu s%s", (unsigned long long)k->flow, k->peer,
         (unsigned long long)((server_now_ms(c->cfg.server) - k->since_ms) / 1000),
         k->ready ? "" : ", handshake not done");
}

static void show_fault(void *ctx, const struct fault *f)
{
    (void)ctx;
    char text[256];
    fault_format(text, sizeof text, &f->spec);
    line("  #%u %s, struck %llu times", (unsigned)f->number, text, (unsigned long long)f->struck);
}

/* ---- whose the terminal is -------------------------------------------------------------------------------------- */

/* The system stops who reads or changes its terminal from the background (tuya-sim &). A terminal that no shell shares out
 * has none. */
static bool is_foreground(void)
{
    pid_t group = tcgetpgrp(STDIN_FILENO);
    return group < 0 || group == getpgrp();
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf);
static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static int take_terminal(struct console *c)
{
    int rc = uv_tty_set_mode(&c->tty, UV_TTY_MODE_RAW);
    return rc == 0 ? uv_read_start((uv_stream_t *)&c->tty, on_alloc, on_read) : rc;
}

/* From the background there is nothing to give: the shell has set it up for itself. */
static void give_terminal_back(struct console *c)
{
    uv_read_stop((uv_stream_t *)&c->tty);
    if (is_foreground())
        uv_tty_set_mode(&c->tty, UV_TTY_MODE_NORMAL);
}

/* What Ctrl-Z does by itself, where keys are not read one by one. Goes on when the shell says so: after `fg` with keys, after
 * `bg` without. */
static void suspend(struct console *c)
{
    give_terminal_back(c);
    kill(0, SIGTSTP);
    if (is_foreground())
        take_terminal(c);
}

/* ---- keys ----------------------------------------------------------------------------------------------------- */

/* The nth relay of the device, counted over its children as well; 0: there is none. */
static struct plug *relay_at(struct device *d, size_t n, uint32_t *id)
{
    for (size_t i = 0; i <= d->n_children; i++) {
        struct plug *p = i == 0 ? d->plug : d->children[i - 1].plug;
        const struct shape *s = plug_shape(p);
        for (size_t k = 0; k < s->n_dps; k++) {
            if (s->dps[k].role == ROLE_RELAY && n-- == 0) {
                *id = s->dps[k].id;
                return p;
            }
        }
    }
    return NULL;
}

static void press(struct console *c, size_t n)
{
    struct device *d = current(c);
    uint32_t id;
    struct plug *p = relay_at(d, n, &id);
    if (p == NULL) {
        line("there is no button %zu; s shows what there is", n + 1);
        return;
    }
    if (!plug_press(p, id, server_now_ms(c->cfg.server))) {
        line("the button is locked (child_lock)");
        return;
    }
    char value[16] = "";
    struct tw_text t = {.data = value, .cap = sizeof value - 1};
    plug_write_value(p, &t, id);
    line("button %zu: data point %u is %s", n + 1, (unsigned)id, strcmp(value, "true") == 0 ? "on" : "off");
    server_touched(c->cfg.server, d);
}

static void step(struct console *c, size_t by)
{
    c->current = (c->current + by) % c->cfg.fleet->n;
    struct device *d = current(c);
    line("%s%s%s (%zu of %zu)", d->id, d->name[0] != '\0' ? " " : "", d->name, c->current + 1, c->cfg.fleet->n);
}

static void key(struct console *c, char k)
{
    switch (k) {
    case 's': state(c); break;
    case 'c': server_visit_connections(c->cfg.server, current(c), show_client, c); break;
    case 'f': server_fault_visit(c->cfg.server, current(c), show_fault, c); break;
    case 'n': step(c, 1); break;
    case 'p': step(c, c->cfg.fleet->n - 1); break;
    case '?':
    case 'h': help(); break;
    case 'q':
    case CTRL_C:
    case CTRL_D: c->cfg.quit(c->cfg.ctx); break;
    case CTRL_Z: suspend(c); break;
    case '\r':
    case '\n': line("%s", ""); break;
    default:
        if (k >= '1' && k <= '9')
            press(c, (size_t)(k - '1'));
        else
            help();
    }
}

static void on_event(void *ctx, const struct server_event *ev)
{
    (void)ctx;
    const char *id = ev->device != NULL ? ev->device->id : "";
    char dps[TEXT_MAX + 1];
    if (ev->type == SERVER_CONNECTED)
        line("#%llu connected %s", (unsigned long long)ev->flow, id);
    else if (ev->type == SERVER_DISCONNECTED)
        line("#%llu left%s%s", (unsigned long long)ev->flow, ev->reason != NULL ? ": " : "",
             ev->reason != NULL ? ev->reason : "");
    else if (ev->type == SERVER_FAULT)
        line("%s fault %s", id, ev->reason != NULL ? ev->reason : "");
    else if (ev->type == SERVER_CHANGED) {
        visible(dps, ev->dps);
        line("%s %s", id, dps);
    }
}

/* ---- the terminal --------------------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct console *c = handle->data;
    *buf = uv_buf_init(c->in, sizeof c->in);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct console *c = stream->data;
    if (n < 0) {
        uv_read_stop(stream);
        if (is_foreground())
            c->cfg.quit(c->cfg.ctx);
        return;
    }
    for (ssize_t i = 0; i < n && !uv_is_closing((uv_handle_t *)stream); i++)
        key(c, buf->base[i]);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* see console.h */
int console_start(struct console **out, const struct console_config *cfg, struct why *why)
{
    bool at_terminal = uv_guess_handle(STDIN_FILENO) == UV_TTY && uv_guess_handle(STDOUT_FILENO) == UV_TTY;
    if (!at_terminal || !is_foreground() || cfg->fleet->n == 0)
        return 1;
    struct console *c = calloc(1, sizeof *c);
    if (c == NULL)
        return why_set(why, "out of memory");
    c->cfg = *cfg;
    c->tty.data = c;
    int rc = uv_tty_init(server_config(cfg->server)->loop, &c->tty, STDIN_FILENO, 0);
    if (rc != 0) {
        free(c);
        return why_set(why, "cannot use the terminal: %s", uv_strerror(rc));
    }
    signal(SIGTTIN, SIG_IGN); /* later in the background: an error, and not a stop */
    signal(SIGTTOU, SIG_IGN);
    if (take_terminal(c) != 0 || server_subscribe(cfg->server, on_event, c) != 0) {
        give_terminal_back(c);
        uv_close((uv_handle_t *)&c->tty, on_closed);
        return why_set(why, "cannot use the terminal");
    }
    help();
    *out = c;
    return 0;
}

/* see console.h */
void console_stop(struct console *c)
{
    if (c == NULL)
        return;
    server_unsubscribe(c->cfg.server, on_event, c);
    give_terminal_back(c);
    uv_close((uv_handle_t *)&c->tty, on_closed);
}
