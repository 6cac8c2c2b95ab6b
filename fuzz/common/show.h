/* show.h - an input as people read it: steps, frames, plaintext; and as a capture that any decoder opens. */
#ifndef FUZZ_SHOW_H
#define FUZZ_SHOW_H

#include <stdio.h>
#include "fuzz.h"

/** Print one input of this harness's form on out. A tape is run once by its harness, and what both ends send is shown; a
 * claim that it breaks aborts when all before it is written. With pcap, also write what travels as packets (raw IPv4, TCP
 * port 6668, or UDP port 6667 for discovery) behind a file header; texts have no packets, and captures are some already. */
void show_input(FILE *out, FILE *pcap, const uint8_t *data, size_t size);

#endif
