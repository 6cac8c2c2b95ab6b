/* filter.c - a filter is compiled, or refused with a reason; it means the same every time, and its opposite is that.
 *
 * Reaches: tools/dump/filter.c and field.c. Input: the text behind -Y. */
#include "common/fuzz.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "filter.h"

const struct fuzz_harness fuzz_harness = {
    .name = "filter",
    .claim = "a filter is compiled or refused with a reason, and not (X) shows exactly what X hides",
    .form = FUZZ_TEXT,
};

enum { TEXT_MAX = 4096, N_MESSAGES = 4, DEPTH_MAX = 32 };

static struct tw_span span_of(const char *text)
{
    return (struct tw_span){(const uint8_t *)text, strlen(text)};
}

/* A message of each kind: nothing known, a push with values, an error text, bytes that could not be opened. */
static void make(struct seen *s, int which)
{
    static const char push[] = "{\"protocol\":4,\"t\":1700000000,\"data\":{\"cid\":\"a1\",\"dps\":"
                               "{\"1\":true,\"19\":605,\"20\":2301,\"21\":\"x\"}}}";
    static const char *const payloads[N_MESSAGES] = {"", push, "json obj data unvalid", "\x01\x02\xff"};
    static const uint8_t raw[40];
    *s = (struct seen){0};
    record_init(&s->record);
    if (which == 0)
        return;
    struct record *r = &s->record;
    r->time_ns = 1700000000123456789u;
    r->flow = (uint64_t)which;
    r->src = "192.0.2.1:6668";
    r->dst = "192.0.2.9:51234";
    r->dir = RECORD_FROM_DEVICE;
    r->device = span_of(fuzz_device_id);
    r->name = span_of("Kettle \xc3\xa9");
    r->version = TW_V34;
    r->framing = TW_ENVELOPE_55AA;
    r->seq = which == 3 ? UINT32_MAX : 7;
    r->cmd = which == 3 ? 0x40 : 8;
    r->retcode = which == 2;
    r->integrity = which == 3 ? RECORD_INTEGRITY_BAD : RECORD_INTEGRITY_OK;
    r->key = which == 3 ? RECORD_KEY_NONE : RECORD_KEY_SESSION;
    r->payload = span_of(payloads[which]);
    r->error = which == 3 ? TW_E_INTEGRITY : TW_OK;
    r->detail = which == 3 ? "told" : NULL;
    s->reply_ns = which == 2 ? 12345678 : 0;
    s->raw = (struct tw_span){raw, sizeof raw};
    s->has_body = which == 1 && tw_body_parse(&s->body, r->payload) == TW_OK;
}

#define TOO_DEEP "too many parentheses"

/* What could stand for a level: there are no more than these. */
static size_t levels(const char *text)
{
    size_t n = 0;
    for (const char *p = text; *p != '\0'; p++)
        n += *p == '(' || *p == '!' || *p == 'n';
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[TEXT_MAX + 1], opposite[TEXT_MAX + 8];
    struct filter *f = NULL, *again = NULL, *turned = NULL;
    struct why why = {0}, why_again = {0};
    if (size > TEXT_MAX || memchr(data, '\0', size) != NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    int rc = filter_compile(&f, text, &why);
    fuzz_gate(rc == 0);
    CHECK(filter_compile(&again, text, &why_again) == rc && strcmp(why.text, why_again.text) == 0);
    if (rc != 0) {
        CHECK(rc == -1 && f == NULL && why.text[0] != '\0');
        bool is_deep = strncmp(why.text, TOO_DEEP, sizeof TOO_DEEP - 1) == 0; /* the filter's text stands behind it */
        CHECK(!is_deep || levels(text) >= DEPTH_MAX);
        return 0;
    }
    snprintf(opposite, sizeof opposite, "not (%s)", text);
    bool has_turned = filter_compile(&turned, opposite, &why) == 0; /* depth and size are limited */
    for (int i = 0; i < N_MESSAGES; i++) {
        struct seen s;
        make(&s, i);
        bool passes = filter_passes(f, &s);
        CHECK(passes == filter_passes(again, &s));
        if (has_turned)
            CHECK(passes != filter_passes(turned, &s));
    }
    CHECK(filter_wants_body(f) == filter_wants_body(again));
    filter_free(f);
    filter_free(again);
    filter_free(turned);
    return 0;
}
