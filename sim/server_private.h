/* server_private.h - the parts of the server as its own files see them: server.c, conn.c, answer.c, strike.c.
 * Everybody else uses server.h. */
#ifndef SIM_SERVER_PRIVATE_H
#define SIM_SERVER_PRIVATE_H

#include "find.h"
#include "later.h"
#include "model/store.h"
#include "rng.h"
#include "server.h"
#include "tuyawire/tuyawire.h"

enum {
    READ_BUFFER = 64 * 1024,  /* bytes, one for all connections */
    BODY_MAX = 32 * 1024,     /* bytes of a JSON body we write; the largest built-in reply has 400 */
    WRITE_PAUSE = 256 * 1024, /* bytes: a client that does not read is not read from either */
    WRITE_RESUME = 64 * 1024,
    WRITE_MAX = 1024 * 1024, /* bytes: and is let go when others make the device push so much */
    LOBBY_MIN = 256,
    SKIPPED_MAX = 16,      /* frames that are nobody's: each may cost a try with every key there is */
    HEARD_OUT = 64,        /* reads of 4096 bytes, see hear_out() */
    FLUSH_AT = 64 * 1024,  /* bytes of output */
    REPLY_KEPT_MAX = 4096, /* bytes of JSON */
};

struct conn;

struct listener {
    uv_tcp_t tcp;
    struct server *server;
    struct device *device; /* NULL: any, see find.h */
    bool by_address;       /* one socket for a range of addresses: getsockname() tells the device */
};

/* What the server keeps of a device once somebody has talked to it. Idle devices have none. */
struct outlet {
    struct server *server;
    struct device *device;
    struct conn *conns;
    uint32_t n_conns;
    uint32_t serial;               /* of the last push */
    bool push_armed;               /* outlet_push() is due after the status delay */
    uint64_t wake_ms;              /* simulated: the plug's timer; UINT64_MAX: none */
    uint64_t pushed_ms;            /* real: when the last push went out */
    uint64_t left_ms;              /* real: when the last client left; 0: never */
    uint64_t boot_ms;              /* simulated: power-on */
    uint64_t down_until;           /* real: nobody is let in before */
    uint64_t dice;                 /* throws so far, see strike.c */
    uint64_t n_replies;            /* so far, see fuzzed.c */
    uint64_t changes;              /* of the plug, as far as the server had a hand in them */
    bool awake;                    /* Q14: a refresh or a control has woken it up */
    bool hangs;                    /* Q25 */
    bool rekeyed;                  /* Q32 */
    uint8_t first_key[TW_KEY_LEN]; /* before that, for server_reset() */
    struct listener *moved;        /* Q30: where it lives now; NULL: where it always did */
    struct outlet *next;
};

/* Bytes on their way through a slow or bad line (line.c). */
struct line;

struct conn {
    uv_tcp_t tcp; /* first: libuv hands out its address */
    struct server *server;
    struct listener *listener;
    struct outlet *outlet; /* NULL: in the lobby */
    tw_device *engine;     /* NULL: in the lobby */
    uint8_t *lobby;        /* what came before the device was known */
    uint8_t *held;         /* a reply that goes behind the next one, see fuzzed.c */
    struct line *line;
    struct conn *next, *prev; /* of the server */
    struct conn *next_of_outlet, *prev_of_outlet;
    uint64_t flow, since_ms;
    struct tap *tap; /* addresses and TCP numbers for journal and capture */
    uint32_t held_len;
    uint16_t lobby_len, lobby_cap;
    uint16_t n_later;  /* appointments */
    uint8_t n_skipped; /* frames in the lobby that are nobody's */
    bool closing, paused, mute, half_closed;
    bool queried;  /* Q13 strikes the first query only */
    bool replayed; /* --fuzz-replay has had its turn */
};

struct subscriber {
    server_listener *fn;
    void *ctx;
};

struct server {
    struct server_config cfg;
    struct listener **listeners;
    size_t n_listeners;
    bool one_each; /* listeners[i] is that of device i */
    struct conn *conns;
    size_t n_conns;
    struct outlet *outlets;
    struct finder *finder; /* which device a first frame is for; NULL: there is only one */
    tw_crypto *crypto;
    tw_device_host *host;
    struct rng rng;
    struct later later;
    uv_prepare_t prepare; /* flushes files before the loop sleeps */
    uv_timer_t sweep;     /* idle limits */
    uint64_t sweep_ms;    /* simulated: when it is due; UINT64_MAX: not armed */
    uint64_t start_ms;    /* real */
    uint64_t virtual_ms;
    uint64_t flows;
    struct journal *journal;
    struct pcapng *pcapng;
    struct store *store;
    struct announcer *announcer;
    struct fault *faults;
    size_t n_faults;
    uint32_t fault_numbers;
    struct fuzzed *fuzzed; /* NULL: replies leave as they are */
    struct server_counters counters;
    struct subscriber *subscribers;
    size_t n_subscribers;
    bool stopping;
    size_t n_open; /* handles that are not closed yet */
    bool disk_told;
    bool sync_armed;
    /* The last query reply: the same plug asked again within the same millisecond, and nothing done to it since, says
     * the same. Many clients that poll one plug come to this. */
    struct {
        const struct outlet *outlet; /* NULL: none */
        uint64_t now_ms, changes;
        size_t len;
        char text[REPLY_KEPT_MAX];
    } reply;
    uint8_t read_buffer[READ_BUFFER];
    char body[BODY_MAX], dps[BODY_MAX];
};

/* ---- server.c ---- */

uint64_t server_real_ms(const struct server *s);
void server_emit(struct server *s, const struct server_event *ev);
void server_arm_sweep(struct server *s, uint64_t deadline_ms);
void server_handle_closed(struct server *s);
void server_disk_error(struct server *s, const struct why *why);
/* ---- listen.c ---- */

int listen_open(struct server *s, struct why *why);
void listen_close(struct server *s);
void listen_drop(struct server *s, struct listener *l);
struct device *listen_device(const struct conn *c); /* NULL: the first frame will tell, or nobody lives there */
void outlet_move(struct outlet *o);                 /* to another address, as after a change of its lease */

/* ---- outlet.c ---- */

struct outlet *outlet_of(struct server *s, struct device *d); /* NULL: out of memory */
bool outlet_is_full(const struct outlet *o); /* as many clients as the profile or --max-clients allow */
int64_t outlet_unix_s(const struct outlet *o);
int outlet_save(struct outlet *o);  /* before a control is acknowledged; 0 also without --state */
void outlet_push(struct outlet *o); /* everything due, to every client, now */
void outlet_push_later(struct outlet *o, uint32_t delay_ms); /* once, however often it is asked for */
void outlet_arm(struct outlet *o);                           /* the plug's own timer */
void outlet_settle(struct outlet *o); /* what nobody was there to hear is not told to the next who comes */
void outlet_wake(struct outlet *o);   /* it is due */

/* ---- conn.c ---- */

void conn_accept(struct listener *l);
void conn_close(struct conn *c, const char *reason);
void conn_reset(struct conn *c, const char *reason); /* RST instead of FIN */
int conn_adopt(struct conn *c, struct device *d);    /* out of the lobby; -1: closed */
void conn_engine_input(struct conn *c, const uint8_t *bytes, size_t n);
int conn_emit(struct conn *c, const struct tw_message *m, unsigned flags); /* seal, journal, add to the output */
int conn_emit_plain(struct conn *c, const struct tw_message *m,
                    unsigned flags);                             /* the same, never changed on purpose */
void conn_flush(struct conn *c);                                 /* output to the socket */
void conn_write(struct conn *c, const uint8_t *bytes, size_t n); /* bytes to the socket */

/* ---- answer.c ---- */

void answer_event(struct conn *c, const struct tw_device_event *ev);

/* One STATUS of what t holds, to one client. */
void answer_status(struct conn *c, struct tw_span dps, struct tw_span cid, uint32_t serial);

/* ---- tap.c: journal and capture ---- */

struct tap;
bool tap_wanted(const struct server *s);
uint64_t tap_now_ns(const struct server *s); /* Unix time of what happens now, in all that is recorded */
struct tap *tap_open(struct conn *c);        /* NULL: nobody listens */
void tap_close(struct conn *c);
void tap_message_in(struct conn *c, const struct tw_device_event *ev);
/* Bytes of a connection whose device is not known (yet). error: TW_OK, or why nobody answers */
void tap_unknown(struct conn *c, bool from_device, const uint8_t *bytes, size_t n, int error);
void tap_message_out(struct conn *c, const struct tw_message *m, struct tw_span raw, bool local_key);
/* Changed on purpose: m is what was sealed, raw what left. */
void tap_message_fuzzed(struct conn *c, const struct tw_message *m, struct tw_span raw, bool local_key, bool sound,
                        const char *detail);
void tap_bytes(struct conn *c, bool from_device, const uint8_t *bytes, size_t n);
const char *tap_peer(const struct conn *c);

#endif
