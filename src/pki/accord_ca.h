/*
 * pki/accord_ca.h — the Accord anchor of one organisation, and the short-lived certificates of its proxies
 * (docs/accord.md). What it issues serves Accord and nothing else: the anchor's own key purposes are Accord's, so that
 * nothing below it may pose as a server even where somebody has added it to the trusted roots.
 *
 * Files: STATE/accord-anchor.pem (0644) for clients, STATE/accord-anchor.key (0600, PKCS#8), key first.
 */
#ifndef PKI_ACCORD_CA_H
#define PKI_ACCORD_CA_H

#include "base/bytes.h"
#include "base/error.h"

#include <openssl/x509.h>

#define ACCORD_CA_DAYS     730
#define ACCORD_CA_LEAF_S   (INT64_C(6) * 86400) /* how long a proxy's certificate lives; the protocol allows seven days */
#define ACCORD_CA_RENEW_S  (INT64_C(1) * 86400) /* when a fresh key and certificate are due */
#define ACCORD_CA_NAME_MAX 253
#define ACCORD_CA_FILE     "accord-anchor.pem"
#define ACCORD_CA_KEY_FILE "accord-anchor.key"

struct accord_ca;

enum accord_ca_result {
	ACCORD_CA_OK,
	ACCORD_CA_MISSING, /* there is none in the state directory */
	ACCORD_CA_BAD,     /* `err` says what */
};

/*
 * Makes an anchor in `state_dir` for proxies named `name` (a host name; names below it are permitted too). Refuses where
 * one stands. `purpose` is the OID of Accord's key purpose, dotted.
 */
must_check bool accord_ca_make(
	const char *state_dir, const char *name, const char *purpose, int64_t now_s, struct error *err);
/* Reads what accord_ca_make left. */
must_check enum accord_ca_result accord_ca_open(
	struct accord_ca **out, const char *state_dir, const char *purpose, int64_t now_s, struct error *err);
/* As after accord_ca_make, in memory only. */
must_check bool accord_ca_in_memory(
	struct accord_ca **out, const char *name, const char *purpose, int64_t now_s, struct error *err);
void accord_ca_free(struct accord_ca *ca); /* wipes; NULL is allowed */

must_check X509 *accord_ca_cert(const struct accord_ca *ca);
/* The name that its proxies bear. */
must_check const char *accord_ca_name(const struct accord_ca *ca);
/* For clients, PEM. */
must_check struct bytes accord_ca_pem(const struct accord_ca *ca);

/* A proxy's fresh key and certificate. Cleared by accord_ca_leaf_clear. */
struct accord_ca_leaf {
	X509 *cert;
	EVP_PKEY *key;
	int64_t made_s;
};

must_check bool accord_ca_issue(
	const struct accord_ca *ca, int64_t now_s, struct accord_ca_leaf *out, struct error *err);
void accord_ca_leaf_clear(struct accord_ca_leaf *leaf);

#endif
