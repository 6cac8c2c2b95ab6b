/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tuya-keys.c - preferences, files and the ring of keys; the idea is in tuya-keys.h. */
#include "tuya-keys.h"
#include <string.h>
#include <glib/gstdio.h>
#include <epan/packet.h>
#include <epan/uat.h>
#include <wsutil/report_message.h>
#include "common/keylog.h"
#include "common/options.h"

/* ---- the table of keys ---------------------------------------------------------------------------------------- */

struct key_row {
    char *device, *key, *note;
};

static struct key_row *rows;
static guint n_rows;
static const char *devices_path = "", *keylog_path_pref = "";

UAT_CSTRING_CB_DEF(tuya_keys, device, struct key_row)
UAT_CSTRING_CB_DEF(tuya_keys, key, struct key_row)
UAT_CSTRING_CB_DEF(tuya_keys, note, struct key_row)

static gboolean check_key(void *record _U_, const char *text, unsigned len, const void *chk _U_, const void *fld _U_,
                          char **error)
{
    struct why why;
    uint8_t key[TW_KEY_LEN];
    char *copy = g_strndup(text != NULL ? text : "", len);
    bool good = opt_key(key, copy, &why) == 0;
    *error = good ? NULL : g_strdup(why.text);
    memset(key, 0, sizeof key);
    g_free(copy);
    return good;
}

static void *copy_row(void *to, const void *from, size_t len _U_)
{
    struct key_row *a = to;
    const struct key_row *b = from;
    a->device = g_strdup(b->device);
    a->key = g_strdup(b->key);
    a->note = g_strdup(b->note);
    return to;
}

static void free_row(void *record)
{
    struct key_row *r = record;
    g_free(r->device);
    g_free(r->key);
    g_free(r->note);
}

/* see tuya-keys.h */
void tuya_keys_preferences(module_t *module)
{
    static uat_field_t fields[] = {
        UAT_FLD_CSTRING(tuya_keys, device, "Device id", "The id of the device this key belongs to, or * if unknown"),
        UAT_FLD_CSTRING_OTHER(tuya_keys, key, "Local key", check_key, "16 characters, or hex: and 32 hex digits"),
        UAT_FLD_CSTRING(tuya_keys, note, "Note", "A name for people; it is shown where the key fits"),
        UAT_END_FIELDS,
    };
    uat_t *table = uat_new("Tuya local keys", sizeof(struct key_row), "tuya_keys", TRUE, &rows, &n_rows,
                           UAT_AFFECTS_DISSECTION, NULL, copy_row, NULL, free_row, NULL, NULL, fields);
    prefs_register_uat_preference(module, "keys", "Local keys",
                                  "Keys of devices. Which key belongs to which connection is found by trying.",
                                  table);
    prefs_register_filename_preference(module, "devices", "devices.json",
                                       "A list of devices as TinyTuya's wizard writes it: keys, names, and what the "
                                       "data points mean.",
                                       &devices_path, FALSE);
    prefs_register_filename_preference(module, "keylog", "Key log",
                                       "Session keys of 3.4 and 3.5 connections, one line each: TUYA_SESSION "
                                       "<version> <client nonce> <session key> [device id]. It is read again when it "
                                       "grows.",
                                       &keylog_path_pref, FALSE);
}

/* ---- the keys --------------------------------------------------------------------------------------------------- */

static tw_keyring *ring;
static GHashTable *known; /* the key's bytes -> struct tuya_key, which owns them */
static struct devices devices;
static gint64 log_size, log_time; /* of the key log when it was read last: bytes, second of its last change */

/* Keys are as good as random: their first bytes are hash enough. */
static guint hash_key(gconstpointer key)
{
    guint h;
    memcpy(&h, key, sizeof h);
    return h;
}

static gboolean equal_keys(gconstpointer a, gconstpointer b)
{
    return memcmp(a, b, TW_KEY_LEN) == 0;
}

static void free_key(gpointer p)
{
    struct tuya_key *k = p;
    volatile uint8_t *key = k->key; /* volatile: the bytes go even though nobody reads them again */
    for (int i = 0; i < TW_KEY_LEN; i++)
        key[i] = 0;
    g_free(k->device);
    g_free(k->note);
    g_free(k);
}

/* The first that brings a key names it. */
static const struct tuya_key *know(const uint8_t key[TW_KEY_LEN], const char *device, const char *note)
{
    struct tuya_key *k = g_hash_table_lookup(known, key);
    if (k != NULL)
        return k;
    k = g_new0(struct tuya_key, 1);
    memcpy(k->key, key, TW_KEY_LEN);
    k->device = g_strdup(device);
    k->note = g_strdup(note);
    g_hash_table_insert(known, k->key, k);
    return k;
}

static void add_local(const uint8_t key[TW_KEY_LEN], const char *device, const char *note, const enum tw_version *v)
{
    struct tw_span id = {(const uint8_t *)device, device == NULL ? 0 : strlen(device)};
    if (tw_keyring_add(ring, key, id, v) == TW_OK)
        know(key, device, note);
}

/* A file that cannot be used is said once, not at every new dissection of the same capture. */
static void complain(const char *what, const struct why *why)
{
    static char *last;
    char *text = g_strdup_printf("Tuya: %s: %s", what, why->text);
    if (g_strcmp0(last, text) != 0)
        report_failure("%s", text);
    g_free(last);
    last = text;
}

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static void take_rows(void)
{
    for (guint i = 0; i < n_rows; i++) {
        uint8_t key[TW_KEY_LEN];
        if (rows[i].key == NULL || opt_key(key, rows[i].key, NULL) != 0)
            continue; /* the table refuses such rows; one edited by hand may hold them */
        bool any = !given(rows[i].device) || strcmp(rows[i].device, "*") == 0;
        add_local(key, any ? NULL : rows[i].device, given(rows[i].note) ? rows[i].note : "from the table of keys",
                  NULL);
        memset(key, 0, sizeof key);
    }
}

/* A sub-device carries its gateway's key: the gateway is the one that speaks. */
static void take_devices(void)
{
    struct why why;
    if (!given(devices_path))
        return;
    if (devices_load(&devices, devices_path, &why) != 0) {
        complain("devices.json", &why);
        return;
    }
    for (size_t i = 0; i < devices.n; i++) {
        const struct devices_entry *e = &devices.entries[i];
        if (e->key_state == DEVICES_KEY_OK && !e->sub)
            add_local(e->key, e->id, given(e->name) ? e->name : e->id, e->has_version ? &e->version : NULL);
    }
}

static void take_log(void)
{
    struct why why;
    struct keylog log;
    GStatBuf st;
    bool is_there = g_stat(keylog_path_pref, &st) == 0;
    log_size = is_there ? (gint64)st.st_size : -1;
    log_time = is_there ? (gint64)st.st_mtime : 0;
    if (keylog_load(&log, keylog_path_pref, &why) != 0) {
        complain("key log", &why);
        return;
    }
    for (size_t i = 0; i < log.n; i++) {
        const struct keylog_entry *e = &log.entries[i];
        if (g_hash_table_contains(known, e->key))
            continue; /* taken when it was read before */
        struct tw_session_secret secret = {.version = e->version};
        memcpy(secret.client_nonce, e->client_nonce, TW_SESSION_NONCE_LEN);
        memcpy(secret.key, e->key, TW_KEY_LEN);
        if (tw_keyring_add_session(ring, &secret) == TW_OK)
            know(e->key, given(e->device_id) ? e->device_id : NULL, "from the key log");
        memset(&secret, 0, sizeof secret);
    }
    keylog_free(&log);
}

/* see tuya-keys.h */
void tuya_keys_fill(void)
{
    tuya_keys_wipe();
    if (tw_keyring_new(&ring) != TW_OK) {
        ring = NULL;
        return;
    }
    known = g_hash_table_new_full(hash_key, equal_keys, NULL, free_key);
    take_rows();
    take_devices();
    if (given(keylog_path_pref))
        take_log();
}

/* see tuya-keys.h */
void tuya_keys_wipe(void)
{
    if (ring == NULL)
        return;
    tw_keyring_free(ring);
    g_hash_table_destroy(known);
    devices_free(&devices);
    ring = NULL;
    known = NULL;
    devices = (struct devices){0};
    log_size = log_time = 0;
}

/* see tuya-keys.h */
tw_keyring *tuya_keyring(void)
{
    return ring;
}

/* see tuya-keys.h */
void tuya_keys_follow_log(void)
{
    GStatBuf st;
    if (given(keylog_path_pref) && g_stat(keylog_path_pref, &st) == 0 &&
        ((gint64)st.st_size != log_size || (gint64)st.st_mtime != log_time))
        take_log();
}

/* see tuya-keys.h */
const struct tuya_key *tuya_keys_know(const uint8_t key[TW_KEY_LEN], size_t local)
{
    const struct tuya_key *of = NULL;
    if (local != TW_NO_INDEX)
        of = g_hash_table_lookup(known, tw_keyring_get(ring, local).key);
    return know(key, of != NULL ? of->device : NULL, of != NULL ? of->note : "from the handshake");
}

static struct tw_span span_of(const char *text)
{
    return (struct tw_span){(const uint8_t *)text, text != NULL ? strlen(text) : 0};
}

/* see tuya-keys.h */
const struct devices_entry *tuya_keys_device(const char *id)
{
    return devices_by_id(&devices, span_of(id));
}

/* see tuya-keys.h */
const struct devices_entry *tuya_keys_owner(const char *id, struct tw_span cid)
{
    return devices_owner(&devices, span_of(id), cid);
}
