/* debug.c - see debug.h. */
#include "debug.h"
#include <stdio.h>
#include "tuyawire/error.h"

static void put_text(FILE *out, struct tw_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] >= 0x20 && s.data[i] != 0x7f)
            fputc(s.data[i], out);
        else
            fprintf(out, "\\x%02x", s.data[i]);
    }
}

static void put_hex(struct tw_span s)
{
    for (size_t i = 0; i < s.len; i++)
        fprintf(stderr, "%02x", s.data[i]);
    fputc('\n', stderr);
}

void debug_bytes(const uint8_t *data, size_t len)
{
    fputs(len > 0 ? "< " : "  (no answer)", stderr);
    put_hex((struct tw_span){data, len});
}

void debug_frame(void *ctx, enum tw_direction dir, struct tw_span raw, const struct tw_message *m, int error)
{
    (void)ctx;
    fprintf(stderr, "%c ", dir == TW_TO_DEVICE ? '>' : '<');
    put_hex(raw);
    if (m == NULL) {
        fprintf(stderr, "  cannot be read: %s\n", tw_strerror(error));
        return;
    }
    const char *name = tw_command_name(m->command);
    fprintf(stderr, "  %s seq %u %s (0x%02x)", tw_version_name(m->version), (unsigned)m->seq,
            name != NULL ? name : "?", (unsigned)m->command);
    if (m->has_retcode)
        fprintf(stderr, " return code %u", (unsigned)tw_retcode(m->retcode));
    if (m->has_header && m->header.signature[0] == '\0')
        fprintf(stderr, " header %s counter %u source %u", m->header.version, (unsigned)m->header.counter,
                (unsigned)m->header.source);
    fputc(' ', stderr);
    if (tw_command_is_handshake(m->command))
        fprintf(stderr, "(%zu bytes, hidden)", m->payload.len);
    else
        put_text(stderr, m->payload);
    fputc('\n', stderr);
}
