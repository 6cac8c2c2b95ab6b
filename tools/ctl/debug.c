/* debug.c - see debug.h. */
#include "debug.h"
#include <stdio.h>
#include "common/utf8.h"
#include "show.h"
#include "tuyawire/error.h"

static void put_text(struct tw_span s)
{
    for (size_t i = 0, n; i < s.len; i += n) {
        n = utf8_visible_len(s.data + i, s.len - i);
        if (n > 0) {
            fwrite(s.data + i, 1, n, stderr);
        } else {
            fprintf(stderr, "\\x%02x", s.data[i]);
            n = 1;
        }
    }
}

void debug_bytes(const uint8_t *data, size_t len)
{
    fputs(len > 0 ? "< " : "  (no answer)", stderr);
    show_hex(stderr, (struct tw_span){data, len});
    fputc('\n', stderr);
}

void debug_frame(void *ctx, enum tw_direction dir, struct tw_span raw, const struct tw_message *m, int error)
{
    (void)ctx;
    fprintf(stderr, "%c ", dir == TW_TO_DEVICE ? '>' : '<');
    show_hex(stderr, raw);
    fputc('\n', stderr);
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
        put_text(m->payload);
    fputc('\n', stderr);
}
