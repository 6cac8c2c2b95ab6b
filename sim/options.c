/* options.c - the command line of tuya-sim; see docs/tuya-sim.1. */
#include "options.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "common/options.h"

static const char help[] =
    "usage: tuya-sim [options]\n"
    "A plug that is not there: simulated Tuya devices on real sockets, for clients and their tests.\n"
    "Without options: one metering plug, protocol 3.3, on 127.0.0.1:6668.\n"
    "\n"
    "One device\n"
    "  -P, --protocol VERSION     3.1, 3.2, 3.3, 3.4 or 3.5; with --count also a mix: 3.3:40,3.4:40,3.5:20\n"
    "      --id ID                device id\n"
    "      --key KEY              local key: 16 characters in single quotes, or hex: and 32 hex digits\n"
    "      --key-file FILE        the same from a file (- is stdin), or from TUYA_LOCAL_KEY\n"
    "      --profile NAME|FILE    what kind of device; energy-plug by default\n"
    "      --list-profiles        show the built-in ones\n"
    "Many devices\n"
    "      --devices FILE         every device of a tinytuya devices.json\n"
    "      --snapshot FILE        with the values of a tinytuya snapshot.json\n"
    "      --count N              N generated devices\n"
    "      --devices-out FILE     write their devices.json, for clients to use\n"
    "      --spread HOW           none: one address and port for all (default); address: 127.0.1.1, 127.0.1.2, ..;\n"
    "                             port: one port each\n"
    "Network\n"
    "      --listen ADDR          default 127.0.0.1: nothing is open to the network unless asked\n"
    "      --port N               default 6668; 0: any free one, see --ready-file\n"
    "      --discovery off|ADDR[,ADDR...]\n"
    "                             where to announce the devices every 5 s; default 127.0.0.1 when listening there,\n"
    "                             else 255.255.255.255\n"
    "      --discovery-port BASE  BASE, BASE+1 and BASE+2 in place of UDP 6666, 6667 and 7000\n"
    "Behaviour\n"
    "      --seed N               every random choice follows from it; printed at start\n"
    "      --clock real|virtual   virtual: time moves through the control API only\n"
    "      --status-delay MS      from the ACK of a control to its STATUS, default 20\n"
    "      --max-clients N        instead of the profile's limit; 0: none\n"
    "      --idle-timeout S       instead of the profile's limit; 0: none\n"
    "      --load WHAT            what is plugged in: watts, watts and power factor (60,0.9), or kettle, fridge, "
    "tv,\n"
    "                             washing-machine, lamp, laptop, heater, ..: docs/profiles.md\n"
    "      --scene NAME           steady (exact numbers), overload, brownout, stuck, spike, ..\n"
    "      --fault SPEC           misbehave on purpose, such as late_status:ms=3000,p=0.5 (repeatable)\n"
    "      --list-faults          show what can go wrong\n"
    "      --fuzz seed=N,rate=R   change the share R (0 to 1) of all replies, the same for the same N\n"
    "      --fuzz-log FILE        what was changed, one reply a line\n"
    "      --fuzz-replay FILE     send the last reply of such a file again, once per connection, in its place\n"
    "Files and reports\n"
    "      --state FILE           remember values and energy over restarts and kill -9\n"
    "      --journal FILE         every message, decoded, one JSON object per line (- is stdout)\n"
    "      --write FILE           every segment, as a pcapng capture\n"
    "      --control ADDR:PORT    HTTP control API; off by default\n"
    "      --control-token-file FILE   required for addresses other than loopback\n"
    "      --ready-file FILE, --ready-fd N   one line of JSON once every socket listens; --json: also on stdout\n"
    "      --exit-with-parent     end when the process that started it ends\n"
    "  -h, --help, --version\n"
    "\n"
    "exit status: 0 ended by SIGTERM, SIGINT or SIGHUP, 2 usage, 3 cannot listen, 7 a file cannot be read or "
    "written\n";

enum {
    OPT_ID = 256,
    OPT_KEY,
    OPT_KEY_FILE,
    OPT_PROFILE,
    OPT_LIST_PROFILES,
    OPT_DEVICES,
    OPT_SNAPSHOT,
    OPT_COUNT,
    OPT_DEVICES_OUT,
    OPT_LISTEN,
    OPT_PORT,
    OPT_SPREAD,
    OPT_DISCOVERY,
    OPT_DISCOVERY_PORT,
    OPT_SEED,
    OPT_CLOCK,
    OPT_STATUS_DELAY,
    OPT_MAX_CLIENTS,
    OPT_IDLE_TIMEOUT,
    OPT_LOAD,
    OPT_SCENE,
    OPT_FAULT,
    OPT_LIST_FAULTS,
    OPT_FUZZ,
    OPT_FUZZ_LOG,
    OPT_FUZZ_REPLAY,
    OPT_STATE,
    OPT_JOURNAL,
    OPT_WRITE,
    OPT_CONTROL,
    OPT_CONTROL_TOKEN_FILE,
    OPT_READY_FILE,
    OPT_READY_FD,
    OPT_JSON,
    OPT_EXIT_WITH_PARENT,
    OPT_VERSION,
};

static const struct option long_options[] = {
    {"protocol", required_argument, NULL, 'P'},
    {"id", required_argument, NULL, OPT_ID},
    {"key", required_argument, NULL, OPT_KEY},
    {"key-file", required_argument, NULL, OPT_KEY_FILE},
    {"profile", required_argument, NULL, OPT_PROFILE},
    {"list-profiles", no_argument, NULL, OPT_LIST_PROFILES},
    {"devices", required_argument, NULL, OPT_DEVICES},
    {"snapshot", required_argument, NULL, OPT_SNAPSHOT},
    {"count", required_argument, NULL, OPT_COUNT},
    {"devices-out", required_argument, NULL, OPT_DEVICES_OUT},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"port", required_argument, NULL, OPT_PORT},
    {"spread", required_argument, NULL, OPT_SPREAD},
    {"discovery", required_argument, NULL, OPT_DISCOVERY},
    {"discovery-port", required_argument, NULL, OPT_DISCOVERY_PORT},
    {"seed", required_argument, NULL, OPT_SEED},
    {"clock", required_argument, NULL, OPT_CLOCK},
    {"status-delay", required_argument, NULL, OPT_STATUS_DELAY},
    {"max-clients", required_argument, NULL, OPT_MAX_CLIENTS},
    {"idle-timeout", required_argument, NULL, OPT_IDLE_TIMEOUT},
    {"load", required_argument, NULL, OPT_LOAD},
    {"scene", required_argument, NULL, OPT_SCENE},
    {"fault", required_argument, NULL, OPT_FAULT},
    {"list-faults", no_argument, NULL, OPT_LIST_FAULTS},
    {"fuzz", required_argument, NULL, OPT_FUZZ},
    {"fuzz-log", required_argument, NULL, OPT_FUZZ_LOG},
    {"fuzz-replay", required_argument, NULL, OPT_FUZZ_REPLAY},
    {"state", required_argument, NULL, OPT_STATE},
    {"journal", required_argument, NULL, OPT_JOURNAL},
    {"write", required_argument, NULL, OPT_WRITE},
    {"control", required_argument, NULL, OPT_CONTROL},
    {"control-token-file", required_argument, NULL, OPT_CONTROL_TOKEN_FILE},
    {"ready-file", required_argument, NULL, OPT_READY_FILE},
    {"ready-fd", required_argument, NULL, OPT_READY_FD},
    {"json", no_argument, NULL, OPT_JSON},
    {"exit-with-parent", no_argument, NULL, OPT_EXIT_WITH_PARENT},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static void list_profiles(void)
{
    const char *name;
    for (size_t i = 0; (name = profile_builtin_name(i)) != NULL; i++) {
        const struct profile *p;
        if (profile_builtin(&p, name) != 0)
            continue;
        printf("%-20s %s\n", p->name, p->title);
        profile_unref(p);
    }
}

static int choose(int *out, const char *text, const char *const *words, struct why *why)
{
    char list[128] = "";
    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], text) == 0) {
            *out = i;
            return 0;
        }
        strncat(list, i > 0 ? ", " : "", sizeof list - strlen(list) - 1);
        strncat(list, words[i], sizeof list - strlen(list) - 1);
    }
    return why_set(why, "expected one of %s; got '%s'", list, text);
}

static int add_fault(struct sim_options *o, const char *text, struct why *why)
{
    struct fault_spec *list = realloc(o->faults, (o->n_faults + 1) * sizeof *list);
    if (list == NULL)
        return why_set(why, "out of memory");
    o->faults = list;
    if (fault_parse(&o->faults[o->n_faults], text, why) != 0)
        return -1;
    o->n_faults++;
    return 0;
}

static bool is_address(const char *text, bool v6_too)
{
    struct in6_addr ip;
    char plain[64];
    snprintf(plain, sizeof plain, "%.*s", (int)strcspn(text, "%"), text); /* fe80::1%eth0 */
    return inet_pton(AF_INET, text, &ip) == 1 || (v6_too && inet_pton(AF_INET6, plain, &ip) == 1);
}

/* "off", or addresses with commas between them. */
static int check_discovery(const char *text, struct why *why)
{
    if (strcmp(text, "off") == 0)
        return 0;
    for (const char *item = text;; item++) {
        char address[64];
        size_t len = strcspn(item, ",");
        snprintf(address, sizeof address, "%.*s", (int)(len < sizeof address ? len : sizeof address), item);
        if (len >= sizeof address || !is_address(address, false))
            return why_set(why, "expected off, or IPv4 addresses as in 192.168.1.255,127.0.0.1; got '%s'", text);
        item += len;
        if (*item == '\0')
            return 0;
    }
}

static int check_control(const char *text, struct why *why)
{
    struct opt_address a;
    if (opt_address(&a, text, -1, why) != 0)
        return -1;
    if (strcmp(a.host, "localhost") == 0 || is_address(a.host, true))
        return 0;
    return why_set(why, "expected ADDRESS:PORT, like 127.0.0.1:6680 or [::1]:6680, got '%s'", text);
}

/* Nobody on the network presses buttons without the token. */
static bool control_is_open(const struct sim_options *o)
{
    struct opt_address a;
    if (o->control == NULL || o->control_token_file != NULL || opt_address(&a, o->control, -1, NULL) != 0)
        return false;
    struct in6_addr ip;
    bool v6_loopback = inet_pton(AF_INET6, a.host, &ip) == 1 && IN6_IS_ADDR_LOOPBACK(&ip);
    return strncmp(a.host, "127.", 4) != 0 && strcmp(a.host, "localhost") != 0 && !v6_loopback;
}

static int integer(int64_t *out, int64_t min, int64_t max, struct why *why)
{
    return opt_integer(out, optarg, min, max, why);
}

/* One option with its argument in optarg. */
static int take(struct sim_options *o, int opt, struct why *why)
{
    static const char *const spreads[] = {"none", "address", "port", NULL};
    static const char *const clocks[] = {"real", "virtual", NULL};
    int64_t n = 0;
    int word = 0, rc = 0;
    uint64_t ms = 0;
    switch (opt) {
    case 'P': return fleet_mix_parse(&o->mix, optarg, why);
    case OPT_ID: o->id = optarg; break;
    case OPT_KEY:
        rc = opt_key_argument(o->key, optarg, why);
        o->has_key = true;
        break;
    case OPT_KEY_FILE: o->key_file = optarg; break;
    case OPT_PROFILE: o->profile = optarg; break;
    case OPT_DEVICES: o->devices = optarg; break;
    case OPT_SNAPSHOT: o->snapshot = optarg; break;
    case OPT_LOAD: o->has_load = true; return load_parse(&o->load, optarg, why);
    case OPT_SCENE: o->scene = optarg; return plug_scene_check(optarg, why);
    case OPT_COUNT:
        rc = integer(&n, 1, 1000000, why);
        o->count = (size_t)n;
        break;
    case OPT_DEVICES_OUT: o->devices_out = optarg; break;
    case OPT_LISTEN:
        o->listen = optarg;
        return is_address(optarg, true) ? 0 : why_set(why, "expected an IPv4 or IPv6 address, got '%s'", optarg);
    case OPT_PORT:
        rc = integer(&n, 0, 65535, why);
        o->port = (uint16_t)n;
        break;
    case OPT_SPREAD:
        rc = choose(&word, optarg, spreads, why);
        o->spread = (enum server_spread)word;
        break;
    case OPT_DISCOVERY: o->discovery = optarg; return check_discovery(optarg, why);
    case OPT_DISCOVERY_PORT:
        rc = integer(&n, 1, 65533, why);
        o->discovery_base = (uint16_t)n;
        break;
    case OPT_SEED:
        rc = integer(&n, 0, INT64_MAX, why);
        o->seed = (uint64_t)n;
        o->has_seed = true;
        break;
    case OPT_CLOCK:
        rc = choose(&word, optarg, clocks, why);
        o->virtual_clock = word == 1;
        break;
    case OPT_STATUS_DELAY:
        rc = integer(&n, 0, 600000, why);
        o->status_delay_ms = (uint32_t)n;
        break;
    case OPT_MAX_CLIENTS: return integer(&o->max_clients, 0, 100000, why);
    case OPT_IDLE_TIMEOUT:
        rc = opt_seconds(&ms, optarg, 86400, why);
        o->idle_timeout_ms = (int64_t)ms;
        break;
    case OPT_FAULT: return add_fault(o, optarg, why);
    case OPT_FUZZ: return fuzzed_parse(&o->fuzz, optarg, why);
    case OPT_FUZZ_LOG: o->fuzz.log_path = optarg; break;
    case OPT_FUZZ_REPLAY: o->fuzz.replay_path = optarg; break;
    case OPT_STATE: o->state = optarg; break;
    case OPT_JOURNAL: o->journal = optarg; break;
    case OPT_WRITE: o->write = optarg; break;
    case OPT_CONTROL: o->control = optarg; return check_control(optarg, why);
    case OPT_CONTROL_TOKEN_FILE: o->control_token_file = optarg; break;
    case OPT_READY_FILE: o->ready_file = optarg; break;
    case OPT_READY_FD:
        rc = integer(&n, 0, 65535, why);
        o->ready_fd = (int)n;
        break;
    case OPT_JSON: o->json = true; break;
    case OPT_EXIT_WITH_PARENT: o->exit_with_parent = true; break;
    }
    return rc;
}

/* Two writers make one file that nobody can read. @return as check() */
static int check_outputs(const struct sim_options *o)
{
    const struct {
        const char *option, *path;
    } files[] = {{"--state", o->state},           {"--journal", o->journal},
                 {"--write", o->write},           {"--devices-out", o->devices_out},
                 {"--ready-file", o->ready_file}, {"--fuzz-log", o->fuzz.log_path}};
    enum { N = sizeof files / sizeof files[0] };
    struct stat st;
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < i; k++)
            if (files[i].path != NULL && files[k].path != NULL && strcmp(files[i].path, files[k].path) == 0 &&
                (stat(files[i].path, &st) != 0 || S_ISREG(st.st_mode))) /* /dev/null is fine */
                return say_usage(files[i].option, "%s is written by %s", files[i].path, files[k].option);
    return -1;
}

/* What does not fit together. */
static int check(const struct sim_options *o)
{
    bool files = o->devices != NULL || o->snapshot != NULL;
    if (files && (o->count > 0 || o->id != NULL || o->has_key || o->profile != NULL || o->mix.n > 0))
        return say_usage("--devices", "devices, keys and versions come from the files: leave out -P, --id, --key, "
                                      "--profile and --count");
    if (o->count > 0 && (o->id != NULL || o->has_key))
        return say_usage("--count", "ids and keys are generated: leave out --id and --key, see --devices-out");
    if (o->count == 0 && o->mix.n > 1)
        return say_usage("--protocol", "a mix of versions needs --count");
    if (o->spread == SPREAD_ADDRESS && strncmp(o->listen, "127.", 4) != 0)
        return say_usage("--listen",
                         "with --spread address devices listen on 127.0.1.1, 127.0.1.2, ..: leave it out");
    if (control_is_open(o))
        return say_usage("--control",
                         "%s is open to the network: give --control-token-file as well, or listen on "
                         "127.0.0.1",
                         o->control);
    if (o->fuzz.log_path != NULL && !o->fuzz.on && o->fuzz.replay_path == NULL)
        return say_usage("--fuzz-log", "needs --fuzz or --fuzz-replay");
    if (o->control_token_file != NULL && o->control == NULL)
        return say_usage("--control-token-file", "needs --control");
    /* Later the number may be that of a file or socket of our own. */
    if (o->ready_fd >= 0 && fcntl(o->ready_fd, F_GETFD) < 0)
        return say_usage("--ready-fd", "whoever starts tuya-sim has to open descriptor %d for it, as in %d>FILE",
                         o->ready_fd, o->ready_fd);
    return check_outputs(o);
}

int sim_options_parse(struct sim_options *out, int argc, char **argv)
{
    struct sim_options o = {.listen = "127.0.0.1",
                            .port = 6668,
                            .status_delay_ms = 20,
                            .max_clients = -1,
                            .idle_timeout_ms = -1,
                            .ready_fd = -1};
    *out = o;
    int opt;
    struct why why;
    while ((opt = getopt_long(argc, argv, "+:P:h", long_options, NULL)) != -1) {
        switch (opt) {
        case 'h': fputs(help, stdout); return EXIT_CODE_OK;
        case OPT_VERSION: puts("tuya-sim " TUYAWIRE_VERSION); return EXIT_CODE_OK;
        case OPT_LIST_PROFILES: list_profiles(); return EXIT_CODE_OK;
        case OPT_LIST_FAULTS: fault_list(stdout); return EXIT_CODE_OK;
        case ':': return say_usage(argv[optind - 1], "needs an argument");
        case '?': return say_usage(argv[optind - 1], "there is no such option");
        }
        if (take(&o, opt, &why) != 0) {
            *out = o;
            return say_usage(opt_name(long_options, opt).text, "%s", why.text);
        }
        *out = o;
    }
    if (optind < argc)
        return say_usage(argv[optind], "nothing is expected here; options begin with --");
    enum exit_code code = opt_key_file_only(o.key, &o.has_key, o.key_file);
    if (code != EXIT_CODE_OK) {
        *out = o;
        return code;
    }
    if (!o.has_key) {
        int rc = opt_key_environment(o.key, &why);
        if (rc < 0)
            return say_usage("TUYA_LOCAL_KEY", "%s", why.text);
        o.has_key = rc > 0 && o.devices == NULL && o.snapshot == NULL && o.count == 0;
    }
    *out = o;
    return check(&o);
}

void sim_options_free(struct sim_options *o)
{
    free(o->faults);
    volatile uint8_t *key = o->key;
    for (size_t i = 0; i < sizeof o->key; i++)
        key[i] = 0;
}
