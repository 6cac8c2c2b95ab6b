/* observer_open.c - version, key and session of a frame, by the decision procedure of spec section 8. Contract in
 * tuyawire/observer.h. */
#include "observer.h"
#include <string.h>
#include "bytes.h"
#include "internal.h"
#include "tuyawire/dps.h"

enum { CERTAIN_PADDING = 4 }; /* bytes: wrong with a probability of 2^-32 */

/* What old clients send as client nonce, always (spec section 4.1). */
static const uint8_t historic_nonce[TW_SESSION_NONCE_LEN + 1] = "0123456789abcdef";

/* ---- Direction (spec sections 1.4 and 8.3) ------------------------------------------------------------------------- */

/* 0, 1, or the 1 of a little-endian device. */
static bool is_retcode(const uint8_t *p)
{
    return (p[0] == 0 && p[1] == 0 && p[2] == 0 && p[3] <= 1) || (p[0] != 0 && p[1] == 0 && p[2] == 0 && p[3] == 0);
}

static bool begins_json_or_header(const uint8_t *p, size_t len)
{
    return (len >= 1 && p[0] == '{') || (len >= 3 && p[0] == '3' && p[1] == '.' && p[2] >= '1' && p[2] <= '9');
}

enum sender { SENDER_UNKNOWN, SENDER_CLIENT, SENDER_DEVICE };

static enum sender sender_by_command(uint32_t command)
{
    switch (command) {
    case TW_CMD_SESS_KEY_NEG_START:
    case TW_CMD_SESS_KEY_NEG_FINISH:
    case TW_CMD_REQ_DEVINFO: return SENDER_CLIENT;
    case TW_CMD_SESS_KEY_NEG_RESP:
    case TW_CMD_STATUS:
    case TW_CMD_UDP_NEW:
    case TW_CMD_BROADCAST_LPV34: return SENDER_DEVICE;
    default: return SENDER_UNKNOWN;
    }
}

/* A 55AA body betrays its return code by its size modulo the AES block, or by where its text begins. */
static enum sender sender_by_body(struct tw_span body)
{
    if (body.len == 0)
        return SENDER_CLIENT;
    if (begins_json_or_header(body.data, body.len))
        return SENDER_CLIENT;
    if (body.len >= 4 && is_retcode(body.data)) {
        if (body.len == 4 || begins_json_or_header(body.data + 4, body.len - 4))
            return SENDER_DEVICE;
        if (tw_is_error_text((struct tw_span){body.data + 4, body.len - 4}))
            return SENDER_DEVICE;
    }
    switch (body.len % TW__BLOCK) {
    case 4:
    case 3: return SENDER_DEVICE;
    case 0:
    case 15: return SENDER_CLIENT;
    default: return SENDER_UNKNOWN;
    }
}

static enum sender sender_of(const struct tw_frame *f)
{
    enum sender s = sender_by_command(f->command);
    if (f->envelope == TW_ENVELOPE_6699)
        return s;
    /* A device before 3.4 answers a handshake with the handshake's command, a return code and a CRC. */
    bool crc = tw_frame_crc_matches(f);
    if (s != SENDER_UNKNOWN && !(crc && tw_command_is_handshake(f->command)))
        return s;
    struct tw_frame as_hmac = *f;
    if (!crc && tw_frame_reframe(&as_hmac, TW_INTEGRITY_HMAC) == TW_OK)
        return sender_by_body(as_hmac.body);
    return sender_by_body(f->body);
}

/* Which way does this frame go? Also learns which side is the device. */
static enum tw_direction find_direction(tw_observer *o, struct tw_observed *ev, const struct tw_frame *f,
                                        enum tw_direction label)
{
    if (o->roles == TW_ROLES_KNOWN)
        return ev->direction;
    enum sender s = sender_of(f);
    ev->direction_known = s != SENDER_UNKNOWN;
    if (s == SENDER_UNKNOWN)
        return ev->direction;
    ev->direction = s == SENDER_CLIENT ? TW_TO_DEVICE : TW_FROM_DEVICE;
    if (o->roles == TW_ROLES_UNKNOWN) {
        o->swapped = ev->direction != label;
        o->roles = TW_ROLES_KNOWN;
    }
    return ev->direction;
}

/* ---- Keys ---------------------------------------------------------------------------------------------------------- */

static const uint8_t *local_key(const tw_observer *o, size_t index)
{
    return o->ring->keys[index]->key;
}

/* What fails on our side says nothing about key or frame: it is noted, and told when the frame has been looked at. */
static int note_ours(tw_observer *o, int rc)
{
    if (rc == TW_E_NOMEM || rc == TW_E_CRYPTO)
        o->our_error = rc;
    return rc;
}

static int open_with(tw_observer *o, struct tw_message *m, const struct tw_frame *f, enum tw_version v,
                     enum tw_direction dir, const uint8_t *key)
{
    return note_ours(o, tw_message_open(m, o->ring->crypto, f, v, dir, key, o->ring->plain, TW_FRAME_LENGTH_MAX, 0));
}

/* Is there something in the plaintext that a wrong key does not yield by chance? Padding of n bytes fits in one of
 * 256^n tries; where it is short, there is enough text to look at: ASCII, JSON, or at least the {" and } around it. */
static bool proves_key(const struct tw_frame *f, const struct tw_message *m)
{
    if (f->integrity != TW_INTEGRITY_CRC32)
        return true;
    if (m->version == TW_V31 && m->has_header)
        return true; /* signed */
    size_t padding = TW__BLOCK - m->payload.len % TW__BLOCK;
    if (padding >= CERTAIN_PADDING)
        return true;
    const uint8_t *text = m->payload.data, *last = text + m->payload.len - 1;
    return (text[0] == '{' && text[1] == '"' && *last == '}') || is_printable(m->payload) ||
           tw_json_check(m->payload) == TW_OK;
}

static bool try_local(tw_observer *o, struct tw_message *m, const struct tw_frame *f, enum tw_version v,
                      enum tw_direction dir, size_t index)
{
    if (open_with(o, m, f, v, dir, local_key(o, index)) != TW_OK || !m->encrypted || !proves_key(f, m))
        return false;
    o->local = index;
    tw__keyring_fitted(o->ring, index);
    /* What was expected of this connection was expected of another device: its address has been given away. */
    bool is_other = o->hint_local != TW_NO_INDEX && o->hint_local != index;
    if (is_other || o->hint_version < 0)
        o->hint_version = o->ring->keys[index]->version;
    return true;
}

/* A long connection that no key opens would cost all keys for every frame. A handshake is worth them, and frames of a
 * log need not belong together. */
static bool may_try(const tw_observer *o, const struct tw_frame *f, unsigned trials)
{
    return trials > 0 || o->roles == TW_ROLES_MIXED || tw_command_is_handshake(f->command);
}

/* Open with the local key of this connection; find it, if it is not known. The rc of the known key, TW_E_NO_KEY if
 * none fits. */
static int open_local(tw_observer *o, struct tw_message *m, const struct tw_frame *f, enum tw_version v,
                      enum tw_direction dir)
{
    int rc = TW_E_NO_KEY;
    if (o->local != TW_NO_INDEX) {
        rc = open_with(o, m, f, v, dir, local_key(o, o->local));
        if (rc == TW_OK)
            return TW_OK;
    }
    if (!may_try(o, f, o->local_trials))
        return rc;
    if (o->hint_local != TW_NO_INDEX && try_local(o, m, f, v, dir, o->hint_local))
        return TW_OK;
    for (size_t i = 0; i < o->ring->n; i++)
        if (o->ring->order[i] != o->local && try_local(o, m, f, v, dir, o->ring->order[i]))
            return TW_OK;
    if (o->our_error == TW_OK && o->local_trials > 0)
        o->local_trials--;
    return rc;
}

/* What the frame says for itself stays; an attempt to open it has left the message empty. */
static void fail(struct tw_observed *ev, int error, enum tw_why why, enum tw_checked checked)
{
    ev->message.direction = ev->direction;
    ev->message.seq = ev->frame.seq;
    ev->message.command = ev->frame.command;
    ev->error = error;
    ev->why = why;
    ev->checked = checked;
}

static void fail_damaged(struct tw_observed *ev)
{
    fail(ev, TW_E_INTEGRITY, TW_WHY_DAMAGED, TW_CHECK_BAD);
}

static void fail_without_key(const tw_observer *o, struct tw_observed *ev, enum tw_checked checked)
{
    fail(ev, TW_E_NO_KEY, o->ring->n == 0 ? TW_WHY_NO_KEYS : TW_WHY_NO_KEY_FITS, checked);
}

/* A check value that takes a key tells which, also where there is nothing to decrypt. */
static void succeed(const tw_observer *o, struct tw_observed *ev, enum tw_key_kind kind)
{
    ev->error = TW_OK;
    ev->why = TW_WHY_NOTHING;
    ev->checked = TW_CHECK_OK;
    bool used = ev->message.encrypted || ev->frame.integrity != TW_INTEGRITY_CRC32;
    ev->key_kind = used ? kind : TW_KEY_NONE;
    ev->key_index = o->local;
    if (used)
        ev->key = kind == TW_KEY_SESSION ? o->sessions[o->streams[o->active].preferred].key : local_key(o, o->local);
}

static void learn_version(tw_observer *o, struct tw_observed *ev, enum tw_version v)
{
    o->version = v;
    o->version_known = true;
    ev->version_known = true;
}

/* ---- 3.1, 3.2, 3.3: frames with a CRC (spec sections 8.4 step 4 and 8.5) -------------------------------------------- */

enum form { FORM_EMPTY, FORM_SIGNED, FORM_HEADER, FORM_CLEAR, FORM_BLOCKS, FORM_OTHER };

static bool is_hex(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f') || (p[i] >= 'A' && p[i] <= 'F')))
            return false;
    return true;
}

static bool has_signature(struct tw_span s)
{
    return s.len >= 3 + TW_SIGNATURE_LEN && memcmp(s.data, "3.1", 3) == 0 && is_hex(s.data + 3, TW_SIGNATURE_LEN);
}

static bool has_clear_header(struct tw_span s)
{
    return s.len >= TW_HEADER_LEN && s.data[0] == '3' && s.data[1] == '.' && s.data[2] >= '0' && s.data[2] <= '9' &&
           (s.len - TW_HEADER_LEN) % TW__BLOCK == 0;
}

/* Ciphertext begins with { in one of 256 messages; then the rest decides. */
static bool is_clear_text(struct tw_span s)
{
    if (s.data[0] == '{')
        return s.len % TW__BLOCK != 0 || tw_json_check(s) == TW_OK;
    return is_printable(s);
}

static enum form form_of(struct tw_span s)
{
    if (s.len == 0)
        return FORM_EMPTY;
    if (has_signature(s))
        return FORM_SIGNED;
    if (has_clear_header(s))
        return FORM_HEADER;
    if (is_clear_text(s))
        return FORM_CLEAR;
    return s.len % TW__BLOCK == 0 ? FORM_BLOCKS : FORM_OTHER;
}

/* The body behind a return code. Devices have one, but for a test double (tuyapi's stub) that leaves it out. */
static struct tw_span behind_retcode(struct tw_span body, enum tw_direction dir)
{
    if (dir == TW_TO_DEVICE || body.len < TW_RETCODE_LEN || begins_json_or_header(body.data, body.len))
        return body;
    struct tw_span rest = {body.data + TW_RETCODE_LEN, body.len - TW_RETCODE_LEN};
    if (body.len % TW__BLOCK == 0 && !is_retcode(body.data) && tw_json_check(rest) != TW_OK)
        return body;
    return rest;
}

static bool is_clear_version(int v)
{
    return v == TW_V31 || v == TW_V32;
}

/* The version of the device that a clear body names, once per connection. */
static void look_up_device(tw_observer *o, struct tw_span clear)
{
    struct tw_body body;
    if (o->id_looked_up || o->ring->n == 0 || tw_body_parse(&body, clear) != TW_OK)
        return;
    o->id_looked_up = true;
    size_t i = tw_keyring_find(o->ring, body.dev_id.len > 0 ? body.dev_id : body.gw_id);
    if (i == TW_NO_INDEX)
        return;
    o->hint_local = i;
    if (o->ring->keys[i]->version >= 0)
        o->hint_version = o->ring->keys[i]->version;
}

/* Clear JSON is 3.1 or 3.2, which look alike until a control comes; an error text may also come from 3.3. */
static enum tw_version version_of_clear(tw_observer *o, struct tw_span s)
{
    look_up_device(o, s);
    if (o->version_known && (is_clear_version(o->version) || s.data[0] != '{'))
        return o->version;
    if (is_clear_version(o->hint_version) || (s.data[0] != '{' && o->hint_version == TW_V33))
        return (enum tw_version)o->hint_version;
    return s.data[0] == '{' ? TW_V31 : TW_V33;
}

struct version_guess {
    enum tw_version version;
    bool stands;  /* more than the default */
    bool certain; /* the bytes prove it, for the whole connection */
};

/* What the form of one body says about the version. */
static struct version_guess crc_version(tw_observer *o, enum form form, struct tw_span s)
{
    bool hint_fits = o->hint_version >= TW_V31 && o->hint_version <= TW_V33;
    enum tw_version v = o->version_known && o->version <= TW_V33 ? o->version
                        : hint_fits                              ? (enum tw_version)o->hint_version
                                                                 : TW_V33;
    switch (form) {
    case FORM_SIGNED: return (struct version_guess){TW_V31, true, true};
    case FORM_HEADER:
        /* One client writes 3.3 in the headers of 3.2 (tuyapi): what is known of the device goes first. */
        return (struct version_guess){s.data[2] == '2' || v == TW_V32 ? TW_V32 : TW_V33, true, true};
    case FORM_BLOCKS:
        return (struct version_guess){v == TW_V32 ? TW_V32 : TW_V33, true, !is_clear_version(o->hint_version)};
    case FORM_CLEAR:
        return (struct version_guess){version_of_clear(o, s), s.data[0] == '{' || o->version_known || hint_fits,
                                      false};
    default: return (struct version_guess){v, o->version_known || hint_fits, false};
    }
}

static void open_crc(tw_observer *o, struct tw_observed *ev, enum tw_direction dir)
{
    const struct tw_frame *f = &ev->frame;
    struct tw_span content = behind_retcode(f->body, dir);
    enum form form = form_of(content);
    struct version_guess guess = crc_version(o, form, content);
    int hint = o->hint_version;
    bool encrypted = form == FORM_SIGNED || form == FORM_HEADER || form == FORM_BLOCKS;
    const uint8_t *key = o->local != TW_NO_INDEX ? local_key(o, o->local) : NULL;
    struct tw_message *m = &ev->message;
    int rc = encrypted ? open_local(o, m, f, guess.version, dir) : open_with(o, m, f, guess.version, dir, key);
    if (rc == TW_E_NO_KEY && !tw_frame_crc_matches(f))
        rc = TW_E_INTEGRITY; /* no key opens a damaged frame */
    if (o->hint_version != hint)
        guess = crc_version(o, form, content); /* the key that fits knows better; 3.2 and 3.3 open alike */
    ev->message.version = guess.version;
    ev->version_known = guess.stands;
    if (guess.certain && rc != TW_E_INTEGRITY)
        learn_version(o, ev, guess.version);
    if (rc == TW_OK)
        succeed(o, ev, TW_KEY_LOCAL);
    else if (rc == TW_E_NO_KEY)
        fail_without_key(o, ev, TW_CHECK_OK);
    else if (rc == TW_E_INTEGRITY)
        fail_damaged(ev);
    else
        fail(ev, rc, TW_WHY_MALFORMED, TW_CHECK_OK);
}

/* ---- 3.4, 3.5: frames under a session (spec section 8.6) -------------------------------------------------------------- */

static void remember_client_nonce(tw_observer *o, const uint8_t *nonce)
{
    if (o->n_client_nonces > 0 && memcmp(o->client_nonces[0], nonce, TW_SESSION_NONCE_LEN) == 0)
        return;
    size_t keep = o->n_client_nonces < TW__N_REMEMBERED ? o->n_client_nonces : TW__N_REMEMBERED - 1;
    memmove(o->client_nonces[1], o->client_nonces[0], keep * TW_SESSION_NONCE_LEN);
    memcpy(o->client_nonces[0], nonce, TW_SESSION_NONCE_LEN);
    o->n_client_nonces = keep + 1;
}

/* The place of a session in the list, or n_sessions. */
static size_t place_of_session(const tw_observer *o, const uint8_t key[TW_KEY_LEN])
{
    size_t i = 0;
    while (i < o->n_sessions && !tw__equal(o->sessions[i].key, key, TW_KEY_LEN))
        i++;
    return i;
}

/* The newest session is tried first; older ones stay until they are pushed out, since frames under them may still come.
 * @return NULL: it was known */
static const struct tw_session_secret *add_session(tw_observer *o, const struct tw_session_secret *secret)
{
    size_t place = place_of_session(o, secret->key);
    bool known = place < o->n_sessions;
    if (place == TW__N_REMEMBERED)
        place--;
    memmove(o->sessions + 1, o->sessions, place * sizeof *o->sessions);
    o->sessions[0] = *secret;
    if (place == o->n_sessions)
        o->n_sessions++;
    o->closed_handshake = o->half_handshake = false;
    for (int i = 0; i < 2; i++) { /* the session that opened the last frame has moved */
        size_t *preferred = &o->streams[i].preferred;
        if (*preferred < place)
            ++*preferred;
        else if (*preferred == place && known)
            *preferred = 0;
    }
    return known ? NULL : &o->sessions[0];
}

static bool proves(tw_observer *o, const uint8_t *proof, const uint8_t *nonce)
{
    uint8_t expected[TW_HMAC_LEN];
    return note_ours(o, tw_session_proof(expected, o->ring->crypto, local_key(o, o->local), nonce)) == TW_OK &&
           tw__equal(expected, proof, TW_HMAC_LEN);
}

/* The client nonce that RESP proves: one that was seen, the constant of old clients, or one out of a key log. */
static const uint8_t *proven_client_nonce(tw_observer *o, const uint8_t *proof)
{
    for (size_t i = 0; i < o->n_client_nonces; i++)
        if (proves(o, proof, o->client_nonces[i]))
            return o->client_nonces[i];
    if (proves(o, proof, historic_nonce))
        return historic_nonce;
    if (o->session_trials == 0)
        return NULL;
    o->session_trials--;
    for (size_t i = 0; i < o->ring->n_sessions; i++)
        if (proves(o, proof, o->ring->sessions[i].client_nonce))
            return o->ring->sessions[i].client_nonce;
    return NULL;
}

/* Both nonces are known: so is the session key. resp: device nonce and proof. */
static void learn_session(tw_observer *o, struct tw_observed *ev, enum tw_version v, const uint8_t *client_nonce,
                          const uint8_t *resp)
{
    struct tw_session_secret secret = {.version = v};
    memcpy(secret.client_nonce, client_nonce, TW_SESSION_NONCE_LEN);
    int rc = tw_session_derive(secret.key, o->ring->crypto, v, local_key(o, o->local), client_nonce, resp);
    if (note_ours(o, rc) == TW_OK)
        ev->session = add_session(o, &secret);
    tw__wipe(&secret, sizeof secret);
}

static void learn_from_start(tw_observer *o, struct tw_observed *ev, enum tw_version v, struct tw_span payload)
{
    if (payload.len < TW_SESSION_NONCE_LEN)
        return;
    remember_client_nonce(o, payload.data);
    if (!o->has_orphan || !proves(o, o->orphan + TW_SESSION_NONCE_LEN, payload.data))
        return;
    o->has_orphan = o->half_handshake = false;
    learn_session(o, ev, v, payload.data, o->orphan);
}

static void learn_from_resp(tw_observer *o, struct tw_observed *ev, enum tw_version v, struct tw_span payload)
{
    if (payload.len < TW_SESSION_RESP_LEN)
        return;
    const uint8_t *client_nonce = proven_client_nonce(o, payload.data + TW_SESSION_NONCE_LEN);
    o->half_handshake = o->has_orphan = client_nonce == NULL;
    if (client_nonce != NULL)
        learn_session(o, ev, v, client_nonce, payload.data);
    else
        memcpy(o->orphan, payload.data, sizeof o->orphan);
}

static void open_handshake(tw_observer *o, struct tw_observed *ev, enum tw_version v, enum tw_direction dir)
{
    struct tw_message *m = &ev->message;
    int rc = open_local(o, m, &ev->frame, v, dir);
    bool is_finish = ev->frame.command == TW_CMD_SESS_KEY_NEG_FINISH; /* adds nothing to a session that is known */
    o->closed_handshake |= rc != TW_OK && !(is_finish && o->n_sessions > 0);
    o->session_trials = TW__N_TRIALS; /* what follows is under another session than what came before */
    if (rc == TW_OK) {
        succeed(o, ev, TW_KEY_LOCAL);
        if (m->command == TW_CMD_SESS_KEY_NEG_START)
            learn_from_start(o, ev, v, m->payload);
        if (m->command == TW_CMD_SESS_KEY_NEG_RESP)
            learn_from_resp(o, ev, v, m->payload);
    } else if (rc == TW_E_NO_KEY) {
        fail_without_key(o, ev, TW_CHECK_UNCHECKED);
    } else if (rc == TW_E_INTEGRITY) {
        fail_damaged(ev);
    } else {
        fail(ev, rc, TW_WHY_MALFORMED, TW_CHECK_OK);
    }
}

/* Session keys of this connection: the one that fitted last in this direction, then from the newest. */
static int open_session(tw_observer *o, struct tw_message *m, const struct tw_frame *f, enum tw_version v,
                        enum tw_direction dir)
{
    struct tw__stream *s = &o->streams[o->active];
    if (o->n_sessions == 0)
        return TW_E_NO_SESSION;
    if (s->preferred >= o->n_sessions)
        s->preferred = 0;
    int rc = open_with(o, m, f, v, dir, o->sessions[s->preferred].key);
    for (size_t i = 0; rc == TW_E_INTEGRITY && i < o->n_sessions; i++) {
        if (i == s->preferred)
            continue;
        rc = open_with(o, m, f, v, dir, o->sessions[i].key);
        if (rc != TW_E_INTEGRITY)
            s->preferred = i;
    }
    return rc;
}

/* Session keys of a log, for what follows a handshake that could not be read. */
static int open_logged(tw_observer *o, struct tw_message *m, const struct tw_frame *f, enum tw_version v,
                       enum tw_direction dir)
{
    if (o->sessions_seen < o->ring->n_sessions) { /* the log of a live capture grows */
        o->sessions_seen = o->ring->n_sessions;
        o->session_trials = TW__N_TRIALS;
    }
    if (!may_try(o, f, o->session_trials))
        return TW_E_NO_SESSION;
    for (size_t i = o->ring->n_sessions; i-- > 0;) { /* a log grows at its end */
        const struct tw_session_secret *secret = &o->ring->sessions[i];
        if (secret->version != v)
            continue;
        int rc = open_with(o, m, f, v, dir, secret->key);
        if (rc == TW_E_INTEGRITY)
            continue;
        add_session(o, secret);
        o->streams[o->active].preferred = 0;
        return rc;
    }
    if (o->our_error == TW_OK && o->session_trials > 0)
        o->session_trials--;
    return TW_E_NO_SESSION;
}

/* Why a frame under a session stayed closed. */
static void fail_without_session(const tw_observer *o, struct tw_observed *ev)
{
    if (o->n_sessions > 0 && !o->closed_handshake && !o->half_handshake)
        fail_damaged(ev);
    else if (o->half_handshake)
        fail(ev, TW_E_NO_SESSION, TW_WHY_HALF_HANDSHAKE, TW_CHECK_UNCHECKED);
    else if (o->closed_handshake && o->local == TW_NO_INDEX)
        fail(ev, TW_E_NO_KEY, o->ring->n == 0 ? TW_WHY_NO_KEYS : TW_WHY_NO_SESSION_FITS, TW_CHECK_UNCHECKED);
    else
        fail(ev, TW_E_NO_SESSION, TW_WHY_NO_HANDSHAKE, TW_CHECK_UNCHECKED);
}

static void open_under_session(tw_observer *o, struct tw_observed *ev, enum tw_version v, enum tw_direction dir)
{
    const struct tw_frame *f = &ev->frame;
    struct tw_message *m = &ev->message;
    int rc = open_session(o, m, f, v, dir);
    if (rc == TW_E_NO_SESSION || rc == TW_E_INTEGRITY)
        rc = open_logged(o, m, f, v, dir);
    if (rc == TW_OK) {
        succeed(o, ev, TW_KEY_SESSION);
        return;
    }
    if (rc != TW_E_NO_SESSION) {
        fail(ev, rc, TW_WHY_MALFORMED, TW_CHECK_OK);
        return;
    }
    /* Vendor devices push under the local key while they have no session key, or one that begins with 00. */
    if (open_local(o, m, f, v, dir) == TW_OK) {
        succeed(o, ev, TW_KEY_LOCAL);
        ev->why = TW_WHY_LOCAL_KEY;
        return;
    }
    fail_without_session(o, ev);
}

static void open_negotiated(tw_observer *o, struct tw_observed *ev, enum tw_version v, enum tw_direction dir)
{
    learn_version(o, ev, v);
    if (tw_command_is_handshake(ev->frame.command))
        open_handshake(o, ev, v, dir);
    else
        open_under_session(o, ev, v, dir);
    ev->message.version = v;
}

/* ---- Any frame (spec section 8.4) ------------------------------------------------------------------------------------ */

static bool fits_hmac(const struct tw_frame *f)
{
    size_t rest = f->body.len % TW__BLOCK;
    return rest == 0 || rest == TW_RETCODE_LEN;
}

static void open_55aa(tw_observer *o, struct tw_observed *ev, enum tw_direction dir)
{
    const struct tw_frame as_crc = ev->frame;
    struct tw_frame as_hmac = as_crc;
    bool may_be_hmac = tw_frame_reframe(&as_hmac, TW_INTEGRITY_HMAC) == TW_OK && fits_hmac(&as_hmac);
    bool is_34 = o->version_known && o->version == TW_V34;
    if (is_34 && may_be_hmac) {
        ev->frame = as_hmac;
        open_negotiated(o, ev, TW_V34, dir);
        if (ev->error == TW_OK || ev->checked == TW_CHECK_OK)
            return;
    }
    if (tw_frame_crc_matches(&as_crc)) {
        o->crc_seen = true;
        o->version_known = false; /* another version on the same connection; 3.4 was a guess or is over */
        ev->frame = as_crc;
        open_crc(o, ev, dir);
        return;
    }
    if (!may_be_hmac || o->crc_seen) {
        ev->frame = as_crc;
        ev->message.version = o->version;
        fail_damaged(ev);
        return;
    }
    ev->frame = as_hmac;
    if (!is_34)
        open_negotiated(o, ev, TW_V34, dir);
}

/* A connection that has shown a CRC is asked for that first. */
static void open_55aa_crc_first(tw_observer *o, struct tw_observed *ev, enum tw_direction dir)
{
    bool version_known = o->version_known;
    open_crc(o, ev, dir);
    if (ev->error != TW_E_INTEGRITY || tw_frame_crc_matches(&ev->frame))
        return;
    struct tw_frame as_hmac = ev->frame;
    if (tw_frame_reframe(&as_hmac, TW_INTEGRITY_HMAC) != TW_OK || !fits_hmac(&as_hmac) ||
        !tw_command_is_handshake(as_hmac.command))
        return; /* damaged */
    /* A client that tries 3.4 after 3.3: its handshake is looked at, and believed if it opens. */
    struct tw_observed as_34 = *ev;
    as_34.frame = as_hmac;
    enum tw_version version = o->version;
    open_negotiated(o, &as_34, TW_V34, dir);
    if (as_34.error == TW_OK) {
        *ev = as_34;
        return;
    }
    o->version = version;
    o->version_known = version_known;
}

/* A 6699 frame of unknown direction: its plaintext tells. */
static void find_direction_inside(tw_observer *o, struct tw_observed *ev)
{
    struct tw_span p = ev->message.payload;
    if (ev->direction_known || ev->error != TW_OK)
        return;
    if (p.len == 0 || begins_json_or_header(p.data, p.len) || ev->message.has_header) {
        ev->direction_known = true; /* opened as a frame to the device, and it is one */
        return;
    }
    if (p.len < TW_RETCODE_LEN || !is_retcode(p.data))
        return;
    ev->direction_known = true;
    ev->direction = TW_FROM_DEVICE;
    const uint8_t *key =
        ev->key_kind == TW_KEY_SESSION ? o->sessions[o->streams[o->active].preferred].key : local_key(o, o->local);
    open_with(o, &ev->message, &ev->frame, TW_V35, TW_FROM_DEVICE, key);
}

/* see observer.h */
void tw__observer_open(tw_observer *o, struct tw_observed *ev, enum tw_direction label)
{
    enum tw_direction dir = find_direction(o, ev, &ev->frame, label);
    o->our_error = TW_OK;
    ev->has_frame = ev->has_header_fields = true;
    ev->message.direction = dir;
    ev->message.seq = ev->frame.seq;
    ev->message.command = ev->frame.command;
    if (ev->frame.envelope == TW_ENVELOPE_6699) {
        open_negotiated(o, ev, TW_V35, dir);
        if (o->roles == TW_ROLES_MIXED)
            find_direction_inside(o, ev);
    } else if (o->crc_seen && !(o->version_known && o->version == TW_V34)) {
        open_55aa_crc_first(o, ev, dir);
    } else {
        open_55aa(o, ev, dir);
    }
    if (o->our_error != TW_OK)
        fail(ev, o->our_error, TW_WHY_OURS, TW_CHECK_UNCHECKED);
}
