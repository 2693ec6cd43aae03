/*
 * keys/record_key.h — keys of one direction and one epoch of records, ready for use: what may be shared where secrets
 * may not, for no other key can be derived from it. A value; no I/O.
 */
#ifndef KEYS_RECORD_KEY_H
#define KEYS_RECORD_KEY_H

#include "keys/keylog.h"

#define RECORD_KEY_MAX 32
#define RECORD_IV_MAX  16
#define RECORD_MAC_MAX 48
/* Octets that record_key_write needs at most. */
#define RECORD_KEY_WRITTEN 160

enum record_stage { RECORD_STAGE_EARLY, RECORD_STAGE_HANDSHAKE, RECORD_STAGE_APPLICATION };

struct record_key {
	uint8_t client_random[KEYLOG_RANDOM];
	bool from_client;   /* protects what the client sends */
	uint8_t stage;      /* enum record_stage; TLS 1.2: APPLICATION, for what follows ChangeCipherSpec */
	uint32_t epoch;     /* APPLICATION: TLS 1.3 counts KeyUpdates, TLS 1.2 handshakes of the connection, from 0 */
	uint16_t version;   /* TLS_VERSION_12 or TLS_VERSION_13 */
	uint16_t suite;     /* of the registry */
	uint64_t first_seq; /* sequence number of the first record it may open; 0 unless shared mid-epoch */
	uint8_t key_len, iv_len, mac_len; /* octets; mac_len is 0 for AEADs */
	uint8_t key[RECORD_KEY_MAX], iv[RECORD_IV_MAX], mac[RECORD_MAC_MAX];
};

/* Memory form, of this process only. False when a length is over its field, or the writer is full. */
must_check bool record_key_write(const struct record_key *key, struct writer *to);
/* Back from it. False when it is not one. */
must_check bool record_key_read(struct bytes in, struct record_key *key);
void record_key_wipe(struct record_key *key);

#endif
