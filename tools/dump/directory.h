/* directory.h - whose messages these are: what the keyring and devices.json say, and what the capture has told so far.
 *
 * What an address was seen to be is kept in a fixed number of places, as a hint for the next connection; addresses that
 * fall on the same place push each other out, which costs a few trial decryptions and nothing else. */
#ifndef DUMP_DIRECTORY_H
#define DUMP_DIRECTORY_H

#include "common/devices.h"
#include "packet.h"
#include "tcp.h"
#include "tuyawire/discovery.h"
#include "tuyawire/dps.h"
#include "tuyawire/observer.h"

struct directory;

/* Everything is borrowed. devices may be NULL; entry i of the keyring is entry_of_key[i] in devices, or TW_NO_INDEX, and
 * entry_of_key NULL says that no key belongs to an entry. NULL: out of memory. */
struct directory *directory_new(const tw_keyring *ring, const struct devices *devices, const size_t *entry_of_key);
void directory_free(struct directory *d); /* NULL is fine */

/* The entry of this device in devices.json; NULL: there is none. */
const struct devices_entry *directory_device(const struct directory *d, struct tw_span id);
/* Whose data points a message with this cid has: those of device, which has this id, or of a sub-device behind it, see
 * devices_owner(). */
const struct devices_entry *directory_owner(const struct directory *d, const struct devices_entry *device,
                                            struct tw_span id, struct tw_span cid);
/* Take what a device at this address announced. */
void directory_announced(struct directory *d, const struct ip_address *a, const struct tw_discovery *disc);

/* The device of a connection, as far as it has come out. It must not move: id may point into id_text. */
struct who {
    size_t key_index;  /* in the keyring, or TW_NO_INDEX */
    struct tw_span id; /* device id, borrowed from the keyring or id_text; empty: unknown */
    char id_text[64];
    const struct devices_entry *device; /* NULL: not in the list */
    bool id_proven;                     /* by a key or a body, not only by an announcement */
    unsigned id_tries;                  /* messages that were searched for a device id */
    bool remembered;                    /* the directory has its version and key under its address */
    enum tw_version remembered_version;
    size_t remembered_key;
};

void who_init(struct who *w);

/* A message was opened with this key; TW_NO_INDEX is fine, and says nothing. Returns whether that was new. */
bool who_learn_key(struct who *w, const struct directory *d, size_t key_index);
/* A message had this body. An id that the list knows outweighs what the key says: keys may be shared.
 * Returns whether that was new. */
bool who_learn_body(struct who *w, const struct directory *d, const struct tw_body *body);
/* Are bodies still worth a look? */
bool who_wants_body(const struct who *w, const struct directory *d);

/* Keep for later connections what this device, at e, turned out to be. */
void who_remember(struct who *w, struct directory *d, const struct tcp_endpoint *e, enum tw_version version);

/* What the first message of a connection is tried with first. */
struct who_hint {
    size_t key_index;               /* or TW_NO_INDEX */
    const enum tw_version *version; /* NULL: no hint; borrowed until the directory learns more */
};
/* Add to hint what is known of the device at e. */
void who_recall(struct who *w, const struct directory *d, const struct tcp_endpoint *e, struct who_hint *hint);

#endif
