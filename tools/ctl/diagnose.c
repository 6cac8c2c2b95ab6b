/* diagnose.c - see diagnose.h.
 *
 * From the outside in, each step only if the one before left a question:
 *
 *   a connection, nothing said     refused, unreachable; closed at once: busy; reset; a banner: not Tuya
 *   START of 3.4 and 3.5           the envelope of the answer is the version, its check value judges the key
 *   heart beat and query of 3.3    the same for 3.1 to 3.3
 *   the same again, patiently      slow devices; else silent
 *   every key of the device list   whose is it?
 *   a session in what was found    queries are answered, by the device that was meant
 *
 * Meanwhile the announcements of the device are listened to. All in under 15 seconds. */
#include "diagnose.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "discover.h"
#include "finder.h"
#include "probe.h"
#include "show.h"
#include "tuyawire/error.h"

enum {
    EVIDENCE_MAX = 12,
    BUDGET_MS = 13000, /* no further key is tried after this */
    NOTHING_MS = 250,
    AGAIN_MS = 400, /* between two looks at a door that was shut */
    KEY_MS = 500,   /* for one key: devices close at once when it is wrong */
    SESSION_MS = 4000,
};

struct diagnosis {
    const struct settings *set;
    struct session *s;
    struct target claimed; /* as the user has it */
    uint64_t start_ms;
    uv_timer_t progress;
    enum trouble_kind verdict;
    bool has_version;
    enum tw_version version;
    char evidence[EVIDENCE_MAX][256];
    size_t n_evidence;
    char next[320];
    bool heard;             /* an announcement came from this address */
    struct found announced; /* the last one */
};

/* ---- notes ----------------------------------------------------------------------------------------------------- */

SAY_FORMAT(2, 3) static void note(struct diagnosis *d, const char *format, ...)
{
    va_list args;
    if (d->n_evidence == EVIDENCE_MAX)
        return;
    va_start(args, format);
    vsnprintf(d->evidence[d->n_evidence++], sizeof d->evidence[0], format, args);
    va_end(args);
}

static void conclude(struct diagnosis *d, enum trouble_kind verdict, const char *next)
{
    d->verdict = verdict;
    snprintf(d->next, sizeof d->next, "%s", next);
}

static void found_version(struct diagnosis *d, enum tw_version v)
{
    d->has_version = true;
    d->version = v;
}

static void on_announced(void *ctx, const struct found *f)
{
    struct diagnosis *d = ctx;
    /* Many simulated devices share one address: the one that was meant is worth more than another. */
    if (strcmp(f->ip, d->claimed.host) != 0 || (d->heard && strcmp(d->announced.id, d->claimed.id) == 0))
        return;
    d->heard = true;
    d->announced = *f;
}

/* ---- steps ----------------------------------------------------------------------------------------------------- */

static void no_connection(struct diagnosis *d, const struct trouble *t)
{
    note(d, "%s", t->what);
    if (d->heard)
        note(d, "but it announces itself on the network, as %s", d->announced.id);
    conclude(d, t->kind, t->next);
}

static bool is_foreign(struct diagnosis *d, const struct probe *p)
{
    if (p->outcome == PROBE_JUNK)
        note(d, "it answers with bytes that are no Tuya frame (%02x %02x %02x %02x..)", p->reply[0], p->reply[1],
             p->reply[2], p->reply[3]);
    else if (p->outcome == PROBE_ECHO)
        note(d, "it sends back what it is sent");
    else
        return false;
    conclude(d, TROUBLE_NOT_TUYA,
             "is this the address and port of the device? `tuya-ctl discover` lists what is there");
    return true;
}

/* Is the door open? @return false: the verdict stands */
static bool knock(struct diagnosis *d)
{
    struct probe p;
    probe_nothing(d->s, NOTHING_MS, &p);
    if (p.outcome == PROBE_CLOSED || p.outcome == PROBE_RESET) {
        enum probe_outcome first = p.outcome;
        session_pause(d->s, AGAIN_MS);
        probe_nothing(d->s, NOTHING_MS, &p);
        if (p.outcome == PROBE_CLOSED || p.outcome == PROBE_RESET) {
            bool reset = first == PROBE_RESET && p.outcome == PROBE_RESET;
            note(d, "two connections were %s at once, before anything was said", reset ? "reset" : "closed");
            conclude(d, reset ? TROUBLE_RESETS : TROUBLE_BUSY,
                     "it talks to another client: close the app and other programs, and wait a minute; a client that "
                     "vanished keeps its place for that long");
            return false;
        }
    }
    if (p.outcome == PROBE_NO_CONNECT) {
        no_connection(d, &p.trouble);
        return false;
    }
    note(d, "%s port %u takes connections", d->claimed.host, d->claimed.port);
    return !is_foreign(d, &p);
}

static const char *outcome_text(enum probe_outcome o)
{
    switch (o) {
    case PROBE_SILENT: return "is not answered";
    case PROBE_CLOSED: return "makes it close the connection";
    case PROBE_RESET: return "makes it reset the connection";
    case PROBE_NO_CONNECT: return "finds no connection any more";
    default: return "is answered";
    }
}

/* ---- keys of the list ------------------------------------------------------------------------------------------ */

static const struct devices_entry *entry_at(const struct diagnosis *d, size_t i)
{
    return &d->set->devices.entries[i];
}

/* A key worth trying: not the one given, and not one that an earlier entry had. */
static bool is_new_key(const struct diagnosis *d, size_t at)
{
    const struct devices_entry *e = entry_at(d, at);
    if (e->key_state != DEVICES_KEY_OK)
        return false;
    if (d->claimed.has_key && memcmp(e->key, d->claimed.key, TW_KEY_LEN) == 0)
        return false;
    for (size_t i = 0; i < at; i++) {
        if (entry_at(d, i)->key_state == DEVICES_KEY_OK && memcmp(entry_at(d, i)->key, e->key, TW_KEY_LEN) == 0)
            return false;
    }
    return true;
}

/* Does this key open the door? p: the probe that showed that the one given does not. */
static bool key_fits(struct diagnosis *d, const struct probe *p, const uint8_t *key)
{
    struct probe q;
    if (p->reply_len > 0 && p->has_version && !p->in_clear)
        return probe_reply_fits(d->s, p, key);
    memcpy(d->s->target.key, key, TW_KEY_LEN);
    if (p->in_clear)
        probe_clear(d->s, KEY_MS, &q);
    else if (p->is_old)
        probe_old(d->s, false, KEY_MS, &q);
    else
        probe_handshake(d->s, p->only_34, KEY_MS, &q);
    if (q.key == PROBE_KEY_FITS)
        found_version(d, q.version);
    return q.key == PROBE_KEY_FITS;
}

/* The device whose key fits; NULL: none, or no list. Those with the right id or address first. */
static const struct devices_entry *try_keys(struct diagnosis *d, const struct probe *p, size_t *n_tried)
{
    *n_tried = 0;
    for (int likely = 1; likely >= 0 && d->set->has_devices; likely--) {
        for (size_t i = 0; i < d->set->devices.n; i++) {
            const struct devices_entry *e = entry_at(d, i);
            bool is_likely = strcmp(e->id, d->claimed.id) == 0 || strcmp(e->ip, d->claimed.host) == 0;
            if (is_likely != (likely == 1) || !is_new_key(d, i))
                continue;
            if (link_now() - d->start_ms > BUDGET_MS)
                return NULL;
            (*n_tried)++;
            if (key_fits(d, p, e->key))
                return e;
        }
    }
    return NULL;
}

static void wrong_key(struct diagnosis *d, const struct probe *p, const char *how)
{
    char next[320];
    size_t n;
    if (d->claimed.has_key)
        note(d, "%s", how);
    else
        note(d, "no local key was given");
    const struct devices_entry *e = try_keys(d, p, &n);
    if (e != NULL) {
        note(d, "it does under the key of '%s'", e->name);
        snprintf(next, sizeof next, "use that key: --device '%s'%s", e->name,
                 strcmp(e->id, d->claimed.id) == 0 ? "" : "; or the address belongs to that device: check --host");
    } else {
        if (n > 0)
            note(d, "nor does it under any of %zu other keys of the list", n);
        snprintf(next, sizeof next, "get the local key anew: pairing a device again changes it%s",
                 d->set->has_devices ? "" : "; with --devices FILE all your keys are tried");
    }
    conclude(d, TROUBLE_WRONG_KEY, next);
}

/* ---- what speaks there ----------------------------------------------------------------------------------------- */

/* A version answers; the key does not fit. Once more, to be sure that it was not a damaged frame. */
static void judge_key(struct diagnosis *d, const struct probe *by)
{
    struct probe again = *by;
    if (by->version >= TW_V34)
        probe_handshake(d->s, by->only_34, AGAIN_MS, &again);
    else if (!by->in_clear)
        probe_old(d->s, false, AGAIN_MS, &again);
    if (again.key == PROBE_KEY_FITS)
        return;
    if (by->version >= TW_V34)
        wrong_key(d, by, "its handshake reply does not verify under the key given");
    else if (by->in_clear)
        wrong_key(d, by, "a control signed with the key given is not accepted");
    else if (by->refused)
        wrong_key(d, by, "it refuses our query, and its error text does not decrypt under the key given");
    else
        wrong_key(d, by, "its replies do not decrypt under the key given");
}

/* The first connection stood, and no further one does. */
static void no_place(struct diagnosis *d)
{
    note(d, "further connections are reset at once");
    conclude(d, TROUBLE_BUSY,
             "it keeps the place of the client before: close other programs that talk to it, and try again in two "
             "minutes");
}

static void judge_other(struct diagnosis *d, const struct probe *p)
{
    if (p->outcome == PROBE_NO_CONNECT && p->trouble.kind == TROUBLE_RESETS) {
        no_place(d);
    } else if (p->outcome == PROBE_NO_CONNECT) {
        note(d, "but not another: %s", p->trouble.what);
        conclude(d, TROUBLE_RESETS,
                 "it goes away when it is talked to: try again in a minute, or switch it off and on");
    } else if (p->damaged) {
        note(d, "it answers with frames whose check value is wrong");
        conclude(d, TROUBLE_NOT_TUYA, "switch the device off and on; if that stays, it or the network is broken");
    } else {
        is_foreign(d, p);
    }
}

/* Nothing told a version: who closes at the handshake does not like the key; who says nothing at all is silent. */
static void judge_silence(struct diagnosis *d, const struct survey *v)
{
    note(d, "a handshake of 3.4 and 3.5 %s", outcome_text(v->both.outcome));
    note(d, "a query of 3.3 %s", outcome_text(v->old.outcome));
    if (v->old.is_old) {
        note(d, "heart beats are answered, so it is a device of 3.1 to 3.3");
        found_version(d, TW_V33);
        wrong_key(d, &v->old, "a device that answers heart beats but no query does not understand the key given");
        return;
    }
    note(d, "a handshake of 3.4 alone %s", outcome_text(v->only34.outcome));
    if (v->only34.outcome == PROBE_SILENT || v->both.outcome == PROBE_SILENT) {
        conclude(
            d, TROUBLE_SILENT,
            "it is hung, or no Tuya device: switch it off and on, and check the address with `tuya-ctl discover`");
        return;
    }
    if (v->both.outcome == PROBE_RESET || v->only34.outcome == PROBE_RESET) {
        struct probe p;
        probe_nothing(d->s, NOTHING_MS, &p);
        if (p.outcome != PROBE_SILENT)
            no_place(d);
        else
            conclude(
                d, TROUBLE_RESETS,
                "close other programs that talk to it, switch it off and on; if that stays, its firmware is broken");
        return;
    }
    if (d->heard && d->announced.has_version && d->announced.version >= TW_V34) {
        found_version(d, d->announced.version);
        note(d, "it announces protocol %s", d->announced.version_text);
    } else if (d->claimed.version_source != VERSION_UNKNOWN && d->claimed.version >= TW_V34) {
        found_version(d, d->claimed.version);
    }
    wrong_key(d, &v->both,
              "that is what devices of 3.4 and 3.5 do when the handshake does not verify under their key");
}

/* @return true: version and key are known, see to the rest */
static bool ask(struct diagnosis *d)
{
    struct survey v;
    probe_survey(d->s, true, &v);
    if (v.other != NULL) {
        judge_other(d, v.other);
        return false;
    }
    if (v.by == NULL) {
        judge_silence(d, &v);
        return false;
    }
    found_version(d, v.by->version);
    note(d, "it speaks protocol %s", tw_version_name(d->version));
    if (v.by->key == PROBE_KEY_WRONG)
        judge_key(d, v.by);
    return d->next[0] == '\0'; /* no verdict yet */
}

/* ---- the rest -------------------------------------------------------------------------------------------------- */

static bool is_other_id(const struct diagnosis *d, const char *id)
{
    return d->claimed.id[0] != '\0' && id[0] != '\0' && strcmp(id, d->claimed.id) != 0;
}

static void id_in(char *out, size_t cap, const struct session *s)
{
    struct tw_body body;
    out[0] = '\0';
    if (s->answer.text == NULL ||
        tw_body_parse(&body, (struct tw_span){(const uint8_t *)s->answer.text, s->answer.len}) != TW_OK ||
        body.dev_id.len == 0 || body.dev_id.len >= cap)
        return;
    memcpy(out, body.dev_id.data, body.dev_id.len);
    out[body.dev_id.len] = '\0';
}

static void talk(struct diagnosis *d)
{
    struct session *s = d->s;
    struct trouble t;
    char id[65], next[320];
    s->target.version_source = VERSION_CERTAIN;
    s->target.version = d->version;
    uint64_t start = link_now();
    int rc = session_status(s, &t);
    id_in(id, sizeof id, s);
    if (rc != 0 && t.kind == TROUBLE_WRONG_ID) {
        note(d, "%s", t.what);
        conclude(d, TROUBLE_WRONG_ID, t.next);
        return;
    }
    if (rc != 0 && t.kind != TROUBLE_SAID_NO) {
        note(d, "the key fits, but then: %s", t.what);
        bool breaks = t.kind == TROUBLE_DAMAGED || t.kind == TROUBLE_CLOSED;
        conclude(d, breaks ? TROUBLE_RESETS : t.kind,
                 "switch the device off and on; close other programs that talk to it");
        return;
    }
    const char *other = is_other_id(d, id)                            ? id
                        : d->heard && is_other_id(d, d->announced.id) ? d->announced.id
                                                                      : NULL;
    if (other != NULL) {
        note(d, "the key fits, but the device calls itself %s, not %s", other, d->claimed.id);
        snprintf(next, sizeof next, "use --id %s, or look for the address of %s with `tuya-ctl discover`", other,
                 d->claimed.id);
        conclude(d, TROUBLE_WRONG_ID, next);
        return;
    }
    note(d, "the key fits");
    if (rc != 0)
        note(d, "it can be switched, but refuses to be asked for its state: it may have none yet");
    else
        note(d, "a query is answered with %zu data points in %llu ms", s->store.n,
             (unsigned long long)(link_now() - start));
    if (d->claimed.version_source != VERSION_UNKNOWN && d->claimed.version != d->version) {
        note(d, "protocol %s was asked for", tw_version_name(d->claimed.version));
        snprintf(next, sizeof next, "use -P %s, or -P auto; if a list says %s, run the wizard or its scan again",
                 tw_version_name(d->version), tw_version_name(d->claimed.version));
        conclude(d, TROUBLE_WRONG_VERSION, next);
        return;
    }
    conclude(d, TROUBLE_NONE, "nothing: address, version, key and id are right");
}

/* ---- telling --------------------------------------------------------------------------------------------------- */

static void put_json(const struct diagnosis *d)
{
    printf("{\"verdict\":\"%s\",\"version\":", trouble_name(d->verdict));
    if (d->has_version)
        printf("\"%s\"", tw_version_name(d->version));
    else
        fputs("null", stdout);
    fputs(",\"evidence\":[", stdout);
    for (size_t i = 0; i < d->n_evidence; i++) {
        fputs(i == 0 ? "" : ",", stdout);
        show_string(d->evidence[i]);
    }
    fputs("],\"next\":", stdout);
    show_string(d->next);
    fputs("}\n", stdout);
}

static void put_text(const struct diagnosis *d)
{
    fputs("verdict   ", stdout);
    show_colour(d->verdict == TROUBLE_NONE ? SHOW_GOOD : SHOW_BAD);
    fputs(trouble_name(d->verdict), stdout);
    show_colour(SHOW_PLAIN);
    for (size_t i = 0; i < d->n_evidence; i++)
        printf("\n%-10s", i == 0 ? "evidence" : ""), show_clean(d->evidence[i], strlen(d->evidence[i]));
    fputs("\nnext      ", stdout);
    show_clean(d->next, strlen(d->next));
    putchar('\n');
}

/* Some causes take their time: seconds, on a terminal. */
static void on_progress(uv_timer_t *timer)
{
    struct diagnosis *d = timer->data;
    fprintf(stderr, "\rlooking, %llu s ", (unsigned long long)((link_now() - d->start_ms) / 1000));
}

static void start_progress(struct diagnosis *d, uv_loop_t *loop)
{
    uv_timer_init(loop, &d->progress);
    d->progress.data = d;
    if (isatty(STDERR_FILENO) && !d->set->session.debug)
        uv_timer_start(&d->progress, on_progress, 1000, 1000);
    uv_unref((uv_handle_t *)&d->progress);
}

static void stop_progress(struct diagnosis *d, uv_loop_t *loop)
{
    uv_close((uv_handle_t *)&d->progress, NULL);
    uv_run(loop, UV_RUN_NOWAIT);
    if (isatty(STDERR_FILENO) && !d->set->session.debug)
        fputs("\r\x1b[K", stderr);
}

enum exit_code command_diagnose(const struct settings *set, uv_loop_t *loop, const struct target *target)
{
    struct session s;
    struct trouble t;
    struct finder *finder = NULL;
    struct finder_options options;
    struct session_options session = set->session;
    struct diagnosis d = {.set = set, .s = &s, .claimed = *target, .start_ms = link_now()};
    if (session.timeout_ms > SESSION_MS)
        session.timeout_ms = SESSION_MS;
    if (session_init(&s, loop, target, &session, &t) != 0) {
        trouble_say(&t);
        return t.code;
    }
    discover_options(set, &options);
    options.quiet = true;
    start_progress(&d, loop);
    (void)finder_open(&finder, loop, s.crypto, &options, on_announced, &d, &t); /* not needed, only welcome */
    if (knock(&d) && ask(&d))
        talk(&d);
    session_close(&s);
    finder_close(finder);
    stop_progress(&d, loop);
    if (show_is_json())
        put_json(&d);
    else
        put_text(&d);
    show_flush();
    session_free(&s);
    trouble_set(&t, d.verdict, "", "%s", "");
    return t.code;
}
