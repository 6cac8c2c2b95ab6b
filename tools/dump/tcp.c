/* tcp.c - TCP reassembly; contract in tcp.h. Sequence arithmetic: RFC 9293 section 3.4, modulo 2^32. */
#include "tcp.h"
#include <stdlib.h>
#include <string.h>
#include "common/cold.h"

enum {
    N_BUCKETS = 4096,
    PER_FLOW = 256 << 10,
    TOTAL = 6 << 20,
    HELD_MAX = 1024, /* segments that wait, per direction */
    N_CLOSED = 4096, /* closed flows that are remembered, for late repetitions */
    /* A hole is given up after so many packets of its flow, or this long. Our choice: reordering spans a few packets,
     * a retransmission takes some 200 ms. Unacknowledged bytes must still come: they get all the time there is. */
    PATIENCE_ACKED = 12,
    PATIENCE_UNACKED = 1024,
    PATIENCE_CAUSE = 12, /* packets in which what a segment answers may still turn up */
    PATIENCE_START = 6,  /* packets in which the true beginning of a connection may still turn up */
    FAR = 16 << 20,      /* bytes; a sequence number this far off belongs to another connection */
    LATE_SYN = 64 << 10, /* bytes; the same for a SYN behind the data it announces */
};
static const uint64_t late_syn_ns = 2000000000u, patience_acked_ns = 500000000u, patience_unacked_ns = 120000000000u;
static const uint64_t patience_start_ns = 200000000u, dying_ns = 2000000000u, closed_ns = 60000000000u;

struct held {
    struct held *next;
    uint64_t time_ns;
    uint32_t seq, ack;
    bool has_ack;
    size_t len, missing;
    uint8_t data[];
};

struct half {
    bool synced; /* next is valid */
    bool syn, fin, ended, acked_valid;
    uint32_t isn, first, next, fin_seq;
    uint32_t acked;  /* the other side has acknowledged bytes before this */
    uint32_t waived; /* acknowledgements up to here are handed on although what they answer has not been seen */
    bool waived_valid;
    struct held *held, *last;
    size_t n_held, held_bytes;
    unsigned waits; /* packets of the flow since the hole opened */
    uint64_t hole_ns;
};

struct key {
    struct tcp_endpoint a, b;
};

struct flow {
    struct tcp_flow flow; /* first: handed out */
    struct half half[2];
    struct flow *chain; /* of its bucket */
    struct flow *older, *newer;
    uint32_t hash;
    bool dying, closed, begun; /* dying: over, but segments from before may still turn up */
    uint64_t first_ns, last_ns;
    size_t counted_memory; /* as it stands in table.memory */
};

/* Flows from the longest silent to the newest. */
struct list {
    struct flow *oldest, *newest;
    size_t n;
};

struct tcp_table {
    struct tcp_sink sink;
    struct tcp_limits limits;
    struct flow *buckets[N_BUCKETS];
    struct list open, dying, closed;
    struct flow *recent;
    uint64_t n_flows;
    size_t memory;
    bool said_total;
};

static int32_t distance(uint32_t from, uint32_t to)
{
    return (int32_t)(to - from);
}

/* ---- Flows -------------------------------------------------------------------------------------------------------- */

struct tcp_table *tcp_table_new(const struct tcp_sink *sink, const struct tcp_limits *limits)
{
    struct tcp_table *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->sink = *sink;
    if (limits != NULL)
        t->limits = *limits;
    if (t->limits.per_flow == 0)
        t->limits.per_flow = PER_FLOW;
    if (t->limits.total == 0)
        t->limits.total = TOTAL;
    return t;
}

size_t tcp_memory(const struct tcp_table *t)
{
    return t->memory;
}

static void list_remove(struct list *l, struct flow *f)
{
    *(f->older != NULL ? &f->older->newer : &l->oldest) = f->newer;
    *(f->newer != NULL ? &f->newer->older : &l->newest) = f->older;
    l->n--;
}

static void list_append(struct list *l, struct flow *f)
{
    f->older = l->newest;
    f->newer = NULL;
    *(l->newest != NULL ? &l->newest->newer : &l->oldest) = f;
    l->newest = f;
    l->n++;
}

static void count_memory(struct tcp_table *t, struct flow *f)
{
    size_t now = sizeof *f + f->flow.user_memory + f->half[0].held_bytes + f->half[1].held_bytes;
    t->memory += now - f->counted_memory;
    f->counted_memory = now;
}

/* Every bit of address and port reaches the high bits, which choose the bucket. */
static uint32_t hash_endpoint(const struct ip_address *a, uint16_t port)
{
    static const uint64_t odd = 0x9e3779b97f4a7c15u;
    uint64_t low, high;
    memcpy(&low, a->bytes, 8);
    memcpy(&high, a->bytes + 8, 8);
    uint64_t h = (low ^ port) * odd;
    h = ((h ^ h >> 32) + high) * odd;
    return (uint32_t)(h >> 32);
}

static struct flow **bucket_of(struct tcp_table *t, uint32_t hash)
{
    return &t->buckets[hash / (UINT32_MAX / N_BUCKETS + 1)];
}

static bool is_endpoint(const struct tcp_endpoint *e, const struct ip_address *a, uint16_t port)
{
    return e->port == port && e->address.version == a->version &&
           memcmp(e->address.bytes, a->bytes, sizeof a->bytes) == 0;
}

/* The side of this flow that sent the segment; -1: another flow. */
static int side_of(const struct flow *f, const struct ip_packet *ip, const struct segment *s)
{
    for (int side = 0; side < 2; side++)
        if (is_endpoint(&f->flow.side[side], &ip->src, s->src_port) &&
            is_endpoint(&f->flow.side[!side], &ip->dst, s->dst_port))
            return side;
    return -1;
}

static struct flow *find_flow(struct tcp_table *t, uint32_t hash, const struct ip_packet *ip, const struct segment *s,
                              int *side)
{
    for (struct flow *f = *bucket_of(t, hash); f != NULL; f = f->chain)
        if (f->hash == hash && (*side = side_of(f, ip, s)) >= 0)
            return f;
    return NULL;
}

static COLD struct flow *add_flow(struct tcp_table *t, uint32_t hash, const struct ip_packet *ip,
                                  const struct segment *s)
{
    struct flow *f = calloc(1, sizeof *f);
    if (f == NULL)
        return NULL;
    f->flow.side[0] = (struct tcp_endpoint){ip->src, s->src_port};
    f->flow.side[1] = (struct tcp_endpoint){ip->dst, s->dst_port};
    f->flow.client = -1;
    f->flow.number = ++t->n_flows;
    f->hash = hash;
    f->chain = *bucket_of(t, hash);
    *bucket_of(t, hash) = f;
    list_append(&t->open, f);
    count_memory(t, f);
    return f;
}

static void drop_held(struct half *h)
{
    while (h->held != NULL) {
        struct held *next = h->held->next;
        free(h->held);
        h->held = next;
    }
    h->last = NULL;
    h->n_held = h->held_bytes = 0;
}

static struct list *list_of(struct tcp_table *t, const struct flow *f)
{
    return f->closed ? &t->closed : f->dying ? &t->dying : &t->open;
}

static void remove_flow(struct tcp_table *t, struct flow *f)
{
    struct flow **link = bucket_of(t, f->hash);
    while (*link != f)
        link = &(*link)->chain;
    *link = f->chain;
    list_remove(list_of(t, f), f);
    drop_held(&f->half[0]);
    drop_held(&f->half[1]);
    t->memory -= f->counted_memory;
    if (t->recent == f)
        t->recent = NULL;
    free(f);
}

/* ---- Handing on --------------------------------------------------------------------------------------------------- */

static void begin(struct tcp_table *t, struct flow *f)
{
    if (f->begun)
        return;
    f->begun = true;
    t->sink.begin(t->sink.ctx, &f->flow);
}

static void hand_data(struct tcp_table *t, struct flow *f, int side, const uint8_t *data, size_t len,
                      uint64_t time_ns)
{
    f->half[side].next += (uint32_t)len;
    f->flow.counts[side].bytes += len;
    begin(t, f);
    if (len > 0)
        t->sink.data(t->sink.ctx, &f->flow, side, (struct tw_span){data, len}, time_ns);
}

static COLD void hand_gap(struct tcp_table *t, struct flow *f, int side, uint32_t missing, uint64_t time_ns)
{
    f->half[side].next += missing;
    f->flow.counts[side].lost_bytes += missing;
    begin(t, f);
    t->sink.gap(t->sink.ctx, &f->flow, side, missing, time_ns);
}

/* Hand on what is new of a run that begins at or before next. */
static void hand_new(struct tcp_table *t, struct flow *f, int side, uint32_t seq, const uint8_t *data, size_t len,
                     size_t missing, uint64_t time_ns)
{
    struct half *h = &f->half[side];
    size_t old = (size_t)(h->next - seq);
    if (old < len)
        hand_data(t, f, side, data + old, len - old, time_ns);
    old = (size_t)(h->next - seq);
    if (old < len + missing)
        hand_gap(t, f, side, (uint32_t)(len + missing - old), time_ns);
}

static struct held *take_held(struct half *h)
{
    struct held *first = h->held;
    h->held = first->next;
    if (h->held == NULL)
        h->last = NULL;
    h->n_held--;
    h->held_bytes -= sizeof *first + first->len;
    return first;
}

/* A segment that acknowledges bytes of the other side which have not been handed on was captured too early: what it
 * answers comes first. Without this order a 3.4 session would be used before its key is known. */
static bool is_early(const struct flow *f, int side, bool has_ack, uint32_t ack)
{
    const struct half *h = &f->half[side], *other = &f->half[!side];
    if (!has_ack || !other->synced || other->ended || distance(other->next, ack) <= 0)
        return false;
    if (other->fin && ack == other->fin_seq + 1 && other->next == other->fin_seq)
        return false; /* the FIN counts, too */
    return !(h->waived_valid && distance(ack, h->waived) >= 0);
}

static bool is_in_order(const struct half *h)
{
    return h->synced && h->held != NULL && distance(h->next, h->held->seq) <= 0;
}

static bool can_hand(const struct flow *f, int side)
{
    const struct half *h = &f->half[side];
    return is_in_order(h) && !is_early(f, side, h->held->has_ack, h->held->ack);
}

static void hand_first(struct tcp_table *t, struct flow *f, int side)
{
    struct half *h = &f->half[side];
    struct held *first = take_held(h);
    uint32_t end = first->seq + (uint32_t)(first->len + first->missing);
    if (distance(h->next, end) > 0)
        hand_new(t, f, side, first->seq, first->data, first->len, first->missing, first->time_ns);
    free(first);
    h->waits = 0;
    if (h->held != NULL)
        h->hole_ns = h->held->time_ns;
}

/* Hand on all that waits up to the next hole, of both sides: one may have waited for the other. */
static void hand_held(struct tcp_table *t, struct flow *f)
{
    for (;;) {
        bool can[2] = {can_hand(f, 0), can_hand(f, 1)};
        if (!can[0] && !can[1])
            return;
        int side = can[0] && can[1] ? f->half[1].held->time_ns < f->half[0].held->time_ns : can[1];
        hand_first(t, f, side);
    }
}

static void sync_half(struct half *h, uint32_t seq)
{
    h->synced = true;
    h->first = h->next = seq;
}

/* The capture began in the middle of this connection. Both directions start where their first bytes are, and what has
 * waited is handed on in the order in which it was captured. */
static COLD void start_in_the_middle(struct tcp_table *t, struct flow *f)
{
    for (int side = 0; side < 2; side++)
        if (!f->half[side].synced && f->half[side].held != NULL)
            sync_half(&f->half[side], f->half[side].held->seq);
    hand_held(t, f);
}

/* What comes next will not come any more, or what it answers: go on without. */
static COLD void give_up_waiting(struct tcp_table *t, struct flow *f, int side)
{
    struct half *h = &f->half[side];
    int32_t hole = distance(h->next, h->held->seq);
    if (hole > 0)
        hand_gap(t, f, side, (uint32_t)hole, h->held->time_ns);
    h->waived = h->held->ack;
    h->waived_valid = h->held->has_ack;
    hand_first(t, f, side);
    hand_held(t, f);
}

/* Bytes at the end that were sent, as FIN or the acknowledgements of the other side tell, and not captured. One byte
 * acknowledged is none without FIN: it may be the FIN. */
static uint32_t missing_at_end(const struct half *h)
{
    int32_t missing = !h->synced ? 0 : h->fin ? distance(h->next, h->fin_seq) : distance(h->next, h->acked);
    if (missing > FAR || missing < 0 || (!h->fin && (!h->acked_valid || missing == 1)))
        return 0;
    return (uint32_t)missing;
}

static COLD void end_side(struct tcp_table *t, struct flow *f, int side, uint64_t time_ns)
{
    struct half *h = &f->half[side];
    if (h->ended)
        return;
    if (!h->synced)
        start_in_the_middle(t, f);
    while (h->held != NULL)
        give_up_waiting(t, f, side);
    uint32_t missing = missing_at_end(h);
    if (missing > 0)
        hand_gap(t, f, side, missing, time_ns);
    h->ended = true;
    if (f->begun)
        t->sink.end(t->sink.ctx, &f->flow, side, time_ns);
}

static COLD void close_flow(struct tcp_table *t, struct flow *f, uint64_t time_ns)
{
    if (f->closed)
        return;
    end_side(t, f, 0, time_ns);
    end_side(t, f, 1, time_ns);
    if (f->begun)
        t->sink.close(t->sink.ctx, &f->flow, time_ns);
    f->flow.user = NULL;
    f->flow.user_memory = 0;
    list_remove(list_of(t, f), f);
    f->closed = true;
    list_append(&t->closed, f);
    count_memory(t, f);
}

/* ---- Waiting ------------------------------------------------------------------------------------------------------ */

/* Keep a segment that lies behind a hole, in the order of sequence numbers. */
static void hold(struct tcp_table *t, struct flow *f, int side, const struct segment *s, uint32_t seq,
                 uint64_t time_ns)
{
    struct half *h = &f->half[side];
    struct held *n = malloc(sizeof *n + s->data.len);
    if (n == NULL)
        return; /* as if it were lost */
    *n = (struct held){.time_ns = time_ns,
                       .seq = seq,
                       .ack = s->ack,
                       .has_ack = (s->flags & TCP_ACK) != 0,
                       .len = s->data.len,
                       .missing = s->missing};
    memcpy(n->data, s->data.data, s->data.len);
    if (h->held == NULL) {
        h->waits = 0;
        h->hole_ns = time_ns;
    }
    struct held **link = &h->held;
    if (h->last != NULL && distance(h->last->seq, seq) >= 0)
        link = &h->last->next;
    while (*link != NULL && distance((*link)->seq, seq) >= 0)
        link = &(*link)->next;
    n->next = *link;
    *link = n;
    if (n->next == NULL)
        h->last = n;
    h->n_held++;
    h->held_bytes += sizeof *n + n->len;
    if (h->held_bytes <= t->limits.per_flow && h->n_held <= HELD_MAX)
        return;
    begin(t, f);
    t->sink.capped(t->sink.ctx, &f->flow, TCP_CAP_FLOW);
    if (!h->synced)
        start_in_the_middle(t, f);
    while (h->held_bytes > t->limits.per_flow || h->n_held > HELD_MAX) /* the first may be small, the others large */
        give_up_waiting(t, f, side);
}

/* Does what waits have to wait any longer? Bytes of a hole that the peer has acknowledged cannot come any more, unless the capture is out of order. */
static void look_at_hole(struct tcp_table *t, struct flow *f, int side, uint64_t time_ns)
{
    struct half *h = &f->half[side];
    if (h->held == NULL)
        return;
    bool acked = h->acked_valid && distance(h->held->seq, h->acked) >= 0;
    uint64_t waited = time_ns > h->hole_ns ? time_ns - h->hole_ns : 0;
    h->waits++;
    if (!h->synced) {
        if (h->waits > PATIENCE_START || waited > patience_start_ns)
            start_in_the_middle(t, f);
        return;
    }
    if (is_in_order(h)) {
        if (h->waits > PATIENCE_CAUSE || waited > patience_acked_ns)
            give_up_waiting(t, f, side);
        return;
    }
    if (h->waits > (acked ? PATIENCE_ACKED : PATIENCE_UNACKED) ||
        waited > (acked ? patience_acked_ns : patience_unacked_ns))
        give_up_waiting(t, f, side);
}

static void push_data(struct tcp_table *t, struct flow *f, int side, const struct segment *s, uint32_t seq,
                      uint64_t time_ns)
{
    struct half *h = &f->half[side];
    size_t len = s->data.len + s->missing;
    f->flow.counts[side].segments++;
    if (!h->synced) {
        hold(t, f, side, s, seq, time_ns);
        return;
    }
    if (distance(h->next, seq) > 0) {
        hold(t, f, side, s, seq, time_ns);
        return;
    }
    if (distance(h->next, seq + (uint32_t)len) <= 0) {
        f->flow.counts[side].repeated++;
        return;
    }
    if (h->held != NULL && !is_in_order(h))
        f->flow.counts[side].out_of_order++; /* it belongs into a hole */
    if (h->held != NULL || is_early(f, side, (s->flags & TCP_ACK) != 0, s->ack)) {
        hold(t, f, side, s, seq, time_ns);
        hand_held(t, f);
        return;
    }
    hand_new(t, f, side, seq, s->data.data, s->data.len, s->missing, time_ns);
    if (f->half[!side].held != NULL)
        hand_held(t, f);
}

/* ---- Segments ------------------------------------------------------------------------------------------------------- */

/* Where this side is in its stream; false: nothing tells. */
static bool position(const struct half *h, uint32_t *first)
{
    *first = h->synced ? h->first : h->held != NULL ? h->held->seq : h->acked;
    return h->synced || h->held != NULL || h->acked_valid;
}

static COLD bool is_new_syn(const struct flow *f, int side, const struct segment *s, uint64_t time_ns)
{
    const struct half *h = &f->half[side];
    uint32_t first;
    if (h->syn) /* some begin with the same number each time */
        return h->isn != s->seq || (time_ns > f->last_ns + late_syn_ns && (f->closed || f->dying));
    if (!position(h, &first))
        return f->closed;
    if (!f->half[!side].syn && time_ns > f->first_ns + late_syn_ns)
        return true;
    int32_t late = distance(s->seq + 1, first); /* a SYN that was captured behind the data it announces */
    return late < 0 || late > LATE_SYN;
}

/* Does this segment belong to another connection between the same ports than the flow that is known? */
static bool is_new_connection(const struct flow *f, int side, const struct segment *s, uint64_t time_ns)
{
    const struct half *h = &f->half[side];
    uint32_t at = h->next;
    if (s->flags & TCP_SYN)
        return is_new_syn(f, side, s, time_ns);
    if (s->data.len + s->missing == 0 || (!h->synced && !position(h, &at)))
        return false;
    int32_t ahead = distance(at, s->seq);
    return (f->closed && h->synced && ahead >= 0) || ahead > FAR || ahead < -FAR;
}

static COLD void take_syn(struct flow *f, int side, const struct segment *s)
{
    struct half *h = &f->half[side];
    h->syn = true;
    h->isn = s->seq;
    if (!h->synced)
        sync_half(h, s->seq + 1);
    if (!(s->flags & TCP_ACK))
        f->flow.client = side;
    else if (f->flow.client < 0)
        f->flow.client = !side;
}

/* side: whose bytes are acknowledged. */
static void take_ack(struct flow *f, int side, const struct segment *s)
{
    struct half *h = &f->half[side];
    int32_t more = h->acked_valid ? distance(h->acked, s->ack) : 0;
    if (!(s->flags & TCP_ACK) || (h->acked_valid && more <= 0))
        return;
    f->flow.counts[side].acknowledged += (uint32_t)more;
    h->acked = s->ack;
    h->acked_valid = true;
}

static COLD void take_fin(struct tcp_table *t, struct flow *f, int side, uint64_t time_ns)
{
    struct half *h = &f->half[side];
    if (h->fin && !h->ended && h->synced && distance(h->fin_seq, h->next) >= 0)
        end_side(t, f, side, time_ns);
    if (f->half[0].ended && f->half[1].ended)
        close_flow(t, f, time_ns);
}

/* Has this side said all it had to say, be it that the capture has it or not? */
static bool is_done(const struct half *h)
{
    return h->ended || (h->fin && h->acked_valid && distance(h->fin_seq, h->acked) > 0);
}

static COLD void make_room(struct tcp_table *t, struct flow *keep, uint64_t time_ns)
{
    while (t->dying.n > 0 && t->dying.oldest != keep &&
           (t->memory > t->limits.total || t->dying.oldest->last_ns + dying_ns < time_ns))
        close_flow(t, t->dying.oldest, time_ns);
    while (t->closed.n > 0 &&
           (t->closed.n > N_CLOSED || t->memory > t->limits.total || t->closed.oldest->last_ns + closed_ns < time_ns))
        remove_flow(t, t->closed.oldest);
    while (t->memory > t->limits.total && t->open.oldest != NULL && t->open.oldest != keep) {
        struct flow *f = t->open.oldest;
        begin(t, f);
        t->sink.capped(t->sink.ctx, &f->flow, TCP_CAP_TOTAL);
        close_flow(t, f, time_ns);
        remove_flow(t, f);
    }
}

void tcp_push(struct tcp_table *t, const struct ip_packet *ip, const struct segment *s, uint64_t time_ns)
{
    int side = 0;
    struct flow *f = t->recent; /* packets of one connection come in a row */
    uint32_t hash = 0;
    if (f == NULL || (side = side_of(f, ip, s)) < 0) {
        hash = hash_endpoint(&ip->src, s->src_port) + hash_endpoint(&ip->dst, s->dst_port);
        f = find_flow(t, hash, ip, s, &side);
    } else {
        hash = f->hash;
    }
    size_t len = s->data.len + s->missing;
    if (f != NULL && is_new_connection(f, side, s, time_ns)) {
        close_flow(t, f, time_ns);
        remove_flow(t, f);
        f = NULL;
    }
    if (f == NULL) {
        if (len == 0 && !(s->flags & TCP_SYN))
            return; /* the last words of a connection that nothing is known of */
        side = 0;
        f = add_flow(t, hash, ip, s);
        if (f == NULL)
            return;
        f->first_ns = time_ns;
    }
    t->recent = f;
    f->last_ns = time_ns;
    struct list *list = list_of(t, f);
    if (!f->closed && list->newest != f) {
        list_remove(list, f);
        list_append(list, f);
    }
    uint32_t seq = s->seq;
    if (s->flags & TCP_SYN) {
        take_syn(f, side, s);
        seq++;
        if (!f->closed)
            hand_held(t, f);
    }
    take_ack(f, !side, s);
    if (f->closed)
        return;
    if (len > 0)
        push_data(t, f, side, s, seq, time_ns);
    look_at_hole(t, f, 0, time_ns);
    look_at_hole(t, f, 1, time_ns);
    if (s->flags & TCP_FIN) {
        f->half[side].fin = true;
        f->half[side].fin_seq = seq + (uint32_t)len;
    }
    bool is_over = (s->flags & TCP_RST) != 0;
    if (f->half[0].fin || f->half[1].fin) {
        take_fin(t, f, side, time_ns);
        if (!f->closed)
            take_fin(t, f, !side, time_ns);
        is_over = is_over || (is_done(&f->half[0]) && is_done(&f->half[1]));
    }
    if (is_over && !f->closed && !f->dying) {
        list_remove(&t->open, f);
        f->dying = f->flow.over = true;
        list_append(&t->dying, f);
    }
    count_memory(t, f);
    if (t->memory > t->limits.total || t->closed.n > 0 || t->dying.n > 0)
        make_room(t, f, time_ns);
}

void tcp_tick(struct tcp_table *t, uint64_t time_ns)
{
    for (struct flow *f = t->open.newest;
         f != NULL && f->last_ns + patience_acked_ns + patience_start_ns > time_ns;) {
        struct flow *older = f->older;
        look_at_hole(t, f, 0, time_ns);
        look_at_hole(t, f, 1, time_ns);
        count_memory(t, f);
        f = older;
    }
    make_room(t, NULL, time_ns);
}

void tcp_finish(struct tcp_table *t, uint64_t time_ns)
{
    while (t->dying.oldest != NULL)
        close_flow(t, t->dying.oldest, time_ns);
    while (t->open.oldest != NULL)
        close_flow(t, t->open.oldest, time_ns);
    while (t->closed.oldest != NULL)
        remove_flow(t, t->closed.oldest);
}

void tcp_table_free(struct tcp_table *t)
{
    if (t == NULL)
        return;
    while (t->open.oldest != NULL || t->dying.oldest != NULL) {
        struct flow *f = t->open.oldest != NULL ? t->open.oldest : t->dying.oldest;
        if (f->begun)
            t->sink.close(t->sink.ctx, &f->flow, f->last_ns);
        remove_flow(t, f);
    }
    while (t->closed.oldest != NULL)
        remove_flow(t, t->closed.oldest);
    free(t);
}
