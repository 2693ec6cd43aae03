/* Initial packets made by hand: what tests of QUIC share. */
#ifndef TESTS_TLS_QUIC_SEAL_H
#define TESTS_TLS_QUIC_SEAL_H

#include "tls/quic_initial.h"

struct quic_seal {
	uint32_t version;
	struct bytes key_id;           /* what the keys come from */
	struct bytes receiver, sender; /* connection IDs in the header */
	struct bytes token;
	enum quic_side side;
	uint32_t number;
	struct bytes frames;
	size_t pad_to; /* octets of frames with PADDING behind them; below frames.len: none */
};

/* Writes the packet, protected. Aborts where something does not work. */
void quic_seal(struct writer *w, const struct quic_seal *packet);
/* Writes a CRYPTO frame. */
void put_crypto_frame(struct writer *w, uint64_t offset, struct bytes octets);
/* Writes a variable-length integer in `octets` octets (1, 2, 4, 8). */
void put_quic_number(struct writer *w, uint64_t value, unsigned octets);

#endif
