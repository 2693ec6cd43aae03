#include "pact/pact.h"

#include "base/clock.h"
#include "base/text.h"
#include "pact/roots.h"
#include "pki/name.h"
#include "pki/slim.h"
#include "pki/verify.h"

#include <openssl/evp.h>
#include <openssl/provider.h>
#include <stdatomic.h>
#include <stdlib.h>

/* One that the rule names: by pin, or by name when `by_pin` is not set. */
struct named {
	bool by_pin;
	uint8_t pin[ACCORD_PIN];
	struct subject_name name;
};

enum about { ABOUT_PROXY, ABOUT_SERVER };

struct pact {
	atomic_uint references;
	struct slim *slim; /* outlives all that is decoded in it; NULL: everything is decoded in the default context */
	struct trust *anchors;
	struct trust *web;
	struct memo *memo;
	struct named named[PACT_MAX_PROXIES];
	size_t count;
	int64_t fixed_now_s; /* 0: the clock */
};

void pact_keep(struct pact *pact)
{
	atomic_fetch_add(&pact->references, 1);
}

void pact_free(struct pact *pact)
{
	if (!pact || atomic_fetch_sub(&pact->references, 1) != 1)
		return;
	memo_free(pact->memo);
	trust_free(pact->anchors);
	trust_free(pact->web);
	slim_free(pact->slim);
	free(pact);
}

static bool read_named(const char *text, struct named *out, struct error *err)
{
	size_t len;
	struct bytes in = bytes_str(text);
	/* No host name: a label has 63 octets at most. */
	out->by_pin = in.len == (size_t)2 * ACCORD_PIN && text_unhex(out->pin, ACCORD_PIN, &len, in);
	if (out->by_pin)
		return true;
	enum name_result result = subject_name_parse(in, &out->name);
	if (result != NAME_OK)
		return error_set(err, "%s", name_result_text(result));
	return !out->name.is_ip || error_set(err, "a proxy is named by host name or pin, not by address");
}

bool pact_proxy_valid(const char *text, struct error *err)
{
	struct named named;
	return read_named(text, &named, err);
}

/* A stranger's anchor in the program's web roots, or ours in theirs, would let one stand in for the other. */
static bool anchors_apart(const struct pact *pact, bool distribution, struct error *err)
{
	if (!accord_anchors_disjoint(trust_store(pact->anchors), trust_store(pact->web), err))
		return error_prefix(err, "check 1");
	if (!distribution)
		return true;
	struct trust *all = trust_new(pact_lib(pact));
	/* A store that cannot be read is trusted by nobody. */
	bool ok = all && (!trust_add_system(all, NULL) ||
				 accord_anchors_disjoint(trust_store(pact->anchors), trust_store(all), err));
	trust_free(all);
	return ok || error_prefix(err, "check 1");
}

/*
 * The slim context is made of the default provider. A program that does without that one, or wants FIPS, would get by us
 * what it has not asked for.
 */
static bool slim_suits(void)
{
	return OSSL_PROVIDER_available(NULL, "default") == 1 && EVP_default_properties_is_fips_enabled(NULL) == 0;
}

static bool fill(struct pact *pact, const struct pact_terms *terms, struct error *err)
{
	bool slim = slim_suits();
	pact->slim = slim ? slim_new() : NULL;
	pact->anchors = trust_new(pact_lib(pact));
	pact->web = trust_new(pact_lib(pact));
	pact->memo = memo_new(MEMO_CAP);
	if ((slim && !pact->slim) || !pact->anchors || !pact->web || !pact->memo)
		return error_set(err, "no memory for certificates");
	if (terms->proxies > PACT_MAX_PROXIES)
		return error_set(err, "over %d proxies are named", PACT_MAX_PROXIES);
	for (; pact->count < terms->proxies; pact->count++) {
		const char *text = terms->proxy[pact->count];
		if (!read_named(text, &pact->named[pact->count], err))
			return error_prefix(err, "%s", text);
	}
	if (!trust_add_file(pact->anchors, terms->anchors, err))
		return false;
	if (!terms->proxies_only && !(terms->trust ? trust_add_file(pact->web, terms->trust, err)
						   : roots_add(pact->web, &roots_debian, err)))
		return false;
	return anchors_apart(pact, terms->trust == NULL, err);
}

bool pact_make(struct pact **out, const struct pact_terms *terms, struct error *err)
{
	struct pact *pact = calloc(1, sizeof(*pact));
	if (!pact)
		return error_set(err, "no memory for certificates");
	atomic_init(&pact->references, 1);
	if (!fill(pact, terms, err)) {
		pact_free(pact);
		return false;
	}
	*out = pact;
	return true;
}

OSSL_LIB_CTX *pact_lib(const struct pact *pact)
{
	return pact->slim ? slim_lib(pact->slim) : NULL;
}

X509 *pact_decode(void *ctx, struct bytes der)
{
	const struct pact *pact = ctx;
	X509 *known = memo_leaf(pact->memo, der);
	return known ? known : accord_cert_decode(der, pact_lib(pact));
}

void pact_forget(struct pact *pact)
{
	memo_forget(pact->memo);
}

struct memo_counts pact_count(const struct pact *pact)
{
	return memo_count(pact->memo);
}

void pact_set_time(struct pact *pact, int64_t now_s)
{
	pact->fixed_now_s = now_s;
}

int64_t pact_now(void *ctx)
{
	const struct pact *pact = ctx;
	return pact->fixed_now_s ? pact->fixed_now_s : (int64_t)(clock_wall_ns() / NS_PER_S);
}

static bool is_named(const struct pact *pact, const struct accord_identity *who)
{
	for (size_t i = 0; i < pact->count; i++) {
		const struct named *named = &pact->named[i];
		if (named->by_pin ? memcmp(named->pin, who->pin, ACCORD_PIN) == 0
				  : strcmp(named->name.text, who->name) == 0)
			return true;
	}
	return pact->count == 0;
}

/* Names and pins are compared anew each time: what is remembered is where the chain leads. */
static bool find_proxy(
	struct pact *pact, const struct accord_chain *chain, struct accord_identity *who, struct error *err)
{
	const struct memo_question question = {
		.kind = ABOUT_PROXY, .generation = trust_generation(pact->anchors), .chain = chain};
	int64_t now_s = pact_now(pact);
	int64_t ends_s;
	uint8_t key[MEMO_KEY];
	if (!memo_key(&question, key))
		return error_set_openssl(err, "no SHA-256");
	if (memo_find(pact->memo, key, now_s, who))
		return true;
	bool fits = chain->leaf && chain->lib == pact_lib(pact);
	X509 *leaf = fits ? chain->leaf : pact_decode(pact, chain->cert[0]);
	if (!leaf)
		return error_set_openssl(err, "the proxy's certificate cannot be read");
	struct accord_chain read = *chain;
	read.leaf = leaf;
	read.lib = pact_lib(pact);
	bool ok = accord_chain_verify_until(trust_store(pact->anchors), read.lib, &read, now_s, who, &ends_s, err);
	if (ok)
		memo_keep(pact->memo, key, now_s, ends_s, who, leaf);
	if (!fits)
		X509_free(leaf);
	return ok;
}

bool pact_verify_proxy(void *ctx, const struct accord_chain *chain, struct accord_identity *who, struct error *err)
{
	struct pact *pact = ctx;
	if (!find_proxy(pact, chain, who, err))
		return false;
	return is_named(pact, who) ||
	       error_set(err, "the proxy %s is not one that the rule names", who->name[0] ? who->name : "(no name)");
}

/* One question about a server. */
struct asked {
	const struct accord_chain *chain;
	struct verify_request request;
	uint8_t key[MEMO_KEY];
};

/*
 * What CRLs and staples say rests on more dates than those of the path: another CRL may begin to count, the certificate of
 * who signed a staple may end. So such an answer is not kept.
 */
static bool may_keep(const struct pact *pact, const struct asked *asked)
{
	return asked->chain->staple.len == 0 && trust_count(pact->web).crls == 0;
}

static bool judge(struct pact *pact, STACK_OF(X509) * certs, const struct asked *asked, struct error *err)
{
	/* A verifier is for one thread; without a memory of verdicts it costs nothing. */
	struct verifier *verifier = verifier_new(pact->web, 0);
	const struct accord_identity nobody = {0};
	struct verify_verdict verdict;
	if (!verifier)
		return error_set(err, "no memory to verify the server's certificate");
	verify_chain(verifier, sk_X509_value(certs, 0), certs, &asked->request, &verdict);
	verifier_free(verifier);
	if (verdict.fault != VERIFY_OK)
		return error_set(err, "the server's certificate: %s", verdict.text);
	if (may_keep(pact, asked))
		memo_keep(
			pact->memo, asked->key, asked->request.now_s, verdict.ends_s, &nobody, sk_X509_value(certs, 0));
	return true;
}

bool pact_verify_server(
	void *ctx, const struct accord_chain *chain, struct bytes host, struct bytes address, struct error *err)
{
	struct pact *pact = ctx;
	struct subject_name name;
	struct accord_identity nobody;
	if (!(host.len > 0 ? subject_name_parse(host, &name) == NAME_OK : subject_name_from_ip(address, &name)))
		return error_set(err, "the name asked for is none that a certificate could have");
	struct asked asked = {.chain = chain,
		.request = {.host = &name, .staple = chain->staple, .now_s = pact_now(pact), .use = VERIFY_USE_SIGN}};
	const struct memo_question question = {.kind = ABOUT_SERVER,
		.generation = trust_generation(pact->web),
		.chain = chain,
		.host = subject_name_bytes(&name),
		.address = host.len > 0 ? BYTES_NONE : address};
	if (!memo_key(&question, asked.key))
		return error_set_openssl(err, "no SHA-256");
	if (memo_find(pact->memo, asked.key, asked.request.now_s, &nobody))
		return true;
	STACK_OF(X509) *certs = accord_chain_decode(chain, pact_lib(pact));
	bool ok = certs ? judge(pact, certs, &asked, err) : error_set(err, "the server's certificates cannot be read");
	sk_X509_pop_free(certs, X509_free);
	return ok;
}
