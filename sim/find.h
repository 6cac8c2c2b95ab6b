/* find.h - many devices on one port: which one does the first frame of a connection mean?
 *
 *   6699           the 3.5 device whose local key fits the tag of its START
 *   55AA, HMAC     the 3.4 device whose local key fits
 *   55AA, CRC      JSON in clear (3.1, 3.2): by its gwId, devId or uid; signed or encrypted: by whose key opens it
 *
 * A client with a key that nobody has is answered by the first 3.3 (else 3.2) device, so that it sees what such a client
 * sees of a plug; the other versions are silent or close, and so is the port.
 *
 * Trying a key costs some 300 ns, so ten thousand devices cost some milliseconds, once per connection. Devices that
 * were found lately are tried first. */
#ifndef SIM_FIND_H
#define SIM_FIND_H

#include <stddef.h>
#include <stdint.h>
#include "model/fleet.h"

enum { FIND_BYTES_MAX = 9 * 1024 }; /**< of a first frame */

struct finder;

/** @param f  borrowed; its devices stay where they are. @return 0; -1: out of memory, finder_free() what is there */
int finder_new(struct finder **out, const struct fleet *f);
void finder_free(struct finder *f); /* NULL is fine */

enum finding { FIND_DEVICE, FIND_MORE, FIND_HEARTBEAT, FIND_SKIP, FIND_NOBODY };

/** Whose first frame is this?
 * @param n  at most FIND_BYTES_MAX
 * @return FIND_DEVICE: *d is set. FIND_MORE: it is not complete yet. FIND_HEARTBEAT and FIND_SKIP: *used bytes, at least
 *         one, tell nothing; answer or ignore them and ask again. FIND_NOBODY: close */
enum finding finder_look(struct finder *f, const uint8_t *bytes, size_t n, struct device **d, size_t *used);

#endif
