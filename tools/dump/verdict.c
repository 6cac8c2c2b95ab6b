/* verdict.c - see verdict.h. Requests and replies: spec sections 2 and 6.1. */
#include "verdict.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "common/cold.h"

static const char *const names[N_VERDICTS] = {
    [VERDICT_FINE] = "fine",
    [VERDICT_NO_KEY] = "no key",
    [VERDICT_WRONG_KEY] = "wrong key",
    [VERDICT_NO_HANDSHAKE] = "handshake missing",
    [VERDICT_DAMAGED] = "integrity bad",
    [VERDICT_BAD_FRAME] = "bad frame",
    [VERDICT_LOST] = "bytes lost",
    [VERDICT_SKIPPED] = "no frame",
    [VERDICT_TLS] = "TLS",
    [VERDICT_LOCAL_KEY] = "under the local key",
    [VERDICT_UNKNOWN_COMMAND] = "unknown command",
    [VERDICT_SEQ_GAP] = "sequence gap",
    [VERDICT_NO_REPLY] = "request without reply",
};

const char *verdict_name(enum verdict_kind kind)
{
    return kind < N_VERDICTS ? names[kind] : "?";
}

/* Times after which a request counts as unanswered. Source: spec section 6.2: 99 % below 0.55 s, some above 1 s. */
static const uint64_t reply_limit_ns = 5000000000u; /* as the text of the verdict says */
enum { SEQ_JUMP_MAX = 1000 };                       /* a larger jump is another counter, not a loss; our choice */

#define SAY(v, ...) snprintf((v)->detail, sizeof(v)->detail, __VA_ARGS__)

static COLD enum verdict_kind fault(struct verdict_state *v, const struct tw_observed *ev, size_t n_keys)
{
    switch (ev->why) {
    case TW_WHY_LOST:
        if (ev->skipped > 0)
            SAY(v, "%zu bytes are missing from the capture; %zu bytes of a cut frame went with them", ev->missing,
                ev->skipped);
        else
            SAY(v, "%zu bytes are missing from the capture", ev->missing);
        return VERDICT_LOST;
    case TW_WHY_SKIPPED: SAY(v, "skipped %zu bytes", ev->skipped); return VERDICT_SKIPPED;
    case TW_WHY_CUT:
        SAY(v,
            "the frame is cut off, %zu bytes of it are there: the connection, the capture or the log ends too early",
            ev->skipped);
        return VERDICT_SKIPPED;
    case TW_WHY_TLS:
        SAY(v, "TLS: the device is in set-up mode, there is nothing to decode on this connection");
        return VERDICT_TLS;
    case TW_WHY_BAD_FRAME:
        SAY(v, "%s (length field %" PRIu32 "); reading goes on at the next frame", tw_strerror(ev->error),
            ev->length);
        return VERDICT_BAD_FRAME;
    case TW_WHY_DAMAGED:
        if (ev->frame.integrity == TW_INTEGRITY_CRC32)
            SAY(v, "the CRC is wrong: the frame was damaged on its way, or its sender computes it wrongly");
        else
            SAY(v, "the check value is wrong although the key fits: the frame was damaged on its way, or its sender "
                   "computes it wrongly");
        return VERDICT_DAMAGED;
    case TW_WHY_NO_KEYS:
        SAY(v, "encrypted, and there is no key: give --key, --key-file or --devices");
        return VERDICT_NO_KEY;
    case TW_WHY_NO_KEY_FITS:
    case TW_WHY_NO_SESSION_FITS:
        if (n_keys == 1)
            SAY(v,
                "wrong key: the one given does not fit; pairing a device again changes its local key: fetch it anew");
        else
            SAY(v,
                "wrong key: none of the %zu given fits; pairing a device again changes its local key: fetch it anew",
                n_keys);
        return VERDICT_WRONG_KEY;
    case TW_WHY_NO_HANDSHAKE:
        SAY(v, "the handshake was not captured: start the capture before the client connects, or give --key-log");
        return VERDICT_NO_HANDSHAKE;
    case TW_WHY_HALF_HANDSHAKE:
        SAY(v, "the start of the handshake was not captured: start before the client connects, or give --key-log");
        return VERDICT_NO_HANDSHAKE;
    case TW_WHY_OURS:
    case TW_WHY_MALFORMED: SAY(v, "%s", tw_strerror(ev->error)); return VERDICT_BAD_FRAME;
    case TW_WHY_LOCAL_KEY:
        SAY(v, "under the local key where a session key is due: vendor devices do so while theirs begins with 00");
        return VERDICT_LOCAL_KEY;
    case TW_WHY_NOTHING: break;
    }
    return VERDICT_FINE;
}

/* ---- Sequence numbers --------------------------------------------------------------------------------------------- */

/* Replies of 3.1 to 3.3 echo the request's number; everything else counts up by one. */
static bool seq_counts(const struct tw_message *m)
{
    const struct tw_version_traits *t = tw_version_traits(m->version);
    return m->direction == TW_TO_DEVICE || (t != NULL && !t->seq_echo);
}

static enum verdict_kind check_seq(struct verdict_state *v, const struct tw_message *m)
{
    unsigned d = (unsigned)m->direction;
    uint32_t last = v->seq[d], missing = m->seq - last - 1;
    bool known = v->seq_known[d], lost = v->lost[d];
    if (!seq_counts(m))
        return VERDICT_FINE;
    v->seq_known[d] = true;
    v->seq[d] = m->seq;
    v->lost[d] = false;
    if (!known || lost || m->seq <= last || missing == 0 || missing > SEQ_JUMP_MAX)
        return VERDICT_FINE;
    SAY(v,
        "sequence gap: %" PRIu32 " message%s between %" PRIu32 " and %" PRIu32
        " %s not seen: lost in the capture, or left out "
        "by the sender",
        missing, missing == 1 ? "" : "s", last, m->seq, missing == 1 ? "was" : "were");
    return VERDICT_SEQ_GAP;
}

/* ---- Requests and replies ------------------------------------------------------------------------------------------ */

static bool wants_reply(uint32_t command)
{
    switch (command) {
    case TW_CMD_SESS_KEY_NEG_START:
    case TW_CMD_CONTROL:
    case TW_CMD_CONTROL_NEW:
    case TW_CMD_HEART_BEAT:
    case TW_CMD_DP_QUERY:
    case TW_CMD_DP_QUERY_NEW: return true;
    default:
        return false; /* not all devices answer the rest: to UPDATEDPS many send a STATUS, if something changed */
    }
}

static void forget_request(struct verdict_state *v, unsigned i)
{
    v->n_requests--;
    memmove(v->requests + i, v->requests + i + 1, (v->n_requests - i) * sizeof v->requests[0]);
}

static void take_request(struct verdict_state *v, const struct tw_message *m, uint64_t time_ns)
{
    if (v->n_requests == VERDICT_REQUESTS)
        forget_request(v, 0); /* nothing is said of it: it may still be answered */
    v->requests[v->n_requests++] = (struct verdict_request){m->command, m->seq, time_ns, false};
}

/* 3.1 to 3.3 echo the sequence number (heart beats: 0), later versions answer in order. A device without handshakes
 * answers START by an error of the same number. Where bytes were lost, a reply rather belongs to a later request. */
static uint64_t take_reply(struct verdict_state *v, const struct tw_message *m, uint64_t time_ns)
{
    enum { BY_SEQ, CERTAIN, ANY };
    uint32_t request = m->command == TW_CMD_SESS_KEY_NEG_RESP ? (uint32_t)TW_CMD_SESS_KEY_NEG_START : m->command;
    const struct tw_version_traits *t = tw_version_traits(m->version);
    bool by_seq = t != NULL && t->seq_echo && m->seq != 0;
    for (int pass = by_seq ? BY_SEQ : CERTAIN; pass <= ANY; pass++) {
        for (unsigned i = 0; i < v->n_requests; i++) {
            const struct verdict_request *r = &v->requests[i];
            if (r->command != request || (pass == BY_SEQ && r->seq != m->seq) || (pass == CERTAIN && r->in_doubt))
                continue;
            uint64_t at = r->time_ns;
            forget_request(v, i);
            return time_ns > at ? time_ns - at : 1;
        }
    }
    return 0;
}

static enum verdict_kind judge(struct verdict_state *v, const struct tw_observed *ev, uint64_t time_ns, size_t n_keys,
                               uint64_t *reply_ns)
{
    if (ev->missing > 0 || ev->skipped > 0)
        v->lost[ev->direction] = true;
    for (unsigned i = 0; ev->missing > 0 && ev->direction == TW_FROM_DEVICE && i < v->n_requests; i++)
        v->requests[i].in_doubt = true;
    enum verdict_kind seq = ev->has_frame ? check_seq(v, &ev->message) : VERDICT_FINE;
    if (ev->has_frame && ev->message.direction == TW_FROM_DEVICE)
        *reply_ns = take_reply(v, &ev->message, time_ns);
    enum verdict_kind kind = ev->error != TW_OK || ev->why != TW_WHY_NOTHING ? fault(v, ev, n_keys) : VERDICT_FINE;
    if (kind == VERDICT_FINE && ev->has_frame && tw_command_name(ev->message.command) == NULL) {
        SAY(v, "unknown command 0x%02" PRIx32 ": it has no name here; its content is shown as it is",
            ev->message.command);
        kind = VERDICT_UNKNOWN_COMMAND;
    }
    if (kind == VERDICT_FINE)
        kind = seq;
    if (ev->has_frame && ev->message.direction == TW_TO_DEVICE && wants_reply(ev->message.command))
        take_request(v, &ev->message, time_ns);
    return kind;
}

struct verdict verdict_of(struct verdict_state *v, const struct tw_observed *ev, uint64_t time_ns, size_t n_keys,
                          uint64_t *reply_ns)
{
    *reply_ns = 0;
    enum verdict_kind kind = judge(v, ev, time_ns, n_keys, reply_ns);
    v->n[kind]++;
    return (struct verdict){kind, kind == VERDICT_FINE ? NULL : v->detail};
}

static COLD void say_no_reply(struct verdict_state *v, enum verdict_end end, const struct verdict_request *r)
{
    static const char *const texts[] = {
        [VERDICT_GOES_ON] = " within 5 s: 'tuya-ctl diagnose' finds out why",
        [VERDICT_CLIENT_CLOSED] = " before the client closed the connection: 'tuya-ctl diagnose' finds out why",
        [VERDICT_DEVICE_CLOSED] = " but the device closed the connection: 'tuya-ctl diagnose' finds out why",
        [VERDICT_RESET] = " before the connection was reset or given up: 'tuya-ctl diagnose' finds out why",
        [VERDICT_CAPTURE_OVER] = " before the capture ended: capture longer to see whether one comes",
    };
    const char *name = tw_command_name(r->command), *text = texts[end];
    if (r->command == TW_CMD_SESS_KEY_NEG_START && end != VERDICT_CAPTURE_OVER)
        text = ": a device is silent to a wrong key, or a wrong version; 'tuya-ctl diagnose' tells which";
    SAY(v, "no reply to %s with seq %" PRIu32 "%s", name != NULL ? name : "a request", r->seq, text);
}

bool verdict_no_reply(struct verdict_state *v, enum verdict_end end, uint64_t time_ns,
                      struct verdict_request *request, struct verdict *verdict)
{
    while (v->n_requests > 0) {
        if (end == VERDICT_GOES_ON && time_ns < v->requests[0].time_ns + reply_limit_ns)
            return false;
        *request = v->requests[0];
        forget_request(v, 0);
        if (request->in_doubt)
            continue; /* nobody can tell: nothing is said */
        say_no_reply(v, end, request);
        v->n[VERDICT_NO_REPLY]++;
        *verdict = (struct verdict){VERDICT_NO_REPLY, v->detail};
        return true;
    }
    return false;
}
