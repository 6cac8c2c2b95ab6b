/* setup.c - see setup.h. */
#define _GNU_SOURCE /* tm_gmtoff */
#include "setup.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "common/file.h"

/* Well known, so that examples and clients can be written down. */
static const char demo_id_22[] = "tuyawiredemoplug000001", demo_id_20[] = "tuyawiredemo00000001";
static const uint8_t demo_key[TW_KEY_LEN] = "0123456789abcdef";

static void show(const struct problems *problems)
{
    char text[sizeof problems->text];
    memcpy(text, problems->text, sizeof text);
    char *rest;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        say_warn("%s", line);
}

/* A built-in profile by name, or one's own by file. */
static int load_profile(const struct profile **out, const char *name)
{
    if (profile_builtin(out, name) == 0)
        return -1;
    if (strchr(name, '/') == NULL && strchr(name, '.') == NULL)
        return say_usage("--profile",
                         "there is no profile '%s'; --list-profiles shows them, and a file name has a . "
                         "or / in it",
                         name);
    struct file_bytes file;
    struct why why;
    if (file_read(&file, name, FILE_LIMIT_DEFAULT, &why) != 0) {
        say_warn("--profile: %s", why.text);
        return EXIT_CODE_INPUT;
    }
    struct problems problems = {0};
    int rc = profile_parse(out, &problems, file.data, file.len);
    file_free(&file);
    if (rc == 0)
        return -1;
    say_warn("--profile: %s has %zu error%s", name, problems.n, problems.n == 1 ? "" : "s");
    show(&problems);
    return EXIT_CODE_INPUT;
}

static int own_device(struct fleet *f, const struct sim_options *o)
{
    const struct profile *p = NULL;
    struct why why;
    int rc = load_profile(&p, o->profile != NULL ? o->profile : "energy-plug");
    if (rc != -1)
        return rc;
    if (o->count > 0) {
        rc = fleet_generate(f, p, o->count, &o->mix, &why);
    } else {
        const char *id = o->id != NULL ? o->id : p->id_length == 20 ? demo_id_20 : demo_id_22;
        enum tw_version v = o->mix.n > 0 ? o->mix.parts[0].version : p->version;
        rc = fleet_add(f, p, id, NULL, o->has_key ? o->key : demo_key, v, &why);
    }
    profile_unref(p);
    if (rc != 0)
        return say_usage(o->count > 0 ? "--count" : "--id", "%s", why.text);
    return -1;
}

static int own_house(struct fleet *f, const struct sim_options *o)
{
    struct devices devices = {0}, snapshot = {0};
    struct problems problems = {0};
    struct why why;
    int rc = o->devices != NULL ? devices_load(&devices, o->devices, &why) : 0;
    if (rc == 0 && o->snapshot != NULL)
        rc = devices_load(&snapshot, o->snapshot, &why);
    if (rc == 0)
        rc = fleet_from_files(f, o->devices != NULL ? &devices : NULL, o->snapshot != NULL ? &snapshot : NULL,
                              &problems, &why);
    show(&problems);
    devices_free(&devices);
    devices_free(&snapshot);
    if (rc == 0)
        return -1;
    say_warn("%s", why.text);
    return EXIT_CODE_INPUT;
}

static void endpoint_of(void *ctx, const struct device *d, char ip[64], uint16_t *port)
{
    server_endpoint(ctx, d, ip, port);
}

int setup_write_devices(const struct fleet *f, const char *path, struct server *s)
{
    size_t len;
    char *text = fleet_write_devices(f, endpoint_of, s, &len);
    struct why why;
    int rc = text == NULL ? why_set(&why, "out of memory") : file_write_atomic(path, text, len, 0600, &why);
    free(text);
    if (rc == 0)
        return -1;
    say_warn("--devices-out: %s", why.text);
    return EXIT_CODE_INPUT;
}

/* At the first outlet of each device that has a meter. @return as setup_fleet() */
static int plug_in(const struct fleet *f, const struct sim_options *o)
{
    size_t n_metered = 0;
    struct why why;
    for (size_t i = 0; i < f->n; i++) {
        struct device *d = &f->devices[i];
        for (size_t k = 0; k <= d->n_children; k++) {
            struct plug *p = k == 0 ? d->plug : d->children[k - 1].plug;
            if (!plug_shape(p)->has_metering)
                continue;
            n_metered++;
            if ((o->scene != NULL && plug_scene(p, o->scene, 0, 0, &why) != 0) ||
                (o->has_load && plug_load(p, 0, &o->load, 0, &why) != 0)) {
                say_warn("--load: %s", why.text);
                return EXIT_CODE_INPUT;
            }
        }
    }
    if (n_metered == 0)
        say_warn("--load: no device has a meter that would show it");
    return -1;
}

int setup_fleet(struct fleet *f, const struct sim_options *o, uint64_t seed, int64_t epoch_s)
{
    time_t now = (time_t)epoch_s;
    struct tm local;
    int64_t offset = !o->virtual_clock && localtime_r(&now, &local) != NULL ? local.tm_gmtoff : 0;
    if (fleet_init(f, seed, epoch_s + offset) != 0) {
        say_warn("out of memory");
        return EXIT_CODE_INPUT;
    }
    int rc = o->devices != NULL || o->snapshot != NULL ? own_house(f, o) : own_device(f, o);
    return rc == -1 && (o->has_load || o->scene != NULL) ? plug_in(f, o) : rc;
}
