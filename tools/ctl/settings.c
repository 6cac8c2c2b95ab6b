/* settings.c - see settings.h. */
#include "settings.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "help.h"

enum { TIMEOUT_MS = 5000, TIMEOUT_MAX_S = 3600, RETRIES = 1, RETRIES_MAX = 100 };

enum option_id {
    O_HOST = 256,
    O_PORT,
    O_ID,
    O_CID,
    O_KEY,
    O_KEY_FILE,
    O_DEVICES,
    O_DEVICE,
    O_TIMEOUT,
    O_RETRIES,
    O_KEEP_ALIVE,
    O_DEBUG,
    O_JSON,
    O_COLOR,
    O_SHOW_KEYS,
    O_DISCOVERY_PORT,
    O_BROADCAST,
    O_VERSION,
};

static const struct option long_options[] = {
    {"host", required_argument, NULL, O_HOST},
    {"port", required_argument, NULL, O_PORT},
    {"id", required_argument, NULL, O_ID},
    {"cid", required_argument, NULL, O_CID},
    {"key", required_argument, NULL, O_KEY},
    {"key-file", required_argument, NULL, O_KEY_FILE},
    {"devices", required_argument, NULL, O_DEVICES},
    {"device", required_argument, NULL, O_DEVICE},
    {"protocol", required_argument, NULL, 'P'},
    {"timeout", required_argument, NULL, O_TIMEOUT},
    {"retries", required_argument, NULL, O_RETRIES},
    {"keep-alive", no_argument, NULL, O_KEEP_ALIVE},
    {"debug", no_argument, NULL, O_DEBUG},
    {"json", no_argument, NULL, O_JSON},
    {"color", optional_argument, NULL, O_COLOR},
    {"show-keys", no_argument, NULL, O_SHOW_KEYS},
    {"discovery-port", required_argument, NULL, O_DISCOVERY_PORT},
    {"broadcast", required_argument, NULL, O_BROADCAST},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, O_VERSION},
    {NULL, 0, NULL, 0},
};

static int read_text(const char **out, size_t max, struct why *why)
{
    if (optarg[0] == '\0' || strlen(optarg) > max)
        return why_set(why, "expected 1 to %zu characters, got %zu", max, strlen(optarg));
    *out = optarg;
    return 0;
}

static bool is_ipv4(const char *text)
{
    struct in_addr ip;
    return inet_pton(AF_INET, text, &ip) == 1;
}

/* One option with its argument in optarg. @return 0; -1 and why */
static int read_option(struct settings *s, int option, struct why *why)
{
    int64_t n = 0;
    int rc;
    switch (option) {
    case O_HOST: return read_text(&s->host, 255, why);
    case O_ID: return read_text(&s->id, TW_CLIENT_ID_MAX, why);
    case O_CID: return read_text(&s->cid, TW_CLIENT_ID_MAX, why);
    case O_DEVICE: return read_text(&s->device_name, 255, why);
    case O_DEVICES: return read_text(&s->devices_path, 4096, why);
    case O_PORT: return opt_integer(&s->port, optarg, 1, 65535, why);
    case O_KEY: s->has_key = true; return opt_key_argument(s->key, optarg, why);
    case O_KEY_FILE: s->key_file = optarg; return 0;
    case 'P': s->has_protocol = true; return opt_protocol_or_auto(&s->protocol_auto, &s->protocol, optarg, why);
    case O_TIMEOUT:
        s->has_timeout = true;
        rc = opt_seconds(&s->session.timeout_ms, optarg, TIMEOUT_MAX_S, why);
        return rc == 0 && s->session.timeout_ms == 0 ? why_set(why, "expected more than 0 seconds") : rc;
    case O_RETRIES:
        rc = opt_integer(&n, optarg, 0, RETRIES_MAX, why);
        s->session.retries = (unsigned)n;
        return rc;
    case O_KEEP_ALIVE: return 0; /* commands of one line share a connection anyway */
    case O_DEBUG: s->session.debug = true; return 0;
    case O_JSON: s->json = true; return 0;
    case O_SHOW_KEYS: s->show_keys = true; return 0;
    case O_COLOR: return opt_colour(&s->colour, optarg, why);
    case O_DISCOVERY_PORT:
        rc = opt_integer(&n, optarg, 1, 65533, why);
        s->discovery_port = (uint16_t)n;
        return rc;
    case O_BROADCAST:
        if (s->n_broadcast == sizeof s->broadcast / sizeof s->broadcast[0])
            return why_set(why, "at most 8 addresses");
        s->broadcast[s->n_broadcast++] = optarg;
        return is_ipv4(optarg) ? 0
                               : why_set(why, "expected an IPv4 address, such as 192.168.1.255, got '%s'", optarg);
    }
    return 0;
}

int settings_read(struct settings *s, int argc, char **argv)
{
    struct why why;
    *s = (struct settings){
        .port = -1, .session = {.timeout_ms = TIMEOUT_MS, .retries = RETRIES}, .discovery_port = CTL_DISCOVERY_PORT};
    for (int option; (option = getopt_long(argc, argv, "P:h", long_options, NULL)) != -1;) {
        switch (option) {
        case 'h': help_print(); exit(say_flush(EXIT_CODE_OK));
        case O_VERSION: help_version(); exit(say_flush(EXIT_CODE_OK));
        case '?': fputs("Try 'tuya-ctl --help'.\n", stderr); return -1; /* getopt has named the culprit */
        }
        if (read_option(s, option, &why) != 0) {
            (void)say_usage(opt_name(long_options, option).text, "%s", why.text);
            return -1;
        }
    }
    return optind;
}

enum exit_code settings_load_files(struct settings *s)
{
    struct why why;
    enum exit_code code = opt_key_file_only(s->key, &s->has_key, s->key_file);
    if (code != EXIT_CODE_OK)
        return code;
    if (s->devices_path == NULL && s->device_name != NULL)
        s->devices_path = "devices.json";
    if (s->devices_path == NULL)
        return EXIT_CODE_OK;
    if (devices_load(&s->devices, s->devices_path, &why) != 0) {
        say_warn("%s; make one with `python3 -m tinytuya wizard`, or give --host, --id and --key-file", why.text);
        return EXIT_CODE_INPUT;
    }
    s->has_devices = true;
    return EXIT_CODE_OK;
}

/* ---- the target ------------------------------------------------------------------------------------------------ */

static void copy(char *out, size_t cap, const char *text)
{
    if (text != NULL && text[0] != '\0')
        snprintf(out, cap, "%s", text);
}

static struct tw_span span_of(const char *text)
{
    return (struct tw_span){(const uint8_t *)text, strlen(text)};
}

/* A sub-device is reached through its gateway. */
static const struct devices_entry *host_of(const struct settings *s, const struct devices_entry *e)
{
    if (!e->sub || e->parent[0] == '\0')
        return e;
    const struct devices_entry *parent = devices_by_id(&s->devices, span_of(e->parent));
    return parent != NULL ? parent : e;
}

static void take_entry(const struct settings *s, struct target *out, const struct devices_entry *e)
{
    const struct devices_entry *via = host_of(s, e);
    out->entry = e;
    copy(out->id, sizeof out->id, via->id);
    copy(out->host, sizeof out->host, via->ip);
    out->port = via->port;
    if (via != e)
        copy(out->cid, sizeof out->cid, devices_cid(e));
    if (via->key_state == DEVICES_KEY_OK) {
        memcpy(out->key, via->key, sizeof out->key);
        out->has_key = true;
    }
    if (via->has_version) {
        out->version_source = VERSION_FROM_LIST;
        out->version = via->version;
    }
}

static enum exit_code find_entry(const struct settings *s, struct target *out)
{
    struct why why;
    const struct devices_entry *e = NULL;
    if (s->device_name != NULL) {
        e = devices_find(&s->devices, s->device_name, &why);
        if (e == NULL) {
            say_usage("--device", "%s", why.text);
            return EXIT_CODE_USAGE;
        }
    } else if (s->has_devices && s->id != NULL) {
        e = devices_by_id(&s->devices, span_of(s->id));
    } else if (s->has_devices && s->host == NULL && s->devices.n == 1) {
        e = &s->devices.entries[0];
    }
    if (e == NULL)
        return EXIT_CODE_OK;
    take_entry(s, out, e);
    if (!out->has_key && !s->has_key && devices_key_check(host_of(s, e), &why) != 0) {
        say_warn("%s", why.text);
        return EXIT_CODE_USAGE;
    }
    return EXIT_CODE_OK;
}

static enum exit_code find_key(const struct settings *s, struct target *out)
{
    struct why why;
    if (s->has_key) {
        memcpy(out->key, s->key, sizeof out->key);
        out->has_key = true;
    }
    if (out->has_key)
        return EXIT_CODE_OK;
    int rc = opt_key_environment(out->key, &why);
    if (rc < 0)
        return (enum exit_code)say_usage("TUYA_LOCAL_KEY", "%s", why.text);
    out->has_key = rc == 1;
    return EXIT_CODE_OK;
}

enum exit_code settings_target(const struct settings *s, struct target *out, bool need_key)
{
    memset(out, 0, sizeof *out);
    enum exit_code code = find_entry(s, out);
    if (code == EXIT_CODE_OK)
        code = find_key(s, out);
    if (code != EXIT_CODE_OK)
        return code;
    copy(out->host, sizeof out->host, s->host);
    copy(out->id, sizeof out->id, s->id);
    copy(out->cid, sizeof out->cid, s->cid);
    if (s->port >= 0)
        out->port = (uint16_t)s->port;
    else if (out->port == 0 || s->host != NULL) /* the port of a list goes with its address */
        out->port = CTL_PORT;
    if (s->has_protocol) {
        out->version_source = s->protocol_auto ? VERSION_UNKNOWN : VERSION_ASKED_FOR;
        out->version = s->protocol;
    }
    bool can_search = out->id[0] != '\0'; /* see discover_address() */
    if (out->host[0] == '\0' && !can_search && s->has_devices)
        return (enum exit_code)say_usage("--device", "expected the name or id of one of the %zu devices in %s",
                                         s->devices.n, s->devices_path);
    if (out->host[0] == '\0' && !can_search)
        return (enum exit_code)say_usage(
            "--host", "expected the address of a device, its --id to look for it, or --devices and "
                      "--device");
    if (!out->has_key && need_key)
        return (enum exit_code)say_usage("--key-file", "expected the device's local key: in a file (--key-file), in "
                                                       "TUYA_LOCAL_KEY, or in a device list (--devices)");
    return EXIT_CODE_OK;
}

void settings_free(struct settings *s)
{
    if (s->has_devices)
        devices_free(&s->devices);
    explicit_bzero(s->key, sizeof s->key);
}
