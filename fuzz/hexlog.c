/* hexlog.c - frames out of the text of a log: each is where its prefix says, as long as its length field says at most,
 * and found again, the same, in every notation.
 *
 * Reaches: hexlog_next() in tools/dump/hexlog.c, and the decoder behind it. Input: a text. */
#include "common/fuzz.h"
#include <stdlib.h>
#include <string.h>
#include "common/hex.h"
#include "common/record.h"
#include "decode.h"
#include "hexdump.h"
#include "hexlog.h"

const struct fuzz_harness fuzz_harness = {
    .name = "hexlog",
    .claim = "a frame in a log is found whole or not at all, in every notation, and the reader always moves on",
    .form = FUZZ_TEXT,
};

enum {
    TEXT_MAX = 1 << 16,
    HEADER_55AA = 16,
    HEADER_6699 = 18,
    SUFFIX = 4,
    NOTATIONS = 3,
    SWALLOWED = 40, /* frames: more than anything is remembered of */
    PER_BYTE = 5,
    WIDTH = 16,
    LINE_MAX_LEN = 64,
    SWALLOWED_MAX = 512 /* bytes of one of them */
};

#define TAIL "   00 aa\n" /* characters that look like bytes */

static uint64_t n_seen;

static void seen(void *ctx, struct seen *s)
{
    (void)ctx;
    (void)s;
    n_seen++;
}

/* The whole frame, if the length field is believed; SIZE_MAX: there is no such field. */
static size_t size_by_length(const uint8_t *frame, size_t n)
{
    bool is_6699 = frame[2] == 0x66;
    size_t header = is_6699 ? HEADER_6699 : HEADER_55AA, length = 0;
    if (n < header)
        return SIZE_MAX;
    for (size_t i = header - 4; i < header; i++)
        length = length << 8 | frame[i];
    return header + length + (is_6699 ? SUFFIX : 0);
}

static size_t write_text(char *out, const uint8_t *frame, size_t n, int notation)
{
    static const struct {
        const char *before, *digits, *after;
    } notations[NOTATIONS] = {
        {"", "0123456789abcdef", ""}, {"0x", "0123456789ABCDEF", ","}, {"\\x", "0123456789abcdef", ""}};
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        for (const char *p = notations[notation].before; *p != '\0'; p++)
            out[len++] = *p;
        out[len++] = notations[notation].digits[frame[i] >> 4];
        out[len++] = notations[notation].digits[frame[i] & 15];
        for (const char *p = notations[notation].after; *p != '\0'; p++)
            out[len++] = *p;
    }
    return len;
}

static void check_again(const uint8_t *frame, size_t n)
{
    static uint8_t again[HEXLOG_FRAME_MAX];
    static char text[HEXLOG_FRAME_MAX * PER_BYTE + 1];
    for (int notation = 0; notation < NOTATIONS; notation++) {
        size_t pos = 0, len = write_text(text, frame, n, notation);
        const struct tw_span span = {(const uint8_t *)text, len};
        CHECK(hexlog_next(again, &pos, span) == n && memcmp(again, frame, n) == 0);
        CHECK(hexlog_next(again, &pos, span) == 0);
    }
}

/* Like tcpdump -x. Bytes that look like the beginning of a frame end the one before, at the start of a line. */
static void check_dumped(const uint8_t *frame, size_t n)
{
    static uint8_t again[HEXLOG_FRAME_MAX];
    static char text[(HEXLOG_FRAME_MAX / WIDTH + 1) * LINE_MAX_LEN];
    size_t len = 0, pos = 0;
    for (size_t at = 0; at < n; at += WIDTH) {
        size_t here = n - at < WIDTH ? n - at : WIDTH;
        bool begins =
            here >= 4 && frame[at] == 0 && frame[at + 1] == 0 &&
            ((frame[at + 2] == 0x55 && frame[at + 3] == 0xaa) || (frame[at + 2] == 0x66 && frame[at + 3] == 0x99));
        if (at > 0 && begins)
            return;
        const uint8_t offset[2] = {(uint8_t)(at >> 8), (uint8_t)at};
        char *p = hex_write(text + len, offset, sizeof offset);
        *p++ = ':';
        for (size_t i = 0; i < here; i++) {
            *p++ = ' ';
            p = hex_write(p, &frame[at + i], 1);
        }
        memcpy(p, TAIL, strlen(TAIL));
        len = (size_t)(p - text) + strlen(TAIL);
    }
    hexdump_strip(text, len);
    CHECK(hexlog_next(again, &pos, (struct tw_span){(const uint8_t *)text, len}) == n &&
          memcmp(again, frame, n) == 0);
}

static char *strip(const uint8_t *data, size_t size)
{
    char *text = malloc(size > 0 ? size : 1);
    CHECK(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    hexdump_strip(text, size);
    for (size_t i = 0; i < size; i++)
        CHECK(text[i] == (char)data[i] || (text[i] == ' ' && data[i] != '\n'));
    return text;
}

/* A frame whose end is missing takes those behind it for its own, until it turns out to be cut off. */
static void check_swallowed(struct decoder *d, const uint8_t *frame, size_t n)
{
    static uint8_t cut[HEADER_6699 + SWALLOWED * SWALLOWED_MAX];
    size_t header = frame[2] == 0x66 ? HEADER_6699 : HEADER_55AA, len = header;
    if (n < header + SUFFIX || n > SWALLOWED_MAX || n != size_by_length(frame, n))
        return;
    memcpy(cut, frame, header);
    cut[header - 4] = cut[header - 3] = 0;
    cut[header - 2] = cut[header - 1] = 0xff;
    for (int i = 0; i < SWALLOWED; i++, len += n)
        memcpy(cut + len, frame, n);
    uint64_t before = n_seen;
    decode_frame(d, (struct tw_span){cut, len});
    CHECK(n_seen > before);
}

/* Whatever stands in a message, its record is one line of JSON. */
static void check_record(struct tw_span payload)
{
    struct record r;
    record_init(&r);
    r.payload = payload;
    size_t cap = record_size_max(&r);
    char *line = malloc(cap);
    CHECK(line != NULL);
    size_t len = record_write(line, cap, &r);
    CHECK(len > 1 && len <= cap && line[len - 1] == '\n' && memchr(line, '\n', len - 1) == NULL);
    struct tw_span json = {(const uint8_t *)line, len - 1};
    /* A payload of all the levels that the library reads stands one level deeper in its record. */
    CHECK(tw_json_check(json) == TW_OK || fuzz_json_levels(json.data, json.len) == TW_JSON_DEPTH_MAX + 1);
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t frame[HEXLOG_FRAME_MAX];
    static tw_keyring *ring;
    if (size > TEXT_MAX)
        return 0;
    check_record((struct tw_span){data, size});
    char *stripped = strip(data, size);
    const struct tw_span text = {(const uint8_t *)stripped, size};
    if (ring == NULL)
        CHECK(tw_keyring_new(&ring) == TW_OK &&
              tw_keyring_add(ring, fuzz_local_key, (struct tw_span){0}, NULL) == TW_OK);
    const struct decode_config config = {.ring = ring, .want_bodies = true, .limits = {65536, 1 << 20}};
    struct decoder *d = decode_new(&config, &(struct decode_sink){.seen = seen});
    CHECK(d != NULL);
    size_t pos = 0, before = 0, n, n_frames = 0;
    n_seen = 0;
    while ((n = hexlog_next(frame, &pos, text)) > 0) {
        CHECK(pos > before && pos <= size && n <= pos - before && n <= HEXLOG_FRAME_MAX);
        CHECK(frame[0] == 0 && frame[1] == 0 && (frame[2] == 0x55 || frame[2] == 0x66));
        size_t whole = size_by_length(frame, n);
        CHECK(n <= whole);
        check_again(frame, n);
        check_dumped(frame, n);
        decode_frame(d, (struct tw_span){frame, n});
        if (n_frames == size % 4)
            check_swallowed(d, frame, n);
        before = pos;
        n_frames++;
    }
    fuzz_gate(n_frames > 0);
    CHECK(pos == size && n_seen >= n_frames);
    decode_finish(d);
    decode_free(d);
    free(stripped);
    return 0;
}
