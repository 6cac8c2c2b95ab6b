/* decode.h - packets in, messages out: link, IP, TCP, observer and discovery, one behind the other.
 *
 *   decode_packet() --> link --> ip --> tcp --> observer --> struct seen --> sink
 *                                  \--> udp --> discovery --/
 *
 * One decoder serves one capture or live interface, or several files one after the other. */
#ifndef DUMP_DECODE_H
#define DUMP_DECODE_H

#include "common/record.h"
#include "directory.h"
#include "verdict.h"

enum { DECODE_ADDRESS_MAX = 56 }; /* "[ipv6]:port" and NUL */

/* One TCP connection, or one sender of datagrams. */
struct conversation {
    uint64_t number;                     /* from 1; 0: datagrams */
    char address[2][DECODE_ADDRESS_MAX]; /* per side of the flow */
    int device_side;                     /* 0 or 1; -1: nobody knows */
    int labelled_device;                 /* the side that is fed as TW_FROM_DEVICE */
    char *where[2];                      /* per side: record_where() of its messages; owned, NULL: not made yet */
    size_t where_len[2];
    int where_version[2]; /* for which it was made */
    struct who who;
    int family; /* enum units_family that its data points betray */
    struct verdict_state verdict;
    int closed_by;               /* the side that closed it first; -1: neither yet */
    uint64_t closed_packet;      /* the number of the packet that did */
    const struct tcp_flow *flow; /* NULL: frames of a log */
    void *tally;                 /* of the statistics, which own it */
    void *redacted;              /* of --redact, which owns it */
    tw_observer *observer;
};

/* One record: a message, bytes that are none, or a request without reply. Everything is borrowed for the call. */
struct seen {
    struct record record;                    /* as --json prints it */
    struct conversation *conversation;       /* NULL: a datagram, or --hex */
    const struct tw_observed *observed;      /* NULL: a datagram, or a verdict about no message */
    const struct tw_discovery *discovery;    /* NULL: not one, or it could not be opened */
    const struct devices_entry *device;      /* NULL: not known */
    const struct devices_entry *owner;       /* of the data points: device, or a sub-device; NULL: not known */
    const struct tw_session_secret *session; /* not NULL: a session key was found with this message */
    struct tw_body body;                     /* when has_body: the payload is JSON */
    bool has_body;
    struct verdict verdict;
    uint64_t reply_ns;                    /* of a reply: time since its request; 0: not a reply */
    const struct tcp_endpoint *src, *dst; /* NULL: a frame of a log */
    struct tw_span raw;                   /* the frame as captured; empty: none */
};

struct decode_sink {
    void *ctx;
    void (*seen)(void *ctx, struct seen *s);
    /* A connection is over: counts and open requests are final. NULL: not wanted. */
    void (*closed)(void *ctx, struct conversation *c, uint64_t time_ns);
    /* What the user should know, once each ("memory limit reached, ..."). */
    void (*warn)(void *ctx, const char *text);
};

struct decode_config {
    tw_keyring *ring;              /* borrowed */
    const struct devices *devices; /* borrowed; NULL: none. Entry i of the keyring is entry_of_key[i] */
    const size_t *entry_of_key;    /* index into devices, or TW_NO_INDEX */
    const uint16_t *ports;         /* of TCP and UDP; n_ports 0: TCP 6668, UDP 6666, 6667, 7000 */
    size_t n_ports;
    bool has_version; /* -P: what to expect where the bytes do not tell */
    enum tw_version version;
    bool want_bodies; /* fill seen.body for every message */
    struct tcp_limits limits;
};

struct decoder;

/* NULL: out of memory. config and sink are copied. */
struct decoder *decode_new(const struct decode_config *config, const struct decode_sink *sink);
void decode_free(struct decoder *d); /* NULL is fine */

/* Take one captured packet. */
void decode_packet(struct decoder *d, int link_type, struct tw_span packet, uint64_t time_ns);
/* Take one frame without a packet around it, out of a log. */
void decode_frame(struct decoder *d, struct tw_span frame);
void decode_tick(struct decoder *d, uint64_t time_ns); /* live: time passes */
void decode_finish(struct decoder *d);                 /* the capture is over */

/* What was read and not decoded, for the summary. */
struct decode_counts {
    uint64_t packets, bytes, tcp, udp, other, cut, malformed, fragments, messages, undecoded;
};
const struct decode_counts *decode_counts(const struct decoder *d);
size_t decode_memory(const struct decoder *d);

#endif
