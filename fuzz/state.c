/* state.c - a state and its journal are read, or refused and left as they are; what was saved outlives a kill.
 *
 * Reaches: sim/model/store.c, state_apply_device() and what stands below. Input: a context byte, then a journal: as it
 * is (RAW), or the devices of its lines, which get their check values and lengths here. Files are in memory. */
#define _DEFAULT_SOURCE /* mkdtemp() */
#include "common/fuzz.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include "common/file.h"
#include "sim/model/store.h"

const struct fuzz_harness fuzz_harness = {
    .name = "state",
    .claim = "a state and its journal are read, or refused and left as they are, and what was saved outlives a kill",
    .form = FUZZ_TEXT,
    .context_len = 1,
};

enum {
    CONTEXT_RAW = 1,
    CONTEXT_OLD = 2,
    CONTEXT_CUT = 4,
    GENERATION = 3,
    INPUT_MAX = 1 << 14,
    JOURNAL_MAX = 1 << 18
};

static char folder[32] = "/dev/shm/tuyawire-XXXXXX", path[64], journal_path[64];
static const struct profile *plug, *gateway;

static void tidy_up(void)
{
    unlink(path);
    unlink(journal_path);
    rmdir(folder);
}

static void begin(void)
{
    if (mkdtemp(folder) == NULL) {
        strcpy(folder, "tuyawire-XXXXXX"); /* no /dev/shm: where we are */
        CHECK(mkdtemp(folder) != NULL);
    }
    snprintf(path, sizeof path, "%s/state", folder);
    snprintf(journal_path, sizeof journal_path, "%s/state.journal", folder);
    atexit(tidy_up);
    CHECK(profile_builtin(&plug, "energy-plug") == 0 && profile_builtin(&gateway, "zigbee-gateway") == 0);
}

static void make_fleet(struct fleet *f)
{
    struct why why;
    CHECK(fleet_init(f, 1, 1700000000) == 0);
    CHECK(fleet_add(f, plug, fuzz_device_id, "Plug", fuzz_local_key, TW_V33, &why) == 0);
    CHECK(fleet_add(f, gateway, "fake0000000000000gateway", "Gateway", fuzz_local_key, TW_V34, &why) == 0);
}

static void write_file(const char *name, const char *text, size_t len)
{
    FILE *f = fopen(name, "wb");
    CHECK(f != NULL && fwrite(text, 1, len, f) == len && fclose(f) == 0);
}

static bool file_holds(const char *name, const char *text, size_t len)
{
    struct file_bytes f;
    struct why why;
    CHECK(file_read(&f, name, FILE_LIMIT_DEFAULT, &why) == 0);
    bool same = f.len == len && memcmp(f.data, text, len) == 0;
    file_free(&f);
    return same;
}

/* @return bytes at out */
static size_t make_journal(char *out, const char *text, size_t len, uint8_t context)
{
    if (context & CONTEXT_RAW) {
        memcpy(out, text, len);
        return len;
    }
    size_t n = (size_t)sprintf(out, "tuyawire-journal 1 %d\n", context & CONTEXT_OLD ? GENERATION - 1 : GENERATION);
    for (size_t at = 0; at < len;) {
        const char *newline = memchr(text + at, '\n', len - at);
        size_t line = newline != NULL ? (size_t)(newline - text) - at : len - at;
        if (JOURNAL_MAX - n < line + 64)
            break;
        n += (size_t)sprintf(out + n, "%08lx %zu ", crc32(0, (const Bytef *)text + at, (unsigned)line), line);
        memcpy(out + n, text + at, line);
        n += line;
        out[n++] = '\n';
        at += line + 1;
    }
    return context & CONTEXT_CUT ? n - 1 - context / 8 % n : n;
}

static char *state_of(struct fleet *f, size_t *len)
{
    char *text = state_write(f, 0, 1, len);
    CHECK(text != NULL);
    return text;
}

/* Save, die, and come back: everything is there. */
static void check_survives(struct store *s, struct fleet *f)
{
    struct fleet again;
    struct why why;
    size_t len, len_again;
    for (size_t i = 0; i < f->n; i++)
        CHECK(store_save(s, &f->devices[i], 0, &why) == 0);
    store_abandon(s);
    char *text = state_of(f, &len);
    make_fleet(&again);
    CHECK(store_open(&s, &again, path, 0, &why) == 0);
    char *text_again = state_of(&again, &len_again);
    CHECK(len == len_again && memcmp(text, text_again, len) == 0);
    store_abandon(s);
    fleet_free(&again);
    free(text);
    free(text_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char journal[JOURNAL_MAX];
    struct fleet fleet;
    struct store *store;
    struct why why = {0};
    size_t snapshot_len;
    if (size < 1 || size > INPUT_MAX)
        return 0;
    if (plug == NULL)
        begin();
    make_fleet(&fleet);
    char *snapshot = state_write(&fleet, 0, GENERATION, &snapshot_len);
    CHECK(snapshot != NULL);
    size_t journal_len = make_journal(journal, (const char *)data + 1, size - 1, data[0]);
    write_file(path, snapshot, snapshot_len);
    write_file(journal_path, journal, journal_len);
    int rc = store_open(&store, &fleet, path, 0, &why);
    fuzz_gate(rc == 0);
    if (rc == 0)
        check_survives(store, &fleet);
    else
        CHECK(why.text[0] != '\0' && file_holds(path, snapshot, snapshot_len) &&
              file_holds(journal_path, journal, journal_len));
    free(snapshot);
    fleet_free(&fleet);
    return 0;
}
