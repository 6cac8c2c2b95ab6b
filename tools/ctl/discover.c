/* discover.c - see discover.h. */
#include "discover.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "finder.h"
#include "link.h"
#include "show.h"

enum {
    LISTEN_MS = 10000, /* twice the period of announcements */
    FOUND_MAX = 20000, /* ids; anybody on the network can invent them */
};

struct discovery {
    const struct settings *set;
    struct found *list;
    size_t n, cap;
    const char *wanted; /* id to stop at; NULL: none */
    bool is_there;
    bool quiet;       /* about ports that cannot be had */
    const bool *stop; /* NULL: nobody may */
};

void discover_options(const struct settings *set, struct finder_options *out)
{
    *out = (struct finder_options){.broadcast = set->broadcast, .n_broadcast = set->n_broadcast};
    out->ports[0] = set->discovery_port;
    out->ports[1] = (uint16_t)(set->discovery_port + 1);
    out->ports[2] = set->discovery_port == CTL_DISCOVERY_PORT ? 7000 : (uint16_t)(set->discovery_port + 2);
}

static const struct devices_entry *entry_of(const struct settings *set, const struct found *f)
{
    if (!set->has_devices)
        return NULL;
    return devices_by_id(&set->devices, (struct tw_span){(const uint8_t *)f->id, strlen(f->id)});
}

static const char *key_state(const struct devices_entry *e)
{
    return e == NULL || e->key_state == DEVICES_KEY_ABSENT ? "unknown"
           : e->key_state == DEVICES_KEY_OK                ? "known"
                                                           : "broken";
}

static void put_json(const struct settings *set, const struct found *f)
{
    const struct devices_entry *e = entry_of(set, f);
    fputs("{\"ip\":", stdout);
    show_string(f->ip);
    fputs(",\"id\":", stdout);
    show_string(f->id);
    fputs(",\"version\":", stdout);
    if (f->version_text[0] != '\0')
        show_string(f->version_text);
    else
        fputs("null", stdout);
    fputs(",\"name\":", stdout);
    if (e != NULL)
        show_string(e->name);
    else
        fputs("null", stdout);
    fputs(",\"product_key\":", stdout);
    show_string(f->product_key);
    fputs(",\"uuid\":", stdout);
    if (f->uuid[0] != '\0')
        show_string(f->uuid);
    else
        fputs("null", stdout);
    printf(",\"bound\":%s,\"found_by\":\"%s\",\"key\":", f->bound ? "true" : "false",
           f->answered ? "answer" : "broadcast");
    if (set->show_keys && e != NULL && e->key_state == DEVICES_KEY_OK)
        show_string_len((const char *)e->key, TW_KEY_LEN);
    else
        printf("\"%s\"", key_state(e));
    fputs("}\n", stdout);
    show_flush();
}

static void on_found(void *ctx, const struct found *f)
{
    struct discovery *d = ctx;
    for (size_t i = 0; i < d->n; i++) {
        if (strcmp(d->list[i].id, f->id) != 0)
            continue;
        bool moved = strcmp(d->list[i].ip, f->ip) != 0;
        d->list[i] = *f;
        if (moved && d->wanted == NULL && show_is_json())
            put_json(d->set, f);
        return;
    }
    if (d->n == FOUND_MAX)
        return;
    if (d->n == d->cap) {
        size_t cap = d->cap == 0 ? 64 : 2 * d->cap;
        struct found *list = realloc(d->list, cap * sizeof *list);
        if (list == NULL)
            return;
        d->list = list;
        d->cap = cap;
    }
    d->list[d->n++] = *f;
    if (d->wanted == NULL && show_is_json())
        put_json(d->set, f);
    if (d->wanted != NULL && strcmp(d->wanted, f->id) == 0)
        d->is_there = true;
    if (d->wanted == NULL && !show_is_json() && isatty(STDERR_FILENO))
        fprintf(stderr, "\r%zu found", d->n);
}

static bool is_there(void *ctx)
{
    const struct discovery *d = ctx;
    return d->is_there || (d->stop != NULL && *d->stop);
}

static int by_address(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    struct in_addr p = {0}, q = {0};
    inet_pton(AF_INET, x->ip, &p);
    inet_pton(AF_INET, y->ip, &q);
    uint32_t m = ntohl(p.s_addr), n = ntohl(q.s_addr);
    if (m != n)
        return m < n ? -1 : 1;
    return strcmp(x->id, y->id);
}

static void put_row(const struct settings *set, const struct found *f)
{
    const struct devices_entry *e = entry_of(set, f);
    show_colour(SHOW_BOLD);
    printf("%-15s", f->ip);
    show_colour(SHOW_PLAIN);
    printf("  %-7s  %-22s  ", f->version_text[0] != '\0' ? f->version_text : "?", f->id);
    if (set->show_keys && e != NULL && e->key_state == DEVICES_KEY_OK) {
        fwrite(e->key, 1, TW_KEY_LEN, stdout);
        fputs("  ", stdout);
    } else {
        printf("%-7s  ", key_state(e));
    }
    if (e != NULL)
        show_clean(e->name, strlen(e->name));
    if (e != NULL && e->ip[0] != '\0' && strcmp(e->ip, f->ip) != 0)
        printf("  (the list says %s)", e->ip);
    if (!f->bound)
        fputs("  (not bound to an account)", stdout);
    putchar('\n');
}

static bool is_heard(const struct discovery *d, const struct devices_entry *e)
{
    for (size_t i = 0; i < d->n; i++) {
        if (strcmp(d->list[i].id, e->id) == 0)
            return true;
    }
    return false;
}

static void put_table(struct discovery *d)
{
    size_t unheard = 0;
    if (isatty(STDERR_FILENO))
        fputs("\r\x1b[K", stderr);
    if (d->n > 0)
        qsort(d->list, d->n, sizeof *d->list, by_address);
    if (d->n > 0)
        printf("%-15s  %-7s  %-22s  %-7s  %s\n", "address", "version", "id", "key", "name");
    for (size_t i = 0; i < d->n; i++)
        put_row(d->set, &d->list[i]);
    for (size_t i = 0; d->set->has_devices && i < d->set->devices.n; i++) {
        const struct devices_entry *e = &d->set->devices.entries[i];
        unheard += !e->sub && !is_heard(d, e);
    }
    if (unheard > 0)
        say_warn("%zu of the list were not heard: they may be off, asleep, or busy with another client", unheard);
}

/* Listen for so long, or until the wanted device is heard. */
static int run(struct discovery *d, uv_loop_t *loop, uint64_t ms, struct trouble *t)
{
    struct finder_options options;
    struct finder *finder = NULL;
    tw_crypto *crypto;
    discover_options(d->set, &options);
    options.quiet = d->quiet;
    if (tw_crypto_new(&crypto, 2) != TW_OK)
        return trouble_set(t, TROUBLE_OURS, "", "the cryptographic library does not work");
    int rc = finder_open(&finder, loop, crypto, &options, on_found, d, t);
    if (rc == 0) {
        link_pause(loop, is_there, d, ms);
        finder_close(finder);
    }
    tw_crypto_free(crypto);
    return rc;
}

static void on_interrupt(uv_signal_t *signal, int number)
{
    (void)number;
    *(bool *)signal->data = true;
}

enum exit_code command_discover(const struct settings *set, uv_loop_t *loop)
{
    bool enough = false;
    struct discovery d = {.set = set, .stop = &enough};
    struct trouble t;
    enum exit_code code = EXIT_CODE_OK;
    uv_signal_t interrupt; /* Ctrl-C: whoever has seen enough wants the table */
    uv_signal_init(loop, &interrupt);
    interrupt.data = &enough;
    uv_signal_start(&interrupt, on_interrupt, SIGINT);
    if (run(&d, loop, set->has_timeout ? set->session.timeout_ms : LISTEN_MS, &t) != 0) {
        trouble_say(&t);
        code = t.code;
    } else {
        if (!show_is_json())
            put_table(&d);
        if (d.n == 0) {
            say_warn("no device was heard; broadcasts do not cross routers and guest networks, firewalls block UDP "
                     "6666, 6667 and 7000, and some devices keep silent while a client is connected");
            code = EXIT_CODE_TIMEOUT;
        }
    }
    uv_close((uv_handle_t *)&interrupt, NULL);
    uv_run(loop, UV_RUN_NOWAIT);
    free(d.list);
    return code;
}

static void take_address(const struct discovery *d, struct target *target)
{
    for (size_t i = 0; i < d->n; i++) {
        if (strcmp(d->list[i].id, target->id) != 0)
            continue;
        snprintf(target->host, sizeof target->host, "%s", d->list[i].ip);
        if (target->version_source == VERSION_UNKNOWN && !d->set->has_protocol && d->list[i].has_version) {
            target->version_source = VERSION_CERTAIN;
            target->version = d->list[i].version;
        }
    }
}

enum exit_code discover_address(const struct settings *set, uv_loop_t *loop, struct target *target)
{
    struct discovery d = {.set = set, .wanted = target->id};
    struct trouble t;
    enum exit_code code = EXIT_CODE_OK;
    if (run(&d, loop, set->has_timeout ? set->session.timeout_ms : LISTEN_MS, &t) != 0) {
        trouble_say(&t);
        code = t.code;
    } else if (!d.is_there) {
        code = EXIT_CODE_TIMEOUT;
        say_warn("%s\"%s\" was not heard on the network; give --host, or look with `tuya-ctl discover`",
                 target->entry != NULL ? "the device list has no address, and " : "",
                 target->entry != NULL ? target->entry->name : target->id);
    }
    if (code == EXIT_CODE_OK)
        take_address(&d, target);
    free(d.list);
    return code;
}

bool discover_moved(const struct settings *set, uv_loop_t *loop, struct target *target, uint64_t ms, const bool *stop)
{
    struct discovery d = {.set = set, .wanted = target->id, .quiet = true, .stop = stop};
    struct trouble ignored;
    char before[sizeof target->host];
    memcpy(before, target->host, sizeof before);
    bool moved = run(&d, loop, ms, &ignored) == 0 && d.is_there;
    if (moved)
        take_address(&d, target);
    free(d.list);
    return moved && strcmp(before, target->host) != 0;
}
