/*
 * tests/unit/decode/peers.h — a client and a server of HTTP/2 (libnghttp2) that talk in memory; what went over is kept
 * to be given to decoders, in whatever pieces.
 */
#ifndef TESTS_DECODE_PEERS_H
#define TESTS_DECODE_PEERS_H

#include "decode/decoder.h"

#include <nghttp2/nghttp2.h>

#define PEERS_BODY_MAX 300000

struct transcript {
	uint8_t *data;
	size_t len, room;
	struct transcript_part {
		enum flow_direction direction;
		size_t at, len;
	} parts[20000];
	size_t count;
};

/*
 * The server answers by path: "/N" with a body of N octets; "/trailers" with 5 octets and a trailer; "/empty" with 204;
 * "/hints" with 103 before; "/push" with a promise of /pushed; "/reset" with RST_STREAM; "/big" with headers of some
 * 40,000 octets; "/early" with 200 as soon as the head is there; CONNECT with 200 and what follows echoed in length.
 */
struct peers {
	nghttp2_session *client, *server;
	struct transcript transcript;
	size_t upload[1000]; /* octets the client still sends, by stream / 2 */
	size_t answer[1000]; /* octets the server still sends */
	char path[1000][64];
	char method[1000][16];
	bool trailers[1000];
	bool padding;
	unsigned serial; /* makes headers differ */
};

struct peers *peers_new(uint32_t client_table, uint32_t server_table, bool padding);
void peers_free(struct peers *peers);
/* A request with `upload` octets of body; `extra` (NULL: none) more header. Returns the stream. */
int32_t peers_request(struct peers *peers, const char *method, const char *path, size_t upload, const char *protocol);
/* SETTINGS_HEADER_TABLE_SIZE anew, from that side. */
void peers_table(struct peers *peers, enum flow_direction side, uint32_t octets);
/* Until neither has anything to say. */
void peers_run(struct peers *peers);
/* All that went over, in pieces of at most `piece` octets. */
void transcript_feed(const struct transcript *transcript, struct decoder *decoder, size_t piece);

#endif
