/* hexlog.h - frames out of the text of a debug log.
 *
 *   sent 000055aa00000001..0000aa55          hex digits, upper or lower case
 *   00 00 55 aa  0x00,0x00,0x66,0x99  00:00  with blanks, commas, colons, 0x, over several lines
 *   b'\x00\x00U\xaa\x00\x00..'               Python bytes
 *
 * Hex dumps with columns go through hexdump.h first.
 *
 * A frame begins where its prefix stands and is as long as its length field says; the text around it is passed over. */
#ifndef DUMP_HEXLOG_H
#define DUMP_HEXLOG_H

#include <stdint.h>
#include "tuyawire/span.h"

enum { HEXLOG_FRAME_MAX = 65536 + 32 };

/* Step to the next frame.
 * @param pos  start with 0
 * @param out  HEXLOG_FRAME_MAX bytes
 * @return bytes of the frame, fewer than its length field says if the text stops early; 0: no more */
size_t hexlog_next(uint8_t *out, size_t *pos, struct tw_span text);

#endif
