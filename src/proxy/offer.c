#include "proxy/offer.h"

#include "tls/group.h"
#include "tls/list.h"
#include "tls/sigalg.h"
#include "tls/suite.h"

#include <openssl/err.h>

/* A key in ffdhe8192 takes a hundred times what one on a curve does, and the client alone decides what comes first. */
#define GROUP_LARGEST 0x0101 /* ffdhe3072 */

void offer_ask(struct offer_known *known, SSL_CTX *ctx)
{
	*known = (struct offer_known){0};
	const struct group *group;
	for (size_t i = 0; (group = group_at(i)) != NULL && known->group_count < 64; i++) {
		bool costly = group->kind == GROUP_FF && group->value > GROUP_LARGEST;
		if (!costly && group->openssl && SSL_CTX_set1_groups_list(ctx, group->openssl) == 1)
			known->groups[known->group_count++] = group->value;
	}
	const struct sigalg *sigalg;
	for (size_t i = 0; (sigalg = sigalg_at(i)) != NULL && known->sigalg_count < 64; i++) {
		if (sigalg->openssl && !sigalg->weak && SSL_CTX_set1_sigalgs_list(ctx, sigalg->openssl) == 1)
			known->sigalgs[known->sigalg_count++] = sigalg->value;
	}
	ERR_clear_error();
}

static bool holds(const uint16_t *list, size_t count, uint16_t value)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i] == value)
			return true;
	}
	return false;
}

/* A list of names with colons between. What no longer fits is left out: it stood at the end of the client's wishes. */
struct names {
	char *text;
	size_t len;
};

static void names_add(struct names *names, const char *name)
{
	size_t n = strlen(name);
	if (names->len + n + 2 > OFFER_TEXT)
		return;
	if (names->len > 0)
		names->text[names->len++] = ':';
	memcpy(names->text + names->len, name, n);
	names->len += n;
	names->text[names->len] = '\0';
}

static void offer_suites(struct offer *offer, const struct client_hello *hello, bool rsa)
{
	struct names tls13 = {.text = offer->suites13}, tls12 = {.text = offer->suites12};
	struct bytes list = hello->suites;
	uint16_t value;
	while (list_next(&list, &value)) {
		const struct suite *suite = suite_find(value);
		if (!suite || !suite->openssl)
			continue;
		bool relaxed =
			rsa && suite->kx == SUITE_KX_RSA && suite_is_aead(suite) && suite->strength != SUITE_BROKEN;
		bool certified = suite->auth == SUITE_AUTH_RSA || suite->auth == SUITE_AUTH_ECDSA;
		if (suite->kx == SUITE_KX_ANY)
			names_add(&tls13, suite->openssl);
		else if (suite_fits_version(suite, TLS_VERSION_12) && certified &&
			 (suite->strength == SUITE_STRONG || relaxed))
			names_add(&tls12, suite->openssl);
	}
}

static void offer_groups(struct offer *offer, const struct offer_known *known, const struct client_hello *hello)
{
	struct names names = {.text = offer->groups};
	struct bytes list = hello->groups;
	uint16_t value;
	while (list_next(&list, &value)) {
		if (holds(known->groups, known->group_count, value))
			names_add(&names, group_find(value)->openssl);
	}
}

static void offer_sigalgs(struct offer *offer, const struct offer_known *known, const struct client_hello *hello)
{
	struct names names = {.text = offer->sigalgs};
	struct bytes list = hello->sigalgs;
	uint16_t value;
	while (list_next(&list, &value)) {
		if (holds(known->sigalgs, known->sigalg_count, value))
			names_add(&names, sigalg_find(value)->openssl);
	}
}

bool offer_make(struct offer *offer, const struct offer_known *known, const struct client_hello *hello, bool rsa)
{
	offer->suites13[0] = offer->suites12[0] = offer->groups[0] = offer->sigalgs[0] = '\0';
	offer_suites(offer, hello, rsa);
	offer_groups(offer, known, hello);
	offer_sigalgs(offer, known, hello);
	bool tls13 = client_hello_offers_version(hello, TLS_VERSION_13) && offer->suites13[0];
	bool tls12 = client_hello_offers_version(hello, TLS_VERSION_12) && offer->suites12[0];
	offer->max_version = tls13 ? TLS1_3_VERSION : TLS1_2_VERSION;
	offer->min_version = tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
	return tls13 || tls12;
}

bool offer_tls13_only(struct offer *offer)
{
	bool ok = offer->max_version == TLS1_3_VERSION && offer->suites13[0] && offer->groups[0] && offer->sigalgs[0];
	offer->min_version = TLS1_3_VERSION;
	offer->suites12[0] = '\0';
	return ok;
}

bool offer_apply(const struct offer *offer, SSL *ssl)
{
	bool ok = SSL_set_min_proto_version(ssl, offer->min_version) == 1 &&
	          SSL_set_max_proto_version(ssl, offer->max_version) == 1;
	/* Those of TLS 1.2 first: libssl makes room for all that stand in the list when those of 1.3 come to it. */
	if (ok && offer->suites12[0])
		ok = SSL_set_cipher_list(ssl, offer->suites12) == 1;
	if (ok && offer->suites13[0])
		ok = SSL_set_ciphersuites(ssl, offer->suites13) == 1;
	if (ok && offer->groups[0])
		ok = SSL_set1_groups_list(ssl, offer->groups) == 1;
	if (ok && offer->sigalgs[0])
		ok = SSL_set1_sigalgs_list(ssl, offer->sigalgs) == 1;
	return ok;
}
