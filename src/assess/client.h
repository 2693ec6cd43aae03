/*
 * assess/client.h — what a TLS client offers, and what it accepts from a server that misbehaves on purpose: a program is run
 * once per case against a server of our own on loopback. Accepted is where octets of a request arrive.
 *
 * Grades as in the studies of interception products (Durumeric et al., "The Security Impact of HTTPS Interception", 2017):
 * A as good as current browsers, B sound but not optimal, C known weaknesses, F severely broken: certificates are not
 * verified, or broken suites are offered.
 */
#ifndef ASSESS_CLIENT_H
#define ASSESS_CLIENT_H

#include "assess/report.h"
#include "base/error.h"

struct client_options {
	char **command;       /* ends with NULL; "{}" in a word is replaced by the URL */
	uint64_t patience_ns; /* of one run */
	uint64_t whole_ns;    /* of all */
};

/*
 * The command gets the URL as OVERT_URL too, and the made root as SSL_CERT_FILE, CURL_CA_BUNDLE, REQUESTS_CA_BUNDLE,
 * GIT_SSL_CAINFO, NODE_EXTRA_CA_CERTS and OVERT_CA. NULL with err set when it does not fetch the URL where all is well.
 */
must_check struct report *client_assess(const struct client_options *options, struct error *err);
/* The findings on what a ClientHello (its body) offers. Also for those of proxies. */
void client_tell_hello(struct report *report, struct bytes hello);

#endif
