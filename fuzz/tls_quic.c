/*
 * A datagram as QUIC: packets one by one, Initials opened with the keys of their own connection ID, frames, the hello.
 * What does not authenticate (nearly everything) goes on with its ciphertext as frames.
 */
#include "tls/quic_initial.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_frames(struct bytes frames)
{
	static struct quic_hello hello;
	struct quic_crypto part;
	struct bytes body;
	quic_hello_begin(&hello);
	for (;;) {
		size_t before = frames.len;
		if (quic_crypto_next(&frames, &part) != QUIC_FRAME_CRYPTO)
			break;
		if (frames.len >= before || part.octets.len > before)
			abort();
		quic_hello_add(&hello, &part);
	}
	if (hello.have > hello.end || hello.end > QUIC_HELLO_MAX)
		abort();
	if (quic_hello_get(&hello, &body) == QUIC_HELLO_DONE && body.len + 4 > hello.have)
		abort();
}

static void read_initial(struct crypto *crypto, const struct quic_packet *packet)
{
	static uint8_t room[4096];
	struct quic_keys keys;
	struct quic_opened opened;
	if (!quic_initial_keys(crypto, packet->version, packet->receiver, QUIC_CLIENT, &keys))
		abort();
	enum quic_open result = quic_initial_open(crypto, &keys, packet, room, sizeof(room), &opened);
	if (result == QUIC_OPEN_FAILED)
		abort();
	read_frames(result == QUIC_OPEN_OK ? opened.frames : packet->protected_part);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct crypto *crypto;
	struct bytes rest = bytes_of(data, size);
	struct quic_packet packet;
	if (!crypto)
		crypto = crypto_new();
	if (!crypto || size > 4096)
		return 0;
	(void)quic_opens(rest);
	for (;;) {
		size_t before = rest.len;
		if (quic_packet_read(&rest, &packet) != QUIC_OK)
			break;
		if (rest.len >= before || packet.whole.len != before - rest.len ||
			(packet.type <= QUIC_HANDSHAKE &&
				packet.before_number.len + packet.protected_part.len != packet.whole.len))
			abort();
		if (packet.type == QUIC_INITIAL)
			read_initial(crypto, &packet);
	}
	return 0;
}
