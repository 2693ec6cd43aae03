/* pki/summary.h — what a certificate says, as clean text for logs, jsonl and people. */
#ifndef PKI_SUMMARY_H
#define PKI_SUMMARY_H

#include "base/bytes.h"

#include <openssl/x509.h>

#define CERT_SUMMARY_NAMES 8

/* All texts are NUL-terminated, cleaned by text_clean and cut where too long. */
struct cert_summary {
	char subject[256]; /* RFC 4514 order as OpenSSL prints it: "CN=example.com,O=Example" */
	char issuer[256];
	char common_name[72];                /* of the subject, or "" */
	char names[CERT_SUMMARY_NAMES][256]; /* first entries of the subjectAltName: DNS names and addresses */
	size_t name_count;                   /* filled above */
	size_t name_total;                   /* in the certificate, of any kind */
	char sha256[65];                     /* of the DER, hex */
	char serial[48];                     /* hex */
	char key[32];                        /* "EC prime256v1", "RSA 2048", "ED25519" */
	char signature[40];                  /* "ecdsa-with-SHA256" */
	int64_t not_before_s, not_after_s;   /* seconds since 1970; 0 when it cannot be read */
};

void cert_summary_of(X509 *cert, struct cert_summary *out);
/* One line: "CN=example.com, issued by CN=…, until 2026-11-18". Returns octets written. */
size_t cert_summary_line(const struct cert_summary *summary, char *out, size_t cap);
/* "2026-11-18", UTC. `out` takes 11 octets or more. */
void cert_date(char *out, size_t cap, int64_t at_s);
/* notBefore and notAfter as seconds since 1970; false when they cannot be read. */
must_check bool cert_dates(const X509 *cert, int64_t *not_before_s, int64_t *not_after_s);
/* An ASN1_TIME or GeneralizedTime as seconds since 1970. NULL or unreadable: false. */
must_check bool cert_time(const ASN1_TIME *time, int64_t *out_s);
/* The subject alone, clean, or "no subject". */
void cert_subject(const X509 *cert, char *out, size_t cap);
/* The first http:// address under caIssuers of authorityInfoAccess (RFC 5280, 4.2.2.1), for fetching an issuer. */
must_check bool cert_issuer_url(X509 *cert, char *out, size_t cap);

#endif
