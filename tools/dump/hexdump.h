/* hexdump.h - hex dumps with columns: what xxd, hexdump -C, od -A x -t x1, tcpdump -X, tshark -x and Wireshark ("as
 * Hex Dump") print.
 *
 *   00000000  00 00 55 aa 00 00 00 01  00 00 00 0a 00 00 00 88  |..U.............|
 *   00000010: 0000 55aa 0000 0001 0000 000a 0000 0088  ..U.............
 *   0x0020:  aabb ccdd 0000 aa55                      .......U */
#ifndef DUMP_HEXDUMP_H
#define DUMP_HEXDUMP_H

#include <stddef.h>

/* Overwrite with blanks what stands around the bytes of every hex dump in the text: the offsets before them and the
 * characters behind them. A line belongs to a dump if its offset is 0, or if as many bytes stand before it in the dump
 * as it says; all other lines stay as they are.
 * @param text  len bytes, which need not end with 0 */
void hexdump_strip(char *text, size_t len);

#endif
