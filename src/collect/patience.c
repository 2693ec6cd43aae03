/* What a client may leave unfinished, and for how long: a frame, what it is sent, what it came for. */
#include "collect/parts.h"

static bool too_long(uint64_t *since_ns, bool unfinished, uint64_t now_ns, uint64_t patience_ns)
{
	if (!unfinished)
		*since_ns = 0;
	else if (*since_ns == 0)
		*since_ns = now_ns;
	return unfinished && now_ns - *since_ns >= patience_ns;
}

/* A sentence, or NULL. */
static const char *fault(struct peer *peer, uint64_t now_ns, uint64_t patience_ns)
{
	/* What a pause has left standing is the pause's. */
	bool paused = peer->slowed || peer->unanswered >= BATCHES_MAX;
	bool half = peer->stage != PEER_LINES && !paused && peer->in.len > 0;
	if (too_long(&peer->half_ns, half, now_ns, patience_ns))
		return "it left a frame unfinished";
	bool stuck = peer->link.out.len > 0 && peer->link.sent == peer->sent_before;
	peer->sent_before = peer->link.sent;
	if (too_long(&peer->stuck_ns, stuck, now_ns, patience_ns))
		return "it does not read what it is sent";
	if (too_long(&peer->silent_ns, peer->stage == PEER_READ && !peer->wants, now_ns, patience_ns))
		return "it has not said what it wants";
	return NULL;
}

void peers_hurry(struct collector *collector)
{
	uint64_t now_ns = loop_now_ns(collector->loop);
	for (struct peer *peer = collector->peers, *next; peer; peer = next) {
		next = peer->next;
		const char *why =
			peer->stage == PEER_HANDSHAKE ? NULL : fault(peer, now_ns, collector->options->patience_ns);
		if (!why)
			continue;
		collector->counts.late++;
		peer_close(peer, why);
	}
}
