#include "pki/verify.h"

#include "base/cache.h"
#include "pki/summary.h"
#include "pki/verify_parts.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#define OWN_MAX 8

struct verifier {
	const struct trust *trust;
	struct cache *memo; /* struct remembered; NULL when verdicts are not kept */
	X509 *own[OWN_MAX];
	size_t own_count;
	struct verifier_counts counts;
};

struct remembered {
	struct verify_verdict verdict;
	int64_t made_s;
};

struct verifier *verifier_new(const struct trust *trust, size_t memo_cap)
{
	struct verifier *verifier = calloc(1, sizeof(*verifier));
	if (!verifier)
		return NULL;
	verifier->trust = trust;
	if (memo_cap > 0 && !(verifier->memo = cache_new(memo_cap, free))) {
		free(verifier);
		return NULL;
	}
	return verifier;
}

void verifier_free(struct verifier *verifier)
{
	if (!verifier)
		return;
	for (size_t i = 0; i < verifier->own_count; i++)
		X509_free(verifier->own[i]);
	cache_free(verifier->memo);
	free(verifier);
}

static bool own_has(const struct verifier *verifier, const X509 *cert)
{
	for (size_t i = 0; i < verifier->own_count; i++) {
		if (X509_cmp(verifier->own[i], cert) == 0)
			return true;
	}
	return false;
}

bool verifier_add_own(struct verifier *verifier, struct bytes pem, struct error *err)
{
	BIO *bio = pem.len <= INT32_MAX ? BIO_new_mem_buf(pem.data, (int)pem.len) : NULL;
	if (!bio)
		return error_set(err, "own CA: out of memory");
	size_t found = 0;
	X509 *cert;
	while (verifier->own_count < OWN_MAX && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		found++;
		if (own_has(verifier, cert))
			X509_free(cert);
		else
			verifier->own[verifier->own_count++] = cert;
	}
	BIO_free(bio);
	ERR_clear_error();
	return found > 0 || error_set(err, "own CA: no certificate in the PEM given");
}

static bool same_key(const X509 *a, const X509 *b)
{
	const ASN1_BIT_STRING *one = X509_get0_pubkey_bitstr(a);
	const ASN1_BIT_STRING *two = X509_get0_pubkey_bitstr(b);
	return one && two && ASN1_STRING_cmp(one, two) == 0;
}

static void own_check(const struct verifier *verifier, STACK_OF(X509) * certs, struct findings *findings)
{
	for (int i = 0; certs && i < sk_X509_num(certs); i++) {
		X509 *cert = sk_X509_value(certs, i);
		for (size_t j = 0; j < verifier->own_count; j++) {
			X509 *own = verifier->own[j];
			bool issued = X509_check_issued(own, cert) == X509_V_OK &&
			              X509_verify(cert, X509_get0_pubkey(own)) == 1;
			if (same_key(own, cert) || issued)
				findings_add(findings, VERIFY_OWN_CA, i, X509_V_ERR_CERT_REJECTED, cert);
		}
	}
}

/* Adds the certificate to the hash and its length to *total. False when it cannot be encoded. */
static bool cert_hash(EVP_MD_CTX *hash, const X509 *cert, size_t *total)
{
	uint8_t *der = NULL;
	int len = i2d_X509(cert, &der);
	if (len < 0)
		return false;
	uint8_t prefix[4];
	struct writer w = writer_over(prefix, sizeof(prefix));
	writer_u32(&w, (uint32_t)len);
	bool ok = EVP_DigestUpdate(hash, prefix, w.len) == 1 && EVP_DigestUpdate(hash, der, (size_t)len) == 1;
	OPENSSL_free(der);
	*total += (size_t)len;
	return ok;
}

/* All that the verdict depends on but the time; the staple is in it, so that another one is looked at anew. */
static bool memo_key(const struct verifier *verifier, X509 *leaf, STACK_OF(X509) * presented,
	const struct verify_request *request, uint8_t out[32], size_t *total)
{
	uint8_t room[64 + SUBJECT_NAME_MAX];
	struct writer w = writer_over(room, sizeof(room));
	writer_u64(&w, trust_generation(verifier->trust));
	writer_u64(&w, request->policy.generation);
	writer_u8(&w, request->policy.require_staple);
	writer_u8(&w, request->policy.require_crl);
	writer_u8(&w, request->policy.require_status);
	writer_u8(&w, (uint8_t)request->use);
	writer_vec16(&w, subject_name_bytes(request->host));
	writer_u32(&w, (uint32_t)request->staple.len);
	struct bytes head;
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	bool ok = hash && writer_done(&w, &head) && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 &&
	          EVP_DigestUpdate(hash, head.data, head.len) == 1 &&
	          EVP_DigestUpdate(hash, request->staple.data, request->staple.len) == 1 &&
	          cert_hash(hash, leaf, total);
	for (int i = 0; ok && presented && i < sk_X509_num(presented); i++) {
		X509 *cert = sk_X509_value(presented, i);
		ok = cert == leaf || cert_hash(hash, cert, total);
	}
	ok = ok && EVP_DigestFinal_ex(hash, out, NULL) == 1;
	EVP_MD_CTX_free(hash);
	return ok;
}

static bool memo_find(struct verifier *verifier, const uint8_t key[32], int64_t now_s, struct verify_verdict *out)
{
	if (!verifier->memo)
		return false;
	const struct remembered *found = cache_get(verifier->memo, bytes_of(key, 32));
	if (!found || now_s < found->made_s || now_s > found->verdict.good_until_s)
		return false;
	*out = found->verdict;
	out->from_memo = true;
	return true;
}

static void memo_keep(
	struct verifier *verifier, const uint8_t key[32], int64_t now_s, const struct verify_verdict *verdict)
{
	struct remembered *value = verifier->memo && verdict->good_until_s > now_s ? malloc(sizeof(*value)) : NULL;
	if (!value)
		return;
	*value = (struct remembered){.verdict = *verdict, .made_s = now_s};
	(void)cache_put(verifier->memo, bytes_of(key, 32), value);
}

static void verdict_of(const struct examination *ex, struct verify_verdict *out)
{
	enum verify_fault fault = findings_first(&ex->findings);
	int64_t now = ex->request->now_s;
	*out = (struct verify_verdict){
		.fault = fault,
		.faults = ex->findings.faults,
		.depth = fault == VERIFY_OK ? -1 : ex->findings.at[fault].depth,
		.x509_error = fault == VERIFY_OK ? X509_V_OK : ex->findings.at[fault].x509_error,
		.must_staple = ex->must_staple,
		.ends_s = ex->ends_s,
		.good_until_s = now + VERIFY_MEMO_MAX_S,
	};
	/* A refusal does not get better by waiting for the leaf's end, but an acceptance ends with what it rests on. */
	if (fault == VERIFY_OK && ex->ends_s < out->good_until_s)
		out->good_until_s = ex->ends_s;
	if (ex->staple_good)
		out->status = VERIFY_STATUS_STAPLE;
	else if (ex->crl_good && ex->anchored)
		out->status = VERIFY_STATUS_CRL;
	if (ex->anchored)
		(void)X509_digest(sk_X509_value(ex->chain, ex->anchor_at), EVP_sha256(), out->anchor, NULL);
	verdict_text(ex, out);
}

/* Everything but the memo. False: nothing that may be remembered. */
static bool work_out(struct verifier *verifier, struct examination *ex, struct verify_verdict *out)
{
	bool ok = examine_path(ex);
	if (ok) {
		examine_certs(ex);
		examine_name(ex);
		examine_status(ex);
		own_check(verifier, ex->chain, &ex->findings);
	} else {
		findings_add(&ex->findings, VERIFY_INTERNAL, -1, X509_V_ERR_UNSPECIFIED, NULL);
	}
	own_check(verifier, ex->presented, &ex->findings);
	verdict_of(ex, out);
	sk_X509_pop_free(ex->chain, X509_free);
	verifier->counts.verified++;
	/* Memory that was short a moment ago may be there again: such a verdict is not kept. */
	return ok && !findings_has(&ex->findings, VERIFY_INTERNAL);
}

static void refuse_unread(struct examination *ex, enum verify_fault fault, int code, struct verify_verdict *out)
{
	findings_add(&ex->findings, fault, -1, code, NULL);
	verdict_of(ex, out);
}

/* `presented` and what was fetched besides. NULL without memory. */
static STACK_OF(X509) * joined(STACK_OF(X509) * presented, STACK_OF(X509) * extra)
{
	STACK_OF(X509) *all = presented ? sk_X509_dup(presented) : sk_X509_new_null();
	for (int i = 0; all && i < sk_X509_num(extra) && i < VERIFY_MAX_CERTS; i++) {
		if (!sk_X509_push(all, sk_X509_value(extra, i))) {
			sk_X509_free(all);
			return NULL;
		}
	}
	return all;
}

static void verify_with_extra(struct verifier *verifier, struct examination *ex, struct verify_verdict *out)
{
	ex->presented = joined(ex->presented, ex->request->extra);
	if (ex->presented)
		(void)work_out(verifier, ex, out);
	else
		refuse_unread(ex, VERIFY_INTERNAL, X509_V_ERR_OUT_OF_MEM, out);
	sk_X509_free(ex->presented);
}

void verify_chain(struct verifier *verifier, X509 *leaf, STACK_OF(X509) * chain, const struct verify_request *request,
	struct verify_verdict *out)
{
	struct examination ex = {
		.request = request, .trust = verifier->trust, .leaf = leaf, .presented = chain, .ends_s = INT64_MAX};
	uint8_t key[32];
	size_t total = 0;
	bool many = chain && sk_X509_num(chain) > VERIFY_MAX_CERTS + 1;
	if (many || !memo_key(verifier, leaf, chain, request, key, &total) || total > VERIFY_MAX_BYTES) {
		bool big = many || total > VERIFY_MAX_BYTES;
		verifier->counts.chain_too_big += big;
		refuse_unread(&ex, big ? VERIFY_CHAIN_TOO_BIG : VERIFY_INTERNAL,
			big ? X509_V_ERR_CERT_CHAIN_TOO_LONG : X509_V_ERR_UNSPECIFIED, out);
	} else if (request->extra && sk_X509_num(request->extra) > 0) {
		verify_with_extra(verifier, &ex, out);
	} else if (memo_find(verifier, key, request->now_s, out)) {
		verifier->counts.remembered++;
	} else if (work_out(verifier, &ex, out)) {
		memo_keep(verifier, key, request->now_s, out);
	}
	verifier->counts.refused += out->fault != VERIFY_OK;
}

bool verify_store_ctx(struct verifier *verifier, X509_STORE_CTX *ctx, const struct verify_request *request,
	struct verify_verdict *out)
{
	X509 *leaf = X509_STORE_CTX_get0_cert(ctx);
	if (!leaf) {
		*out = (struct verify_verdict){.fault = VERIFY_INTERNAL,
			.faults = VERIFY_FAULT_BIT(VERIFY_INTERNAL),
			.depth = -1,
			.x509_error = X509_V_ERR_UNSPECIFIED,
			.text = "the server sent no certificate"};
		verifier->counts.refused++;
	} else {
		verify_chain(verifier, leaf, X509_STORE_CTX_get0_untrusted(ctx), request, out);
	}
	X509_STORE_CTX_set_error(ctx, out->x509_error);
	return out->fault == VERIFY_OK;
}

struct verifier_counts verifier_count(const struct verifier *verifier)
{
	struct verifier_counts counts = verifier->counts;
	if (verifier->memo) {
		struct cache_counts memo = cache_count(verifier->memo);
		counts.memo_evicted = memo.evicted;
		counts.memo_held = memo.held;
		counts.memo_cap = memo.cap;
	}
	return counts;
}
