/* finder.h - devices as they announce themselves on UDP.
 *
 * Listens on 6666 and 6667 for broadcasts and on 7000 for the answers of 3.5 devices that speak only when asked, and
 * asks them, every 6 s as the app does. The ports are shared with whoever else listens. Source: spec section 7. */
#ifndef CTL_FINDER_H
#define CTL_FINDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>
#include "trouble.h"
#include "tuyawire/crypto.h"
#include "tuyawire/version.h"

struct found {
    char ip[46];
    char id[65];
    char uuid[65], product_key[65]; /* "" when not said */
    char version_text[8];           /* as announced; "" when not said */
    bool has_version;
    enum tw_version version;
    bool bound;    /* to an account */
    bool answered; /* when asked, on 7000 */
};

typedef void finder_fn(void *ctx, const struct found *f);

struct finder_options {
    uint16_t ports[3];            /* 6666, 6667, 7000 */
    const char *const *broadcast; /* where to ask; n_broadcast 0: the network of every interface */
    size_t n_broadcast;
    bool quiet; /* ports that cannot be had are not worth a word */
};

struct finder;

/** Listen and ask. Ports that cannot be had are said on stderr; none at all is an error.
 * @param crypto  borrowed
 * @return 0; -1 and t */
int finder_open(struct finder **out, uv_loop_t *loop, tw_crypto *crypto, const struct finder_options *options,
                finder_fn *on_found, void *ctx, struct trouble *t);

/** Closes and waits until it is closed. NULL is fine. */
void finder_close(struct finder *f);

#endif
