#include "proxy/identity.h"

#include "pki/private_key.h"
#include "policy/files.h"
#include "policy/names.h"

#include <openssl/pem.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#define ENTRY_MAX 4200

struct entry {
	const char *cert_path, *key_path; /* of the policy or the configuration, which outlive this */
	struct names *names;              /* NULL: named by rules only */
	struct identity identity;
};

struct identities {
	struct entry *entries;
	size_t count;
};

/* Every pair of files, rules' first. NULL past the last. */
static bool pair_at(const struct config *config, const struct policy *policy, size_t index,
	struct policy_client_cert *pair, const char **pattern)
{
	size_t by_rules = 0;
	const struct policy_client_cert *named;
	*pattern = NULL;
	while ((named = policy_client_cert_at(policy, by_rules)) != NULL) {
		if (by_rules++ == index) {
			*pair = *named;
			return true;
		}
	}
	if (index - by_rules >= config->client_certs.count)
		return false;
	const struct config_cert *configured = &config->client_certs.items[index - by_rules];
	*pair = (struct policy_client_cert){.cert = configured->cert, .key = configured->key};
	*pattern = configured->name;
	return true;
}

static const char *entry_of(const char *path, char out[ENTRY_MAX])
{
	snprintf(out, ENTRY_MAX, "file:%s", path);
	return out;
}

static bool bundle_file(struct bundle_writer *w, const char *path, struct error *err)
{
	struct bytes text;
	char entry[ENTRY_MAX];
	if (!policy_file_read(path, &text, err))
		return false;
	bundle_add(w, entry_of(path, entry), text);
	policy_file_free(text);
	return true;
}

bool identities_bundle(
	struct bundle_writer *w, const struct config *config, const struct policy *policy, struct error *err)
{
	struct policy_client_cert pair;
	const char *pattern;
	for (size_t i = 0; pair_at(config, policy, i, &pair, &pattern); i++) {
		if (!bundle_file(w, pair.cert, err) || !bundle_file(w, pair.key, err))
			return false;
	}
	return true;
}

static bool text_of(const struct bundle *bundle, const char *path, struct bytes *text, struct error *err)
{
	char entry[ENTRY_MAX];
	return bundle_find(bundle, entry_of(path, entry), text) || error_set(err, "%s: is not in the snapshot", path);
}

static bool read_chain(struct identity *identity, struct bytes pem, const char *path, struct error *err)
{
	BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
	identity->cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	identity->chain = sk_X509_new_null();
	bool ok = identity->cert && identity->chain;
	X509 *above;
	while (ok && (above = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		ok = sk_X509_push(identity->chain, above) > 0;
		if (!ok)
			X509_free(above);
	}
	BIO_free(bio);
	return ok || error_set_openssl(err, "%s: holds no certificate in PEM", path);
}

static bool read_key(struct identity *identity, struct bytes pem, const char *path, struct error *err)
{
	identity->key = private_key_parse(pem, path, err);
	if (!identity->key)
		return false;
	if (X509_check_private_key(identity->cert, identity->key) != 1)
		return error_set_openssl(err, "%s: does not fit its certificate", path);
	return true;
}

static bool open_entry(struct entry *entry, const struct bundle *bundle, const char *pattern, struct error *err)
{
	struct identity *identity = &entry->identity;
	struct bytes cert, key;
	/* The digest is over the certificate's octets: the other file's key belongs to it, or the pair is refused. */
	bool ok = text_of(bundle, entry->cert_path, &cert, err) && text_of(bundle, entry->key_path, &key, err) &&
	          read_chain(identity, cert, entry->cert_path, err) && read_key(identity, key, entry->key_path, err) &&
	          SHA256(cert.data, cert.len, identity->digest);
	if (ok && pattern) {
		entry->names = names_new(bytes_str(pattern), "client-certs", err);
		ok = entry->names != NULL;
	}
	return ok;
}

struct identities *identities_open(
	const struct bundle *bundle, const struct config *config, const struct policy *policy, struct error *err)
{
	struct policy_client_cert pair;
	const char *pattern;
	size_t count = 0;
	while (pair_at(config, policy, count, &pair, &pattern))
		count++;
	struct identities *identities = calloc(1, sizeof(*identities));
	if (identities)
		identities->entries = calloc(count + 1, sizeof(*identities->entries));
	if (!identities || !identities->entries) {
		free(identities);
		error_set(err, "no memory for client certificates");
		return NULL;
	}
	for (size_t i = 0; pair_at(config, policy, i, &pair, &pattern); i++) {
		struct entry *entry = &identities->entries[identities->count++];
		entry->cert_path = pair.cert;
		entry->key_path = pair.key;
		if (!open_entry(entry, bundle, pattern, err)) {
			identities_free(identities);
			return NULL;
		}
	}
	return identities;
}

void identities_free(struct identities *identities)
{
	if (!identities)
		return;
	for (size_t i = 0; i < identities->count; i++) {
		struct entry *entry = &identities->entries[i];
		names_free(entry->names);
		X509_free(entry->identity.cert);
		sk_X509_pop_free(entry->identity.chain, X509_free);
		EVP_PKEY_free(entry->identity.key);
	}
	free(identities->entries);
	free(identities);
}

const struct identity *identities_find(
	const struct identities *identities, const struct policy_client_cert *by_rule, const char *name)
{
	struct name_key key;
	name_key_set(&key, bytes_str(name));
	for (size_t i = 0; i < identities->count; i++) {
		const struct entry *entry = &identities->entries[i];
		bool chosen = by_rule ? !entry->names && strcmp(entry->cert_path, by_rule->cert) == 0 &&
		                                strcmp(entry->key_path, by_rule->key) == 0
		                      : entry->names && names_has(entry->names, &key);
		if (chosen)
			return &entry->identity;
	}
	return NULL;
}
