#include "proxy/keeper_wire.h"

#include <openssl/crypto.h>

void keeper_tickets_write(struct writer *w, const struct ticket_keys *keys)
{
	writer_u8(w, (uint8_t)keys->count);
	for (size_t i = 0; i < keys->count; i++) {
		writer_bytes(w, bytes_of(keys->key[i].name, sizeof(keys->key[i].name)));
		writer_bytes(w, bytes_of(keys->key[i].aes, sizeof(keys->key[i].aes)));
		writer_bytes(w, bytes_of(keys->key[i].hmac, sizeof(keys->key[i].hmac)));
	}
}

static bool copy(struct bytes *in, uint8_t *out, size_t len)
{
	struct bytes part;
	if (!bytes_take(in, len, &part))
		return false;
	memcpy(out, part.data, len);
	return true;
}

static bool tickets_take(struct bytes *in, struct ticket_keys *keys)
{
	uint8_t count;
	if (!bytes_u8(in, &count) || count > TICKET_KEYS_MAX)
		return false;
	*keys = (struct ticket_keys){.count = count};
	for (size_t i = 0; i < count; i++) {
		struct ticket_key *key = &keys->key[i];
		if (!copy(in, key->name, sizeof(key->name)) || !copy(in, key->aes, sizeof(key->aes)) ||
			!copy(in, key->hmac, sizeof(key->hmac)))
			return false;
	}
	return true;
}

bool keeper_tickets_read(struct bytes in, struct ticket_keys *keys)
{
	struct ticket_keys read;
	bool good = tickets_take(&in, &read) && in.len == 0;
	if (good)
		*keys = read;
	OPENSSL_cleanse(&read, sizeof(read));
	return good;
}

void keeper_welcome_write(struct writer *w, const struct keeper_welcome *welcome)
{
	writer_u8(w, (uint8_t)welcome->chain_count);
	for (size_t i = 0; i < welcome->chain_count; i++)
		writer_vec32(w, welcome->chain[i]);
	writer_vec8(w, welcome->issuer);
	for (size_t i = 0; i < KEEPER_KEYS; i++)
		writer_vec16(w, welcome->keys[i]);
	writer_u64(w, welcome->refusal_lifetime_s);
	keeper_tickets_write(w, &welcome->tickets);
	writer_vec16(w, welcome->audit_reason);
	writer_vec16(w, welcome->accord_key);
	writer_vec16(w, welcome->accord_cert);
}

bool keeper_welcome_read(struct bytes in, struct keeper_welcome *welcome)
{
	struct keeper_welcome read = {0};
	uint8_t count;
	bool good = bytes_u8(&in, &count) && count <= KEEPER_CHAIN_MAX;
	for (size_t i = 0; good && i < count; i++)
		good = bytes_vec32(&in, &read.chain[i]) && read.chain[i].len > 0;
	read.chain_count = good ? count : 0;
	good = good && bytes_vec8(&in, &read.issuer);
	for (size_t i = 0; good && i < KEEPER_KEYS; i++)
		good = bytes_vec16(&in, &read.keys[i]);
	good = good && bytes_u64(&in, &read.refusal_lifetime_s) && tickets_take(&in, &read.tickets) &&
	       bytes_vec16(&in, &read.audit_reason) && bytes_vec16(&in, &read.accord_key) &&
	       bytes_vec16(&in, &read.accord_cert) && in.len == 0;
	if (good)
		*welcome = read;
	OPENSSL_cleanse(&read, sizeof(read));
	return good;
}

void keeper_leaf_request_write(struct writer *w, const struct keeper_leaf_request *request)
{
	writer_u8(w, (uint8_t)request->key);
	writer_u64(w, request->faults);
	writer_vec16(w, request->host);
	writer_vec32(w, request->upstream);
}

bool keeper_leaf_request_read(struct bytes in, struct keeper_leaf_request *request)
{
	struct keeper_leaf_request read = {0};
	uint8_t key;
	if (!bytes_u8(&in, &key) || key >= KEEPER_KEYS || !bytes_u64(&in, &read.faults) ||
		!bytes_vec16(&in, &read.host) || !bytes_vec32(&in, &read.upstream))
		return false;
	if (in.len || read.host.len == 0 || read.host.len > KEEPER_HOST_MAX || read.upstream.len == 0 ||
		read.upstream.len > KEEPER_CERT_MAX)
		return false;
	read.key = key;
	*request = read;
	return true;
}

void keeper_refusal_write(struct writer *w, const struct refusal *refusal)
{
	writer_vec8(w, bytes_str(refusal->client));
	writer_vec8(w, bytes_str(refusal->name));
	writer_u32(w, (uint32_t)refusal->alert);
	writer_u64(w, refusal->count);
	writer_u64(w, refusal->first_s);
	writer_u64(w, refusal->last_s);
}

/* A text of 1..`max` octets without NUL; `out` has room for one more. */
static bool text_take(struct bytes *in, char *out, size_t max)
{
	struct bytes text;
	if (!bytes_vec8(in, &text) || text.len == 0 || text.len > max || bytes_find(text, 0, 0) < text.len)
		return false;
	memcpy(out, text.data, text.len);
	out[text.len] = '\0';
	return true;
}

bool keeper_refusal_read(struct bytes in, struct refusal *refusal)
{
	struct refusal read = {0};
	uint32_t alert;
	if (!text_take(&in, read.client, REFUSAL_CLIENT_MAX) || !text_take(&in, read.name, REFUSAL_NAME_MAX) ||
		!bytes_u32(&in, &alert) || !bytes_u64(&in, &read.count) || !bytes_u64(&in, &read.first_s) ||
		!bytes_u64(&in, &read.last_s) || in.len)
		return false;
	if (alert > 255 && alert != (uint32_t)REFUSAL_CLOSED)
		return false;
	/* SQLite's integers have a sign. */
	if (read.count > INT64_MAX || read.first_s > INT64_MAX || read.last_s > INT64_MAX)
		return false;
	read.alert = (int32_t)alert;
	*refusal = read;
	return true;
}
