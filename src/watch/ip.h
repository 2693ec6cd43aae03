/*
 * watch/ip.h — from an IP header to a TCP or UDP packet (RFC 791, RFC 8200, RFC 9293, RFC 768), and through the
 * tunnels that monitoring meets: IP in IP, GRE, VXLAN, Geneve. Checksums are not looked at: offloading leaves them
 * unset. No I/O.
 */
#ifndef WATCH_IP_H
#define WATCH_IP_H

#include "watch/fragment.h"
#include "watch/link_result.h"
#include "watch/packet.h"

/*
 * What a layer's first header is, as an Ethernet type. Types below 0x600 do not exist; one stands for "some IP
 * version".
 */
#define LAYER_ANY_IP   0x0001 /* version 4 or 6, as the first four bits say */
#define LAYER_IPV4     0x0800
#define LAYER_IPV6     0x86dd
#define LAYER_ETHERNET 0x6558 /* Ethernet from its addresses on (RFC 7348, RFC 1701) */

/* The rest of a frame from some header on. */
struct layer {
	uint16_t type;      /* Ethernet type, or LAYER_ANY_IP */
	struct bytes bytes; /* what was captured of it */
	uint64_t cut;       /* octets behind these that were on the wire and not captured */
};

/* Leaves the first `n` octets as they were on the wire: what lies behind is padding. More than there is: it was cut. */
void layer_trim(struct layer *layer, uint64_t n);
/* Takes `n` octets of header off the front. False when fewer were captured. */
must_check bool layer_skip(struct layer *layer, size_t n);

/*
 * Reads one IP header and what follows. `layer->type` is LAYER_IPV4, LAYER_IPV6 or LAYER_ANY_IP. PACKET sets `out` but
 * for its number; LAYER: the packet carries another layer, now in `layer`. Fragments go through `fragments`; a packet
 * put together from them points into it and lives until its next use. With `fragments` NULL, they are
 * LINK_FRAGMENT_FULL.
 */
must_check enum link_result ip_decode(
	struct layer *layer, uint64_t time_ns, struct fragments *fragments, struct packet *out);

#endif
