/* device_internal.h - one connection of a device as its two files see it: device.c moves bytes, device_request.c
 * knows what a frame asks for. */
#ifndef TW_DEVICE_INTERNAL_H
#define TW_DEVICE_INTERNAL_H

#include <string.h>
#include "tuyawire/device.h"
#include "tuyawire/session.h"
#include "tuyawire/version.h"

#if defined(__GNUC__)
#pragma GCC visibility push(hidden)
#endif

enum {
    TW__DEVICE_SPARE = 4, /* buffers a host keeps for the next connection that needs one */
    TW__DEVICE_DRAWS = 8, /* of a number that has a flaw once in 256 times: a random source that repeats itself must
                             not hold us for ever */
};

/* Live bytes stand from pos to len. */
struct buffer {
    uint8_t *data;
    uint32_t cap, pos, len;
};

/* The last query body that was read: pollers send the same one again and again. body points into text. */
struct query_memo {
    struct tw_body body;
    size_t len; /* 0: none */
    uint8_t text[256];
};

struct tw_device_host {
    struct tw_device_host_config cfg;
    struct query_memo memo;
    struct buffer spare[TW__DEVICE_SPARE];
    uint8_t resp[TW_SESSION_RESP_LEN];
    size_t open_cap;
    uint8_t open[]; /* plaintext of the frame that the last event is about */
};

struct tw_device {
    tw_device_host *host;
    const struct tw_version_traits *traits;
    struct tw_session session; /* in 3.1 to 3.3 only the local key is of use */
    const uint8_t *lent;       /* the caller's bytes that are not read yet */
    size_t lent_len;
    struct buffer in;  /* the beginning of a frame */
    struct buffer out; /* not sent yet */
    uint64_t now_ms, born_ms, active_ms;
    uint32_t idle_timeout_ms, handshake_timeout_ms;
    uint32_t last_seq; /* of the client, where it is checked */
    uint32_t own_seq;  /* of the last frame sent, where the device counts */
    int error;         /* sticks */
    uint8_t quirks;
    bool told;     /* CLOSING was handed out */
    bool garbage;  /* bytes that are no frame since the last good frame */
    bool key_zero; /* the handshake ended with a key that counts as none */
};

/** Say what a frame with the right envelope asks for: fills ev, whose frame is set; moves the handshake on; closes. */
void tw__device_on_frame(tw_device *d, struct tw_device_event *ev);

static inline struct tw_span tw__text(const char *text)
{
    return (struct tw_span){(const uint8_t *)text, strlen(text)};
}

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
