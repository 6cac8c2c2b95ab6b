/* server.h - the running simulation: devices on real sockets, their clients, the clock, the journal, faults.
 *
 *   sockets --> conn.c --> tw_device (library) --> answer.c --> plug model --> pushes --> every client
 *                                  \-> journal.c, events -> subscribers: control API, console, tests
 *
 * One thread, one libuv loop. Whoever stands on top (the control API, the console) asks and acts through this header
 * only, and hears what happens through server_subscribe(). Nothing here blocks.
 *
 * Two clocks. Simulated time moves plugs, idle limits and announcements; with --clock virtual it stands still until
 * server_advance(). Gaps on the wire (--status-delay, slow faults) are always real milliseconds: a real client waits
 * for them. */
#ifndef SIM_SERVER_H
#define SIM_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>
#include "common/say.h"
#include "fault.h"
#include "fuzzed.h"
#include "journal.h"
#include "model/fleet.h"

enum server_spread {
    SPREAD_NONE,    /**< all devices on one address and port; the first frame tells which one is meant */
    SPREAD_ADDRESS, /**< one loopback address each: 127.0.1.1, 127.0.1.2, .. */
    SPREAD_PORT,    /**< one port each: port, port + 1, ..; or an ephemeral one each */
};

struct server_config {
    uv_loop_t *loop;     /**< borrowed */
    struct fleet *fleet; /**< borrowed; devices stay where they are */
    const char *listen;  /**< address */
    uint16_t port;       /**< 0: ephemeral */
    enum server_spread spread;
    uint64_t seed;
    bool virtual_clock;
    int64_t epoch_s;                 /**< Unix seconds at simulated time 0 */
    uint32_t status_delay_ms;        /**< from the ACK of a control to its STATUS */
    int64_t max_clients;             /**< -1: as the profile says; 0: no limit */
    int64_t idle_timeout_ms;         /**< -1: as the profile says; 0: never */
    bool journal_memory;             /**< keep the last messages for server_journal() */
    const char *journal_path;        /**< NULL: no file */
    const char *write_path;          /**< pcapng; NULL: none */
    const char *state_path;          /**< NULL: none */
    const char *discovery;           /**< comma separated addresses; NULL: off */
    uint16_t discovery_ports[3];     /**< instead of 6666, 6667, 7000 */
    struct fuzzed_config fuzz;       /**< replies changed on purpose */
    const struct fault_spec *faults; /**< borrowed: those of server_start_faults() */
    size_t n_faults;
};

struct server;

enum { SERVER_CANNOT_LISTEN = -1, SERVER_CANNOT_OPEN = -2 };

/** Listen. Nothing is served before the loop runs.
 * @return 0; SERVER_CANNOT_LISTEN (address in use, ..), SERVER_CANNOT_OPEN (a file: damaged state, ..), and why */
int server_start(struct server **out, const struct server_config *cfg, struct why *why);

/** Close every socket and file. The loop has to run once more until server_closed(); then server_free(). */
void server_stop(struct server *s);
bool server_closed(const struct server *s);
void server_free(struct server *s);

const struct server_config *server_config(const struct server *s);

/* ---- clock ---- */

/** Simulated milliseconds since the start. */
uint64_t server_now_ms(const struct server *s);

/** Simulated Unix seconds: the `t` of messages. */
int64_t server_unix_s(const struct server *s);

/** Move a virtual clock; pushes and timeouts on the way happen in their order. @return false: the clock is real */
bool server_advance(struct server *s, uint64_t ms);

/* ---- devices ---- */

/** Where this device listens. addr holds "127.0.1.7". */
void server_endpoint(const struct server *s, const struct device *d, char addr[64], uint16_t *port);

size_t server_n_clients(const struct server *s, const struct device *d);

/** To be called after anything was changed in a device's plugs from outside (plug_set(), plug_press(), plug_load()):
 * pushes what is due to its clients, saves its state, arms its timer. */
void server_touched(struct server *s, struct device *d);

/** Power off and on: clients are cut without a word, the port answers again after down_ms. */
void server_reboot(struct server *s, struct device *d, uint32_t down_ms);

/** Another local key from now on; living sessions keep theirs, as on the real thing. */
void server_rekey(struct server *s, struct device *d, const uint8_t key[TW_KEY_LEN]);

/** As at the start: no faults, journal, clock, keys and every connection (closed). The fleet's values are the
 * caller's, who then calls server_start_faults(). */
void server_reset(struct server *s);

/* ---- faults ---- */

/** Switch a fault on, for one device or (NULL) for all. @return its number, > 0; 0: no memory, or
 * spec names a device that is not there */
uint32_t server_fault_add(struct server *s, struct device *d, const struct fault_spec *spec);
/** Switch on the faults of the configuration. @return NULL; or the one that names a device that is not there */
const struct fault_spec *server_start_faults(struct server *s);
/** Of one device, or (NULL) whichever has this number. @return false: there is none */
bool server_fault_remove(struct server *s, const struct device *d, uint32_t number);
/** Of one device, or all. @return how many were removed */
size_t server_fault_clear(struct server *s, const struct device *d);
/** Those that concern a device (NULL: all there are), in the order of their numbers. */
void server_fault_visit(const struct server *s, const struct device *d,
                        void (*visit)(void *ctx, const struct fault *f), void *ctx);

/* ---- connections ---- */

struct server_connection {
    uint64_t flow;               /**< number of the connection, from 1 */
    const struct device *device; /**< NULL: not known yet */
    char peer[64];               /**< "127.0.0.1:51234" */
    bool ready;                  /**< handshake done, where there is one */
    uint64_t since_ms;           /**< simulated */
};
void server_visit_connections(const struct server *s, const struct device *d,
                              void (*visit)(void *ctx, const struct server_connection *c), void *ctx);

/** Counters since the start or the last reset. */
struct server_counters {
    uint64_t accepted, refused, closed, frames_in, frames_out, damaged, bytes_in, bytes_out, controls, queries,
        pushes, faults_fired, disk_errors, frames_dropped;
};
const struct server_counters *server_counters(const struct server *s);

/* ---- what happens ---- */

struct journal *server_journal(struct server *s);

enum server_event_type {
    SERVER_CONNECTED,    /**< device may be NULL until the first frame */
    SERVER_DISCONNECTED, /**< reason */
    SERVER_MESSAGE,      /**< entry: one frame in or out (only with journal_memory) */
    SERVER_CHANGED,      /**< data points were pushed or would have been: dps, cid */
    SERVER_FAULT,        /**< a fault struck: reason is its name */
    SERVER_RESET,
};

/** Spans and texts are valid during the call only. */
struct server_event {
    enum server_event_type type;
    const struct device *device; /**< or NULL */
    uint64_t flow;               /**< or 0 */
    const struct journal_entry *entry;
    struct tw_span dps, cid;
    const char *reason;
};

typedef void server_listener(void *ctx, const struct server_event *ev);

/** @return 0; -1: out of memory. A listener may not subscribe or unsubscribe from within its call. */
int server_subscribe(struct server *s, server_listener *fn, void *ctx);
void server_unsubscribe(struct server *s, server_listener *fn, void *ctx);

#endif
