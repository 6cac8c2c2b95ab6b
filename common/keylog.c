/* keylog.c - session keys in a file; see common/keylog.h. */
#include "common/keylog.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/file.h"
#include "common/hex.h"
#include "tuyawire/error.h"

#define TAG "TUYA_SESSION"
enum { NONCE_DIGITS = 2 * TW_SESSION_NONCE_LEN, KEY_DIGITS = 2 * TW_KEY_LEN };
#define KEYLOG_LIMIT ((size_t)64 << 20) /* bytes; our choice: half a million sessions */

/* The next word of [*at, end), NULL when there is none. */
static const char *next_word(size_t *len, const char **at, const char *end)
{
    const char *p = *at;
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
        p++;
    const char *word = p;
    while (p < end && *p != ' ' && *p != '\t' && *p != '\r')
        p++;
    *at = p;
    *len = (size_t)(p - word);
    return *len == 0 ? NULL : word;
}

/* Read the words behind the tag. @return NULL, or what is wrong */
static const char *read_entry(struct keylog_entry *e, const char *at, const char *end)
{
    size_t len;
    *e = (struct keylog_entry){0};
    const char *word = next_word(&len, &at, end);
    if (word == NULL || tw_version_parse(&e->version, word, len) != TW_OK ||
        !tw_version_traits(e->version)->negotiates)
        return "expected version 3.4 or 3.5";
    word = next_word(&len, &at, end);
    if (word == NULL || len != NONCE_DIGITS || !hex_read(e->client_nonce, sizeof e->client_nonce, word))
        return "expected a client nonce of 32 hex digits";
    word = next_word(&len, &at, end);
    if (word == NULL || len != KEY_DIGITS || !hex_read(e->key, sizeof e->key, word))
        return "expected a session key of 32 hex digits";
    word = next_word(&len, &at, end);
    if (word != NULL && len > KEYLOG_ID_MAX)
        return "the device id is too long";
    if (word != NULL)
        memcpy(e->device_id, word, len);
    return NULL;
}

static bool has_tag(const char *line, const char *end)
{
    size_t len;
    const char *word = next_word(&len, &line, end);
    return word != NULL && len == sizeof TAG - 1 && memcmp(word, TAG, len) == 0;
}

/* see common/keylog.h */
int keylog_parse(struct keylog *out, const char *text, size_t len, const char *name, struct why *why)
{
    const char *end = text + len;
    size_t lines = 1;
    for (const char *p = text; p < end; p++)
        lines += *p == '\n';
    struct keylog k = {calloc(lines, sizeof *k.entries), 0};
    if (k.entries == NULL)
        return why_set(why, "%s: out of memory", name);

    size_t number = 0;
    for (const char *line = text; line < end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *stop = newline == NULL ? end : newline;
        number++;
        if (has_tag(line, stop)) {
            const char *at = line;
            size_t tag_len;
            next_word(&tag_len, &at, stop);
            const char *wrong = read_entry(&k.entries[k.n++], at, stop);
            if (wrong != NULL) {
                keylog_free(&k); /* with the key that may stand in the wrong line */
                return why_set(why, "%s, line %zu: %s", name, number, wrong);
            }
        }
        line = stop == end ? end : stop + 1;
    }
    *out = k;
    return 0;
}

int keylog_load(struct keylog *out, const char *path, struct why *why)
{
    struct file_bytes f;
    if (file_read(&f, path, KEYLOG_LIMIT, why) != 0)
        return -1;
    int rc = keylog_parse(out, f.data, f.len, strcmp(path, "-") == 0 ? "standard input" : path, why);
    file_free(&f);
    return rc;
}

void keylog_free(struct keylog *k)
{
    if (k->entries != NULL)
        explicit_bzero(k->entries, k->n * sizeof *k->entries);
    free(k->entries);
    *k = (struct keylog){0};
}

int keylog_open(const char *path, struct why *why)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    return fd >= 0 ? fd : why_set(why, "%s: cannot append a session key: %s", path, strerror(errno));
}

int keylog_put(int fd, const struct keylog_entry *e)
{
    char line[sizeof TAG + 8 + NONCE_DIGITS + KEY_DIGITS + KEYLOG_ID_MAX + 8];
    char nonce[NONCE_DIGITS + 1] = "", key[KEY_DIGITS + 1] = "";
    hex_write(nonce, e->client_nonce, sizeof e->client_nonce);
    hex_write(key, e->key, sizeof e->key);
    int len = snprintf(line, sizeof line, TAG " %s %s %s%s%s\n", tw_version_name(e->version), nonce, key,
                       *e->device_id == '\0' ? "" : " ", e->device_id);
    explicit_bzero(key, sizeof key);
    ssize_t written = write(fd, line, (size_t)len);
    explicit_bzero(line, sizeof line);
    return written == len ? 0 : -1;
}

int keylog_append(const char *path, const struct keylog_entry *e, struct why *why)
{
    int fd = keylog_open(path, why);
    if (fd < 0)
        return -1;
    int rc = keylog_put(fd, e);
    if (rc != 0)
        why_set(why, "%s: cannot append a session key: %s", path, strerror(errno));
    close(fd);
    return rc;
}

const char *keylog_path(void)
{
    const char *path = getenv("TUYAKEYLOGFILE");
    return path == NULL || *path == '\0' ? NULL : path;
}
