/* fault.h - misbehaviour on purpose, each with a name: what real plugs were seen to do wrong, and what networks do.
 *
 *   late_status                        with its default
 *   Q06:ms=3000,p=0.5                  by number; 3 s, in half of the cases
 *   no_ack:cmd=CONTROL,count=1         the first CONTROL only
 *   reset:after=100,device=bf..01      options differ by fault, see fault_list()
 *
 * A spec is what a user asks for; a fault is a spec that is switched on, with its count and its own dice: which of a
 * device's frames it strikes follows from the seed and from that device's traffic alone. */
#ifndef SIM_FAULT_H
#define SIM_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "common/say.h"

/* id, name, default ms, default value, what it does. Evidence: spec device behaviour, section 14. */
#define FAULT_LIST(X)                                                                                                \
    X(COALESCE, "Q01", "coalesce", 0, 0, "ACK and STATUS in one segment (jasonacox/tinytuya#153)")                   \
    X(SPLIT, "Q02", "split", 5, 0, "one frame in two segments, ms apart, cut at byte n (0: anywhere)")               \
    X(STATUS_FIRST, "Q03", "status_first", 0, 0, "STATUS before the ACK (rospogrigio/localtuya#2284)")               \
    X(NO_ACK, "Q04", "no_ack", 0, 0, "a control is done, but only STATUS comes")                                     \
    X(NO_STATUS, "Q05", "no_status", 0, 0, "ACK only (xZetsubou/hass-localtuya#860)")                                \
    X(LATE_STATUS, "Q06", "late_status", 3000, 0, "STATUS ms after the ACK (xZetsubou/hass-localtuya#276)")          \
    X(DUP_STATUS, "Q07", "dup_status", 0, 0, "the same STATUS twice, with the next serial number")                   \
    X(SPLIT_STATUS, "Q08", "split_status", 0, 0,                                                                     \
      "changed data points in two STATUS frames (jasonacox/tinytuya#308)")                                           \
    X(PARTIAL_STATUS, "Q09", "partial_status", 0, 0,                                                                 \
      "an unasked STATUS before a query reply (jasonacox/tinytuya#565)")                                             \
    X(ACK_PADDING, "Q10", "ack_padding", 0, 0, "an empty ACK carries one encrypted padding block (3.3, 3.4)")        \
    X(ACK_RC1, "Q11", "ack_rc1", 0, 0, "return code 1 on success; n=1: in little-endian order (TuyaOpen, 3.5)")      \
    X(SEQ_ZERO, "Q12", "seq_zero", 0, 0, "replies carry sequence number 0")                                          \
    X(SEQ_RANDOM, "Q12b", "seq_random", 0, 0, "replies carry a random sequence number")                              \
    X(SEQ_ECHO, "Q12c", "seq_echo", 0, 0, "3.4 and 3.5 echo the sequence number of the request")                     \
    X(DROP_FIRST, "Q13", "drop_first", 0, 0, "the first query after connecting is not answered")                     \
    X(QUERY_REFUSED, "Q14", "query_refused", 0, 0,                                                                   \
      "json obj data unvalid until a refresh or a control (rospogrigio/localtuya#445)")                              \
    X(DEVICE22, "Q15", "device22", 0, 0, "json obj data unvalid for ever; null maps are answered (TuyaAPI/cli#64)")  \
    X(STALE_ENERGY, "Q16", "stale_energy", 0, 0, "measurements frozen until a refresh (jasonacox/tinytuya#8)")       \
    X(UPDATE_IGNORED, "Q17", "update_ignored", 0, 0, "no reaction to a refresh (jasonacox/tuyapower#34)")            \
    X(UPDATE_CLOSES, "Q18", "update_closes", 0, 0, "a refresh of unknown ids closes (rospogrigio/localtuya#549)")    \
    X(ONE_CLIENT, "Q19", "one_client", 0, 0,                                                                         \
      "a second client is n=0: closed, 1: reset, 2: it kicks out the first (clach04/python-tuya#31)")                \
    X(LINGER, "Q20", "linger", 60000, 0, "no new client for ms after one left (clach04/python-tuya#2)")              \
    X(IDLE_CLOSE, "Q21", "idle_close", 15000, 0, "closes after ms without a frame (openhab/openhab-addons#21547)")   \
    X(RESET_AFTER_HEARTBEAT, "Q22", "reset_after_heartbeat", 1000, 0,                                                \
      "reset on a heartbeat within ms of a push (TradeFace/tuyaface#63)")                                            \
    X(NO_HEARTBEAT, "Q23", "no_heartbeat", 0, 0, "heartbeats are not answered")                                      \
    X(KEY_ZERO, "Q24", "key_zero", 0, 0, "the session key begins with 00, and the device forgets it (TuyaOpen)")     \
    X(HANG, "Q25", "hang", 0, 0, "accepts, never answers, until a reboot (make-all/tuya-local#5136)")                \
    X(RST_AFTER_OK, "Q26", "rst_after_ok", 0, 0, "reset after a good answer (jasonacox/tinytuya#731)")               \
    X(SLOW, "Q27", "slow", 1000, 0, "every reply ms late, in order (openhab/openhab-addons#21686)")                  \
    X(BROADCAST_PAUSE, "Q28", "broadcast_pause", 0, 0, "no broadcasts while a client is connected (localtuya#431)")  \
    X(SILENT, "Q29", "silent", 0, 0, "no broadcasts; 3.5 answers when asked on port 7000 (jasonacox/tinytuya#507)")  \
    X(IP_CHANGE, "Q30", "ip_change", 0, 0,                                                                           \
      "dead sessions; from now on it lives at another loopback address, or port")                                    \
    X(REBOOT, "Q31", "reboot", 5000, 0, "dies on a request without a word, back after ms")                           \
    X(REKEY, "Q32", "rekey", 0, 0, "another local key from now on, as after pairing again")                          \
    X(BOOT_TIME, "Q33", "boot_time", 0, 0, "t counts seconds since power-on (rospogrigio/localtuya#194)")            \
    X(DP_ABSENT, "Q34", "dp_absent", 0, 0,                                                                           \
      "data point n (0: 17 and 1) is missing until its first report (jasonacox/tinytuya#274)")                       \
    X(SUFFIX_IN_BODY, "Q35", "suffix_in_body", 0, 0,                                                                 \
      "3.3: query replies that contain the bytes of the suffix, 0000aa55")                                           \
    X(BAD_CHECK, "Q36", "bad_check", 0, 0, "wrong CRC, HMAC or tag (also bad_crc, bad_hmac, bad_tag)")               \
    X(WRONG_KEY_REPLY, "Q37", "wrong_key_reply", 0, 0,                                                               \
      "3.3: parse data error under its own key, as to a client with the wrong one (Apollon77/ioBroker.tuya#547)")    \
    X(PICKY_JSON, "Q38", "picky_json", 0, 0, "blanks between JSON tokens: no answer (TinyTuya)")                     \
    X(NO_CHANGE_SILENT, "Q39", "no_change_silent", 0, 0, "no STATUS when nothing changed")                           \
    X(SPIKE, "Q40", "spike", 0, 0, "one absurd measurement (openshwprojects/OpenBK7231T_App#336)")                   \
    X(REALISTIC, "", "realistic", 0, 0,                                                                              \
      "every frame as late as those of 51 real devices were (openhab/openhab-addons#21686)")                         \
    X(LATENCY, "", "latency", 100, 0, "every segment to the client ms later, in order")                              \
    X(JITTER, "", "jitter", 50, 0, "every segment up to ms later, in order")                                         \
    X(BANDWIDTH, "", "bandwidth", 0, 1000, "n bytes per second to the client")                                       \
    X(SLICE, "", "slice", 1, 1, "segments of n bytes, ms apart")                                                     \
    X(GLUE, "", "glue", 50, 0, "everything within ms in one segment")                                                \
    X(DROP_BYTES, "", "drop_bytes", 0, 1, "n bytes out of the middle of a frame are missing")                        \
    X(CORRUPT, "", "corrupt", 0, 1, "n bytes of a frame are changed")                                                \
    X(JUNK, "", "junk", 0, 16, "n bytes that are no frame before a reply")                                           \
    X(RESET, "", "reset", 0, 0, "the connection is reset in place of a reply; n > 0: after n bytes of it")           \
    X(HALF_CLOSE, "", "half_close", 0, 0, "the device ends its side after a reply and reads on")                     \
    X(VENDOR, "", "vendor", 0, 0,                                                                                    \
      "3.4, 3.5 as TuyaOpen: code 1 in little-endian order, 00 keys forgotten, FINISH without START, short reads "   \
      "lost")                                                                                                        \
    X(NEVER_ANSWER, "", "never_answer", 0, 0, "requests are read and done, and nothing is sent")

#define X(id, q, name, ms, n, text) FAULT_##id,
enum fault_kind { FAULT_LIST(X) N_FAULTS };
#undef X

enum { FAULT_DEVICE_MAX = 64 };

struct fault_spec {
    enum fault_kind kind;
    uint32_t probability; /**< of 1 000 000 */
    int64_t count;        /**< how often; -1: for ever */
    uint32_t skip;        /**< so many occasions pass first */
    uint32_t ms;
    uint32_t n;
    int64_t command;               /**< only for this request command; -1: any */
    char device[FAULT_DEVICE_MAX]; /**< only this device; "": all */
};

/** A fault that is switched on. */
struct fault {
    uint32_t number;             /**< 1, 2, .. */
    const struct device *device; /**< NULL: all */
    struct fault_spec spec;
    int64_t left;    /**< of count; -1: for ever */
    uint32_t passed; /**< of skip */
    uint64_t struck; /**< how often so far */
};

/** The defaults of a kind: always, for ever. */
void fault_spec_init(struct fault_spec *spec, enum fault_kind kind);

/** Read "late_status:ms=3000,p=0.5,count=2,skip=1,n=7,cmd=CONTROL,device=ID". @return 0; -1 and why */
int fault_parse(struct fault_spec *out, const char *text, struct why *why);

/** One option of a fault, as in fault_parse(). */
int fault_set(struct fault_spec *spec, const char *option, const char *value, struct why *why);

/** Write it back as fault_parse() reads it. */
void fault_format(char *out, size_t cap, const struct fault_spec *spec);

const char *fault_name(enum fault_kind kind);   /**< "late_status" */
const char *fault_number(enum fault_kind kind); /**< "Q06"; "" */
const char *fault_text(enum fault_kind kind);   /**< one line */
int fault_by_name(enum fault_kind *out, const char *name);

/** The table for --list-faults. */
void fault_list(FILE *out);

#endif
