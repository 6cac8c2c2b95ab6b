/* fuzzlog.c - a line of --fuzz-log is read back as the reply it was, or refused with a reason.
 *
 * Reaches: sim/fuzzed_line.c. Input: a log; its last line counts. */
#include "common/fuzz.h"
#include <stdlib.h>
#include <string.h>
#include "sim/fuzzed.h"

const struct fuzz_harness fuzz_harness = {
    .name = "fuzzlog",
    .claim = "a changed reply is read from its log or refused with a reason, and what was read is written as it was",
    .form = FUZZ_TEXT,
};

static bool same_bytes(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static bool same(const struct fuzzed_reply *a, const struct fuzzed_reply *b)
{
    const struct tw_message *m = &a->message, *n = &b->message;
    return a->of == b->of && m->command == n->command && m->seq == n->seq && a->flags == b->flags &&
           m->has_retcode == n->has_retcode && m->retcode == n->retcode && m->has_header == n->has_header &&
           memcmp(m->header.version, n->header.version, sizeof m->header.version) == 0 &&
           m->header.counter == n->header.counter && m->header.source == n->header.source && a->twice == b->twice &&
           a->late == b->late && a->damage == b->damage && a->value == b->value && strcmp(a->how, b->how) == 0 &&
           same_bytes(a->junk, a->junk_len, b->junk, b->junk_len) &&
           same_bytes(a->payload, a->payload_len, b->payload, b->payload_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzzed_reply reply, again;
    struct why why = {0};
    int rc = fuzzed_take(&reply, (struct tw_span){data, size}, "log", &why);
    fuzz_gate(rc == 0);
    if (rc != 0) {
        CHECK(why.text[0] != '\0');
        return 0;
    }
    CHECK(reply.payload_len <= sizeof reply.payload && reply.junk_len <= sizeof reply.junk);
    CHECK(reply.damage < FUZZED_N_DAMAGES && memchr(reply.how, '\0', sizeof reply.how) != NULL);
    reply.message.version = TW_V33; /* whose reply it takes the place of */
    char *line = fuzzed_line(&reply, 1, fuzz_device_id, (struct tw_span){data, size});
    CHECK(line != NULL && strchr(line, '\n') == line + strlen(line) - 1);
    CHECK(fuzzed_take(&again, (struct tw_span){(const uint8_t *)line, strlen(line)}, "log", &why) == 0);
    CHECK(same(&reply, &again));
    free(line);
    return 0;
}
