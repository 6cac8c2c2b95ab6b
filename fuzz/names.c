/* names.c - whatever number comes off the wire has a name or none, and never breaks the one who asks.
 *
 * Reaches: tw_strerror(), tw_error_name(), tw_command_name(), tw_retcode(), tw_version_parse() and friends, and the
 * keyring. Input: text; its first bytes are also the numbers. */
#include "common/fuzz.h"
#include <string.h>
#include "tuyawire/error.h"
#include "tuyawire/message.h"
#include "tuyawire/observer.h"

const struct fuzz_harness fuzz_harness = {
    .name = "names",
    .claim = "every number has a name or none, and a key that was added is found again",
    .form = FUZZ_TEXT,
    .context_len = 0,
};

static void check_numbers(uint32_t n)
{
    int code = -(int)(n % 64);
    CHECK(tw_strerror(code) != NULL && tw_strerror(code)[0] != '\0');
    CHECK(tw_error_name(code) != NULL && (code != 0 || strcmp(tw_error_name(code), "ok") == 0));
    const char *command = tw_command_name(n % 0x50);
    CHECK(command == NULL || command[0] != '\0');
    CHECK(tw_command_is_handshake(n) == (n >= 3 && n <= 5));
    CHECK((tw_retcode(n) == 0) == (n == 0));
    const char *version = tw_version_name((enum tw_version)(n % 8));
    CHECK((n % 8 < TW_N_VERSIONS) == (tw_version_traits((enum tw_version)(n % 8)) != NULL));
    CHECK(version != NULL && (n % 8 < TW_N_VERSIONS) == (version[0] == '3'));
}

static void check_keyring(const uint8_t *data, size_t size)
{
    tw_keyring *k;
    uint8_t key[16];
    CHECK(tw_keyring_new(&k) == TW_OK);
    size_t n = 0;
    for (size_t at = 0; at + 17 <= size && n < 40; at += 17, n++) {
        enum tw_version v = (enum tw_version)(data[at] % TW_N_VERSIONS);
        struct tw_span id = {data + at + 1, data[at] % 9};
        memcpy(key, data + at + 1, 16);
        CHECK(tw_keyring_add(k, key, id, data[at] & 0x80 ? &v : NULL) == TW_OK && tw_keyring_size(k) == n + 1);
        struct tw_keyring_entry e = tw_keyring_get(k, n);
        CHECK(memcmp(e.key, key, 16) == 0 && e.id.len == id.len && e.has_version == ((data[at] & 0x80) != 0));
        if (id.len > 0) {
            size_t found = tw_keyring_find(k, id);
            CHECK(found <= n && tw_keyring_get(k, found).id.len == id.len);
        }
        struct tw_session_secret secret = {.version = v};
        memcpy(secret.key, key, 16);
        CHECK((tw_keyring_add_session(k, &secret) == TW_OK) == (v >= TW_V34));
    }
    CHECK(tw_keyring_find(k, (struct tw_span){(const uint8_t *)"nobody", 6}) == TW_NO_INDEX || size > 0);
    CHECK(tw_keyring_crypto(k) != NULL);
    tw_keyring_free(k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum tw_version v = TW_V31;
    int rc = tw_version_parse(&v, (const char *)data, size);
    fuzz_gate(rc == TW_OK);
    CHECK(rc == TW_OK || (rc == TW_E_ARGUMENT && v == TW_V31));
    if (rc == TW_OK)
        CHECK(strlen(tw_version_name(v)) == size && memcmp(tw_version_name(v), data, size) == 0);
    for (size_t at = 0; at + 4 <= size && at < 256; at += 4)
        check_numbers((uint32_t)data[at] << 24 | (uint32_t)data[at + 1] << 16 | (uint32_t)data[at + 2] << 8 |
                      data[at + 3]);
    check_keyring(data, size);
    return 0;
}
