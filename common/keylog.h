/* common/keylog.h - session keys in a file, for others to decode with, without giving away the local key.
 *
 *   # comment
 *   TUYA_SESSION <version> <client nonce, 32 hex digits> <session key, 32 hex digits> [device id]
 *
 * The client nonce is what an observer sees first of a session, once it has the local key; without it, it tries the
 * keys in turn. Programs append to the file that TUYAKEYLOGFILE names. Lines of other kinds are passed over, as
 * with TLS key logs. */
#ifndef COMMON_KEYLOG_H
#define COMMON_KEYLOG_H

#include <stddef.h>
#include <stdint.h>
#include "common/say.h"
#include "tuyawire/session.h"

enum { KEYLOG_ID_MAX = 63 };

struct keylog_entry {
    enum tw_version version; /**< TW_V34 or TW_V35 */
    uint8_t client_nonce[TW_SESSION_NONCE_LEN];
    uint8_t key[TW_KEY_LEN];
    char device_id[KEYLOG_ID_MAX + 1]; /**< "" when the line has none */
};

struct keylog {
    struct keylog_entry *entries; /**< in the order of the file; owned, see keylog_free() */
    size_t n;
};

/** Read a file ("-": stdin). An empty file is fine.
 * @return 0; -1 and why: not readable, or a TUYA_SESSION line is broken (with its number) */
int keylog_load(struct keylog *out, const char *path, struct why *why);
int keylog_parse(struct keylog *out, const char *text, size_t len, const char *name, struct why *why);
void keylog_free(struct keylog *k); /* wipes */

/** Append one entry in one write, so that several programs can share the file. Created with mode 0600. */
int keylog_append(const char *path, const struct keylog_entry *e, struct why *why);

/** The same in two steps, for who may not open it later any more. @return a file descriptor; -1 and why */
int keylog_open(const char *path, struct why *why);
int keylog_put(int fd, const struct keylog_entry *e); /* 0; -1 and errno */

/** The file in TUYAKEYLOGFILE; NULL when it is not set or empty. */
const char *keylog_path(void);

#endif
