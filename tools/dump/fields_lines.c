/* fields_lines.c - -T fields: the wanted parts of each record, separated by tabs; what is not there stays empty. */
#include <stdlib.h>
#include <string.h>
#include "field.h"

struct fields_lines {
    struct output output;
    struct out *out;
    size_t n;
    struct field fields[];
};

static void fields_seen(struct output *o, struct seen *s)
{
    struct fields_lines *l = (struct fields_lines *)o;
    for (size_t i = 0; i < l->n; i++) {
        struct field_value v;
        field_get(&v, &l->fields[i], s);
        if (i > 0)
            out_text(l->out, "\t");
        out_clean(l->out, v.text); /* a tab or line break inside a value becomes \x09, \x0a */
    }
    out_text(l->out, "\n");
}

static void fields_free(struct output *o)
{
    free(o);
}

int output_fields(struct output **out, struct out *to, const char *const *names, size_t n, struct why *why)
{
    struct fields_lines *l = calloc(1, sizeof *l + n * sizeof l->fields[0]);
    if (l == NULL)
        return why_set(why, "out of memory");
    l->output = (struct output){.seen = fields_seen, .free = fields_free};
    l->out = to;
    l->n = n;
    for (size_t i = 0; i < n; i++) {
        if (field_compile(&l->fields[i], names[i], why) != 0) {
            free(l);
            return EXIT_CODE_USAGE;
        }
    }
    *out = &l->output;
    return 0;
}
