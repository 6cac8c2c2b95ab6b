/* trouble.h - what went wrong with a device, in words that say what to do next.
 *
 * "Check device key or version" is what other clients say. Here each cause has a sentence of its own, a next step,
 * and the exit code that scripts look at. */
#ifndef CTL_TROUBLE_H
#define CTL_TROUBLE_H

#include <stdbool.h>
#include "common/say.h"
#include "tuyawire/version.h"

enum trouble_kind {
    TROUBLE_NONE,
    TROUBLE_UNREACHABLE, /* no route, no such host, no answer to the connection */
    TROUBLE_REFUSED,     /* nothing listens on the port */
    TROUBLE_RESETS,      /* connected, then reset */
    TROUBLE_BUSY,        /* connected, then closed before we said anything */
    TROUBLE_CLOSED,      /* closed in the middle */
    TROUBLE_SILENT,      /* connected, no answer */
    TROUBLE_WRONG_KEY,
    TROUBLE_WRONG_VERSION,
    TROUBLE_NOT_TUYA,
    TROUBLE_WRONG_ID,
    TROUBLE_SAID_NO, /* the device refused a request */
    TROUBLE_DAMAGED, /* frames that do not hold what they promise */
    TROUBLE_OURS,    /* memory, randomness, arguments */
};

struct trouble {
    enum trouble_kind kind;
    enum exit_code code;
    char what[320];
    char next[320];
};

/** What to do about a wrong key. */
extern const char trouble_next_key[];

/** No trouble. */
void trouble_clear(struct trouble *t);

/** Fill t with the exit code that belongs to kind. next: may be "". @return -1 */
int trouble_set(struct trouble *t, enum trouble_kind kind, const char *next, const char *format, ...)
    SAY_FORMAT(4, 5);

/** A connection that could not be made or broke. uv_error: a negative libuv code. @return -1 */
int trouble_from_uv(struct trouble *t, int uv_error, bool was_connected, const char *host, unsigned port);

/** What the engine said. established: the handshake was done (3.1 to 3.3: always). heard: bytes have come.
 * @return -1 */
int trouble_from_engine(struct trouble *t, int error, enum tw_version v, bool established, bool heard);

/** A request that the device refused, with its text (empty: none). @return -1 */
int trouble_from_refusal(struct trouble *t, const char *text, enum tw_version v, bool has_cid);

/** On stderr, as one message. */
void trouble_say(const struct trouble *t);

/** "wrong-key" and so on: the verdicts of diagnose. */
const char *trouble_name(enum trouble_kind kind);

#endif
