/* observer.c - the streams of somebody else's connection: fed bytes become frames and reports of damage.
 * Contract in tuyawire/observer.h. */
#include "observer.h"
#include <stdlib.h>
#include <string.h>
#include "bytes.h"
#include "internal.h"

enum {
    HEADER_55AA = 16,
    HEADER_6699 = 18,
    PREFIX_LEN = 4,
    SUFFIX_LEN = 4,       /* bytes */
    KEPT_IDLE_MAX = 4096, /* an empty buffer above this is given back */
    KEPT_STEP = 1024,     /* sizes of buffers are multiples of it */
};

/* ---- Life --------------------------------------------------------------------------------------------------------- */

/* see tuyawire/observer.h */
int tw_observer_new(tw_observer **out, tw_keyring *ring, enum tw_observer_roles roles)
{
    tw_observer *o = calloc(1, sizeof *o);
    if (o == NULL)
        return TW_E_NOMEM;
    o->ring = ring;
    o->roles = roles;
    o->version = TW_V33;
    o->hint_version = ring->common_version;
    o->local = o->hint_local = TW_NO_INDEX;
    o->local_trials = o->session_trials = TW__N_TRIALS;
    *out = o;
    return TW_OK;
}

/* see tuyawire/observer.h */
void tw_observer_free(tw_observer *o)
{
    if (o == NULL)
        return;
    for (size_t i = 0; i < o->n_sessions; i++)
        tw_crypto_forget(o->ring->crypto, o->sessions[i].key);
    free(o->streams[0].kept);
    free(o->streams[1].kept);
    tw__wipe(o, sizeof *o);
    free(o);
}

/* see tuyawire/observer.h */
void tw_observer_hint(tw_observer *o, size_t key_index, const enum tw_version *version)
{
    if (key_index < o->ring->n)
        o->hint_local = key_index;
    if (version != NULL)
        o->hint_version = (int)*version;
}

/* see tuyawire/observer.h */
size_t tw_observer_memory(const tw_observer *o)
{
    return sizeof *o + o->streams[0].cap + o->streams[1].cap;
}

/* ---- Streams ------------------------------------------------------------------------------------------------------ */

static bool pending(const struct tw__stream *s)
{
    return s->fed_len > 0 || s->gap || s->ending;
}

static struct tw__stream *touch(tw_observer *o, enum tw_direction dir)
{
    if (pending(&o->streams[o->active]))
        return NULL;
    o->active = dir == TW_FROM_DEVICE ? 1 : 0;
    return &o->streams[o->active];
}

/* see tuyawire/observer.h */
int tw_observer_feed(tw_observer *o, enum tw_direction dir, const uint8_t *buf, size_t len)
{
    struct tw__stream *s = touch(o, dir);
    if (s == NULL)
        return TW_E_STATE;
    if (s->tls)
        return TW_OK;
    s->fed = buf;
    s->fed_len = len;
    return TW_OK;
}

/* see tuyawire/observer.h */
int tw_observer_gap(tw_observer *o, enum tw_direction dir, uint64_t missing)
{
    struct tw__stream *s = touch(o, dir);
    if (s == NULL)
        return TW_E_STATE;
    s->gap = true;
    s->missing = missing;
    return TW_OK;
}

/* see tuyawire/observer.h */
int tw_observer_end(tw_observer *o, enum tw_direction dir)
{
    struct tw__stream *s = touch(o, dir);
    if (s == NULL)
        return TW_E_STATE;
    s->ending = true;
    return TW_OK;
}

static size_t kept_len(const struct tw__stream *s)
{
    return s->end - s->start;
}

/* The bytes to parse next: what is kept, else what was fed. */
static struct tw_span window(const struct tw__stream *s)
{
    if (kept_len(s) > 0)
        return (struct tw_span){s->kept + s->start, kept_len(s)};
    return (struct tw_span){s->fed, s->fed_len};
}

/* Remove n bytes from the front of the window. Kept bytes stay where they are: the event still points at them. */
static void advance(struct tw__stream *s, size_t n)
{
    if (kept_len(s) > 0) {
        s->start += n;
        return;
    }
    if (n > 0)
        s->fed += n;
    s->fed_len -= n;
}

/* The last event is over: room behind it can be used again, and a large empty buffer goes back. */
static void tidy(struct tw__stream *s)
{
    if (kept_len(s) > 0)
        return;
    s->start = s->end = 0;
    if (s->cap > KEPT_IDLE_MAX) {
        free(s->kept);
        s->kept = NULL;
        s->cap = 0;
    }
}

/* Room for n more bytes behind what is kept. Twice what is needed is taken, so that moving to the front is rare. */
static bool reserve(struct tw__stream *s, size_t n)
{
    if (s->end + n <= s->cap)
        return true;
    size_t need = kept_len(s) + n;
    if (need <= s->cap / 2) {
        memmove(s->kept, s->kept + s->start, kept_len(s));
    } else {
        size_t cap = (2 * need + KEPT_STEP - 1) / KEPT_STEP * KEPT_STEP;
        uint8_t *grown = malloc(cap);
        if (grown == NULL)
            return false;
        if (kept_len(s) > 0)
            memcpy(grown, s->kept + s->start, kept_len(s));
        free(s->kept);
        s->kept = grown;
        s->cap = cap;
    }
    s->end = kept_len(s);
    s->start = 0;
    return true;
}

/* How many bytes the frame at the front needs before it can be parsed. The parser has found its length in range. */
static size_t frame_wants(struct tw_span w)
{
    bool is_6699 = w.len >= PREFIX_LEN && w.data[2] == 0x66;
    size_t header = is_6699 ? HEADER_6699 : HEADER_55AA;
    if (w.len < header)
        return header;
    size_t length = load_be32(w.data + header - 4);
    return header + length + (is_6699 ? SUFFIX_LEN : 0);
}

/* Move fed bytes behind the kept ones: as many as the frame at the front still wants, so that the next frame can be
 * read in place again. */
static int pull(struct tw__stream *s)
{
    struct tw_span w = window(s);
    size_t n = kept_len(s) == 0 ? s->fed_len : frame_wants(w) - w.len;
    if (n > s->fed_len)
        n = s->fed_len;
    if (!reserve(s, n)) {
        s->start = s->end = 0;
        s->fed_len = 0;
        return TW_E_NOMEM;
    }
    memcpy(s->kept + s->end, s->fed, n);
    s->end += n;
    s->fed += n;
    s->fed_len -= n;
    return TW_OK;
}

/* Where, behind the incomplete frame at the front, the first whole frame begins; w.len if there is none. */
static TW__COLD size_t find_whole_frame(struct tw_span w)
{
    static const struct tw_frame_rules rules = {.max_length = TW_FRAME_LENGTH_MAX};
    size_t at = w.len < PREFIX_LEN ? w.len : PREFIX_LEN;
    while (at < w.len) {
        struct tw_frame f;
        size_t consumed;
        int rc = tw_frame_parse(&f, &consumed, w.data + at, w.len - at, &rules);
        if (rc == TW_OK)
            return at;
        if (rc == TW_NEED_MORE)
            consumed = w.len - at < PREFIX_LEN ? w.len - at : PREFIX_LEN;
        at += consumed;
    }
    return w.len;
}

static TW__COLD int report(struct tw_observed *ev, int error, enum tw_why why, size_t skipped)
{
    ev->error = error;
    ev->why = why;
    ev->skipped = skipped;
    return 1;
}

/* Bytes were passed over: say so before what follows them. */
static TW__COLD int report_skipped(struct tw__stream *s, struct tw_observed *ev)
{
    size_t n = s->skipped;
    s->skipped = 0;
    return report(ev, TW_E_PREFIX, TW_WHY_SKIPPED, n);
}

static TW__COLD int report_gap(struct tw__stream *s, struct tw_observed *ev)
{
    size_t cut = kept_len(s) + s->skipped;
    ev->missing = (size_t)s->missing;
    s->gap = false;
    s->start = s->end = 0;
    s->skipped = 0;
    return report(ev, TW_E_PREFIX, TW_WHY_LOST, cut);
}

static TW__COLD int report_tls(struct tw__stream *s, struct tw_observed *ev)
{
    s->begun = s->tls = true;
    s->fed_len = 0;
    s->start = s->end = 0;
    return report(ev, TW_E_PREFIX, TW_WHY_TLS, 0);
}

static void set_header_fields(struct tw_observed *ev, struct tw_span w)
{
    bool is_6699 = w.len >= HEADER_6699 && w.data[2] == 0x66;
    if (w.len < HEADER_55AA || (w.data[2] == 0x66 && !is_6699))
        return;
    const uint8_t *seq = w.data + (is_6699 ? 6 : 4);
    ev->has_header_fields = true;
    ev->frame.envelope = is_6699 ? TW_ENVELOPE_6699 : TW_ENVELOPE_55AA;
    ev->frame.seq = ev->message.seq = load_be32(seq);
    ev->frame.command = ev->message.command = load_be32(seq + 4);
    ev->length = load_be32(seq + 8);
}

/* The stream ended inside a frame. A wrong length may have swallowed good ones behind it. */
static TW__COLD int report_cut(struct tw__stream *s, struct tw_observed *ev)
{
    struct tw_span w = window(s);
    size_t n = find_whole_frame(w);
    set_header_fields(ev, w);
    advance(s, n);
    return report(ev, TW_NEED_MORE, TW_WHY_CUT, n);
}

/* A handshake record of TLS 1.x; spec section 7.5. TW_NEED_MORE: the first byte alone does not tell. */
static int begins_tls(struct tw_span w)
{
    if (w.data[0] != 0x16)
        return TW_E_PREFIX;
    return w.len < 2 ? TW_NEED_MORE : w.data[1] == 0x03 ? TW_OK : TW_E_PREFIX;
}

/* Field by field: frame and message are large, and most events fill them anyway. */
static void begin_event(const tw_observer *o, struct tw_observed *ev, enum tw_direction dir)
{
    ev->error = TW_OK;
    ev->why = TW_WHY_NOTHING;
    ev->direction = dir;
    ev->direction_known = o->roles == TW_ROLES_KNOWN;
    ev->has_frame = ev->has_header_fields = false;
    ev->version_known = o->version_known;
    ev->checked = TW_CHECK_UNCHECKED;
    ev->key_kind = TW_KEY_NONE;
    ev->key_index = o->local;
    ev->skipped = ev->missing = 0;
    ev->length = 0;
    ev->session = NULL;
    ev->key = NULL;
    ev->message.version = o->version;
    ev->message.seq = ev->message.command = 0;
    ev->message.direction = dir;
    ev->message.has_retcode = ev->message.has_header = ev->message.encrypted = false;
    ev->message.payload = (struct tw_span){0};
}

/* see tuyawire/observer.h */
int tw_observer_next(tw_observer *o, struct tw_observed *ev)
{
    static const struct tw_frame_rules rules = {.max_length = TW_FRAME_LENGTH_MAX};
    struct tw__stream *s = &o->streams[o->active];
    enum tw_direction label = o->active == 1 ? TW_FROM_DEVICE : TW_TO_DEVICE;
    tidy(s);
    if (!pending(s) && kept_len(s) == 0)
        return 0;
    begin_event(o, ev, o->swapped ? (enum tw_direction) !label : label);
    if (s->gap)
        return report_gap(s, ev);
    for (;;) {
        struct tw_span w = window(s);
        int tls = s->begun || w.len == 0 ? TW_E_PREFIX : begins_tls(w);
        if (tls == TW_OK)
            return report_tls(s, ev);
        size_t consumed = 0;
        int rc = TW_NEED_MORE;
        if (tls != TW_NEED_MORE || s->ending) {
            s->begun = s->begun || w.len > 0;
            rc = tw_frame_parse(&ev->frame, &consumed, w.data, w.len, &rules);
        }
        if (rc == TW_OK && s->skipped == 0) {
            ev->length = load_be32(w.data + (ev->frame.envelope == TW_ENVELOPE_6699 ? HEADER_6699 : HEADER_55AA) - 4);
            advance(s, consumed);
            tw__observer_open(o, ev, label);
            return 1;
        }
        if (rc == TW_E_PREFIX) {
            s->skipped += consumed;
            advance(s, consumed);
            continue;
        }
        if (rc == TW_NEED_MORE && s->fed_len > 0) {
            if (pull(s) != TW_OK)
                return TW_E_NOMEM;
            continue;
        }
        if (rc == TW_NEED_MORE && !s->ending)
            return 0;
        if (s->skipped > 0)
            return report_skipped(s, ev);
        if (rc != TW_NEED_MORE) {
            set_header_fields(ev, w);
            advance(s, consumed);
            return report(ev, rc, TW_WHY_BAD_FRAME, consumed);
        }
        if (w.len > 0)
            return report_cut(s, ev);
        s->ending = s->begun = s->tls = false;
        return 0;
    }
}
