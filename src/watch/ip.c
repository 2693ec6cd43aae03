#include "watch/ip.h"

#include "watch/capture_field.h"

#define IPV4_LEAST 20
#define IPV6_LEAST 40
#define TCP_LEAST  20
#define UDP_LEAST  8

/* Protocol numbers (IANA). */
#define PROTOCOL_HOP_BY_HOP  0
#define PROTOCOL_IPV4        4
#define PROTOCOL_IPV6        41
#define PROTOCOL_ROUTING     43
#define PROTOCOL_FRAGMENT    44
#define PROTOCOL_GRE         47
#define PROTOCOL_AH          51
#define PROTOCOL_NONE        59
#define PROTOCOL_DESTINATION 60
#define PROTOCOL_MOBILITY    135
#define PROTOCOL_HIP         139
#define PROTOCOL_SHIM6       140

/* No sender makes as many; a bound all the same. */
#define HEADERS_MAX 16

#define OPTION_PAD1  0
#define OPTION_JUMBO 0xc2

#define GRE_CHECKSUM 0x8000
#define GRE_ROUTING  0x4000
#define GRE_KEY      0x2000
#define GRE_SEQUENCE 0x1000
#define GRE_VERSION  0x0007
#define GRE_ERSPAN   0x88be
#define GRE_ERSPAN_3 0x22eb

#define PORT_VXLAN       4789
#define PORT_VXLAN_LINUX 8472 /* before the number was assigned, and still the kernel's default */
#define PORT_GENEVE      6081

/* What stands between an IP header and the transport header. */
struct way {
	struct layer *layer;
	uint64_t time_ns;
	struct fragments *fragments;
	struct packet *out;
	uint8_t protocol; /* of what `layer` begins with */
};

void layer_trim(struct layer *layer, uint64_t n)
{
	if (n <= layer->bytes.len) {
		layer->bytes = field_first(layer->bytes, (size_t)n);
		layer->cut = 0;
	} else {
		layer->cut = n - layer->bytes.len;
	}
}

bool layer_skip(struct layer *layer, size_t n)
{
	return bytes_skip(&layer->bytes, n);
}

/* A header that is not all there: because of the snap length, or because there is none. */
static enum link_result missing(const struct layer *layer, enum link_result otherwise)
{
	return layer->cut > 0 ? LINK_SHORT : otherwise;
}

static void set_address(struct flow_address *address, uint8_t family, struct bytes ip)
{
	*address = (struct flow_address){.family = family};
	memcpy(address->ip, ip.data, ip.len < sizeof(address->ip) ? ip.len : sizeof(address->ip));
}

/* PACKET: `way` goes on in the datagram put together. */
static enum link_result take_fragment(struct way *way, struct fragment *fragment)
{
	if (way->layer->cut > 0)
		return LINK_FRAGMENT_SHORT;
	if (!way->fragments)
		return LINK_FRAGMENT_FULL;
	fragment->bytes = way->layer->bytes;
	fragment->key.family = way->out->source.family;
	memcpy(fragment->key.source, way->out->source.ip, sizeof(fragment->key.source));
	memcpy(fragment->key.destination, way->out->destination.ip, sizeof(fragment->key.destination));
	return fragments_take(way->fragments, fragment, way->time_ns, &way->layer->bytes, &way->protocol);
}

static enum link_result take_tcp(struct way *way)
{
	struct layer *layer = way->layer;
	struct packet *out = way->out;
	struct bytes header = layer->bytes;
	size_t len = (size_t)(field_u8(header, 12) >> 4) * 4;
	if (header.len < TCP_LEAST)
		return missing(layer, LINK_BAD_TRANSPORT);
	if (len < TCP_LEAST)
		return LINK_BAD_TRANSPORT;
	out->source.port = field_u16(header, 0);
	out->destination.port = field_u16(header, 2);
	out->seq = field_u32(header, 4);
	out->ack = field_u32(header, 8);
	out->flags = field_u8(header, 13);
	if (!layer_skip(layer, len)) {
		/* Only options were not captured; what is known of the packet stands. */
		size_t lacking = len - header.len;
		if (layer->cut < lacking)
			return LINK_BAD_TRANSPORT;
		layer->cut -= lacking;
		layer->bytes = BYTES_NONE;
	}
	out->protocol = PACKET_TCP;
	out->payload = layer->bytes;
	out->cut = layer->cut > UINT32_MAX ? UINT32_MAX : (uint32_t)layer->cut;
	return LINK_PACKET;
}

/* Goes into what UDP to this port carries. PACKET: nothing to go into. */
static enum link_result enter_tunnel(struct layer *layer, uint16_t port)
{
	struct bytes header = layer->bytes;
	uint8_t first = field_u8(header, 0);
	size_t len = 8;
	uint16_t type = LAYER_ETHERNET;
	bool tunnel = false;
	if (port != PORT_VXLAN && port != PORT_VXLAN_LINUX && port != PORT_GENEVE)
		return LINK_PACKET;
	if (header.len < len && layer->cut > 0)
		return LINK_SHORT;
	if (port == PORT_VXLAN || port == PORT_VXLAN_LINUX) {
		/* RFC 7348, 5: the I bit is set; of what is reserved, only the last octet is relied upon. */
		tunnel = first & 0x08 && field_u8(header, 7) == 0;
	} else {
		/* RFC 8926, 3.4. */
		tunnel = first >> 6 == 0;
		len += (size_t)(first & 0x3f) * 4;
		type = field_u16(header, 2);
	}
	if (!tunnel || header.len + layer->cut <= len)
		return LINK_PACKET;
	layer->type = type;
	return layer_skip(layer, len) ? LINK_LAYER : LINK_SHORT;
}

static enum link_result take_udp(struct way *way)
{
	struct layer *layer = way->layer;
	struct packet *out = way->out;
	struct bytes header = layer->bytes;
	if (header.len < UDP_LEAST)
		return missing(layer, LINK_BAD_TRANSPORT);
	uint16_t len = field_u16(header, 4);
	/* 0: longer than the field can say (RFC 2675, 4), as superframes are. */
	if (len > 0 && len < UDP_LEAST)
		return LINK_BAD_TRANSPORT;
	if (len > 0 && len < header.len + layer->cut)
		layer_trim(layer, len);
	layer->bytes = field_after(layer->bytes, UDP_LEAST);
	out->source.port = field_u16(header, 0);
	out->destination.port = field_u16(header, 2);
	enum link_result tunnel = enter_tunnel(layer, out->destination.port);
	if (tunnel != LINK_PACKET)
		return tunnel;
	out->protocol = PACKET_UDP;
	out->payload = layer->bytes;
	out->cut = layer->cut > UINT32_MAX ? UINT32_MAX : (uint32_t)layer->cut;
	return LINK_PACKET;
}

/* RFC 2784, RFC 2890; what switches mirror in it (draft-foschiano-erspan). */
static enum link_result take_gre(struct way *way)
{
	struct layer *layer = way->layer;
	uint16_t flags = field_u16(layer->bytes, 0);
	uint16_t type = field_u16(layer->bytes, 2);
	if (layer->bytes.len < 4)
		return missing(layer, LINK_BAD_IP);
	if (flags & (GRE_VERSION | GRE_ROUTING))
		return LINK_NOT_TRANSPORT;
	size_t len = 4;
	len += flags & GRE_CHECKSUM ? 4 : 0;
	len += flags & GRE_KEY ? 4 : 0;
	len += flags & GRE_SEQUENCE ? 4 : 0;
	if (type == GRE_ERSPAN && flags & GRE_SEQUENCE)
		len += 8;
	else if (type == GRE_ERSPAN_3)
		len += field_u8(layer->bytes, len + 11) & 1 ? 20 : 12;
	if (!layer_skip(layer, len))
		return missing(layer, LINK_BAD_IP);
	layer->type = type == GRE_ERSPAN || type == GRE_ERSPAN_3 ? LAYER_ETHERNET : type;
	return LINK_LAYER;
}

static enum link_result take_payload(struct way *way)
{
	switch (way->protocol) {
	case PACKET_TCP:
		return take_tcp(way);
	case PACKET_UDP:
		return take_udp(way);
	case PROTOCOL_IPV4:
		way->layer->type = LAYER_IPV4;
		return LINK_LAYER;
	case PROTOCOL_IPV6:
		way->layer->type = LAYER_IPV6;
		return LINK_LAYER;
	case PROTOCOL_GRE:
		return take_gre(way);
	default:
		return LINK_NOT_TRANSPORT;
	}
}

/* The length of a jumbogram (RFC 2675, 2), whose field in the IPv6 header is 0. It counts from behind that header. */
static void take_jumbo(struct way *way, struct bytes options)
{
	while (options.len > 2) {
		uint8_t type = field_u8(options, 0);
		if (type == OPTION_JUMBO && field_u8(options, 1) == 4 && options.len >= 6) {
			layer_trim(way->layer, field_u32(options, 2));
			return;
		}
		options = field_after(options, type == OPTION_PAD1 ? 1 : (size_t)2 + field_u8(options, 1));
	}
}

/* RFC 8200, 4.5. */
static enum link_result take_fragment_header(struct way *way)
{
	struct bytes header = way->layer->bytes;
	if (header.len < 8)
		return missing(way->layer, LINK_BAD_IP);
	uint16_t where = field_u16(header, 2);
	struct fragment fragment = {
		.key.id = field_u32(header, 4),
		.protocol = field_u8(header, 0),
		.offset = where & 0xfff8,
		.more = where & 1,
	};
	way->layer->bytes = field_after(header, 8);
	way->protocol = fragment.protocol;
	/* One that is the whole datagram has nothing to do with others (RFC 6946). */
	if (fragment.offset == 0 && !fragment.more)
		return LINK_PACKET;
	return take_fragment(way, &fragment);
}

static enum link_result skip_header(struct way *way, size_t unit, size_t more)
{
	struct bytes header = way->layer->bytes;
	if (header.len < 2)
		return missing(way->layer, LINK_BAD_IP);
	way->protocol = field_u8(header, 0);
	return layer_skip(way->layer, (field_u8(header, 1) + more) * unit) ? LINK_PACKET
	                                                                   : missing(way->layer, LINK_BAD_IP);
}

/* Through extension headers to what they stand before. */
static enum link_result take_headers(struct way *way)
{
	for (unsigned i = 0; i < HEADERS_MAX; i++) {
		enum link_result result;
		switch (way->protocol) {
		case PROTOCOL_HOP_BY_HOP:
		case PROTOCOL_ROUTING:
		case PROTOCOL_DESTINATION:
		case PROTOCOL_MOBILITY:
		case PROTOCOL_HIP:
		case PROTOCOL_SHIM6:
			result = skip_header(way, 8, 1);
			break;
		case PROTOCOL_AH:
			result = skip_header(way, 4, 2);
			break;
		case PROTOCOL_FRAGMENT:
			result = take_fragment_header(way);
			break;
		default:
			return take_payload(way);
		}
		if (result != LINK_PACKET)
			return result;
	}
	return LINK_BAD_IP;
}

static enum link_result take_ipv6(struct way *way)
{
	struct layer *layer = way->layer;
	struct bytes header = layer->bytes;
	if (header.len < IPV6_LEAST)
		return missing(layer, LINK_BAD_IP);
	if (field_u8(header, 0) >> 4 != 6)
		return LINK_BAD_IP;
	uint16_t len = field_u16(header, 4);
	way->protocol = field_u8(header, 6);
	set_address(&way->out->source, 6, field_first(field_after(header, 8), 16));
	set_address(&way->out->destination, 6, field_first(field_after(header, 24), 16));
	layer->bytes = field_after(header, IPV6_LEAST);
	/*
	 * 0: a superframe, with or without a jumbo option; its length is the frame's. But "no next header" is really
	 * empty.
	 */
	if (len > 0 || way->protocol == PROTOCOL_NONE)
		layer_trim(layer, len);
	else if (way->protocol == PROTOCOL_HOP_BY_HOP)
		take_jumbo(way, field_after(field_first(layer->bytes, (field_u8(layer->bytes, 1) + (size_t)1) * 8), 2));
	return take_headers(way);
}

static enum link_result take_ipv4(struct way *way)
{
	struct layer *layer = way->layer;
	struct bytes header = layer->bytes;
	size_t len = (size_t)(field_u8(header, 0) & 15) * 4;
	if (header.len < IPV4_LEAST)
		return missing(layer, LINK_BAD_IP);
	uint16_t total = field_u16(header, 2);
	/* 0: a superframe; its length is the frame's. */
	if (field_u8(header, 0) >> 4 != 4 || len < IPV4_LEAST || (total > 0 && total < len))
		return LINK_BAD_IP;
	if (total > 0)
		layer_trim(layer, total);
	if (!layer_skip(layer, len))
		return missing(layer, LINK_BAD_IP);
	set_address(&way->out->source, 4, field_first(field_after(header, 12), 4));
	set_address(&way->out->destination, 4, field_first(field_after(header, 16), 4));
	way->protocol = field_u8(header, 9);
	uint16_t where = field_u16(header, 6);
	struct fragment fragment = {
		.key = {.protocol = way->protocol, .id = field_u16(header, 4)},
		.protocol = way->protocol,
		.offset = (uint32_t)(where & 0x1fff) * 8,
		.more = where & 0x2000,
	};
	if (fragment.offset != 0 || fragment.more) {
		enum link_result result = take_fragment(way, &fragment);
		if (result != LINK_PACKET)
			return result;
	}
	/* Of the headers that go between in IPv6, this one does so in IPv4 as well. */
	if (way->protocol == PROTOCOL_AH) {
		enum link_result result = skip_header(way, 4, 2);
		if (result != LINK_PACKET)
			return result;
	}
	return take_payload(way);
}

enum link_result ip_decode(struct layer *layer, uint64_t time_ns, struct fragments *fragments, struct packet *out)
{
	*out = (struct packet){.time_ns = time_ns};
	struct way way = {.layer = layer, .time_ns = time_ns, .fragments = fragments, .out = out};
	if (layer->type == LAYER_ANY_IP)
		layer->type = field_u8(layer->bytes, 0) >> 4 == 6 ? LAYER_IPV6 : LAYER_IPV4;
	return layer->type == LAYER_IPV6 ? take_ipv6(&way) : take_ipv4(&way);
}
