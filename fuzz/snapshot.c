/* snapshot.c - a snapshot is applied or refused with a reason, and what a fleet remembers it can read again.
 *
 * Reaches: state_apply() and state_write() in sim/model/state.c, and the plugs underneath. Input: a snapshot.json. */
#include "common/fuzz.h"
#include <stdlib.h>
#include <string.h>
#include "sim/model/state.h"

const struct fuzz_harness fuzz_harness = {
    .name = "snapshot",
    .claim = "a snapshot is applied or refused with a reason, and what a fleet remembers it can read again",
    .form = FUZZ_TEXT,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct profile *profile;
    struct fleet fleet;
    struct why why = {0};
    if (profile == NULL)
        CHECK(profile_builtin(&profile, "energy-plug") == 0);
    CHECK(fleet_init(&fleet, 1, 1700000000) == 0);
    CHECK(fleet_add(&fleet, profile, fuzz_device_id, "Plug", fuzz_local_key, TW_V33, &why) == 0);
    int n = state_apply(&fleet, (struct tw_span){data, size}, 0, NULL, NULL, &why);
    fuzz_gate(n >= 0);
    if (n < 0)
        CHECK(why.text[0] != '\0');
    size_t len, len_again;
    char *text = state_write(&fleet, 0, 1, &len);
    CHECK(text != NULL);
    CHECK(state_apply(&fleet, (struct tw_span){(const uint8_t *)text, len}, 0, NULL, NULL, &why) >= 0);
    char *again = state_write(&fleet, 0, 1, &len_again); /* now with every member a plug can have */
    CHECK(again != NULL);
    CHECK(state_apply(&fleet, (struct tw_span){(const uint8_t *)again, len_again}, 0, NULL, NULL, &why) >= 0);
    free(text);
    text = state_write(&fleet, 0, 1, &len);
    CHECK(text != NULL && len == len_again && memcmp(text, again, len) == 0);
    free(text);
    free(again);
    fleet_free(&fleet);
    return 0;
}
