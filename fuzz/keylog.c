/* keylog.c - a key log is read whole or refused with a reason, and each line that was read can be written again.
 *
 * Reaches: keylog_parse() in common/keylog.c. Input: a file. The last word of 32 hex digits is a secret: memory that was
 * given back does not hold it. */
#include "common/fuzz.h"
#include <stdio.h>
#include <string.h>
#include "common/hex.h"
#include "common/keylog.h"

const struct fuzz_harness fuzz_harness = {
    .name = "keylog",
    .claim = "a key log is read whole or refused with a reason, and its lines survive being written again",
    .form = FUZZ_TEXT,
};

static size_t write_line(char *out, size_t cap, const struct keylog_entry *e)
{
    char nonce[33], key[33];
    for (int i = 0; i < 16; i++) {
        snprintf(nonce + 2 * i, 3, "%02x", e->client_nonce[i]);
        snprintf(key + 2 * i, 3, "%02x", e->key[i]);
    }
    return (size_t)snprintf(out, cap, "TUYA_SESSION %s %s %s %s\n", tw_version_name(e->version), nonce, key,
                            e->device_id);
}

static void keep_last_key_secret(const uint8_t *data, size_t size)
{
    static const uint8_t wiped[16];
    uint8_t key[16];
    for (size_t at = size; at >= 32; at--)
        if (hex_read(key, sizeof key, (const char *)data + at - 32)) {
            fuzz_keep_secret(memcmp(key, wiped, sizeof key) != 0 ? key : NULL);
            return;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct keylog k = {0}, again = {0};
    struct why why = {0};
    char line[256];
    keep_last_key_secret(data, size);
    int rc = keylog_parse(&k, (const char *)data, size, "input", &why);
    fuzz_gate(rc == 0);
    CHECK(rc == 0 || rc == -1);
    if (rc != 0) {
        fuzz_keep_secret(NULL);
        CHECK(why.text[0] != '\0');
        return 0;
    }
    for (size_t i = 0; i < k.n; i++) {
        const struct keylog_entry *e = &k.entries[i];
        CHECK(e->version == TW_V34 || e->version == TW_V35);
        size_t len = write_line(line, sizeof line, e);
        CHECK(keylog_parse(&again, line, len, "again", &why) == 0 && again.n == 1);
        CHECK(again.entries[0].version == e->version && memcmp(again.entries[0].key, e->key, 16) == 0);
        CHECK(memcmp(again.entries[0].client_nonce, e->client_nonce, 16) == 0);
        CHECK(strcmp(again.entries[0].device_id, e->device_id) == 0);
        keylog_free(&again);
    }
    keylog_free(&k);
    fuzz_keep_secret(NULL);
    return 0;
}
