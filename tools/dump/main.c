/* main.c - tuya-dump: what was asked for is wired together, read to the end, and summed up in an exit code. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "capture.h"
#include "common/file.h"
#include "common/keylog.h"
#include "decode.h"
#include "filter.h"
#include "hexdump.h"
#include "hexlog.h"
#include "output.h"
#include "progress.h"
#include "settings.h"

enum { MAX_OUTPUTS = 8, HEX_LIMIT = 256 << 20 };

struct program {
    struct settings settings;
    struct devices devices;
    bool has_devices;
    tw_keyring *ring;
    size_t *entry_of_key; /* per key of the ring: its device, or TW_NO_INDEX */
    size_t n_entries;
    struct out out;
    struct output *outputs[MAX_OUTPUTS];
    size_t n_outputs;
    struct filter *filter; /* -Y; NULL: everything */
    struct decoder *decoder;
    struct progress progress;
    int key_log; /* --write-key-log; -1: none */
    bool key_log_failed;
    uint64_t n_cut;     /* --hex: frames of which the end is missing */
    uint64_t undecoded; /* messages that passed the filter and stayed closed */
};

/* ---- Keys ----------------------------------------------------------------------------------------------------------- */

static int add_key(struct program *p, const uint8_t key[TW_KEY_LEN], struct tw_span id,
                   const enum tw_version *version, size_t entry)
{
    size_t *grown = realloc(p->entry_of_key, (p->n_entries + 1) * sizeof *grown);
    if (grown == NULL || tw_keyring_add(p->ring, key, id, version) != TW_OK) {
        p->entry_of_key = grown != NULL ? grown : p->entry_of_key;
        return -1;
    }
    grown[p->n_entries++] = entry;
    p->entry_of_key = grown;
    return 0;
}

static int add_key_file(struct program *p, struct why *why)
{
    uint8_t(*keys)[TW_KEY_LEN];
    size_t n;
    int rc = opt_key_file(&keys, &n, p->settings.key_file, why);
    if (rc == OPT_UNREADABLE)
        return -1;
    if (rc != 0)
        return say_usage("--key-file", "%s", why->text);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = add_key(p, keys[i], (struct tw_span){0}, NULL, TW_NO_INDEX);
    opt_keys_free(keys, n);
    return rc == 0 ? 0 : why_set(why, "out of memory");
}

static int add_devices(struct program *p, struct why *why)
{
    size_t n_bad = 0;
    if (devices_load(&p->devices, p->settings.devices_file, why) != 0)
        return -1;
    p->has_devices = true;
    for (size_t i = 0; i < p->devices.n; i++) {
        const struct devices_entry *e = &p->devices.entries[i];
        if (e->key_state != DEVICES_KEY_OK) {
            n_bad += e->key_state == DEVICES_KEY_LENGTH;
            continue;
        }
        if (e->sub)
            continue; /* its gateway speaks for it, with the gateway's key */
        struct tw_span id = {(const uint8_t *)e->id, strlen(e->id)};
        if (add_key(p, e->key, id, e->has_version ? &e->version : NULL, i) != 0)
            return why_set(why, "out of memory");
    }
    if (n_bad > 0)
        say_warn("%s: %zu key%s not 16 characters long and left out: fetch the list anew", p->settings.devices_file,
                 n_bad, n_bad == 1 ? " is" : "s are");
    return 0;
}

static int add_key_log(struct program *p, struct why *why)
{
    struct keylog log;
    if (keylog_load(&log, p->settings.key_log_file, why) != 0)
        return -1;
    int rc = 0;
    if (log.n == 0)
        say_warn("--key-log: %s: there is no session key in it; its lines begin with TUYA_SESSION",
                 p->settings.key_log_file);
    for (size_t i = 0; i < log.n && rc == 0; i++) {
        struct tw_session_secret s = {.version = log.entries[i].version};
        memcpy(s.client_nonce, log.entries[i].client_nonce, sizeof s.client_nonce);
        memcpy(s.key, log.entries[i].key, sizeof s.key);
        rc = tw_keyring_add_session(p->ring, &s) == TW_OK ? 0 : why_set(why, "out of memory");
        explicit_bzero(&s, sizeof s);
    }
    keylog_free(&log);
    return rc;
}

/* --session-key: nobody says which of the two versions it belongs to, so it is tried for both. */
static int add_session_key(struct program *p, struct why *why)
{
    static const enum tw_version versions[] = {TW_V34, TW_V35};
    for (size_t i = 0; i < 2; i++) {
        struct tw_session_secret s = {.version = versions[i]};
        memcpy(s.key, p->settings.session_key, sizeof s.key);
        int rc = tw_keyring_add_session(p->ring, &s);
        explicit_bzero(&s, sizeof s);
        if (rc != TW_OK)
            return why_set(why, "out of memory");
    }
    return 0;
}

static int fill_keyring(struct program *p, struct why *why)
{
    const struct settings *s = &p->settings;
    int rc = tw_keyring_new(&p->ring);
    if (rc != TW_OK)
        return why_set(why, "%s", tw_strerror(rc));
    for (size_t i = 0; i < s->n_keys; i++)
        if (add_key(p, s->keys[i], (struct tw_span){0}, NULL, TW_NO_INDEX) != 0)
            return why_set(why, "out of memory");
    if (s->key_file != NULL && (rc = add_key_file(p, why)) != 0)
        return rc;
    if (s->devices_file != NULL && add_devices(p, why) != 0)
        return -1;
    if (s->key_log_file != NULL && add_key_log(p, why) != 0)
        return -1;
    if (s->has_session_key && add_session_key(p, why) != 0)
        return -1;
    return 0;
}

/* ---- From the decoder to the outputs ---------------------------------------------------------------------------------- */

static void write_key_log(struct program *p, const struct seen *s)
{
    struct keylog_entry e = {.version = s->session->version};
    memcpy(e.client_nonce, s->session->client_nonce, sizeof e.client_nonce);
    memcpy(e.key, s->session->key, sizeof e.key);
    if (s->record.device.len > 0 && s->record.device.len <= KEYLOG_ID_MAX)
        memcpy(e.device_id, s->record.device.data, s->record.device.len);
    if (keylog_put(p->key_log, &e) != 0 && !p->key_log_failed) {
        p->key_log_failed = true; /* said once; the messages are worth more */
        say_warn("--write-key-log: %s: %s", p->settings.write_key_log_file, strerror(errno));
    }
    explicit_bzero(&e, sizeof e);
}

static void on_seen(void *ctx, struct seen *s)
{
    struct program *p = ctx;
    if (s->session != NULL && p->key_log >= 0)
        write_key_log(p, s);
    p->n_cut += p->settings.hex && s->record.error == TW_NEED_MORE;
    if (p->filter != NULL && !filter_passes(p->filter, s))
        return;
    p->undecoded += s->record.error != TW_OK;
    for (size_t i = 0; i < p->n_outputs; i++)
        p->outputs[i]->seen(p->outputs[i], s);
}

static void on_closed(void *ctx, struct conversation *c, uint64_t time_ns)
{
    struct program *p = ctx;
    for (size_t i = 0; i < p->n_outputs; i++)
        if (p->outputs[i]->closed != NULL)
            p->outputs[i]->closed(p->outputs[i], c, time_ns);
}

static void on_warn(void *ctx, const char *text)
{
    (void)ctx;
    say_warn("%s", text);
}

static int add_output(struct program *p, struct output *o)
{
    if (o == NULL)
        return -1;
    p->outputs[p->n_outputs++] = o;
    return 0;
}

/* What goes to stdout. */
static int add_main_output(struct program *p, struct why *why)
{
    const struct settings *s = &p->settings;
    struct output *o = NULL;
    int rc = 0;
    switch (s->format) {
    case FORMAT_JSON: o = output_json(&p->out); break;
    case FORMAT_CSV: rc = output_csv(&o, &p->out, why); break;
    case FORMAT_FIELDS: rc = output_fields(&o, &p->out, s->fields, s->n_fields, why); break;
    case FORMAT_TEXT:
        if (s->stats && s->verbose == 0)
            return 0; /* the summary takes the place of the messages */
        o = output_text(&p->out, opt_colour_wanted(s->colour, stdout), s->verbose, s->show_keys);
        break;
    }
    if (rc != 0)
        return rc;
    return add_output(p, o) == 0 ? 0 : why_set(why, "out of memory");
}

static int add_outputs(struct program *p, struct why *why)
{
    const struct settings *s = &p->settings;
    struct output *o;
    if (out_init(&p->out, STDOUT_FILENO) != 0)
        return why_set(why, "out of memory");
    if (s->filter != NULL && filter_compile(&p->filter, s->filter, why) != 0)
        return say_usage("-Y", "%s", why->text);
    int rc = add_main_output(p, why);
    if (rc == EXIT_CODE_USAGE)
        return say_usage("-e", "%s", why->text);
    if (rc == 0 && s->write_file != NULL && (rc = output_exported(&o, s->write_file, why)) == 0)
        add_output(p, o);
    if (rc == 0 && s->plot_file != NULL && (rc = output_plot(&o, s->plot_file, why)) == 0)
        add_output(p, o);
    if (rc == 0 && s->redact_file != NULL &&
        (rc = output_redact(&o, s->redact_file, s->redact_list, p->has_devices ? &p->devices : NULL, why)) == 0)
        add_output(p, o);
    if (rc == 0 && s->write_key_log_file != NULL && (p->key_log = keylog_open(s->write_key_log_file, why)) < 0)
        rc = -1;
    if (rc == 0 && s->stats && add_output(p, output_stats(s->format == FORMAT_TEXT ? &p->out : NULL)) != 0)
        rc = why_set(why, "out of memory");
    return rc;
}

static bool wants_bodies(const struct program *p)
{
    const struct settings *s = &p->settings;
    if (s->format != FORMAT_JSON || s->plot_file != NULL)
        return true;
    return p->filter != NULL && filter_wants_body(p->filter);
}

static int make_decoder(struct program *p, struct why *why)
{
    const struct settings *s = &p->settings;
    const struct decode_config config = {
        .ring = p->ring,
        .devices = p->has_devices ? &p->devices : NULL,
        .entry_of_key = p->entry_of_key,
        .ports = s->ports,
        .n_ports = s->n_ports,
        .has_version = s->has_version,
        .version = s->version,
        .want_bodies = wants_bodies(p),
        .limits = {.per_flow = s->memory / 16, .total = s->memory},
    };
    const struct decode_sink sink = {.ctx = p, .seen = on_seen, .closed = on_closed, .warn = on_warn};
    p->decoder = decode_new(&config, &sink);
    return p->decoder != NULL ? 0 : why_set(why, "out of memory");
}

/* ---- Input ------------------------------------------------------------------------------------------------------------ */

/* The words behind the options as one text; NULL: there are none. Owned by the caller. */
static char *join_arguments(const struct settings *s, char separator)
{
    size_t len = 1;
    for (size_t i = 0; i < s->n_arguments; i++)
        len += strlen(s->arguments[i]) + 1;
    char *text = s->n_arguments > 0 ? malloc(len) : NULL;
    if (text == NULL)
        return NULL;
    char *at = text;
    for (size_t i = 0; i < s->n_arguments; i++) {
        size_t n = strlen(s->arguments[i]);
        memcpy(at, s->arguments[i], n);
        at += n;
        *at++ = separator;
    }
    at[-1] = '\0';
    return text;
}

static struct capture *volatile stoppable;
static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
    if (stoppable != NULL)
        capture_stop(stoppable);
}

/* Who ends an input that has no end of its own wants what was made of it: statistics, tables, files. A second time ends
 * the program. NULL: that input has ended, and a signal does what it always does. */
static void end_by_signal(struct capture *c)
{
    struct sigaction act = {.sa_handler = c != NULL ? on_signal : SIG_DFL, .sa_flags = (int)SA_RESETHAND};
    stoppable = c;
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* What a run over one input needs. */
struct input {
    struct program *program;
    struct capture *capture;
    bool is_live;
    unsigned n;
};

static void on_packet(void *ctx, const struct capture_packet *packet)
{
    struct input *in = ctx;
    struct program *p = in->program;
    decode_packet(p->decoder, packet->link_type, packet->data, packet->time_ns);
    if (in->is_live)
        out_flush(&p->out);
    if (++in->n % 4096 == 0)
        progress_show(&p->progress, capture_position(in->capture), capture_size(in->capture),
                      decode_counts(p->decoder)->packets, decode_counts(p->decoder)->messages);
    if (p->out.error != 0)
        capture_stop(in->capture);
}

/* Packets until the input ends. @return 0, or EXIT_CODE_INPUT when it ends too early */
static int read_packets(struct program *p, struct capture *c, bool live)
{
    struct input in = {p, c, live, 0};
    struct why why;
    progress_start(&p->progress, !live && !p->settings.quiet);
    for (;;) {
        switch (capture_run(c, on_packet, &in, &why)) {
        case CAPTURE_IDLE:
            decode_tick(p->decoder, now_ns());
            out_flush(&p->out);
            break;
        case CAPTURE_END: return EXIT_CODE_OK;
        case CAPTURE_FAULT:
            progress_end(&p->progress);
            say_warn("%s; everything before it is printed", why.text);
            return EXIT_CODE_INPUT;
        }
    }
}

/* The input is a pipe that has nothing for the moment: what is decoded so far goes out. */
static bool on_wait(void *ctx)
{
    out_flush(ctx);
    return !stopped;
}

static int read_files(struct program *p, const char *filter)
{
    const struct stream_wait wait = {on_wait, &p->out};
    int worst = EXIT_CODE_OK;
    for (size_t i = 0; i < p->settings.n_files && !stopped; i++) {
        struct capture *c;
        struct why why;
        int rc = capture_open_file(&c, p->settings.files[i], filter, &wait, &why);
        if (rc == EXIT_CODE_USAGE)
            return say_usage("filter", "%s", why.text);
        if (rc != 0) {
            say_warn("%s", why.text);
            worst = EXIT_CODE_INPUT;
            continue;
        }
        bool is_pipe = capture_size(c) == 0;
        if (is_pipe)
            end_by_signal(c);
        rc = read_packets(p, c, false);
        if (is_pipe)
            end_by_signal(NULL);
        progress_end(&p->progress);
        worst = rc != EXIT_CODE_OK ? rc : worst;
        capture_close(c);
    }
    return worst;
}

static int read_live(struct program *p, const char *filter)
{
    struct capture *c;
    struct why why;
    int rc = capture_open_live(&c, p->settings.interface, filter, &why);
    if (rc == EXIT_CODE_USAGE)
        return say_usage("filter", "%s", why.text);
    if (rc != 0) {
        say_warn("%s", why.text);
        return EXIT_CODE_INPUT;
    }
    end_by_signal(c);
    rc = read_packets(p, c, true);
    end_by_signal(NULL);
    uint64_t dropped = capture_dropped(c);
    if (dropped > 0)
        say_warn("the kernel dropped %llu packets: a filter (host ADDRESS) leaves fewer to look at",
                 (unsigned long long)dropped);
    capture_close(c);
    return rc;
}

static int read_hex(struct program *p)
{
    struct file_bytes text = {0};
    struct why why;
    if (p->settings.n_arguments > 0) {
        text.data = join_arguments(&p->settings, '\n');
        text.len = text.data != NULL ? strlen(text.data) : 0;
    } else if (file_read(&text, "-", HEX_LIMIT, &why) != 0) {
        say_warn("%s", why.text);
        return EXIT_CODE_INPUT;
    }
    if (text.data != NULL)
        hexdump_strip(text.data, text.len);
    uint8_t *frame = malloc(HEXLOG_FRAME_MAX);
    struct tw_span span = {(const uint8_t *)text.data, text.len};
    size_t n_frames = 0, n;
    for (size_t pos = 0; frame != NULL && (n = hexlog_next(frame, &pos, span)) > 0; n_frames++)
        decode_frame(p->decoder, (struct tw_span){frame, n});
    free(frame);
    file_free(&text);
    if (p->n_cut > 0)
        say_warn("the end of %" PRIu64 " frame%s is missing: copy the whole frame out of the log", p->n_cut,
                 p->n_cut == 1 ? "" : "s");
    if (n_frames > 0)
        return p->n_cut > 0 ? EXIT_CODE_INPUT : EXIT_CODE_OK;
    say_warn("no frame in the text: one begins with 000055aa or 00006699, as hex or Python bytes");
    return EXIT_CODE_INPUT;
}

static int read_input(struct program *p)
{
    char *filter = p->settings.hex ? NULL : join_arguments(&p->settings, ' ');
    int rc = p->settings.hex                 ? read_hex(p)
             : p->settings.interface != NULL ? read_live(p, filter)
                                             : read_files(p, filter);
    free(filter);
    decode_finish(p->decoder);
    const struct decode_counts *counts = decode_counts(p->decoder);
    if (rc != EXIT_CODE_OK || counts->packets == 0 || counts->messages > 0 || p->settings.quiet)
        return rc;
    if (counts->cut > 0)
        say_warn("no Tuya message in %llu packets, of which %llu are cut off inside their headers: capture with a "
                 "larger snap length (tcpdump -s 0)",
                 (unsigned long long)counts->packets, (unsigned long long)counts->cut);
    else if (counts->malformed > 0)
        say_warn(
            "no Tuya message in %llu packets, of which %llu are malformed: their headers or fragments contradict "
            "themselves",
            (unsigned long long)counts->packets, (unsigned long long)counts->malformed);
    else
        say_warn("no Tuya message in %llu packets; on other ports than TCP 6668 and UDP 6666, 6667 and 7000 they are "
                 "found with --port",
                 (unsigned long long)counts->packets);
    return rc;
}

/* ---- The end ---------------------------------------------------------------------------------------------------------- */

static int finish_outputs(struct program *p)
{
    int rc = EXIT_CODE_OK;
    for (size_t i = 0; i < p->n_outputs; i++) {
        struct why why;
        if (p->outputs[i]->finish == NULL || p->outputs[i]->finish(p->outputs[i], &why) == 0)
            continue;
        say_warn("%s", why.text);
        rc = EXIT_CODE_INPUT;
    }
    return out_flush(&p->out) == 0 ? rc : say_not_written(p->out.error, rc);
}

static void release(struct program *p)
{
    decode_free(p->decoder);
    for (size_t i = 0; i < p->n_outputs; i++)
        p->outputs[i]->free(p->outputs[i]);
    out_free(&p->out);
    filter_free(p->filter);
    tw_keyring_free(p->ring);
    if (p->has_devices)
        devices_free(&p->devices);
    free(p->entry_of_key);
    if (p->key_log >= 0)
        close(p->key_log);
    settings_free(&p->settings);
}

static int run(struct program *p)
{
    struct why why;
    int rc = fill_keyring(p, &why);
    if (rc == 0)
        rc = add_outputs(p, &why);
    if (rc == EXIT_CODE_USAGE)
        return rc;
    if (rc != 0 || make_decoder(p, &why) != 0) {
        say_warn("%s", why.text);
        return EXIT_CODE_INPUT;
    }
    rc = read_input(p);
    int rc_out = finish_outputs(p);
    if (p->key_log_failed)
        rc_out = EXIT_CODE_INPUT;
    if (rc == EXIT_CODE_OK)
        rc = rc_out;
    return rc == EXIT_CODE_OK && p->settings.strict && p->undecoded > 0 ? EXIT_CODE_STRICT : rc;
}

int main(int argc, char **argv)
{
    struct program p = {.key_log = -1};
    say_program("tuya-dump");
    int rc = settings_parse(&p.settings, argc, argv);
    if (rc < 0)
        rc = run(&p);
    release(&p);
    return say_flush(rc);
}
