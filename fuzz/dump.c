/* dump.c - a capture in, records out: each is JSON, the same every time, and memory stays bounded.
 *
 * Reaches: everything of tools/dump but libpcap: link layers, IP, TCP, observer, discovery, verdicts, and the writers
 * of every form but --redact and fields. Input: a pcap file. */
#define _POSIX_C_SOURCE 200809L
#include "common/fuzz.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/pcap.h"
#include "output.h"

const struct fuzz_harness fuzz_harness = {
    .name = "dump",
    .claim = "every record of a capture is JSON, the same every time, and memory stays bounded",
    .form = FUZZ_CAPTURE,
};

enum { MEMORY_MAX = 16 << 20, N_OUTPUTS = 6 }; /* bytes */

static tw_keyring *ring;
static int nowhere;

struct reader {
    struct output *outputs[N_OUTPUTS];
    struct record_buffer line;
    uint64_t fold, records;
};

static void seen(void *ctx, struct seen *s)
{
    struct reader *r = ctx;
    const struct conversation *c = s->conversation;
    CHECK(c == NULL || c->who.id.data != (const uint8_t *)c->who.id_text || c->who.id.len <= sizeof c->who.id_text);
    r->records++;
    r->line.len = 0;
    CHECK(record_append(&r->line, &s->record) == 0 && r->line.len > 2 && r->line.data[r->line.len - 1] == '\n');
    struct tw_span json = {(const uint8_t *)r->line.data, r->line.len - 1};
    /* A payload of all the levels that the library reads stands one level deeper in its record. */
    CHECK(tw_json_check(json) == TW_OK || fuzz_json_levels(json.data, json.len) == TW_JSON_DEPTH_MAX + 1);
    CHECK(memchr(json.data, '\n', json.len) == NULL);
    r->fold = fuzz_rng_next(&(struct fuzz_rng){r->fold ^ fuzz_hash(json.data, json.len)});
    if (s->record.version >= 0) /* what could not be opened often does not tell: then that of the frame before */
        fuzz_gates.version = (unsigned)s->record.version;
    if (s->record.framing >= 0) /* not what is said about a connection */
        fuzz_gate(s->record.integrity == RECORD_INTEGRITY_OK);
    for (int i = 0; i < N_OUTPUTS; i++)
        if (r->outputs[i] != NULL)
            r->outputs[i]->seen(r->outputs[i], s);
}

static void closed(void *ctx, struct conversation *c, uint64_t time_ns)
{
    struct reader *r = ctx;
    for (int i = 0; i < N_OUTPUTS; i++)
        if (r->outputs[i] != NULL && r->outputs[i]->closed != NULL)
            r->outputs[i]->closed(r->outputs[i], c, time_ns);
}

static void warn(void *ctx, const char *text)
{
    (void)ctx;
    CHECK(text != NULL);
}

static uint64_t read_capture(struct reader *r, const uint8_t *data, size_t size, uint8_t fill)
{
    fuzz_fill(fill);
    const struct decode_config config = {.ring = ring, .want_bodies = true, .limits = {65536, 1 << 20}};
    const struct decode_sink sink = {r, seen, closed, warn};
    struct pcap file = pcap_open(data, size);
    struct pcap_packet packet;
    struct decoder *d = decode_new(&config, &sink);
    CHECK(d != NULL);
    while (pcap_next(&packet, &file)) {
        decode_packet(d, file.link_type, packet.data, packet.time_ns);
        CHECK(decode_memory(d) <= MEMORY_MAX);
    }
    decode_finish(d);
    decode_free(d);
    fuzz_fill(0);
    return r->fold;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < PCAP_FILE_HEADER || size > (1 << 18))
        return 0;
    if (ring == NULL) {
        CHECK(tw_keyring_new(&ring) == TW_OK);
        CHECK(tw_keyring_add(ring, fuzz_local_key, (struct tw_span){(const uint8_t *)fuzz_device_id, 22}, NULL) ==
              TW_OK);
        nowhere = open("/dev/null", O_WRONLY);
        CHECK(nowhere >= 0);
        say_nothing();
    }
    struct why why;
    struct reader first = {0}, again = {0};
    struct out outs[N_OUTPUTS];
    for (int i = 0; i < N_OUTPUTS; i++)
        CHECK(out_init(&outs[i], nowhere) == 0);
    first.outputs[0] = output_json(&outs[0]);
    first.outputs[1] = output_text(&outs[1], false, size % 3, size % 2 == 0);
    CHECK(output_csv(&first.outputs[2], &outs[2], &why) == 0);
    first.outputs[3] = output_stats(&outs[3]);
    CHECK(output_plot(&first.outputs[4], "/dev/null", &why) == 0);
    CHECK(output_exported(&first.outputs[5], "/dev/null", &why) == 0);
    uint64_t fold = read_capture(&first, data, size, 0x5a);
    CHECK(read_capture(&again, data, size, 0xa5) == fold && again.records == first.records);
    for (int i = 0; i < N_OUTPUTS; i++) {
        if (first.outputs[i]->finish != NULL)
            first.outputs[i]->finish(first.outputs[i], &why);
        first.outputs[i]->free(first.outputs[i]);
        out_free(&outs[i]);
    }
    free(first.line.data);
    free(again.line.data);
    return 0;
}
