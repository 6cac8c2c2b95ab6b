/* devices.c - a device list is read or refused with a reason, and every device in it can be found.
 *
 * Reaches: devices_parse(), devices_by_id(), devices_find(), devices_dp() and friends in common/devices.c, and cJSON
 * underneath. Input: a devices.json or a snapshot.json. */
#include "common/fuzz.h"
#include <string.h>
#include "common/devices.h"

const struct fuzz_harness fuzz_harness = {
    .name = "devices",
    .claim = "a device list is read or refused with a reason, and every device in it can be found",
    .form = FUZZ_TEXT,
};

static struct tw_span span_of(const char *text)
{
    return (struct tw_span){(const uint8_t *)text, strlen(text)};
}

static void check_mapping(const struct devices_entry *e)
{
    uint32_t last = 0;
    CHECK(e->has_mapping || e->n_dps == 0);
    for (size_t i = 0; i < e->n_dps; i++) {
        const struct devices_dp *dp = &e->dps[i];
        CHECK(dp->code != NULL && dp->unit != NULL && dp->id >= last);
        CHECK(dp->scale >= 0 && dp->scale <= 9 && dp->max_len >= -1);
        CHECK(devices_dp_type_name(dp->type) != NULL);
        last = dp->id;
        if (dp->id != 0)
            CHECK(devices_dp(e, dp->id) != NULL && devices_dp(e, dp->id)->id == dp->id);
        if (dp->code[0] != '\0')
            CHECK(devices_dp_by_code(e, dp->code) != NULL);
        for (size_t j = 0; j < dp->n_labels; j++)
            CHECK(dp->labels[j] != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct devices d = {0};
    struct why why = {0};
    int rc = devices_parse(&d, (const char *)data, size, "input", &why);
    fuzz_gate(rc == 0);
    CHECK(rc == 0 || rc == -1);
    if (rc != 0) {
        CHECK(why.text[0] != '\0');
        return 0;
    }
    CHECK(d.n > 0);
    for (size_t i = 0; i < d.n; i++) {
        const struct devices_entry *e = &d.entries[i];
        const char *const texts[] = {e->name,         e->id,       e->ip,         e->mac,
                                     e->uuid,         e->category, e->product_id, e->product_name,
                                     e->version_text, e->node_id,  e->parent,     e->values};
        for (size_t j = 0; j < sizeof texts / sizeof *texts; j++)
            CHECK(texts[j] != NULL);
        CHECK(e->id[0] != '\0');
        const struct devices_entry *found = devices_by_id(&d, span_of(e->id));
        CHECK(found != NULL && strcmp(found->id, e->id) == 0);
        CHECK((devices_key_check(e, &why) == 0) == (e->key_state == DEVICES_KEY_OK));
        found = devices_owner(&d, span_of(e->parent), span_of(devices_cid(e)));
        CHECK(found != NULL || devices_cid(e)[0] == '\0');
        found = devices_find(&d, e->name, &why);
        CHECK(found != NULL || why.text[0] != '\0');
        check_mapping(e);
    }
    devices_free(&d);
    return 0;
}
