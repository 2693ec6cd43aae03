/* Accord for programs: the client's side of overt/accord.h. */
#include "accord/client.h"
#include "base/clock.h"
#include "base/text.h"
#include "libovert/hung.h"
#include "libovert/parts.h"
#include "pact/pact.h"
#include "pact/saved.h"
#include "pki/name.h"

#include <stdlib.h>

_Static_assert(OVERT_ACCORD_READER == (int)ACCORD_READER && OVERT_ACCORD_WRITER == (int)ACCORD_WRITER, "roles");
_Static_assert(OVERT_ACCORD_MAX_PROXIES == ACCORD_MAX_HOPS, "proxies");
_Static_assert(OVERT_ACCORD_UNDECIDED == (int)ACCORD_PATH_UNDECIDED && OVERT_ACCORD_PROVEN == (int)ACCORD_PATH_PROVEN &&
		       OVERT_ACCORD_DIRECT == (int)ACCORD_PATH_DIRECT && OVERT_ACCORD_LOCAL == (int)ACCORD_PATH_LOCAL &&
		       OVERT_ACCORD_REFUSED == (int)ACCORD_PATH_REFUSED,
	"paths");

struct overt_accord {
	struct pact *pact;
	struct overt_accord_options options; /* texts in it are not used after the beginning */
};

/* What hangs on a context. */
struct attached {
	struct hung hung;
	struct pact *pact;
	struct overt_accord_options options;
};

static void attached_drop(struct hung *hung)
{
	struct attached *attached = (struct attached *)hung;
	pact_free(attached->pact);
	free(attached);
}

static bool options_ok(const struct overt_accord_options *options, struct error *err)
{
	if (!options->anchors)
		return error_set(err, "Accord needs a file of anchors");
	return (options->roles & ~(unsigned)ACCORD_ANY_ROLE) == 0 || error_set(err, "there is no such role of a proxy");
}

struct overt_accord *overt_accord_new(const struct overt_accord_options *options, struct overt_error *error)
{
	struct error err = {""};
	const struct pact_terms terms = {.anchors = options->anchors,
		.trust = options->trust,
		.proxy = options->proxies,
		.proxies = options->proxy_count};
	if (!options_ok(options, &err)) {
		(void)hand_on(error, &err);
		return NULL;
	}
	struct overt_accord *accord = calloc(1, sizeof(*accord));
	if (!accord || !pact_make(&accord->pact, &terms, &err)) {
		if (!accord)
			(void)error_set(&err, "no memory for Accord");
		(void)hand_on(error, &err);
		free(accord);
		return NULL;
	}
	accord->options = *options;
	if (options->approval_key)
		(void)EVP_PKEY_up_ref(options->approval_key);
	return accord;
}

void overt_accord_free(struct overt_accord *accord)
{
	if (!accord)
		return;
	EVP_PKEY_free(accord->options.approval_key);
	pact_free(accord->pact);
	free(accord);
}

static bool verify_proxy(void *ctx, const struct accord_chain *chain, struct accord_identity *who, struct error *err)
{
	const struct attached *attached = ctx;
	return pact_verify_proxy(attached->pact, chain, who, err);
}

static bool verify_server(
	void *ctx, const struct accord_chain *chain, struct bytes host, struct bytes address, struct error *err)
{
	const struct attached *attached = ctx;
	return pact_verify_server(attached->pact, chain, host, address, err);
}

static X509 *decode(void *ctx, struct bytes der)
{
	const struct attached *attached = ctx;
	return pact_decode(attached->pact, der);
}

static void on_report(void *ctx, SSL *ssl, const struct accord_outcome *outcome)
{
	const struct attached *attached = ctx;
	(void)outcome;
	attached->options.report(attached->options.arg, ssl);
}

static bool on_approve(void *ctx, SSL *ssl, const struct accord_proven *proven)
{
	const struct attached *attached = ctx;
	(void)proven;
	return attached->options.approve(attached->options.arg, ssl);
}

static bool attach(struct hung *hung, SSL_CTX *ctx, struct error *err)
{
	struct attached *attached = (struct attached *)hung;
	const struct overt_accord_options *options = &attached->options;
	const struct accord_client_config config = {
		.rule = options->rule == OVERT_ACCORD_PREFER ? ACCORD_PREFER : ACCORD_REQUIRE,
		.accepted_roles = options->roles ? (uint8_t)options->roles : ACCORD_READER,
		.ctx = attached,
		.verify_proxy = verify_proxy,
		.verify_server = verify_server,
		.lib = pact_lib(attached->pact),
		.decode = decode,
		.report = options->report ? on_report : NULL,
		.approval_key = options->approval_key,
		.approve = options->approve ? on_approve : NULL,
	};
	return accord_client_attach(ctx, &config, err);
}

bool overt_accord_attach(const struct overt_accord *accord, SSL_CTX *ctx, struct overt_error *error)
{
	struct error err = {""};
	struct attached *attached = calloc(1, sizeof(*attached));
	if (attached) {
		*attached =
			(struct attached){.hung = {attached_drop}, .pact = accord->pact, .options = accord->options};
		/* The texts are the caller's, and have been read. */
		attached->options.anchors = attached->options.trust = NULL;
		attached->options.proxies = NULL;
		pact_keep(attached->pact);
	}
	return hung_attach(ctx, HUNG_CLIENT, attached ? &attached->hung : NULL, attach, &err) || hand_on(error, &err);
}

bool overt_accord_passed(const SSL *ssl)
{
	return accord_client_passed(ssl);
}

enum overt_accord_path overt_accord_path(const SSL *ssl)
{
	const struct accord_outcome *outcome = accord_client_outcome(ssl);
	return outcome ? (enum overt_accord_path)outcome->path : OVERT_ACCORD_UNDECIDED;
}

unsigned overt_accord_failed_check(const SSL *ssl)
{
	const struct accord_outcome *outcome = accord_client_outcome(ssl);
	return outcome ? (unsigned)outcome->judgement.check : 0;
}

const char *overt_accord_fault(const SSL *ssl)
{
	const struct accord_outcome *outcome = accord_client_outcome(ssl);
	return accord_fault_name(outcome ? outcome->judgement.fault : ACCORD_OK);
}

const char *overt_accord_reason(const SSL *ssl)
{
	const struct accord_outcome *outcome = accord_client_outcome(ssl);
	return outcome ? outcome->judgement.error.text : "";
}

/* NULL unless everything was proven. */
static const struct accord_outcome *proven_of(const SSL *ssl)
{
	const struct accord_outcome *outcome = accord_client_outcome(ssl);
	return outcome && outcome->path == ACCORD_PATH_PROVEN ? outcome : NULL;
}

size_t overt_accord_proxies(const SSL *ssl)
{
	const struct accord_outcome *outcome = proven_of(ssl);
	return outcome ? outcome->proven.proxies : 0;
}

bool overt_accord_proxy(const SSL *ssl, size_t index, struct overt_accord_proxy *out)
{
	const struct accord_outcome *outcome = proven_of(ssl);
	if (!outcome || index >= outcome->proven.proxies)
		return false;
	const struct accord_proven_proxy *proxy = &outcome->proven.proxy[index];
	*out = (struct overt_accord_proxy){.role = proxy->hop.role, .purpose_code = proxy->purpose_code};
	text_clean(out->name, sizeof(out->name), bytes_str(proxy->who.name));
	text_clean(out->purpose, sizeof(out->purpose), proxy->purpose);
	memcpy(out->pin, proxy->who.pin, sizeof(out->pin));
	memcpy(out->nonce, proxy->hop.proxy_nonce, sizeof(out->nonce));
	return true;
}

bool overt_accord_server(const SSL *ssl, struct overt_accord_server *out)
{
	const struct accord_outcome *outcome = proven_of(ssl);
	struct subject_name address;
	if (!outcome)
		return false;
	const struct accord_proven *proven = &outcome->proven;
	*out = (struct overt_accord_server){.sealed = proven->sealed, .accepts = proven->has_verdict};
	if (proven->host.len > 0)
		text_clean(out->name, sizeof(out->name), proven->host);
	else if (subject_name_from_ip(proven->address, &address))
		text_clean(out->name, sizeof(out->name), bytes_str(address.text));
	if (proven->has_verdict)
		text_clean(out->statement, sizeof(out->statement), proven->verdict.statement);
	memcpy(out->certificate, proven->server_leaf_hash, sizeof(out->certificate));
	memcpy(out->client_nonce, outcome->leg1.offer.client_nonce, sizeof(out->client_nonce));
	return true;
}

bool overt_accord_save(const SSL *ssl, const char *path, struct overt_error *error)
{
	const struct accord_outcome *outcome = accord_client_outcome(ssl);
	struct error err = {""};
	if (!outcome || outcome->proof.len == 0) {
		(void)error_set(&err, "%s: no proof came on this connection", path);
		return hand_on(error, &err);
	}
	const struct saved saved = {
		.time_s = (int64_t)(clock_wall_ns() / NS_PER_S), .leg1 = outcome->leg1, .proof = outcome->proof};
	return saved_to_file(path, bytes_str("Accord proof; to check it again: overt accord verify"), &saved, &err) ||
	       hand_on(error, &err);
}
