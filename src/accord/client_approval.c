/* The client's side of an approval (docs/accord.md, 7). */
#include "accord/client_parts.h"
#include "accord/seal.h"

#include <openssl/asn1.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#define YEAR_S (INT64_C(365) * 86400)

static bool sign_cert(X509 *cert, EVP_PKEY *key)
{
	const EVP_MD *digest = EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256();
	return X509_sign(cert, key, digest) > 0;
}

/* Leads nowhere and says nothing: only its key counts. The dates say so too, as wide as they may be. */
static X509 *self_signed(EVP_PKEY *key)
{
	uint64_t serial = 0;
	X509 *cert = X509_new();
	X509_NAME *name = cert ? X509_get_subject_name(cert) : NULL;
	bool ok = name && RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1 &&
	          X509_set_version(cert, X509_VERSION_3) == 1 &&
	          ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1) == 1 &&
	          X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_ASC,
			  (const unsigned char *)"accord approval", -1, -1, 0) == 1 &&
	          X509_set_issuer_name(cert, name) == 1 && X509_set_pubkey(cert, key) == 1 &&
	          ASN1_TIME_set_string_X509(X509_getm_notBefore(cert), "20200101000000Z") == 1 &&
	          ASN1_TIME_set_string_X509(X509_getm_notAfter(cert), "99991231235959Z") == 1 && sign_cert(cert, key);
	if (ok)
		return cert;
	X509_free(cert);
	return NULL;
}

bool client_approval_prepare(struct client *client, struct error *err)
{
	uint8_t digest[ACCORD_HASH] = {0};
	uint8_t probe[ACCORD_MAX_APPROVAL];
	EVP_PKEY *key = client->config.approval_key;
	struct writer w = writer_over(probe, sizeof(probe));
	struct bytes body;
	struct accord_approval approval;
	/* One for nothing says whether the key can approve at all, and how its public half is written. */
	if (!accord_approval_sign(key, digest, &w, err) || !writer_done(&w, &body) ||
		accord_approval_read(body, &approval) != ACCORD_BODY_OK)
		return false;
	memcpy(client->approval_spki, approval.key.data, approval.key.len);
	client->approval_spki_len = approval.key.len;
	client->approval_cert = self_signed(key);
	return client->approval_cert || error_set_openssl(err, "no certificate can be made for the approval key");
}

bool client_approve(SSL *ssl, struct client_state *state)
{
	const struct client *client = state->client;
	const struct accord_client_config *config = &client->config;
	const struct accord_proven *proven = &state->outcome.proven;
	struct writer w = writer_over(state->approval, sizeof(state->approval));
	struct bytes body;
	struct error err = {""};
	/* Nothing is signed that the server did not demand, or that the proxy does not pass on. */
	if (!state->demanded || !proven->demanded || !config->approval_key)
		return true;
	if (config->approve && !config->approve(config->ctx, ssl, proven))
		return client_refuse(state, "the approval that the server demands was not given");
	if (!accord_approval_sign(config->approval_key, proven->approval_digest, &w, &err) || !writer_done(&w, &body))
		return client_refuse(state, "%s", err.text);
	if (SSL_use_certificate(ssl, client->approval_cert) != 1 || SSL_use_PrivateKey(ssl, config->approval_key) != 1)
		return client_refuse(state, "the approval key cannot be shown");
	state->approval_len = body.len;
	return true;
}
