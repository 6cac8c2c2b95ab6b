/* debug.h - each frame in hex and decoded, on stderr. Keys and nonces are never shown. */
#ifndef CTL_DEBUG_H
#define CTL_DEBUG_H

#include "tuyawire/client.h"

/** A tw_client_frame_fn. */
void debug_frame(void *ctx, enum tw_direction dir, struct tw_span raw, const struct tw_message *m, int error);

/** What came in answer to a probe, as it came. */
void debug_bytes(const uint8_t *data, size_t len);

#endif
