/* find.c - see find.h. */
#include "find.h"
#include <stdlib.h>
#include <string.h>
#include "tuyawire/tuyawire.h"

enum { RECENT = 64 };

struct group {
    struct device **devices;
    size_t n;
};

struct finder {
    const struct fleet *fleet;
    tw_crypto *crypto;      /* its own, so that trying keys does not push out those at work */
    struct device **sorted; /* all, by version */
    struct group versions[TW_N_VERSIONS];
    struct device *recent[RECENT];
    size_t n_recent;
    uint8_t plain[FIND_BYTES_MAX];
};

int finder_new(struct finder **out, const struct fleet *f)
{
    struct finder *finder = calloc(1, sizeof *finder);
    if (finder == NULL)
        return -1;
    finder->fleet = f;
    *out = finder;
    struct device **at = finder->sorted = malloc(f->n * sizeof(struct device *));
    if (at == NULL)
        return -1;
    for (int v = 0; v < TW_N_VERSIONS; v++) {
        struct group *g = &finder->versions[v];
        g->devices = at;
        for (size_t i = 0; i < f->n; i++)
            if ((int)f->devices[i].version == v)
                *at++ = &f->devices[i];
        g->n = (size_t)(at - g->devices);
    }
    return tw_crypto_new(&finder->crypto, 1) == TW_OK ? 0 : -1;
}

void finder_free(struct finder *f)
{
    if (f == NULL)
        return;
    free(f->sorted);
    tw_crypto_free(f->crypto);
    free(f);
}

static bool fits(struct finder *f, const struct device *d, const struct tw_frame *frame)
{
    struct tw_message m;
    unsigned flags = d->version == TW_V31 ? TW_OPEN_ZERO_CRC : 0;
    int rc =
        tw_message_open(&m, f->crypto, frame, d->version, TW_TO_DEVICE, d->key, f->plain, sizeof f->plain, flags);
    /* HMAC and tag prove the key, whatever else is wrong: that is for the device to say. So does the signature of 3.1. */
    if (frame->integrity != TW_INTEGRITY_CRC32)
        return rc == TW_OK || rc == TW_E_PAYLOAD || rc == TW_E_PADDING;
    if (rc != TW_OK || !m.encrypted)
        return false;
    /* Padding alone fits one key of 256; JSON behind it proves it, and so does a block of nothing but padding. */
    struct tw_body body;
    return d->version == TW_V31 || m.payload.len == 0 || tw_body_parse(&body, m.payload) == TW_OK;
}

static void remember(struct finder *f, struct device *d)
{
    for (size_t i = 0; i < f->n_recent; i++)
        if (f->recent[i] == d)
            return;
    if (f->n_recent < RECENT) {
        f->recent[f->n_recent++] = d;
        return;
    }
    memmove(&f->recent[0], &f->recent[1], (RECENT - 1) * sizeof f->recent[0]);
    f->recent[RECENT - 1] = d;
}

static struct device *by_key(struct finder *f, enum tw_version v, const struct tw_frame *frame)
{
    for (size_t i = 0; i < f->n_recent; i++)
        if (f->recent[i]->version == v && fits(f, f->recent[i], frame))
            return f->recent[i];
    const struct group *g = &f->versions[v];
    for (size_t i = 0; i < g->n; i++)
        if (fits(f, g->devices[i], frame)) {
            remember(f, g->devices[i]);
            return g->devices[i];
        }
    return NULL;
}

/* The device named in a body in clear. */
static struct device *by_id(struct finder *f, struct tw_span json)
{
    struct tw_body body;
    if (tw_body_parse(&body, json) != TW_OK)
        return NULL;
    struct device *d = body.gw_id.len > 0 ? fleet_find(f->fleet, body.gw_id) : NULL;
    if (d == NULL && body.dev_id.len > 0)
        d = fleet_find(f->fleet, body.dev_id);
    if (d == NULL && body.uid.len > 0)
        d = fleet_find(f->fleet, body.uid);
    return d;
}

/* Nobody's: a client with a wrong key. It shall see what such a client sees of a device of this version, so somebody
 * of that version answers for all. */
static struct device *anybody(const struct finder *f, enum tw_version v)
{
    return f->versions[v].n > 0 ? f->versions[v].devices[0] : NULL;
}

static enum finding look_crc(struct finder *f, const struct tw_frame *frame, struct device **d)
{
    struct tw_span body = frame->body;
    if (body.len == 0)
        return frame->command == TW_CMD_HEART_BEAT ? FIND_HEARTBEAT : FIND_SKIP;
    bool is_signed = body.len >= 3 && memcmp(body.data, "3.1", 3) == 0;
    *d = is_signed ? by_key(f, TW_V31, frame) : body.data[0] == '{' ? by_id(f, body) : NULL;
    if (*d == NULL) /* one ciphertext in 256 begins with a brace */
        *d = by_key(f, TW_V33, frame);
    if (*d == NULL)
        *d = by_key(f, TW_V32, frame);
    if (*d == NULL && is_signed)
        return FIND_SKIP; /* 3.1: silence for a wrong key */
    if (*d == NULL && frame->command == TW_CMD_HEART_BEAT)
        return FIND_HEARTBEAT;
    if (*d == NULL)
        *d = anybody(f, TW_V33);
    if (*d == NULL)
        *d = anybody(f, TW_V32);
    return *d != NULL ? FIND_DEVICE : FIND_SKIP;
}

enum finding finder_look(struct finder *f, const uint8_t *bytes, size_t n, struct device **d, size_t *used)
{
    const struct tw_frame_rules rules = {TW_INTEGRITY_CRC32, TW_TO_DEVICE, false, 0};
    struct tw_frame frame;
    int rc = tw_frame_parse(&frame, used, bytes, n, &rules);
    if (rc == TW_NEED_MORE)
        return FIND_MORE;
    if (rc != TW_OK)
        return FIND_SKIP;
    if (frame.envelope == TW_ENVELOPE_6699) {
        *d = by_key(f, TW_V35, &frame);
        return *d != NULL ? FIND_DEVICE : FIND_NOBODY;
    }
    static const uint8_t zero[4] = {0}; /* in place of a CRC: some clients of 3.1 */
    if (tw_frame_crc_matches(&frame) || memcmp(frame.check.data, zero, sizeof zero) == 0)
        return look_crc(f, &frame, d);
    if (tw_frame_reframe(&frame, TW_INTEGRITY_HMAC) != TW_OK)
        return FIND_SKIP;
    *d = by_key(f, TW_V34, &frame);
    if (*d != NULL)
        return FIND_DEVICE;
    /* Clients probe with START of both versions in one segment; a 3.5 device skips the first (TuyaOpen). */
    return n > *used ? FIND_SKIP : FIND_NOBODY;
}
