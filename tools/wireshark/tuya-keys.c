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

/* ---- the ring ------------------------------------------------------------------------------------------------- */

static GPtrArray *ring; /* of struct tuya_key: n_local local keys, then session keys */
static GArray *in_log;  /* of int: which of them are from the key log */
static int n_local;
static struct devices devices;
static gint64 log_size; /* bytes of the key log when it was read last */
static guint log_taken; /* entries of it that are in the ring */

static int ring_add(struct tuya_key k)
{
    struct tuya_key *kept = g_new(struct tuya_key, 1);
    *kept = k;
    g_ptr_array_add(ring, kept);
    return (int)ring->len - 1;
}

static void ring_free(gpointer p)
{
    struct tuya_key *k = p;
    volatile uint8_t *key = k->key; /* volatile: the bytes go even though nobody reads them again */
    for (int i = 0; i < TW_KEY_LEN; i++)
        key[i] = 0;
    g_free(k->device);
    g_free(k->note);
    g_free(k);
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

static bool given(const char *path)
{
    return path != NULL && path[0] != '\0';
}

static void take_rows(void)
{
    for (guint i = 0; i < n_rows; i++) {
        struct tuya_key k = {0};
        if (rows[i].key == NULL || opt_key(k.key, rows[i].key, NULL) != 0)
            continue; /* the table refuses such rows; one edited by hand may hold them */
        bool any = !given(rows[i].device) || strcmp(rows[i].device, "*") == 0;
        k.device = any ? NULL : g_strdup(rows[i].device);
        k.note = given(rows[i].note) ? g_strdup(rows[i].note) : g_strdup("from the table of keys");
        ring_add(k);
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
        if (e->key_state != DEVICES_KEY_OK || e->sub)
            continue;
        struct tuya_key k = {.device = g_strdup(e->id), .note = g_strdup(given(e->name) ? e->name : e->id)};
        memcpy(k.key, e->key, TW_KEY_LEN);
        ring_add(k);
    }
}

static bool take_log(void)
{
    struct why why;
    struct keylog log;
    GStatBuf st;
    log_size = g_stat(keylog_path_pref, &st) == 0 ? (gint64)st.st_size : -1;
    if (keylog_load(&log, keylog_path_pref, &why) != 0) {
        complain("key log", &why);
        return false;
    }
    bool more = log.n > log_taken;
    for (size_t i = log_taken; i < log.n; i++) {
        const struct keylog_entry *e = &log.entries[i];
        struct tuya_key k = {
            .device = e->device_id[0] != '\0' ? g_strdup(e->device_id) : NULL,
            .note = g_strdup("from the key log"),
            .version = e->version,
            .from_log = true,
        };
        memcpy(k.key, e->key, TW_KEY_LEN);
        int at = ring_add(k);
        g_array_append_val(in_log, at);
    }
    log_taken = MAX(log_taken, (guint)log.n);
    keylog_free(&log);
    return more;
}

/* see tuya-keys.h */
void tuya_keys_fill(void)
{
    tuya_keys_wipe();
    ring = g_ptr_array_new_with_free_func(ring_free);
    in_log = g_array_new(FALSE, TRUE, sizeof(int));
    take_rows();
    take_devices();
    n_local = (int)ring->len;
    if (given(keylog_path_pref))
        take_log();
}

/* see tuya-keys.h */
void tuya_keys_wipe(void)
{
    if (ring == NULL)
        return;
    g_ptr_array_free(ring, TRUE);
    g_array_free(in_log, TRUE);
    ring = NULL;
    in_log = NULL;
    devices_free(&devices);
    devices = (struct devices){0};
    n_local = 0;
    log_size = 0;
    log_taken = 0;
}

/* see tuya-keys.h */
int tuya_keys_n_local(void)
{
    return n_local;
}

/* see tuya-keys.h */
int tuya_keys_n(void)
{
    return ring == NULL ? 0 : (int)ring->len;
}

/* see tuya-keys.h */
const struct tuya_key *tuya_keys_at(int at)
{
    return g_ptr_array_index(ring, at);
}

/* see tuya-keys.h */
int tuya_keys_add_session(const uint8_t key[TW_KEY_LEN], enum tw_version v, int local)
{
    struct tuya_key k = {.version = v};
    memcpy(k.key, key, TW_KEY_LEN);
    k.device = g_strdup(tuya_keys_at(local)->device);
    k.note = g_strdup(tuya_keys_at(local)->note);
    return ring_add(k);
}

/* see tuya-keys.h */
bool tuya_keys_log_grew(void)
{
    GStatBuf st;
    if (!given(keylog_path_pref) || g_stat(keylog_path_pref, &st) != 0 || (gint64)st.st_size == log_size)
        return false;
    return take_log();
}

/* see tuya-keys.h */
int tuya_keys_log_at(unsigned n)
{
    return in_log != NULL && n < in_log->len ? g_array_index(in_log, int, n) : TUYA_NO_KEY;
}

/* see tuya-keys.h */
const struct devices_entry *tuya_keys_device(const char *id)
{
    if (devices.n == 0)
        return NULL;
    return devices_by_id(&devices, (struct tw_span){(const uint8_t *)id, strlen(id)});
}
