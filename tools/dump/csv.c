/* csv.c - data points over time: one row per message of a device, one column per data point.
 *
 * Columns are known when the last message has been read, so rows wait in a temporary file: time, device and values with
 * the number of their column. Values are scaled to their unit, which stands in the head of the column. RFC 4180. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/units.h"
#include "output.h"

enum { COLUMNS_MAX = 1024, HEAD_MAX = 96, CELL_MAX = 65536 };

struct csv {
    struct output output;
    struct out *out;
    FILE *rows; /* per row: u32 length of lead, lead, then u16 column, u32 length, value .., u16 0xffff */
    size_t n_columns;
    char heads[COLUMNS_MAX][HEAD_MAX];
    bool too_many;
};

static size_t column_of(struct csv *c, const char *head)
{
    for (size_t i = 0; i < c->n_columns; i++)
        if (strcmp(c->heads[i], head) == 0)
            return i;
    if (c->n_columns == COLUMNS_MAX) {
        if (!c->too_many)
            say_warn("csv: more than %d different data points, the others are left out: filter for a device (-Y)",
                     COLUMNS_MAX);
        c->too_many = true;
        return COLUMNS_MAX;
    }
    memcpy(c->heads[c->n_columns], head, strlen(head) + 1);
    return c->n_columns++;
}

static void keep(struct csv *c, const void *data, size_t n)
{
    uint32_t len = n < CELL_MAX ? (uint32_t)n : CELL_MAX; /* a name of the device list may be of any length */
    fwrite(&len, sizeof len, 1, c->rows);
    if (n > 0)
        fwrite(data, 1, len, c->rows);
}

static void keep_value(struct csv *c, struct seen *s, const struct tw_dp *dp)
{
    struct meaning m = meaning_of(s, dp->id);
    char head[HEAD_MAX], number[UNITS_NUMBER_MAX];
    if (m.code[0] != '\0')
        snprintf(head, sizeof head, m.unit[0] != '\0' ? "%.60s [%.20s]" : "%.60s", m.code, m.unit);
    else
        snprintf(head, sizeof head, "dp_%" PRIu32, dp->id);
    size_t column = column_of(c, head);
    if (column == COLUMNS_MAX)
        return;
    uint16_t number_of_column = (uint16_t)column;
    fwrite(&number_of_column, sizeof number_of_column, 1, c->rows);
    if (dp->value.type == TW_VALUE_INTEGER) {
        size_t n = units_scale(number, dp->value.text, m.scale);
        keep(c, number, n);
    } else if (dp->value.type == TW_VALUE_STRING) {
        struct tw_span text = string_text(dp->value.text);
        keep(c, text.data, text.len);
    } else {
        keep(c, dp->value.text.data, dp->value.text.len);
    }
}

static void csv_seen(struct output *o, struct seen *s)
{
    static const uint16_t end = 0xffff;
    struct csv *c = (struct csv *)o;
    struct tw_dp dp;
    size_t pos = 0;
    if (!s->has_body || s->record.dir != RECORD_FROM_DEVICE || tw_dps_next(&dp, &pos, s->body.dps) != 1)
        return;
    char time[TIME_TEXT_MAX];
    struct tw_span sub_device = name_of_sub_device(s), name = sub_device.len > 0 ? sub_device : s->record.name;
    time_text(time, s->record.time_ns, true);
    keep(c, time, strlen(time));
    keep(c, s->record.device.data, s->record.device.len);
    keep(c, name.data, name.len);
    keep(c, s->body.cid.data, s->body.cid.len);
    do
        keep_value(c, s, &dp);
    while (tw_dps_next(&dp, &pos, s->body.dps) == 1);
    fwrite(&end, sizeof end, 1, c->rows);
}

/* Quotes only where they are needed. A leading = + - @ that is no number would be a formula for spreadsheets. */
static void put_cell(struct out *out, const char *text, size_t len)
{
    bool is_number = len > 0 && strspn(text, "-+.0123456789eE") >= len;
    bool formula = len > 0 && !is_number && strchr("=+-@", text[0]) != NULL;
    bool quote = formula;
    for (size_t i = 0; i < len; i++)
        quote = quote || text[i] == ',' || text[i] == '"' || text[i] == '\n' || text[i] == '\r';
    if (!quote) {
        out_bytes(out, text, len);
        return;
    }
    out_text(out, formula ? "\"'" : "\"");
    for (size_t i = 0; i < len; i++)
        out_text(out, text[i] == '"' ? "\"\"" : (char[]){text[i], '\0'});
    out_text(out, "\"");
}

static bool read_kept(struct csv *c, char *cell, size_t *len)
{
    uint32_t n;
    if (fread(&n, sizeof n, 1, c->rows) != 1 || n > CELL_MAX || fread(cell, 1, n, c->rows) != n)
        return false;
    cell[n] = '\0';
    *len = n;
    return true;
}

static void put_heads(struct csv *c)
{
    out_text(c->out, "time,device,name,cid");
    for (size_t i = 0; i < c->n_columns; i++) {
        out_text(c->out, ",");
        put_cell(c->out, c->heads[i], strlen(c->heads[i]));
    }
    out_text(c->out, "\r\n");
}

/* values: where each column's text lies in cells. */
static bool put_row(struct csv *c, char *cell, struct tw_span *values, char *cells, size_t cap)
{
    size_t len, used = 0;
    uint16_t column;
    for (int i = 0; i < 4; i++) {
        if (!read_kept(c, cell, &len))
            return false;
        if (i > 0)
            out_text(c->out, ",");
        put_cell(c->out, cell, len);
    }
    memset(values, 0, c->n_columns * sizeof *values);
    while (fread(&column, sizeof column, 1, c->rows) == 1 && column < c->n_columns) {
        if (!read_kept(c, cell, &len) || len + 1 > cap - used)
            return false;
        memcpy(cells + used, cell, len + 1);
        values[column] = (struct tw_span){(const uint8_t *)cells + used, len};
        used += len + 1;
    }
    for (size_t i = 0; i < c->n_columns; i++) {
        out_text(c->out, ",");
        if (values[i].len > 0)
            put_cell(c->out, (const char *)values[i].data, values[i].len);
    }
    out_text(c->out, "\r\n");
    return true;
}

static int csv_finish(struct output *o, struct why *why)
{
    struct csv *c = (struct csv *)o;
    size_t cap = 4 * CELL_MAX;
    char *cell = malloc(CELL_MAX + 1), *cells = malloc(cap);
    struct tw_span *values = calloc(c->n_columns + 1, sizeof *values);
    int rc = 0;
    if (cell == NULL || cells == NULL || values == NULL)
        rc = why_set(why, "out of memory");
    else if (fflush(c->rows) != 0 || ferror(c->rows))
        rc = why_set(why, "csv: the temporary file could not be written: %s; TMPDIR names another folder",
                     strerror(errno));
    if (rc == 0) {
        rewind(c->rows);
        put_heads(c);
        while (put_row(c, cell, values, cells, cap))
            continue;
    }
    free(cell);
    free(cells);
    free(values);
    return rc;
}

static void csv_free(struct output *o)
{
    fclose(((struct csv *)o)->rows);
    free(o);
}

int output_csv(struct output **out, struct out *to, struct why *why)
{
    struct csv *c = calloc(1, sizeof *c);
    if (c == NULL)
        return why_set(why, "out of memory");
    c->output = (struct output){.seen = csv_seen, .finish = csv_finish, .free = csv_free};
    c->out = to;
    c->rows = tmpfile();
    if (c->rows == NULL) {
        free(c);
        return why_set(why, "csv: no temporary file could be made: %s; TMPDIR names another folder", strerror(errno));
    }
    *out = &c->output;
    return 0;
}
