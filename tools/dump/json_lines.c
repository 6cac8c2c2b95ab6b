/* json_lines.c - one JSON record per line, as common/record.h lays it out. */
#include <stdlib.h>
#include "output.h"

struct json_lines {
    struct output output;
    struct out *out;
};

static void json_seen(struct output *o, struct seen *s)
{
    struct out *out = ((struct json_lines *)o)->out;
    size_t cap = record_size_max(&s->record);
    char *line = out_reserve(out, cap);
    out_commit(out, record_write(line, cap, &s->record));
}

static void json_free(struct output *o)
{
    free(o);
}

struct output *output_json(struct out *out)
{
    struct json_lines *j = calloc(1, sizeof *j);
    if (j == NULL)
        return NULL;
    j->output = (struct output){.seen = json_seen, .free = json_free};
    j->out = out;
    return &j->output;
}
