/* tcp.h - ordered bytes per direction out of captured TCP segments.
 *
 *   segments, as captured --> tcp_push() --> sink: begin, data, gap, end, close
 *
 * Split, glued, repeated, overlapping and out-of-order segments yield the same bytes as a clean capture; the first
 * copy of a byte counts. A hole waits for its bytes and is given up, with its size, when they cannot come any more:
 * the peer has acknowledged them and the connection went on (they were lost in the capture, not on the wire), or the
 * memory for what waits behind them is used up. Sequence numbers wrap, ports are used again, captures begin in the
 * middle. In-order data is handed on where it lies; only what waits is copied.
 *
 * Bounded: what waits per flow, flows and bytes in all. Pure functions over bytes, except for malloc(). */
#ifndef DUMP_TCP_H
#define DUMP_TCP_H

#include "packet.h"

struct tcp_endpoint {
    struct ip_address address;
    uint16_t port;
};

/* What was seen of one direction. */
struct tcp_counts {
    uint64_t segments, bytes, repeated, out_of_order, lost_bytes;
    uint64_t acknowledged; /* bytes of it that the other side acknowledged, since its first acknowledgement */
};

struct tcp_flow {
    uint64_t number;             /* from 1, in the order of their first segment */
    struct tcp_endpoint side[2]; /* 0: the sender of the first segment that was seen */
    int client;                  /* the side that sent the SYN; -1: not seen */
    bool over;                   /* reset, or both sides have said goodbye: more is not expected */
    struct tcp_counts counts[2]; /* what this side sent */
    void *user;                  /* the sink's, from begin() to close() */
    size_t user_memory;          /* bytes behind user; the sink keeps it right */
};

enum tcp_cap {
    TCP_CAP_FLOW,  /* too much waits behind a hole of this flow: the hole is given up */
    TCP_CAP_TOTAL, /* too much memory in all: the flow that was silent longest is given up */
};

/* What the bytes are handed to. time_ns: when their segment was captured. */
struct tcp_sink {
    void *ctx;
    void (*begin)(void *ctx, struct tcp_flow *f);
    void (*data)(void *ctx, struct tcp_flow *f, int side, struct tw_span bytes, uint64_t time_ns);
    void (*gap)(void *ctx, struct tcp_flow *f, int side, uint64_t missing, uint64_t time_ns);
    void (*end)(void *ctx, struct tcp_flow *f, int side, uint64_t time_ns); /* FIN, RST, or the capture is over */
    void (*close)(void *ctx, struct tcp_flow *f, uint64_t time_ns);         /* release f->user */
    void (*capped)(void *ctx, struct tcp_flow *f, enum tcp_cap cap);
};

struct tcp_limits {
    size_t per_flow; /* bytes that wait, per direction; 0: 256 KiB */
    size_t total;    /* bytes of flows, what waits and user memory; 0: 6 MiB */
};

struct tcp_table;

/* NULL: out of memory. sink and limits are copied. */
struct tcp_table *tcp_table_new(const struct tcp_sink *sink, const struct tcp_limits *limits);

/* Take one segment; its data must live for the call. */
void tcp_push(struct tcp_table *t, const struct ip_packet *ip, const struct segment *s, uint64_t time_ns);

/* Time passes without packets (live capture): what has waited long enough is handed on. */
void tcp_tick(struct tcp_table *t, uint64_t time_ns);

/* The capture is over: what waits is handed on, with its gaps, oldest flow first; every flow ends and closes. */
void tcp_finish(struct tcp_table *t, uint64_t time_ns);

size_t tcp_memory(const struct tcp_table *t); /* bytes held now */
void tcp_table_free(struct tcp_table *t);     /* closes flows without handing on; NULL is fine */

#endif
