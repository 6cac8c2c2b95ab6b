/* show.h - an input as people read it: records, frames, plaintext; and as a capture that any decoder opens. */
#ifndef FUZZ_SHOW_H
#define FUZZ_SHOW_H

#include <stdio.h>
#include "fuzz.h"

/** Print one input of this harness's form on out. With pcap, also write its frames as packets (raw IPv4, TCP port 6668, or
 * UDP port 6667 for discovery) behind a file header; inputs that are captures or texts are left alone. */
void show_input(FILE *out, FILE *pcap, const uint8_t *data, size_t size);

#endif
