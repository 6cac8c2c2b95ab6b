/* pseudonyms.h - other names for what identifies a household: ids, keys, addresses, names, networks.
 *
 * The same original always gets the same new name, of the same length; new names are numbered, not derived, so nothing
 * of the original is in them. */
#ifndef DUMP_PSEUDONYMS_H
#define DUMP_PSEUDONYMS_H

#include "common/devices.h"
#include "tcp.h"
#include "tuyawire/dps.h"

struct pseudonyms;
struct pseudonyms *pseudonyms_new(void);    /* NULL: out of memory */
void pseudonyms_free(struct pseudonyms *p); /* wipes */

/* Everything in the device list that identifies: known before it is met in a message. @return 0; -1: out of memory */
int pseudonyms_add_devices(struct pseudonyms *p, const struct devices *d);

/* The new name of an id or name, which is looked for inside other text from then on; empty for empty, and when memory is out. Lives as long as p. */
struct tw_span pseudonym_of(struct pseudonyms *p, struct tw_span original);

/* The new address: 192.0.2.0/24 and 100.64.0.0/10, 2001:db8::/32. Broadcast and multicast stay. */
struct ip_address pseudonym_address(struct pseudonyms *p, const struct ip_address *original);

/* A body with new names in it: values of members that identify, texts that may be somebody's, and known originals
 * wherever they stand. What is neither JSON nor one of the usual errors becomes x'es, but for a brace at its
 * beginning. */
void pseudonyms_rewrite(struct pseudonyms *p, struct tw_text *out, struct tw_span body);

#endif
