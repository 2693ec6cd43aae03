#include "pact/memo.h"

#include "base/cache.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct memo {
	pthread_mutex_t lock; /* in a handshake only tried */
	struct cache *chains; /* struct answer */
	struct cache *leaves; /* X509, by SHA-256 of its DER */
	struct memo_counts counts;
	atomic_uint_fast64_t busy; /* counted without the lock */
};

struct answer {
	int64_t made_s, ends_s;
	struct accord_identity who;
};

static void drop_leaf(void *value)
{
	X509_free(value);
}

struct memo *memo_new(size_t cap)
{
	struct memo *memo = calloc(1, sizeof(*memo));
	if (!memo)
		return NULL;
	if (pthread_mutex_init(&memo->lock, NULL) != 0) {
		free(memo);
		return NULL;
	}
	memo->chains = cache_new(cap, free);
	memo->leaves = cache_new(cap, drop_leaf);
	atomic_init(&memo->busy, 0);
	if (memo->chains && memo->leaves)
		return memo;
	memo_free(memo);
	return NULL;
}

void memo_free(struct memo *memo)
{
	if (!memo)
		return;
	cache_free(memo->chains);
	cache_free(memo->leaves);
	pthread_mutex_destroy(&memo->lock);
	free(memo);
}

static bool enter(struct memo *memo)
{
	if (pthread_mutex_trylock(&memo->lock) == 0)
		return true;
	atomic_fetch_add(&memo->busy, 1);
	return false;
}

static void leave(struct memo *memo)
{
	pthread_mutex_unlock(&memo->lock);
}

/* Each part behind its length, so that no two questions run into one. */
static bool put(EVP_MD_CTX *hash, struct bytes part)
{
	uint8_t prefix[8];
	struct writer w = writer_over(prefix, sizeof(prefix));
	writer_u64(&w, part.len);
	return EVP_DigestUpdate(hash, prefix, w.len) == 1 && EVP_DigestUpdate(hash, part.data, part.len) == 1;
}

bool memo_key(const struct memo_question *question, uint8_t out[MEMO_KEY])
{
	uint8_t room[16];
	struct writer head = writer_over(room, sizeof(room));
	writer_u8(&head, question->kind);
	writer_u64(&head, question->generation);
	const struct accord_chain *chain = question->chain;
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	bool ok = hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 && put(hash, bytes_of(room, head.len)) &&
	          put(hash, question->host) && put(hash, question->address) && put(hash, chain->staple);
	for (size_t i = 0; ok && i < chain->count; i++)
		ok = put(hash, chain->cert[i]);
	ok = ok && EVP_DigestFinal_ex(hash, out, NULL) == 1;
	EVP_MD_CTX_free(hash);
	return ok;
}

bool memo_find(struct memo *memo, const uint8_t key[MEMO_KEY], int64_t now_s, struct accord_identity *who)
{
	if (!enter(memo))
		return false;
	const struct answer *answer = cache_get(memo->chains, bytes_of(key, MEMO_KEY));
	/* A clock that was set back may stand before a certificate's beginning. */
	bool holds = answer && now_s >= answer->made_s && now_s < answer->ends_s;
	if (holds)
		*who = answer->who;
	memo->counts.found += holds;
	memo->counts.missed += !holds;
	leave(memo);
	return holds;
}

static bool leaf_key(struct bytes der, uint8_t out[MEMO_KEY])
{
	return EVP_Digest(der.data, der.len, out, NULL, EVP_sha256(), NULL) == 1;
}

static void keep_leaf(struct memo *memo, X509 *leaf)
{
	uint8_t key[MEMO_KEY];
	unsigned char *der = NULL;
	int len = i2d_X509(leaf, &der);
	if (len > 0 && len <= MEMO_MAX_LEAF && leaf_key(bytes_of(der, (size_t)len), key) && X509_up_ref(leaf) == 1)
		(void)cache_put(memo->leaves, bytes_of(key, MEMO_KEY), leaf);
	OPENSSL_free(der);
}

void memo_keep(struct memo *memo, const uint8_t key[MEMO_KEY], int64_t now_s, int64_t ends_s,
	const struct accord_identity *who, X509 *leaf)
{
	struct answer *answer = ends_s > now_s ? malloc(sizeof(*answer)) : NULL;
	if (!answer)
		return;
	*answer = (struct answer){
		.made_s = now_s, .ends_s = ends_s - now_s > MEMO_MAX_S ? now_s + MEMO_MAX_S : ends_s, .who = *who};
	if (!enter(memo)) {
		free(answer);
		return;
	}
	if (cache_put(memo->chains, bytes_of(key, MEMO_KEY), answer))
		keep_leaf(memo, leaf);
	leave(memo);
}

X509 *memo_leaf(struct memo *memo, struct bytes der)
{
	uint8_t key[MEMO_KEY];
	if (der.len > MEMO_MAX_LEAF || !leaf_key(der, key) || !enter(memo))
		return NULL;
	X509 *leaf = cache_get(memo->leaves, bytes_of(key, MEMO_KEY));
	if (leaf && X509_up_ref(leaf) != 1)
		leaf = NULL;
	memo->counts.leaves_found += leaf != NULL;
	memo->counts.leaves_missed += leaf == NULL;
	leave(memo);
	return leaf;
}

static void note_key(struct bytes key, void *value, void *ctx)
{
	(void)value;
	memcpy(ctx, key.data, MEMO_KEY);
}

/* The newest goes first, for want of a better handle. */
static void empty(struct cache *cache)
{
	uint8_t key[MEMO_KEY];
	while (cache_count(cache).held > 0) {
		cache_each(cache, note_key, key);
		if (!cache_remove(cache, bytes_of(key, MEMO_KEY)))
			return;
	}
}

void memo_forget(struct memo *memo)
{
	pthread_mutex_lock(&memo->lock);
	empty(memo->chains);
	empty(memo->leaves);
	leave(memo);
}

struct memo_counts memo_count(struct memo *memo)
{
	struct memo_counts counts = {0};
	pthread_mutex_lock(&memo->lock);
	struct cache_counts chains = cache_count(memo->chains);
	counts = memo->counts;
	counts.evicted = chains.evicted;
	counts.held = chains.held;
	counts.cap = chains.cap;
	leave(memo);
	counts.busy = atomic_load(&memo->busy);
	return counts;
}
