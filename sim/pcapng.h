/* pcapng.h - the traffic of the simulation as a capture file, as if it had been taken on the wire.
 *
 * Section header, one interface of link type raw IP, one enhanced packet per segment. TCP handshakes, numbers and
 * checksums are made up to be consistent: Wireshark reassembles them like any other.
 * Format: draft-ietf-opsawg-pcapng; link type 101 (LINKTYPE_RAW). */
#ifndef SIM_PCAPNG_H
#define SIM_PCAPNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include "common/say.h"

struct pcapng;
struct pcapng_flow;

/** @param path  replaced if it exists */
int pcapng_open(struct pcapng **out, const char *path, struct why *why);
void pcapng_close(struct pcapng *p); /* NULL is fine */
/** @return 0; -1: the file has been given up since the last call */
int pcapng_flush(struct pcapng *p);

/** A client connects. @return NULL: no memory, or the file is given up; the other calls take NULL */
struct pcapng_flow *pcapng_connect(struct pcapng *p, const struct sockaddr *client, const struct sockaddr *device,
                                   uint64_t time_ns);
void pcapng_bytes(struct pcapng *p, struct pcapng_flow *f, bool from_device, const uint8_t *bytes, size_t n,
                  uint64_t time_ns);
void pcapng_disconnect(struct pcapng *p, struct pcapng_flow *f, uint64_t time_ns); /* frees f */

/** One datagram. */
void pcapng_datagram(struct pcapng *p, const struct sockaddr *from, const struct sockaddr *to, const uint8_t *bytes,
                     size_t n, uint64_t time_ns);

#endif
