/* Accord for programs: the aware server's side of overt/accord.h. */
#include "accord/server.h"
#include "base/text.h"
#include "libovert/hung.h"
#include "libovert/parts.h"
#include "pact/pact.h"

#include <stdio.h>
#include <stdlib.h>

_Static_assert(OVERT_ACCORD_ACCEPT == (int)ACCORD_RULING_ACCEPT && OVERT_ACCORD_REFUSE == (int)ACCORD_RULING_REFUSE &&
		       OVERT_ACCORD_DEMAND == (int)ACCORD_RULING_DEMAND &&
		       OVERT_ACCORD_SILENT == (int)ACCORD_RULING_SILENT &&
		       OVERT_ACCORD_IDENTIFY == (int)ACCORD_RULING_IDENTIFY,
	"answers");

struct overt_accord_aware {
	struct hung hung;
	struct pact *pact; /* NULL: no demand can be met */
	struct overt_accord_aware_options options;
};

/* What hangs on a context has the same parts; it is a copy with a reference of its own. */
static void aware_free(struct overt_accord_aware *aware)
{
	pact_free(aware->pact);
	free(aware);
}

static void aware_drop(struct hung *hung)
{
	aware_free((struct overt_accord_aware *)hung);
}

struct overt_accord_aware *overt_accord_aware_new(
	const struct overt_accord_aware_options *options, struct overt_error *error)
{
	struct error err = {""};
	const struct pact_terms terms = {.anchors = options->anchors,
		.proxy = options->proxies,
		.proxies = options->proxy_count,
		.proxies_only = true};
	struct overt_accord_aware *aware = options->rule ? calloc(1, sizeof(*aware)) : NULL;
	if (!aware || (options->anchors && !pact_make(&aware->pact, &terms, &err))) {
		if (!aware)
			(void)error_set(&err, options->rule ? "no memory for Accord" : "an aware server needs a rule");
		(void)hand_on(error, &err);
		free(aware);
		return NULL;
	}
	aware->options = *options;
	aware->options.anchors = NULL; /* the texts are the caller's, and have been read */
	aware->options.proxies = NULL;
	return aware;
}

void overt_accord_aware_free(struct overt_accord_aware *aware)
{
	if (aware)
		aware_free(aware);
}

static void fill_claim(const struct accord_claim *claim, struct overt_accord_claim *out)
{
	const struct accord_introduction *in = &claim->introduction;
	*out = (struct overt_accord_claim){
		.sealed = !claim->introduced, .identified = claim->identified, .confirmed = claim->confirmed};
	text_clean(out->fault, sizeof(out->fault), bytes_str(claim->fault.text));
	if (!claim->introduced)
		return;
	out->hops = in->hops;
	out->purpose_code = in->purpose_code;
	out->can_approve = in->has_approval;
	for (size_t i = 0; i < in->hops; i++) {
		memcpy(out->hop[i].leaf_hash, in->hop[i].leaf_hash, sizeof(out->hop[i].leaf_hash));
		memcpy(out->hop[i].nonce, in->hop[i].proxy_nonce, sizeof(out->hop[i].nonce));
		out->hop[i].role = in->hop[i].role;
	}
	if (claim->identified) {
		text_clean(out->proxy, sizeof(out->proxy), bytes_str(claim->proxy.name));
		memcpy(out->pin, claim->proxy.pin, sizeof(out->pin));
	}
}

static void on_rule(void *ctx, SSL *ssl, const struct accord_claim *claim, struct accord_ruling *out)
{
	const struct overt_accord_aware *aware = ctx;
	struct overt_accord_claim told;
	struct overt_accord_ruling ruling = {.answer = OVERT_ACCORD_ACCEPT};
	fill_claim(claim, &told);
	aware->options.rule(aware->options.arg, ssl, &told, &ruling);
	ruling.statement[sizeof(ruling.statement) - 1] = '\0';
	/* A value that is none refuses: a mistake in a rule is not to open what it should close. */
	bool known = ruling.answer >= OVERT_ACCORD_ACCEPT && ruling.answer <= OVERT_ACCORD_IDENTIFY;
	out->kind = known ? (enum accord_ruling_kind)ruling.answer : ACCORD_RULING_REFUSE;
	snprintf(out->statement, sizeof(out->statement), "%s", ruling.statement);
}

static bool verify_proxy(void *ctx, const struct accord_chain *chain, struct accord_identity *who, struct error *err)
{
	const struct overt_accord_aware *aware = ctx;
	return aware->pact ? pact_verify_proxy(aware->pact, chain, who, err)
	                   : error_set(err, "there is no Accord anchor here that a proxy's certificate could lead to");
}

static bool on_enrolled(void *ctx, SSL *ssl, struct bytes key)
{
	const struct overt_accord_aware *aware = ctx;
	return aware->options.enrolled && aware->options.enrolled(aware->options.arg, ssl, key.data, key.len);
}

static bool attach(struct hung *hung, SSL_CTX *ctx, struct error *err)
{
	const struct accord_server_config config = {
		.ctx = hung, .rule = on_rule, .verify_proxy = verify_proxy, .enrolled = on_enrolled};
	return accord_server_attach(ctx, &config, err);
}

bool overt_accord_aware_attach(const struct overt_accord_aware *aware, SSL_CTX *ctx, struct overt_error *error)
{
	struct error err = {""};
	struct overt_accord_aware *attached = calloc(1, sizeof(*attached));
	if (attached) {
		*attached = *aware;
		attached->hung.drop = aware_drop;
		if (attached->pact)
			pact_keep(attached->pact);
	}
	return hung_attach(ctx, HUNG_SERVER, attached ? &attached->hung : NULL, attach, &err) || hand_on(error, &err);
}

bool overt_accord_aware_passed(const SSL *ssl)
{
	return accord_server_passed(ssl);
}

bool overt_accord_aware_claim(const SSL *ssl, struct overt_accord_claim *out)
{
	const struct accord_claim *claim = accord_server_claim(ssl);
	if (claim)
		fill_claim(claim, out);
	return claim != NULL;
}
