/* profile.c - a profile is read or refused with every problem named, and a plug can be made of it.
 *
 * Reaches: profile_parse() in sim/model/profile_json.c, and the mapping it writes. Input: a profile's JSON. */
#include "common/fuzz.h"
#include <string.h>
#include "sim/model/profile.h"

const struct fuzz_harness fuzz_harness = {
    .name = "profile",
    .claim = "a profile is read or refused with every problem named, and its mapping can be written",
    .form = FUZZ_TEXT,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[1 << 16];
    const struct profile *p = NULL;
    struct problems problems = {0};
    int rc = profile_parse(&p, &problems, (const char *)data, size);
    fuzz_gate(rc == 0);
    CHECK((rc == 0) == (p != NULL));
    if (rc != 0)
        return 0;
    for (size_t i = 0; i < p->shape.n_dps; i++) {
        const struct dp_spec *dp = &p->shape.dps[i];
        CHECK(dp->id > 0 && dp->code != NULL && dp->unit != NULL && dp->scale <= 9);
        CHECK(shape_dp(&p->shape, dp->id) == dp);
    }
    struct tw_text t = {text, sizeof text, 0, false};
    shape_write_mapping(&t, &p->shape);
    CHECK(t.overflow || tw_json_check((struct tw_span){(const uint8_t *)text, t.len}) == TW_OK);
    profile_unref(p);
    return 0;
}
