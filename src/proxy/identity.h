/*
 * proxy/identity.h — certificates to show to servers that ask clients for one: named by rules (client-cert) or by the
 * configuration (client-certs). Read from a bundle before the sandbox closes.
 */
#ifndef PROXY_IDENTITY_H
#define PROXY_IDENTITY_H

#include "base/error.h"
#include "policy/config.h"
#include "policy/rules.h"
#include "proxy/bundle.h"

#include <openssl/x509.h>

struct identity {
	X509 *cert;
	STACK_OF(X509) * chain; /* those above it that stand in the same file */
	EVP_PKEY *key;
	uint8_t digest[32]; /* SHA-256 of the file of certificates */
};

struct identities;

/* Adds the files that rules and configuration name to a bundle. */
must_check bool identities_bundle(
	struct bundle_writer *w, const struct config *config, const struct policy *policy, struct error *err);

/* Reads them back. NULL with `err` naming the file: unreadable, no certificate, or a key that does not fit. */
must_check struct identities *identities_open(
	const struct bundle *bundle, const struct config *config, const struct policy *policy, struct error *err);
/* Wipes the keys. NULL is allowed. */
void identities_free(struct identities *identities);

/* What to show for `name`: the rule's choice first, then the configuration's. NULL: nothing is configured. */
must_check const struct identity *identities_find(
	const struct identities *identities, const struct policy_client_cert *by_rule, const char *name);

#endif
