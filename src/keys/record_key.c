#include "keys/record_key.h"

#include <openssl/crypto.h>

bool record_key_write(const struct record_key *key, struct writer *to)
{
	if (key->key_len > RECORD_KEY_MAX || key->iv_len > RECORD_IV_MAX || key->mac_len > RECORD_MAC_MAX)
		return false;
	writer_bytes(to, bytes_of(key->client_random, sizeof(key->client_random)));
	writer_u8(to, key->from_client);
	writer_u8(to, key->stage);
	writer_u32(to, key->epoch);
	writer_u16(to, key->version);
	writer_u16(to, key->suite);
	writer_u64(to, key->first_seq);
	writer_vec8(to, bytes_of(key->key, key->key_len));
	writer_vec8(to, bytes_of(key->iv, key->iv_len));
	writer_vec8(to, bytes_of(key->mac, key->mac_len));
	return !to->full;
}

/* A vector of at most `cap` octets. */
static bool field_read(struct bytes *in, uint8_t *to, size_t cap, uint8_t *len)
{
	struct bytes field;
	if (!bytes_vec8(in, &field) || field.len > cap)
		return false;
	if (field.len)
		memcpy(to, field.data, field.len);
	*len = (uint8_t)field.len;
	return true;
}

bool record_key_read(struct bytes in, struct record_key *key)
{
	struct bytes random;
	uint8_t from_client;
	*key = (struct record_key){0};
	bool ok = bytes_take(&in, KEYLOG_RANDOM, &random) && bytes_u8(&in, &from_client) &&
	          bytes_u8(&in, &key->stage) && bytes_u32(&in, &key->epoch) && bytes_u16(&in, &key->version) &&
	          bytes_u16(&in, &key->suite) && bytes_u64(&in, &key->first_seq) &&
	          field_read(&in, key->key, RECORD_KEY_MAX, &key->key_len) &&
	          field_read(&in, key->iv, RECORD_IV_MAX, &key->iv_len) &&
	          field_read(&in, key->mac, RECORD_MAC_MAX, &key->mac_len) && in.len == 0;
	if (!ok) {
		record_key_wipe(key);
		return false;
	}
	memcpy(key->client_random, random.data, random.len);
	key->from_client = from_client != 0;
	return true;
}

void record_key_wipe(struct record_key *key)
{
	OPENSSL_cleanse(key, sizeof(*key));
}
