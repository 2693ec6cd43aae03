#include "tls/transcript.h"

#include "tls/handshake.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>

void transcript_init(struct transcript *t, size_t cap)
{
	*t = (struct transcript){.cap = cap};
}

void transcript_free(struct transcript *t)
{
	EVP_MD_CTX_free(t->ctx);
	free(t->held);
	*t = (struct transcript){0};
}

static enum transcript_result fail(struct transcript *t, enum transcript_result result)
{
	t->broken = result;
	return result;
}

static enum transcript_result hold(struct transcript *t, struct bytes message)
{
	if (message.len > t->cap - t->held_len)
		return fail(t, TRANSCRIPT_FULL);
	size_t need = t->held_len + message.len;
	if (need > t->held_room) {
		size_t room = need < t->cap / 2 ? need * 2 : t->cap;
		uint8_t *larger = realloc(t->held, room);
		if (!larger)
			return fail(t, TRANSCRIPT_FAILED);
		t->held = larger;
		t->held_room = room;
	}
	if (message.len > 0)
		memcpy(t->held + t->held_len, message.data, message.len);
	t->held_len = need;
	return TRANSCRIPT_OK;
}

enum transcript_result transcript_add(struct transcript *t, struct bytes message)
{
	if (t->broken != TRANSCRIPT_OK)
		return t->broken;
	if (!t->ctx)
		return hold(t, message);
	if (message.len > 0 && !EVP_DigestUpdate(t->ctx, message.data, message.len))
		return fail(t, TRANSCRIPT_FAILED);
	return TRANSCRIPT_OK;
}

/* A context at the start of this hash. */
static enum transcript_result begin(enum suite_hash hash, EVP_MD_CTX **out)
{
	const char *name = crypto_hash_name(hash);
	if (!name)
		return TRANSCRIPT_BAD_HASH;
	ERR_set_mark();
	EVP_MD *md = EVP_MD_fetch(NULL, name, NULL);
	ERR_pop_to_mark();
	if (!md)
		return TRANSCRIPT_BAD_HASH;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestInit_ex2(ctx, md, NULL);
	EVP_MD_free(md);
	if (!ok) {
		EVP_MD_CTX_free(ctx);
		return TRANSCRIPT_FAILED;
	}
	*out = ctx;
	return TRANSCRIPT_OK;
}

enum transcript_result transcript_choose(struct transcript *t, enum suite_hash hash)
{
	if (t->broken != TRANSCRIPT_OK)
		return t->broken;
	if (t->ctx)
		return hash == t->hash ? TRANSCRIPT_OK : TRANSCRIPT_CHOSEN;
	enum transcript_result result = begin(hash, &t->ctx);
	if (result == TRANSCRIPT_BAD_HASH)
		return result;
	if (result != TRANSCRIPT_OK)
		return fail(t, result);
	t->hash = hash;
	struct bytes held = bytes_of(t->held, t->held_len);
	result = transcript_add(t, held);
	free(t->held);
	t->held = NULL;
	t->held_len = t->held_room = 0;
	return result;
}

enum transcript_result transcript_retry(struct transcript *t)
{
	struct tls_secret first;
	enum transcript_result result = transcript_value(t, &first);
	if (result != TRANSCRIPT_OK)
		return result;
	EVP_MD_CTX *ctx;
	result = begin(t->hash, &ctx);
	if (result != TRANSCRIPT_OK)
		return fail(t, TRANSCRIPT_FAILED);
	EVP_MD_CTX_free(t->ctx);
	t->ctx = ctx;
	uint8_t header[HANDSHAKE_HEADER] = {HANDSHAKE_MESSAGE_HASH, 0, 0, (uint8_t)first.len};
	result = transcript_add(t, bytes_of(header, sizeof(header)));
	return result == TRANSCRIPT_OK ? transcript_add(t, tls_secret_bytes(&first)) : result;
}

enum transcript_result transcript_value_with(const struct transcript *t, struct bytes more, struct tls_secret *out)
{
	out->len = 0;
	if (t->broken != TRANSCRIPT_OK)
		return t->broken;
	if (!t->ctx)
		return TRANSCRIPT_NO_HASH;
	EVP_MD_CTX *copy = EVP_MD_CTX_new();
	unsigned len = 0;
	bool ok = copy && EVP_MD_CTX_copy_ex(copy, t->ctx) &&
	          (more.len == 0 || EVP_DigestUpdate(copy, more.data, more.len)) &&
	          EVP_DigestFinal_ex(copy, out->octets, &len);
	EVP_MD_CTX_free(copy);
	out->len = ok ? len : 0;
	return ok ? TRANSCRIPT_OK : TRANSCRIPT_FAILED;
}

enum transcript_result transcript_value(const struct transcript *t, struct tls_secret *out)
{
	return transcript_value_with(t, BYTES_NONE, out);
}

enum transcript_result transcript_copy(const struct transcript *t, struct transcript *copy)
{
	transcript_init(copy, t->cap);
	if (t->broken != TRANSCRIPT_OK)
		return fail(copy, t->broken);
	copy->hash = t->hash;
	if (!t->ctx)
		return hold(copy, bytes_of(t->held, t->held_len));
	copy->ctx = EVP_MD_CTX_new();
	if (!copy->ctx || !EVP_MD_CTX_copy_ex(copy->ctx, t->ctx))
		return fail(copy, TRANSCRIPT_FAILED);
	return TRANSCRIPT_OK;
}

const char *transcript_result_text(enum transcript_result result)
{
	switch (result) {
	case TRANSCRIPT_OK:
		return "ok";
	case TRANSCRIPT_FULL:
		return "more handshake than is kept before its hash is known";
	case TRANSCRIPT_NO_HASH:
		return "the transcript's hash is not known yet";
	case TRANSCRIPT_CHOSEN:
		return "the transcript already has another hash";
	case TRANSCRIPT_BAD_HASH:
		return "libcrypto has no such hash";
	case TRANSCRIPT_FAILED:
		return "out of memory";
	}
	return "unknown";
}
