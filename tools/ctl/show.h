/* show.h - results on stdout: tables for people, JSON lines for scripts. */
#ifndef CTL_SHOW_H
#define CTL_SHOW_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "common/units.h"
#include "session.h"
#include "store.h"

/** Set once, at start. */
void show_setup(bool json, bool colour);
bool show_is_json(void);

/** What a data point of a device stands for: from the device list (NULL: not in it), else from the family its data points
 * betray. */
struct meaning {
    const char *code; /* "" if unknown */
    const char *unit; /* "" for none */
    int scale;
};
struct meaning show_meaning(const struct devices_entry *device, enum units_family family, uint32_t dp_id);
enum units_family show_family(const struct session *s);

/** {"device":..,"cid":..,"name":.., - without the closing brace; _about: of a device behind the one that is talked to. */
void show_begin(const struct session *s);
void show_begin_about(const struct session *s, struct tw_span cid, const struct devices_entry *device);
void show_end(void);

/** Flush stdout; if its reader has gone, end quietly. */
void show_flush(void);

/** Text of a device or a list, for a terminal: nothing that moves the cursor or changes colours. */
void show_clean(const char *text, size_t len);

/** JSON of a device, in one line whatever blanks it has. */
void show_json(const char *text, size_t len);

/** A JSON string; what is no UTF-8 becomes U+FFFD. */
void show_string(const char *text);
void show_string_len(const char *text, size_t len);

/** Hex digits, no quotes. */
void show_hex(FILE *out, struct tw_span bytes);

/** All data points heard after `since` (0: all), as "dps":{..} or a table. */
void show_dps_json(const struct session *s, uint64_t since);
void show_table(const struct session *s, uint64_t since);

/** One value as people read it: on, 230.1 V, "white". */
void show_value(const struct devices_entry *device, enum units_family family, uint32_t dp_id, struct tw_span json);

/** Colour on and off, if wanted. */
enum show_colour { SHOW_PLAIN, SHOW_GOOD, SHOW_BAD, SHOW_DIM, SHOW_BOLD };
void show_colour(enum show_colour c);

#endif
