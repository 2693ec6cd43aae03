/*
 * assess/padding.h — does a server of TLS 1.2 with RSA key exchange tell, by how it answers, whether a premaster secret was
 * padded rightly (RFC 5246, 7.4.7.1)? Then whoever asks often enough decrypts and signs with its key (Bleichenbacher 1998,
 * ROBOT 2017). Asks once for each of a few malformed blocks, and once more where the answers differ; no secret is found out.
 */
#ifndef ASSESS_PADDING_H
#define ASSESS_PADDING_H

#include "assess/report.h"
#include "assess/target.h"

#include <openssl/x509.h>

enum padding_result {
	PADDING_SILENT,  /* the same answer to all: nothing is told */
	PADDING_ORACLE,  /* the answers differ, twice in the same way */
	PADDING_UNKNOWN, /* not all was answered, or not twice in the same way */
};

/* `leaf` has the RSA key. In `text` what was answered. */
must_check enum padding_result padding_ask(struct target *target, const char *name, X509 *leaf, char *text, size_t cap);

/* The finding: F for an oracle. */
void padding_report(struct report *report, const char *check, enum padding_result result, const char *text);

#endif
