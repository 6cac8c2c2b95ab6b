/* alike.h - makes the interfaces of a pcapng alike while its bytes pass by.
 *
 * libpcap refuses a pcapng whose interfaces differ in link type or snapshot length, and Wireshark saves such files
 * whenever it captures on two interfaces of different kinds. So every interface is given the link type of the first one
 * and no snapshot length, and the true link type of a packet is told beside: bytes are let through in runs in which all
 * packets have one.
 *
 *   block   type, total length, body, total length; all of 4 bytes, in the byte order of its section
 *   body    section: byte order magic, ..; interface: link type (2), 0 (2), snapshot length (4), ..;
 *           enhanced packet: interface (4), ..; old packet: interface (2), ..; simple packet: original length (4), ..;
 *           of the first interface
 *
 * Pure function over bytes. What is damaged passes as it is: libpcap says what is wrong with it.
 * Source: draft-ietf-opsawg-pcapng. */
#ifndef DUMP_ALIKE_H
#define DUMP_ALIKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ALIKE_INTERFACES_MAX = 1024, /* per section whose link type is kept; our choice */
    ALIKE_ROOM_MIN = 16,         /* bytes of out, so that the front of a block fits */
};

struct alike {
    bool big_endian, has_first;
    const char *error;  /* why nothing more passes; NULL: nothing is wrong */
    size_t left;        /* bytes of the block at hand that pass unseen */
    uint16_t link_type; /* of the packets in the last run */
    uint16_t first_link_type;
    uint32_t simple_max; /* snapshot length of the first interface of this section; 0: none */
    unsigned n_interfaces;
    uint16_t link_types[ALIKE_INTERFACES_MAX];
};

/* Do these first 4 bytes of a file begin a pcapng? */
bool alike_is_pcapng(const uint8_t first[4]);

/* Zero *a before the first call. Copies from in to out what belongs to one run; blocks keep their length.
 * @param cap     at least ALIKE_ROOM_MIN
 * @param at_end  nothing comes behind in
 * @return bytes of in that were copied; 0: more of in is needed, nothing is left, or see error */
size_t alike_pass(struct alike *a, uint8_t *out, size_t cap, const uint8_t *in, size_t len, bool at_end);

#endif
