/* filter.h - -Y: which messages are shown.
 *
 *   cmd == CONTROL && dp.19 > 500
 *   device == "bf01.." || (version == 3.5 and not error)
 *   dp.cur_power >= 60.0,  src contains "192.0.2.",  error
 *
 * == != < <= > >= contains; && || ! or and, or, not; parentheses. A field alone asks whether it is there. A comparison
 * with something that is not there is false, != too. Commands go by name or number. Fields: field.h. */
#ifndef DUMP_FILTER_H
#define DUMP_FILTER_H

#include "field.h"

struct filter;

/* @return 0; -1 and why, with the place */
int filter_compile(struct filter **out, const char *text, struct why *why);
void filter_free(struct filter *f); /* NULL is fine */
bool filter_wants_body(const struct filter *f);
bool filter_passes(const struct filter *f, struct seen *s);

#endif
