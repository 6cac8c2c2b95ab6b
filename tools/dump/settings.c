/* settings.c - see settings.h. */
#include "settings.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "common/say.h"

static const char help[] =
    "usage: tuya-dump -r FILE [-r FILE ..] [options] [filter]\n"
    "       tuya-dump -i INTERFACE [options] [filter]\n"
    "       tuya-dump --hex [options] [frame ..]\n"
    "\n"
    "Opens captures of Tuya LAN traffic, 3.1 to 3.5, and says why when it cannot.\n"
    "\n"
    "input\n"
    "  -r, --read FILE            pcap or pcapng, plain or gzip'ed; '-' is stdin; may be repeated\n"
    "  -i, --interface NAME       capture live, 'any' for all interfaces\n"
    "      --hex                  frames out of a debug log or a hex dump: arguments, or text on stdin\n"
    "      --port N               instead of TCP 6668, UDP 6666, 6667, 7000; may be repeated\n"
    "  filter                     as for tcpdump: 'host 192.0.2.9'\n"
    "\n"
    "keys: as many as you like, which fits where is found out\n"
    "      --devices FILE         devices.json of tinytuya: keys, names, data points\n"
    "      --key KEY              16 characters, or hex: and 32 digits; quote it: '$#=..'\n"
    "      --key-file FILE        one key a line; '-' is stdin; also TUYA_LOCAL_KEY\n"
    "      --key-log FILE         session keys of 3.4 and 3.5 (tuya-sim, tuya-ctl and --write-key-log write it)\n"
    "      --session-key hex:..   with --hex: session key of a 3.4 or 3.5 frame\n"
    "  -P, --protocol VERSION     3.1 .. 3.5, where the bytes do not tell; default auto\n"
    "\n"
    "output\n"
    "  -T, --format FORMAT        text (default), json, csv (data points over time), fields\n"
    "      --json                 the same as -T json\n"
    "  -e, --field NAME           with -T fields, repeated: time, cmd, seq, device, dp.19, dp.cur_power, ..\n"
    "  -Y, --display EXPR         only what fits: 'cmd == CONTROL && dp.19 > 500'\n"
    "  -v, --verbose              headers; twice: hex too\n"
    "      --stats                a summary per device at the end\n"
    "      --plot FILE.svg        power, voltage and current over time\n"
    "  -w, --write FILE           decrypted messages as a capture that any Wireshark opens\n"
    "      --write-key-log FILE   the session keys that were found\n"
    "      --redact FILE.pcapng   the same traffic with new ids, keys and addresses\n"
    "      --color WHEN           auto, always, never\n"
    "      --show-keys            do not hide nonces of handshakes\n"
    "      --memory MIB           for reassembly, 6 unless told\n"
    "  -q, --quiet                no progress, and no word when nothing is found\n"
    "      --strict               exit with 8 when any message stayed undecoded\n"
    "  -h, --help  -V, --version\n"
    "\n"
    "exit status: 0 read to the end, 2 usage, 7 input unreadable or cut off (everything else is printed), or output\n"
    "             not written, 8 with --strict: messages stayed undecoded\n";

enum {
    OPT_HEX = 256,
    OPT_PORT,
    OPT_DEVICES,
    OPT_KEY,
    OPT_KEY_FILE,
    OPT_KEY_LOG,
    OPT_SESSION_KEY,
    OPT_JSON,
    OPT_STATS,
    OPT_PLOT,
    OPT_WRITE_KEY_LOG,
    OPT_REDACT,
    OPT_COLOR,
    OPT_SHOW_KEYS,
    OPT_STRICT,
    OPT_MEMORY,
};

static const struct option options[] = {
    {"read", required_argument, NULL, 'r'},
    {"interface", required_argument, NULL, 'i'},
    {"hex", no_argument, NULL, OPT_HEX},
    {"port", required_argument, NULL, OPT_PORT},
    {"devices", required_argument, NULL, OPT_DEVICES},
    {"key", required_argument, NULL, OPT_KEY},
    {"key-file", required_argument, NULL, OPT_KEY_FILE},
    {"key-log", required_argument, NULL, OPT_KEY_LOG},
    {"session-key", required_argument, NULL, OPT_SESSION_KEY},
    {"protocol", required_argument, NULL, 'P'},
    {"format", required_argument, NULL, 'T'},
    {"json", no_argument, NULL, OPT_JSON},
    {"field", required_argument, NULL, 'e'},
    {"display", required_argument, NULL, 'Y'},
    {"verbose", no_argument, NULL, 'v'},
    {"stats", no_argument, NULL, OPT_STATS},
    {"plot", required_argument, NULL, OPT_PLOT},
    {"write", required_argument, NULL, 'w'},
    {"write-key-log", required_argument, NULL, OPT_WRITE_KEY_LOG},
    {"redact", required_argument, NULL, OPT_REDACT},
    {"color", optional_argument, NULL, OPT_COLOR},
    {"show-keys", no_argument, NULL, OPT_SHOW_KEYS},
    {"memory", required_argument, NULL, OPT_MEMORY},
    {"quiet", no_argument, NULL, 'q'},
    {"strict", no_argument, NULL, OPT_STRICT},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static int add_key(struct settings *s, const uint8_t key[TW_KEY_LEN])
{
    uint8_t(*grown)[TW_KEY_LEN] = calloc(s->n_keys + 1, sizeof *grown);
    if (grown == NULL)
        return say_usage("--key", "out of memory");
    if (s->n_keys > 0)
        memcpy(grown, s->keys, s->n_keys * sizeof *grown);
    memcpy(grown[s->n_keys], key, TW_KEY_LEN);
    opt_keys_free(s->keys, s->n_keys);
    s->keys = grown;
    s->n_keys++;
    return -1;
}

static int take_key(struct settings *s, char *text)
{
    uint8_t key[TW_KEY_LEN];
    struct why why;
    if (opt_key_argument(key, text, &why) != 0)
        return say_usage("--key", "%s", why.text);
    int rc = add_key(s, key);
    explicit_bzero(key, sizeof key);
    return rc;
}

static int take_format(struct settings *s, const char *text)
{
    static const char *const names[] = {"text", "json", "csv", "fields"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(text, names[i]) == 0) {
            s->format = (enum format)i;
            return -1;
        }
    }
    return say_usage("-T", "expected text, json, csv or fields, got '%s'", text);
}

static int take_number(int64_t *out, const char *option, const char *text, int64_t min, int64_t max)
{
    struct why why;
    return opt_integer(out, text, min, max, &why) == 0 ? -1 : say_usage(option, "%s", why.text);
}

static int take_port(struct settings *s, const char *text)
{
    int64_t port;
    int rc = take_number(&port, "--port", text, 1, 65535);
    if (rc >= 0)
        return rc;
    if (s->n_ports == SETTINGS_PORTS_MAX)
        return say_usage("--port", "at most %d ports", SETTINGS_PORTS_MAX);
    s->ports[s->n_ports++] = (uint16_t)port;
    return -1;
}

static int take_memory(struct settings *s, const char *text)
{
    int64_t mib;
    int rc = take_number(&mib, "--memory", text, 1, 65536);
    if (rc < 0)
        s->memory = (size_t)mib << 20;
    return rc;
}

static int take_file(struct settings *s, const char *path)
{
    if (s->n_files == SETTINGS_FILES_MAX)
        return say_usage("-r", "at most %d files", SETTINGS_FILES_MAX);
    s->files[s->n_files++] = path;
    return -1;
}

static int take_field(struct settings *s, const char *name)
{
    if (s->n_fields == SETTINGS_FIELDS_MAX)
        return say_usage("-e", "at most %d fields", SETTINGS_FIELDS_MAX);
    s->fields[s->n_fields++] = name;
    return -1;
}

static int take_protocol(struct settings *s, const char *text)
{
    struct why why;
    bool is_auto = false;
    if (opt_protocol_or_auto(&is_auto, &s->version, text, &why) != 0)
        return say_usage("--protocol", "%s", why.text);
    s->has_version = !is_auto;
    return -1;
}

static int take_session_key(struct settings *s, char *text)
{
    struct why why;
    if (opt_key_argument(s->session_key, text, &why) != 0)
        return say_usage("--session-key", "%s", why.text);
    s->has_session_key = true;
    return -1;
}

static int take_colour(struct settings *s, const char *text)
{
    struct why why;
    return opt_colour(&s->colour, text, &why) == 0 ? -1 : say_usage("--color", "%s", why.text);
}

static int give(FILE *to, const char *text, int status)
{
    fputs(text, to);
    return status;
}

static int take_option(struct settings *s, int opt)
{
    switch (opt) {
    case 'r': return take_file(s, optarg);
    case 'i': s->interface = optarg; return -1;
    case OPT_HEX: s->hex = true; return -1;
    case OPT_PORT: return take_port(s, optarg);
    case OPT_DEVICES: s->devices_file = optarg; return -1;
    case OPT_KEY: return take_key(s, optarg);
    case OPT_KEY_FILE: s->key_file = optarg; return -1;
    case OPT_KEY_LOG: s->key_log_file = optarg; return -1;
    case OPT_SESSION_KEY: return take_session_key(s, optarg);
    case 'P': return take_protocol(s, optarg);
    case 'T': return take_format(s, optarg);
    case OPT_JSON: s->format = FORMAT_JSON; return -1;
    case 'e': return take_field(s, optarg);
    case 'Y': s->filter = optarg; return -1;
    case 'v': s->verbose++; return -1;
    case OPT_STATS: s->stats = true; return -1;
    case OPT_PLOT: s->plot_file = optarg; return -1;
    case 'w': s->write_file = optarg; return -1;
    case OPT_WRITE_KEY_LOG: s->write_key_log_file = optarg; return -1;
    case OPT_REDACT: s->redact_file = optarg; return -1;
    case OPT_COLOR: return take_colour(s, optarg);
    case OPT_SHOW_KEYS: s->show_keys = true; return -1;
    case OPT_MEMORY: return take_memory(s, optarg);
    case 'q': s->quiet = true; return -1;
    case OPT_STRICT: s->strict = true; return -1;
    case 'h': return give(stdout, help, EXIT_CODE_OK);
    case 'V': return give(stdout, "tuya-dump " TUYAWIRE_VERSION "\n", EXIT_CODE_OK);
    default: return give(stderr, "Try 'tuya-dump --help'.\n", EXIT_CODE_USAGE);
    }
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return a != NULL && b != NULL && stat(a, &x) == 0 && stat(b, &y) == 0 && S_ISREG(x.st_mode) &&
           x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Where path leads: its folder, and what it is called there. */
static bool find_folder(struct stat *folder, const char **name, const char *path)
{
    char text[4096];
    const char *slash = strrchr(path, '/');
    int n = slash != NULL ? (int)(slash - path) + 1 : 0;
    *name = path + n;
    return snprintf(text, sizeof text, "%.*s.", n, path) < (int)sizeof text && stat(text, folder) == 0;
}

/* The same for files that need not be there yet. */
static bool will_be_same(const char *a, const char *b)
{
    struct stat x, y;
    const char *name_a, *name_b;
    if (a == NULL || b == NULL || a[0] == '\0' || b[0] == '\0')
        return false;
    if (stat(a, &x) == 0 || stat(b, &y) == 0)
        return same_file(a, b); /* /dev/null takes everything */
    return find_folder(&x, &name_a, a) && find_folder(&y, &name_b, b) && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino && strcmp(name_a, name_b) == 0;
}

/* What is opened for writing is empty from then on: never what is to be read. A key log may grow. */
static int check_output(const struct settings *s, const char *option, const char *path)
{
    const char *const read[] = {s->devices_file, s->key_file, path != s->write_key_log_file ? s->key_log_file : NULL};
    bool is_input = false;
    for (size_t i = 0; i < s->n_files; i++)
        is_input = is_input || same_file(path, s->files[i]);
    for (size_t i = 0; i < sizeof read / sizeof read[0]; i++)
        is_input = is_input || same_file(path, read[i]);
    return is_input ? say_usage(option, "%s is read from: expected another file", path) : -1;
}

static int check_outputs(const struct settings *s)
{
    const struct {
        const char *option, *path;
    } outputs[] = {{"-w", s->write_file},
                   {"--plot", s->plot_file},
                   {"--redact", s->redact_file},
                   {"--redact", s->redact_list},
                   {"--write-key-log", s->write_key_log_file}};
    int rc = -1;
    for (size_t i = 0; rc < 0 && i < sizeof outputs / sizeof outputs[0]; i++) {
        rc = check_output(s, outputs[i].option, outputs[i].path);
        for (size_t k = 0; rc < 0 && k < i; k++)
            if (will_be_same(outputs[i].path, outputs[k].path))
                rc = say_usage(outputs[i].option, "%s is written by %s: expected another file", outputs[i].path,
                               outputs[k].option);
    }
    return rc;
}

/* capture.pcapng -> capture.devices.json */
static int name_redact_list(struct settings *s)
{
    size_t stem = s->redact_file != NULL ? strlen(s->redact_file) : 0;
    if (stem > 7 && strcmp(s->redact_file + stem - 7, ".pcapng") == 0)
        stem -= 7;
    if (stem > 0 && snprintf(s->redact_list, sizeof s->redact_list, "%.*s.devices.json", (int)stem, s->redact_file) >=
                        (int)sizeof s->redact_list)
        return say_usage("--redact", "the path is too long: expected a shorter one");
    return -1;
}

/* Who comes second would find it empty. */
static int check_stdin(const struct settings *s)
{
    const struct {
        const char *option, *path;
    } lists[] = {{"--key-file", s->key_file}, {"--devices", s->devices_file}, {"--key-log", s->key_log_file}};
    bool taken = s->hex && s->n_arguments == 0;
    for (size_t i = 0; i < s->n_files; i++)
        taken = taken || strcmp(s->files[i], "-") == 0;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        if (lists[i].path == NULL || strcmp(lists[i].path, "-") != 0)
            continue;
        if (taken)
            return say_usage(lists[i].option, "stdin is read for something else already: expected a file");
        taken = true;
    }
    return -1;
}

static int check(const struct settings *s)
{
    unsigned n_inputs = (s->n_files > 0) + (s->interface != NULL) + s->hex;
    if (n_inputs == 0)
        return say_usage("-r", "expected one of -r FILE, -i INTERFACE and --hex");
    if (n_inputs > 1)
        return say_usage("-r", "only one of -r, -i and --hex at a time: drop the others");
    if (s->n_fields > 0 && s->format != FORMAT_FIELDS)
        return say_usage("-e", "goes with -T fields only: add that, or leave -e out");
    if (s->format == FORMAT_FIELDS && s->n_fields == 0)
        return say_usage("-T", "fields wants at least one -e NAME");
    if (s->has_session_key && !s->hex)
        return say_usage("--session-key", "goes with --hex; for captures there is --key-log");
    if (s->redact_file != NULL && s->n_files == 0)
        return say_usage("--redact", "goes with -r only: capture first, redact then");
    int rc = check_stdin(s);
    return rc < 0 ? check_outputs(s) : rc;
}

int settings_parse(struct settings *s, int argc, char **argv)
{
    uint8_t key[TW_KEY_LEN];
    struct why why;
    *s = (struct settings){0};
    for (int opt; (opt = getopt_long(argc, argv, "r:i:P:T:e:Y:w:vqhV", options, NULL)) != -1;) {
        int rc = take_option(s, opt);
        if (rc >= 0)
            return rc;
    }
    s->arguments = argv + optind;
    s->n_arguments = (size_t)(argc - optind);
    int rc = opt_key_environment(key, &why);
    if (rc < 0)
        return say_usage("TUYA_LOCAL_KEY", "%s", why.text);
    rc = rc > 0 ? add_key(s, key) : -1;
    explicit_bzero(key, sizeof key);
    if (rc < 0)
        rc = name_redact_list(s);
    return rc >= 0 ? rc : check(s);
}

void settings_free(struct settings *s)
{
    opt_keys_free(s->keys, s->n_keys);
    s->keys = NULL;
    explicit_bzero(s->session_key, sizeof s->session_key);
}
