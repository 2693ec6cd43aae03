#include "watch/link.h"

#include "watch/capture_field.h"
#include "watch/ip.h"

/* Ethernet types (IANA). */
#define TYPE_VLAN       0x8100
#define TYPE_QINQ       0x88a8
#define TYPE_QINQ_OLD   0x9100
#define TYPE_QINQ_OLDER 0x9200
#define TYPE_MPLS       0x8847
#define TYPE_MPLS_MANY  0x8848
#define TYPE_PPPOE      0x8864
#define TYPE_LEAST      0x0600 /* below, it is the length of an IEEE 802.3 frame */

#define PPP_IPV4 0x0021
#define PPP_IPV6 0x0057

#define ETHERNET_HEADER 14
#define SLL_HEADER      16
#define SLL2_HEADER     20
#define HEADERS_MAX     16 /* tags, labels and the like in one link header */

static enum link_result missing(const struct layer *layer)
{
	return layer->cut > 0 ? LINK_SHORT : LINK_BAD_LINK;
}

/* Takes `n` octets off the front; what follows is of `type`. */
static enum link_result enter(struct layer *layer, size_t n, uint16_t type)
{
	if (!layer_skip(layer, n))
		return missing(layer);
	layer->type = type;
	return LINK_LAYER;
}

static enum link_result enter_ethernet(struct layer *layer)
{
	struct bytes header = layer->bytes;
	uint16_t type = field_u16(header, 12);
	if (type >= TYPE_LEAST || header.len < ETHERNET_HEADER)
		return enter(layer, ETHERNET_HEADER, type);
	/* IEEE 802.3: only SNAP (RFC 1042) can carry IP. */
	static const uint8_t snap[] = {0xaa, 0xaa, 0x03, 0, 0, 0};
	layer->bytes = field_after(header, ETHERNET_HEADER);
	layer_trim(layer, type);
	if (!bytes_starts(layer->bytes, bytes_of(snap, sizeof(snap))))
		return LINK_NOT_IP;
	return enter(layer, sizeof(snap) + 2, field_u16(layer->bytes, sizeof(snap)));
}

static enum link_result enter_ppp(struct layer *layer)
{
	static const uint8_t framing[] = {0xff, 0x03};
	if (bytes_starts(layer->bytes, bytes_of(framing, sizeof(framing))) && !layer_skip(layer, sizeof(framing)))
		return missing(layer);
	uint16_t protocol = field_u16(layer->bytes, 0);
	if (layer->bytes.len < 2)
		return missing(layer);
	if (protocol != PPP_IPV4 && protocol != PPP_IPV6)
		return LINK_NOT_IP;
	return enter(layer, 2, protocol == PPP_IPV4 ? LAYER_IPV4 : LAYER_IPV6);
}

/* RFC 2516, 4. */
static enum link_result enter_pppoe(struct layer *layer)
{
	uint16_t len = field_u16(layer->bytes, 4);
	if (!layer_skip(layer, 6))
		return missing(layer);
	layer_trim(layer, len);
	return enter_ppp(layer);
}

/*
 * One label (RFC 3032). Nothing says what follows the last: IP begins with its version, a pseudowire with 0 (RFC
 * 4385).
 */
static enum link_result enter_mpls(struct layer *layer)
{
	bool bottom = field_u8(layer->bytes, 2) & 1;
	if (!layer_skip(layer, 4))
		return missing(layer);
	if (!bottom)
		return LINK_LAYER;
	uint8_t first = field_u8(layer->bytes, 0) >> 4;
	if (first == 4 || first == 6)
		return enter(layer, 0, LAYER_ANY_IP);
	return first == 0 ? enter(layer, 4, LAYER_ETHERNET) : LINK_NOT_IP;
}

/* Down to an IP header: LAYER, with its type set. */
static enum link_result enter_link(struct layer *layer)
{
	for (unsigned i = 0; i < HEADERS_MAX; i++) {
		enum link_result result;
		switch (layer->type) {
		case LAYER_ANY_IP:
		case LAYER_IPV4:
		case LAYER_IPV6:
			return LINK_LAYER;
		case LAYER_ETHERNET:
			result = enter_ethernet(layer);
			break;
		case TYPE_VLAN:
		case TYPE_QINQ:
		case TYPE_QINQ_OLD:
		case TYPE_QINQ_OLDER:
			result = enter(layer, 4, field_u16(layer->bytes, 2));
			break;
		case TYPE_MPLS:
		case TYPE_MPLS_MANY:
			result = enter_mpls(layer);
			break;
		case TYPE_PPPOE:
			result = enter_pppoe(layer);
			break;
		default:
			return LINK_NOT_IP;
		}
		if (result != LINK_LAYER)
			return result;
	}
	return LINK_BAD_LINK;
}

/*
 * The protocol family before a packet of a loopback device. Its numbers and its octet order are those of the capturing
 * machine; IP itself says its version, so it is enough to know that it is some IP.
 */
static enum link_result enter_null(struct layer *layer)
{
	uint32_t big = field_u32(layer->bytes, 0);
	uint32_t family = big > 0xffff ? field_order32(layer->bytes, 0, true) : big;
	if (layer->bytes.len < 4)
		return missing(layer);
	switch (family) {
	case 2:  /* IPv4, everywhere */
	case 10: /* IPv6: Linux, Windows, NetBSD and OpenBSD, FreeBSD, macOS */
	case 23:
	case 24:
	case 28:
	case 30:
		return enter(layer, 4, LAYER_ANY_IP);
	default:
		return LINK_NOT_IP;
	}
}

/* The header of the capturing machine's kind of link. */
static enum link_result enter_frame(struct layer *layer, uint16_t link)
{
	switch (link) {
	case LINKTYPE_ETHERNET:
		return enter(layer, 0, LAYER_ETHERNET);
	case LINKTYPE_SLL:
		return enter(layer, SLL_HEADER, field_u16(layer->bytes, 14));
	case LINKTYPE_SLL2:
		return enter(layer, SLL2_HEADER, field_u16(layer->bytes, 0));
	case LINKTYPE_NULL:
	case LINKTYPE_LOOP:
		return enter_null(layer);
	case LINKTYPE_PPP:
		return enter_ppp(layer);
	case LINKTYPE_RAW:
	case LINKTYPE_RAW_OLD:
	case LINKTYPE_RAW_BSD:
		return enter(layer, 0, LAYER_ANY_IP);
	case LINKTYPE_IPV4:
		return enter(layer, 0, LAYER_IPV4);
	case LINKTYPE_IPV6:
		return enter(layer, 0, LAYER_IPV6);
	default:
		return LINK_UNKNOWN;
	}
}

enum link_result link_decode(const struct frame *frame, struct fragments *fragments, struct packet *out)
{
	struct layer layer = {.bytes = frame->bytes};
	layer.cut = frame->original > frame->bytes.len ? frame->original - frame->bytes.len : 0;
	enum link_result result = enter_frame(&layer, frame->link);
	for (unsigned depth = 0; depth < LINK_DEPTH_MAX && result == LINK_LAYER; depth++) {
		result = enter_link(&layer);
		if (result == LINK_LAYER)
			result = ip_decode(&layer, frame->time_ns, fragments, out);
	}
	if (result == LINK_PACKET)
		out->number = frame->number;
	return result == LINK_LAYER ? LINK_TOO_DEEP : result;
}

static const struct {
	uint16_t link;
	bool known;
	const char *name;
} links[] = {
	{LINKTYPE_NULL, true, "loopback"},
	{LINKTYPE_ETHERNET, true, "Ethernet"},
	{LINKTYPE_PPP, true, "PPP"},
	{LINKTYPE_RAW_OLD, true, "raw IP"},
	{LINKTYPE_RAW_BSD, true, "raw IP"},
	{LINKTYPE_RAW, true, "raw IP"},
	{LINKTYPE_LOOP, true, "OpenBSD loopback"},
	{LINKTYPE_SLL, true, "Linux cooked capture"},
	{LINKTYPE_IPV4, true, "raw IPv4"},
	{LINKTYPE_IPV6, true, "raw IPv6"},
	{LINKTYPE_SLL2, true, "Linux cooked capture 2"},
	{6, false, "Token Ring"},
	{8, false, "SLIP"},
	{10, false, "FDDI"},
	{50, false, "PPP in HDLC framing"},
	{51, false, "PPPoE"},
	{104, false, "Cisco HDLC"},
	{105, false, "IEEE 802.11"},
	{107, false, "Frame Relay"},
	{117, false, "OpenBSD packet filter log"},
	{119, false, "IEEE 802.11 with Prism header"},
	{127, false, "IEEE 802.11 with radiotap header"},
	{147, false, "user-defined"},
	{163, false, "IEEE 802.11 with AVS header"},
	{187, false, "Bluetooth HCI"},
	{189, false, "USB, Linux"},
	{192, false, "per-packet information"},
	{195, false, "IEEE 802.15.4"},
	{201, false, "Bluetooth HCI with direction"},
	{220, false, "USB, Linux, padded"},
	{227, false, "CAN bus"},
	{239, false, "netfilter log"},
	{249, false, "USB, Windows"},
	{253, false, "netlink"},
};

bool link_known(uint16_t link)
{
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		if (links[i].link == link)
			return links[i].known;
	}
	return false;
}

const char *link_name(uint16_t link)
{
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		if (links[i].link == link)
			return links[i].name;
	}
	return NULL;
}

void link_count(struct link_counts *counts, enum link_result result, const struct frame *frame)
{
	if ((unsigned)result >= LINK_RESULTS)
		return;
	counts->frames[result]++;
	counts->octets[result] += frame->bytes.len;
}
