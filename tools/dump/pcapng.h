/* pcapng.h - write a capture file. Format: draft-ietf-opsawg-pcapng. */
#ifndef DUMP_PCAPNG_H
#define DUMP_PCAPNG_H

#include "out.h"

/* Section header and one interface with times in nanoseconds. @param link_type  number of tcpdump.org/linktypes */
void pcapng_begin(struct out *out, uint16_t link_type, const char *application);

/* One packet out of two parts (a header that was made up, and what it carries; either may be empty). */
void pcapng_packet(struct out *out, uint64_t time_ns, struct tw_span head, struct tw_span body);

#endif
