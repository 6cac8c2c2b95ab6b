/* output.h - a form in which messages are shown or kept. Several may be active at the same time. */
#ifndef DUMP_OUTPUT_H
#define DUMP_OUTPUT_H

#include "common/say.h"
#include "decode.h"
#include "out.h"

/* Each form embeds this first. */
struct output {
    void (*seen)(struct output *o, struct seen *s);
    void (*closed)(struct output *o, struct conversation *c, uint64_t time_ns); /* NULL: not wanted */
    int (*finish)(struct output *o, struct why *why);                           /* NULL; 0, or -1 and why */
    void (*free)(struct output *o);
};

/* The device behind the one that speaks, whose data points these are; NULL: nobody, or not in the list. */
const struct devices_entry *sub_device_of(const struct seen *s);
/* What the list calls it; empty: nobody, or no name. */
struct tw_span name_of_sub_device(const struct seen *s);

/* What a data point of a message means: from the mapping of its owner, else from the family its data points betray.
 * Texts are borrowed; "" for unknown. */
struct meaning {
    const char *code, *unit;
    int scale;
};
struct meaning meaning_of(struct seen *s, uint32_t dp_id);

/* The characters of a JSON string: no quotes, escapes undone, unless that would give control characters: then it stays as
 * it was written. Good until the next call. */
struct tw_span string_text(struct tw_span json);

/* "2023-11-14T22:13:20.123456Z" or only the time of day; always UTC, so that two people see the same. */
enum { TIME_TEXT_MAX = 64 };
void time_text(char out[TIME_TEXT_MAX], uint64_t time_ns, bool date);

/* out is borrowed. NULL: out of memory. */
struct output *output_json(struct out *out);
struct output *output_text(struct out *out, bool colour, unsigned verbose, bool show_keys);
struct output *output_stats(struct out *out); /* out NULL: to stderr */

/* These make files or compile names. @return 0; -1 and why; EXIT_CODE_USAGE and why when the user is to blame */
int output_fields(struct output **out, struct out *to, const char *const *names, size_t n, struct why *why);
int output_csv(struct output **out, struct out *to, struct why *why);
int output_exported(struct output **out, const char *path, struct why *why);
/* @param list_path  where the device list that belongs to it goes
 * @param devices  NULL: none */
int output_redact(struct output **out, const char *path, const char *list_path, const struct devices *devices,
                  struct why *why);
int output_plot(struct output **out, const char *path, struct why *why);

#endif
