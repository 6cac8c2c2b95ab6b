/* crc.c - CRC-32 of 55AA frames: libdeflate where it is there, else a table of one nibble.
 *
 * The reflected CRC of zlib: polynomial 0xEDB88320, initial value and final XOR 0xFFFFFFFF; spec section 1.3. */
#include "internal.h"

#ifdef TW_HAVE_LIBDEFLATE
#include <libdeflate.h>

/* see internal.h */
uint32_t tw__crc32(const uint8_t *p, size_t len)
{
    return libdeflate_crc32(0, p, len);
}
#else
/* see internal.h */
uint32_t tw__crc32(const uint8_t *p, size_t len)
{
    /* crc of the 16 values of a nibble; 64 bytes that stay in the cache of a microcontroller as well */
    static const uint32_t nibble[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
        0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
    };
    uint32_t crc = 0xFFFFFFFF;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ nibble[crc & 15];
        crc = crc >> 4 ^ nibble[crc & 15];
    }
    return ~crc;
}
#endif
