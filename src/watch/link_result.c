#include "watch/link_result.h"

#include <stddef.h>

static const struct {
	const char *name, *text;
} results[LINK_RESULTS] = {
	[LINK_PACKET] = {"packet", "TCP and UDP packets"},
	[LINK_HELD] = {"held", "fragments of IP datagrams"},
	[LINK_UNKNOWN] = {"link-unknown", "frames of a link type that is not read"},
	[LINK_NOT_IP] = {"not-ip", "frames that carry no IP"},
	[LINK_NOT_TRANSPORT] = {"not-transport", "IP packets of neither TCP nor UDP"},
	[LINK_SHORT] = {"short", "frames whose headers were not captured whole"},
	[LINK_BAD_LINK] = {"bad-link", "frames with a broken link header"},
	[LINK_BAD_IP] = {"bad-ip", "packets with a broken IP header"},
	[LINK_BAD_TRANSPORT] = {"bad-transport", "packets with a broken TCP or UDP header"},
	[LINK_TOO_DEEP] = {"too-deep", "packets in too many tunnels"},
	[LINK_FRAGMENT_BAD] = {"fragment-bad", "fragments that cannot be of any datagram"},
	[LINK_FRAGMENT_OVERLAP] = {"fragment-overlap", "fragments that contradict others"},
	[LINK_FRAGMENT_SHORT] = {"fragment-short", "fragments that were not captured whole"},
	[LINK_FRAGMENT_FULL] = {"fragment-full", "fragments for which there was no memory"},
};

const char *link_result_name(enum link_result result)
{
	return (unsigned)result < LINK_RESULTS ? results[result].name : "layer";
}

const char *link_result_text(enum link_result result)
{
	return (unsigned)result < LINK_RESULTS ? results[result].text : "packets in tunnels";
}
