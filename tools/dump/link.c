/* link.c - link layer headers; layouts: https://www.tcpdump.org/linktypes.html, IEEE 802.1Q, 802.11, radiotap.org. */
#include "packet.h"
#include <string.h>

enum {
    ETHER_IPV4 = 0x0800,
    ETHER_IPV6 = 0x86dd,
    ETHER_VLAN = 0x8100,
    ETHER_QINQ = 0x88a8,
    ETHER_QINQ_OLD = 0x9100,
    MAX_TAGS = 4, /* VLAN tags behind each other; our choice, QinQ has 2 */
};

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint16_t le16(const uint8_t *p)
{
    return (uint16_t)(p[1] << 8 | p[0]);
}

static struct tw_span after(struct tw_span s, size_t n)
{
    return (struct tw_span){s.data + n, s.len - n};
}

/* s begins behind the ether type. */
static enum packet_result open_ether_type(struct link_payload *out, uint16_t type, struct tw_span s)
{
    for (int tags = 0; type == ETHER_VLAN || type == ETHER_QINQ || type == ETHER_QINQ_OLD; tags++) {
        if (tags == MAX_TAGS)
            return PACKET_MALFORMED;
        if (s.len < 4)
            return PACKET_CUT;
        type = be16(s.data + 2);
        s = after(s, 4);
    }
    if (type != ETHER_IPV4 && type != ETHER_IPV6)
        return PACKET_OTHER;
    *out = (struct link_payload){type, s};
    return PACKET_OK;
}

/* The first nibble of an IP packet tells its version. */
static enum packet_result open_raw(struct link_payload *out, struct tw_span s)
{
    if (s.len == 0)
        return PACKET_CUT;
    unsigned version = s.data[0] >> 4;
    if (version != 4 && version != 6)
        return PACKET_OTHER;
    *out = (struct link_payload){version == 4 ? ETHER_IPV4 : ETHER_IPV6, s};
    return PACKET_OK;
}

/* 802.11 data frames that are not encrypted: header 24 bytes, 30 with four addresses, 2 more with QoS, 4 more with HT
 * control, then LLC/SNAP aa aa 03 00 00 00 and the ether type. */
static enum packet_result open_80211(struct link_payload *out, struct tw_span s)
{
    if (s.len < 24)
        return PACKET_CUT;
    unsigned type = s.data[0] >> 2 & 3, subtype = s.data[0] >> 4, flags = s.data[1];
    bool is_data = type == 2 && (subtype & 4) == 0; /* bit 2 of a data subtype: no data in it */
    bool encrypted = (flags & 0x40) != 0, fragment = (flags & 0x04) != 0 || (s.data[22] & 0x0f) != 0;
    if (!is_data || encrypted || fragment)
        return PACKET_OTHER;
    size_t header = 24;
    if ((flags & 3) == 3)
        header += 6;
    if (subtype & 8) {
        size_t qos = header;
        if (s.len < qos + 2)
            return PACKET_CUT;
        if (s.data[qos] & 0x80)
            return PACKET_OTHER; /* aggregated: several packets in one frame */
        header += 2;
        if (flags & 0x80)
            header += 4;
    }
    static const uint8_t snap[6] = {0xaa, 0xaa, 0x03, 0, 0, 0};
    if (s.len < header + sizeof snap + 2)
        return PACKET_CUT;
    if (memcmp(s.data + header, snap, sizeof snap) != 0)
        return PACKET_OTHER;
    return open_ether_type(out, be16(s.data + header + sizeof snap), after(s, header + sizeof snap + 2));
}

/* version, pad, length (little endian), then a bitmap of fields whose flags say whether a checksum ends the frame. */
static enum packet_result open_radiotap(struct link_payload *out, struct tw_span s)
{
    if (s.len < 8)
        return PACKET_CUT;
    size_t len = le16(s.data + 2);
    if (len < 8)
        return PACKET_MALFORMED;
    if (s.len < len)
        return PACKET_CUT;
    return open_80211(out, after(s, len)); /* a checksum behind the packet is trimmed by the IP length */
}

bool link_known(int type)
{
    switch (type) {
    case LINK_NULL:
    case LINK_ETHERNET:
    case LINK_RAW_DLT:
    case LINK_RAW:
    case LINK_80211:
    case LINK_LOOP:
    case LINK_SLL:
    case LINK_RADIOTAP:
    case LINK_IPV4:
    case LINK_IPV6:
    case LINK_SLL2: return true;
    default: return false;
    }
}

enum packet_result link_open(struct link_payload *out, int type, struct tw_span s)
{
    switch (type) {
    case LINK_ETHERNET:
        if (s.len < 14)
            return PACKET_CUT;
        return open_ether_type(out, be16(s.data + 12), after(s, 14));
    case LINK_SLL:
        if (s.len < 16)
            return PACKET_CUT;
        return open_ether_type(out, be16(s.data + 14), after(s, 16));
    case LINK_SLL2:
        if (s.len < 20)
            return PACKET_CUT;
        return open_ether_type(out, be16(s.data), after(s, 20));
    case LINK_NULL: /* an address family in the byte order of some machine; the packet itself is clearer */
    case LINK_LOOP:
        if (s.len < 4)
            return PACKET_CUT;
        return open_raw(out, after(s, 4));
    case LINK_RAW_DLT:
    case LINK_RAW:
    case LINK_IPV4:
    case LINK_IPV6: return open_raw(out, s);
    case LINK_80211: return open_80211(out, s);
    case LINK_RADIOTAP: return open_radiotap(out, s);
    default: return PACKET_OTHER;
    }
}
