/* json.h - the one scanner through which all JSON of the library is read.
 *
 * It stands at a place in a text, checks what comes next against RFC 8259 and steps over it. Nothing is copied,
 * nothing is allocated, and nesting is a counter and a word of bits, so no input can exhaust the stack. The words
 * of public use are in tuyawire/dps.h. */
#ifndef TUYAWIRE_LIB_JSON_H
#define TUYAWIRE_LIB_JSON_H

#include <stdbool.h>
#include "tuyawire/dps.h"

#if defined(__GNUC__)
#pragma GCC visibility push(hidden)
#endif

struct tw__scan {
    const uint8_t *p; /* what comes next */
    const uint8_t *end;
};

struct tw__scan tw__scan_begin(struct tw_span text);

/* Step over blanks and say which character comes next, without consuming it; -1 at the end. */
int tw__scan_peek(struct tw__scan *s);

/* Step over blanks and then over this character; false, and only blanks consumed, if something else is there. */
bool tw__scan_take(struct tw__scan *s, char c);

/* Step over "name": of a member. name is without its quotes, escapes not undone. False: the text is not JSON, and
 * nothing more can be read from this scan. */
bool tw__scan_name(struct tw__scan *s, struct tw_span *name);

/* Step over one value; levels is how many objects and arrays already stand around it. text is the value, blanks
 * around it not included. False: not JSON, or deeper than TW_JSON_DEPTH_MAX. */
bool tw__scan_value(struct tw__scan *s, struct tw_span *text, unsigned levels);

/* Type and meaning of the text of one value that the scanner has accepted. */
void tw__json_value(struct tw_value *out, struct tw_span text);

/* tw_json_next_member() with the value as text only. */
bool tw__json_step(struct tw_span *name, struct tw_span *value, size_t *pos, struct tw_span object);

/* Decimal digits without sign or superfluous zeros, at most UINT32_MAX. */
bool tw__decimal_u32(uint32_t *out, struct tw_span text);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
