/* redact.c - what --redact writes is the conversation that was captured, and nothing in it is anybody's.
 *
 * Reaches: tools/dump/redact.c and pseudonyms.c, beside everything that dump.c reaches. Input: a pcap file. It is read and
 * redacted; what was written is read again with the device list beside it, and both are held against each other. Where bytes
 * are missing, the second reading may wait for them at another moment, and then understand less. */
#define _GNU_SOURCE /* memfd_create() */
#include "common/fuzz.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "common/pcap.h"
#include "output.h"

const struct fuzz_harness fuzz_harness = {
    .name = "redact",
    .claim = "what is redacted decodes to the same conversation, and no id, key or address of the original is in it",
    .form = FUZZ_CAPTURE,
};

enum { MESSAGES_MAX = 4096, ID_LEN = 22, CONNECTIONS_MAX = 1024, SECRET_MIN = 10, SECRET_MAX = 40, ETHERNET = 1 };

/* What has to be the same of a message, and what may not come out again. */
struct told {
    size_t lane; /* one direction of a connection; 0: datagrams */
    bool framed; /* the oldest announcements are not, and become what the next ones were */
    enum record_dir dir;
    uint32_t seq, command;
    bool overwritten; /* no text that anybody knows: then even where it begins can be read in another way */
    int64_t retcode;
    uint64_t values; /* of its data points that are numbers and switches */
    uint64_t codes;  /* what the list calls its data points; 0: nothing */
    char secret[SECRET_MAX];
    size_t secret_len;
};

struct reading {
    struct told told[MESSAGES_MAX];
    size_t n;
    size_t connection_of[CONNECTIONS_MAX], n_connections; /* [number]: its place in the order of first messages */
    /* Of each lane, in told: where bytes are lost, the order between lanes may change. */
    size_t next[2 * CONNECTIONS_MAX];
    uint64_t lost, others; /* records of errors: bytes that are missing, anything else */
    uint64_t overwritten;  /* messages that are no text that anybody knows */
    struct output *redact; /* NULL: this is the second reading */
};

static struct reading before, after;
static struct devices house;
static int capture_fd, list_fd[2]; /* in memory, and a pipe */
static char capture_path[32], list_path[32];

/* The mutators call sub-devices so. */
static const char sub_device_id[] = "fake0000000000000sub01", sub_device_cid[] = "a4c1380000000001";
static const char list_form[] =
    "[{\"id\":\"%s\",\"key\":\"%.16s\",\"mapping\":{\"1\":{\"code\":\"switch_1\"},\"19\":{\"code\":\"cur_power\"}}},"
    "{\"id\":\"%s\",\"sub\":true,\"node_id\":\"%s\",\"parent\":\"%s\","
    "\"mapping\":{\"1\":{\"code\":\"lamp\"},\"18\":{\"code\":\"hue\"}}}]";

static void set_up(void)
{
    static char list[512];
    struct why why;
    int n = snprintf(list, sizeof list, list_form, fuzz_device_id, (const char *)fuzz_local_key, sub_device_id,
                     sub_device_cid, fuzz_device_id);
    CHECK(devices_parse(&house, list, (size_t)n, "list", &why) == 0);
    capture_fd = memfd_create("redacted", MFD_CLOEXEC);
    CHECK(capture_fd >= 0 && pipe(list_fd) == 0);
    snprintf(capture_path, sizeof capture_path, "/proc/self/fd/%d", capture_fd);
    snprintf(list_path, sizeof list_path, "/proc/self/fd/%d", list_fd[1]);
    say_nothing();
}

static bool contains(struct tw_span s, const void *part, size_t len)
{
    return s.len > 0 && memmem(s.data, s.len, part, len) != NULL;
}

/* Data points whose values say nothing about anybody: switches and small numbers. */
static uint64_t values_of(const struct seen *s)
{
    struct tw_dp dp;
    size_t pos = 0;
    uint64_t fold = 0;
    while (s->has_body && tw_dps_next(&dp, &pos, s->body.dps) == 1) {
        bool is_number = dp.value.type == TW_VALUE_INTEGER && llabs(dp.value.integer) < 100000000;
        if (is_number || dp.value.type == TW_VALUE_BOOL)
            fold = fuzz_rng_next(&(struct fuzz_rng){fold ^ dp.id}) ^
                   fuzz_rng_next(&(struct fuzz_rng){
                       fold ^ (is_number ? (uint64_t)dp.value.integer : 7000000000u + dp.value.boolean)});
    }
    return fold;
}

static uint64_t codes_of(const struct seen *s)
{
    struct tw_dp dp;
    size_t pos = 0;
    uint64_t fold = 0;
    while (s->has_body && s->owner != NULL && tw_dps_next(&dp, &pos, s->body.dps) == 1) {
        const struct devices_dp *known = devices_dp(s->owner, dp.id);
        for (const char *c = known != NULL ? known->code : ""; *c != '\0'; c++)
            fold = fuzz_rng_next(&(struct fuzz_rng){fold ^ (uint64_t)*c});
    }
    return fold;
}

/* The value of a member that says who it is, as it stands in the bytes. */
static void learn_secret(struct told *t, struct tw_span payload)
{
    static const char *const members[] = {"\"gwId\":\"", "\"devId\":\"", "\"uid\":\"", "\"ssid\":\""};
    for (size_t i = 0; i < sizeof members / sizeof *members && t->secret_len == 0; i++) {
        size_t len = strlen(members[i]), n = 0;
        const uint8_t *at = payload.len > 0 ? memmem(payload.data, payload.len, members[i], len) : NULL;
        if (at == NULL)
            continue;
        bool has_letter = false;
        for (at += len; at + n < payload.data + payload.len && at[n] != '"' && at[n] != '\\' && n < SECRET_MAX; n++)
            has_letter = has_letter || (at[n] >= 'g' && at[n] <= 'z');
        if (n < SECRET_MIN || n == SECRET_MAX || !has_letter || memcmp(at, "rd", 2) == 0)
            continue;
        memcpy(t->secret, at, n);
        t->secret_len = n;
    }
}

static bool is_pseudonym(const struct ip_address *a)
{
    if (a->version == 6)
        return a->bytes[0] == 0xff || memcmp(a->bytes, "\x20\x01\x0d\xb8\0\0\0\0", 8) == 0;
    return memcmp(a->bytes, "\xc0\x00\x02", 3) == 0 || (a->bytes[0] == 100 && a->bytes[1] >> 6 == 1) ||
           a->bytes[0] >= 0xe0;
}

static bool same(const struct told *was, const struct told *is)
{
    if (is->dir != was->dir || is->values != was->values)
        return false;
    if (is->codes != was->codes && is->codes != 0 && was->codes != 0)
        return false;
    if (was->framed && (is->seq != was->seq || is->command != was->command))
        return false;
    return !was->framed || was->overwritten || is->retcode == was->retcode;
}

/* The next of its lane; what was overwritten need not be understood again. Where bytes were lost, connections may be
 * divided in another way: then any. */
static const struct told *what_it_was(const struct told *is)
{
    bool lossy = before.lost > 0;
    for (size_t i = lossy ? 0 : before.next[is->lane]; i < before.n; i++) {
        const struct told *was = &before.told[i];
        if (!lossy && was->lane != is->lane)
            continue;
        before.next[is->lane] = i + 1;
        if (same(was, is))
            return was;
        CHECK(lossy || was->overwritten);
    }
    return NULL;
}

static void compare(const struct told *is, const struct seen *s)
{
    const struct told *was = what_it_was(is);
    CHECK(was != NULL);
    CHECK(was->secret_len == 0 || !contains(s->record.payload, was->secret, was->secret_len));
    CHECK(!contains(s->record.payload, fuzz_device_id, ID_LEN) && !contains(s->record.payload, fuzz_local_key, 16));
    CHECK(!contains(s->record.payload, sub_device_cid, sizeof sub_device_cid - 1));
    CHECK(is_pseudonym(&s->src->address) && is_pseudonym(&s->dst->address));
}

/* Connections are numbered by the order of their first messages; where nothing could be opened nothing is redacted. */
static size_t connection_of(struct reading *r, const struct conversation *c)
{
    CHECK(c->number < CONNECTIONS_MAX);
    if (r->redact == NULL)
        return c->number;
    if (r->connection_of[c->number] == 0)
        r->connection_of[c->number] = ++r->n_connections;
    return r->connection_of[c->number];
}

/* Of a handshake, by its size. */
static bool is_step(const struct tw_message *m)
{
    bool by_device = m->direction == TW_FROM_DEVICE;
    return tw_version_traits(m->version)->negotiates && tw_command_is_handshake(m->command) &&
           by_device == (m->command == TW_CMD_SESS_KEY_NEG_RESP) &&
           m->payload.len >= (by_device                                 ? 48u
                              : m->command == TW_CMD_SESS_KEY_NEG_START ? 16u
                                                                        : 32u);
}

static void seen(void *ctx, struct seen *s)
{
    struct reading *r = ctx;
    if (s->observed != NULL && s->observed->why == TW_WHY_LOST)
        r->lost++;
    else if (s->record.error != TW_OK)
        r->others++;
    if (r->redact != NULL) {
        r->redact->seen(r->redact, s);
        fuzz_gates.version = s->record.version >= 0 ? (unsigned)s->record.version : fuzz_gates.version;
        if (s->record.framing >= 0)
            fuzz_gate(s->record.integrity == RECORD_INTEGRITY_OK);
    }
    bool in_frame = s->observed != NULL && s->observed->has_frame && s->conversation->device_side >= 0;
    if (s->record.error != TW_OK || (!in_frame && s->discovery == NULL))
        return;
    struct tw_span payload = s->record.payload;
    bool overwritten =
        payload.len > 0 && !s->has_body && tw_json_check(payload) != TW_OK && !tw_is_error_text(payload);
    r->overwritten += overwritten;
    size_t lane =
        s->discovery != NULL ? 0 : 2 * connection_of(r, s->conversation) + (s->record.dir == RECORD_FROM_DEVICE);
    if (in_frame && is_step(&s->observed->message))
        return; /* one that was not captured is made up */
    struct told t = {.lane = lane, .dir = s->record.dir, .overwritten = overwritten, .retcode = s->record.retcode};
    t.framed = s->discovery == NULL || s->discovery->framed;
    t.seq = (uint32_t)s->record.seq;
    t.command = (uint32_t)s->record.cmd;
    t.values = values_of(s);
    t.codes = codes_of(s);
    learn_secret(&t, payload);
    if (r->redact == NULL)
        compare(&t, s);
    else if (r->n < MESSAGES_MAX)
        r->told[r->n] = t;
    r->n++;
}

static void closed(void *ctx, struct conversation *c, uint64_t time_ns)
{
    struct reading *r = ctx;
    if (r->redact != NULL)
        r->redact->closed(r->redact, c, time_ns);
}

static void warn(void *ctx, const char *text)
{
    (void)ctx;
    (void)text;
}

static struct decoder *new_decoder(struct reading *r, tw_keyring **ring, const struct devices *devices)
{
    static size_t entries[CONNECTIONS_MAX]; /* a connection that was never encrypted may get a device of its own */
    CHECK(tw_keyring_new(ring) == TW_OK && devices->n <= CONNECTIONS_MAX);
    for (size_t i = 0; i < devices->n; i++) {
        const struct devices_entry *e = &devices->entries[i];
        if (e->sub)
            continue;
        entries[tw_keyring_size(*ring)] = i;
        struct tw_span id = {(const uint8_t *)e->id, strlen(e->id)};
        CHECK(e->key_state == DEVICES_KEY_OK && tw_keyring_add(*ring, e->key, id, NULL) == TW_OK);
    }
    const struct decode_config config = {
        .ring = *ring, .devices = devices, .entry_of_key = entries, .want_bodies = true, .limits = {65536, 1 << 20}};
    const struct decode_sink sink = {r, seen, closed, warn};
    struct decoder *d = decode_new(&config, &sink);
    CHECK(d != NULL);
    return d;
}

/* Sessions whose handshake was not captured: of session.json of the golden vectors, and the fixed keys of all harnesses. */
static void add_key_log(tw_keyring *ring)
{
    static const uint8_t normal_34[] = "\x6f\x45\x16\xb6\x4d\x02\x74\x88\xc7\xad\x44\x46\x37\x8b\xcd\x0a",
                         normal_35[] = "\xcd\x0e\xf6\x2e\x2a\x41\x0d\x01\x86\x4e\x6e\x21\xa8\xf3\x8e\x12";
    const uint8_t *const keys[] = {normal_34, fuzz_session_key_34, normal_35, fuzz_session_key_35};
    for (size_t i = 0; i < 4; i++) {
        struct tw_session_secret secret = {.version = i < 2 ? TW_V34 : TW_V35};
        memcpy(secret.key, keys[i], sizeof secret.key);
        CHECK(tw_keyring_add_session(ring, &secret) == TW_OK);
    }
}

static void redact_capture(const uint8_t *data, size_t size)
{
    tw_keyring *ring;
    struct why why;
    struct pcap file = pcap_open(data, size);
    struct pcap_packet packet;
    CHECK(output_redact(&before.redact, capture_path, list_path, &house, &why) == 0);
    struct decoder *d = new_decoder(&before, &ring, &house);
    add_key_log(ring);
    while (pcap_next(&packet, &file))
        decode_packet(d, file.link_type, packet.data, packet.time_ns);
    decode_finish(d);
    CHECK(before.redact->finish(before.redact, &why) == 0);
    decode_free(d);
    before.redact->free(before.redact);
    tw_keyring_free(ring);
}

/* The list that was written, if one was: where all was in clear there is none. */
static void read_list(struct devices *list)
{
    static char text[65536];
    struct why why;
    CHECK(fcntl(list_fd[0], F_SETFL, O_NONBLOCK) == 0);
    ssize_t n = read(list_fd[0], text, sizeof text);
    *list = (struct devices){0};
    if (n <= 0)
        return;
    CHECK(devices_parse(list, text, (size_t)n, "list", &why) == 0);
    const struct tw_span said = {(const uint8_t *)text, (size_t)n};
    CHECK(!contains(said, fuzz_device_id, ID_LEN) && !contains(said, fuzz_local_key, 16));
    CHECK(!contains(said, sub_device_id, ID_LEN) && !contains(said, sub_device_cid, sizeof sub_device_cid - 1));
}

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* Blocks of a pcapng: type, length, content, length (draft-ietf-opsawg-pcapng section 3.1). */
static void read_again(const uint8_t *file, size_t size, const struct devices *list)
{
    tw_keyring *ring;
    struct decoder *d = new_decoder(&after, &ring, list);
    for (size_t at = 0, len; at < size; at += len) {
        const uint8_t *block = file + at;
        CHECK(size - at >= 12);
        len = le32(block + 4);
        CHECK(len >= 12 && len % 4 == 0 && len <= size - at && le32(block + len - 4) == len);
        if (le32(block) != 6)
            continue;
        size_t n = le32(block + 20);
        CHECK(len >= 32 + n && le32(block + 24) == n);
        decode_packet(d, ETHERNET, (struct tw_span){block + 28, n},
                      (uint64_t)le32(block + 12) << 32 | le32(block + 16));
    }
    decode_finish(d);
    decode_free(d);
    tw_keyring_free(ring);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < PCAP_FILE_HEADER || size > (1 << 18))
        return 0;
    if (house.n == 0)
        set_up();
    before.n = before.n_connections = before.lost = before.others = before.overwritten = 0;
    after.n = after.lost = after.others = after.overwritten = 0;
    memset(before.connection_of, 0, sizeof before.connection_of);
    memset(before.next, 0, sizeof before.next);
    redact_capture(data, size);

    struct devices list;
    read_list(&list);
    off_t len = lseek(capture_fd, 0, SEEK_END);
    CHECK(len > 0);
    uint8_t *file = mmap(NULL, (size_t)len, PROT_READ, MAP_PRIVATE, capture_fd, 0);
    CHECK(file != MAP_FAILED);
    CHECK(!contains((struct tw_span){file, (size_t)len}, fuzz_device_id, ID_LEN));
    if (before.n < MESSAGES_MAX) {
        read_again(file, (size_t)len, &list);
        CHECK(after.n <= before.n || before.lost > 0);
        CHECK(before.lost > 0 || (after.n + before.overwritten >= before.n && after.others <= before.overwritten));
    }
    munmap(file, (size_t)len);
    devices_free(&list);
    return 0;
}
