#include "watch/quic.h"

#include <stdlib.h>

/* A hello that has come in part. */
struct quic_pending {
	struct quic_flow *flow;
	size_t slot;
	struct quic_keys keys; /* of QUIC: what the client's Initials open with */
	uint32_t version;
	unsigned side; /* of the client */
	struct quic_hello hello;
};

struct quic_room {
	struct crypto *crypto;
	struct quic_pending *slots[QUIC_PENDING_MAX]; /* taken in turn; NULL: free */
	size_t turn;                                  /* the slot for the next one */
	struct quic_counts counts;
	uint8_t opened[QUIC_PACKET_MAX];
	uint8_t hello[QUIC_HELLO_MAX]; /* the one given out last */
};

struct quic_room *quic_room_new(void)
{
	struct quic_room *room = calloc(1, sizeof(*room));
	if (!room)
		return NULL;
	room->crypto = crypto_new();
	if (room->crypto)
		return room;
	free(room);
	return NULL;
}

void quic_room_free(struct quic_room *room)
{
	if (!room)
		return;
	for (size_t i = 0; i < QUIC_PENDING_MAX; i++) {
		if (room->slots[i])
			room->slots[i]->flow->pending = NULL;
		free(room->slots[i]);
	}
	crypto_free(room->crypto);
	free(room);
}

struct quic_counts quic_room_count(const struct quic_room *room)
{
	return room->counts;
}

void quic_flow_end(struct quic_room *room, struct quic_flow *flow)
{
	struct quic_pending *pending = flow->pending;
	flow->over = true;
	flow->pending = NULL;
	if (pending)
		room->slots[pending->slot] = NULL;
	free(pending);
}

/* Memory for one more: its own, or that of the one whose slot it is. NULL without. */
static struct quic_pending *make_room(struct quic_room *room)
{
	size_t slot = room->turn;
	struct quic_pending *pending = room->slots[slot];
	if (pending) {
		room->counts.evicted++;
		pending->flow->over = true;
		pending->flow->pending = NULL;
	} else {
		pending = malloc(sizeof(*pending));
	}
	if (!pending) {
		room->counts.no_memory++;
		return NULL;
	}
	pending->slot = slot;
	room->slots[slot] = pending;
	room->turn = (slot + 1) % QUIC_PENDING_MAX;
	return pending;
}

/* An empty one for the flow, in the place of what was pending. NULL without memory. */
static struct quic_pending *pend(struct quic_room *room, struct quic_flow *flow, unsigned side)
{
	struct quic_pending *pending = flow->pending ? flow->pending : make_room(room);
	if (!pending)
		return NULL;
	flow->pending = pending;
	pending->flow = flow;
	pending->side = side;
	quic_hello_begin(&pending->hello);
	return pending;
}

/* False: more is needed, or nothing will come of it. */
static bool finish(struct quic_room *room, struct quic_flow *flow, struct client_hello *hello)
{
	struct bytes body;
	enum quic_hello_result result = quic_hello_get(&flow->pending->hello, &body);
	if (result == QUIC_HELLO_MORE)
		return false;
	bool good = result == QUIC_HELLO_DONE;
	if (good) {
		struct writer w = writer_over(room->hello, sizeof(room->hello));
		writer_bytes(&w, body);
		good = writer_done(&w, &body) && client_hello_parse(body, hello) == HELLO_OK;
	}
	quic_flow_end(room, flow);
	return good;
}

/* QUIC. */

static void take_frames(struct quic_pending *pending, struct bytes frames)
{
	struct quic_crypto part;
	while (quic_crypto_next(&frames, &part) == QUIC_FRAME_CRYPTO)
		quic_hello_add(&pending->hello, &part);
}

static bool open_with(
	struct quic_room *room, const struct quic_keys *keys, const struct quic_packet *packet, struct bytes *frames)
{
	struct quic_opened opened;
	if (quic_initial_open(room->crypto, keys, packet, room->opened, sizeof(room->opened), &opened) != QUIC_OPEN_OK)
		return false;
	*frames = opened.frames;
	return true;
}

/*
 * The keys stay those of the client's first connection ID even when it uses the server's from then on (RFC 9001, 5.2);
 * after a Retry there are new ones, and its hello comes again from the beginning.
 */
static bool take_initial(
	struct quic_room *room, struct quic_flow *flow, unsigned side, const struct quic_packet *packet)
{
	struct quic_pending *pending = flow->pending;
	struct quic_keys keys;
	struct bytes frames;
	if (pending && pending->side == side && pending->version == packet->version &&
		open_with(room, &pending->keys, packet, &frames)) {
		take_frames(pending, frames);
		return true;
	}
	if (!quic_initial_keys(room->crypto, packet->version, packet->receiver, QUIC_CLIENT, &keys) ||
		!open_with(room, &keys, packet, &frames))
		return false;
	pending = pend(room, flow, side);
	if (!pending)
		return false;
	pending->keys = keys;
	pending->version = packet->version;
	take_frames(pending, frames);
	return true;
}

bool quic_flow_datagram(struct quic_room *room, struct quic_flow *flow, unsigned side, struct bytes datagram,
	struct client_hello *hello)
{
	struct quic_packet packet;
	while (!flow->over && quic_packet_read(&datagram, &packet) == QUIC_OK) {
		if (packet.version != 0)
			flow->version = packet.version;
		if (packet.type != QUIC_INITIAL)
			continue;
		bool taken = take_initial(room, flow, side, &packet);
		if (taken && finish(room, flow, hello))
			return true;
		if (++flow->tries == QUIC_TRIES_MAX)
			quic_flow_end(room, flow);
	}
	return false;
}
