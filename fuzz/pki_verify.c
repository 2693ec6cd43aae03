/*
 * Chains and staples as a server may send them, and trust files. Input: a certificate and a staple, each behind a length
 * of 16 bits, then more certificates one after the other. Nothing forged this way may verify.
 */
#include "pki/summary.h"
#include "pki/verify.h"

#include <openssl/err.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void verify_input(struct bytes der, struct bytes staple, struct bytes more)
{
	static struct trust *trust;
	if (!trust && !(trust = trust_new(NULL)))
		abort();
	const unsigned char *at = der.data;
	X509 *leaf = d2i_X509(NULL, &at, (long)der.len);
	if (!leaf)
		return;
	STACK_OF(X509) *chain = sk_X509_new_null();
	for (X509 *cert; (at = more.data) && (cert = d2i_X509(NULL, &at, (long)more.len));) {
		if (!sk_X509_push(chain, cert) || !bytes_skip(&more, (size_t)(at - more.data)))
			abort();
	}
	struct subject_name host;
	struct cert_summary summary;
	cert_summary_of(leaf, &summary);
	struct verifier *verifier = verifier_new(trust, 0);
	if (!verifier || subject_name_parse(bytes_str("example.com"), &host) != NAME_OK)
		abort();
	struct verify_request request = {
		.host = &host, .staple = staple, .now_s = INT64_C(1800000000), .policy.require_status = true};
	struct verify_verdict verdict;
	verify_chain(verifier, leaf, chain, &request, &verdict);
	if (verdict.fault == VERIFY_OK)
		abort();
	verifier_free(verifier);
	sk_X509_pop_free(chain, X509_free);
	X509_free(leaf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	struct bytes der;
	struct bytes staple;
	struct trust *trust = trust_new(NULL);
	struct error err;
	(void)!trust_add_bytes(trust, in, "input", &err);
	trust_free(trust);
	if (bytes_vec16(&in, &der) && bytes_vec16(&in, &staple))
		verify_input(der, staple, in);
	ERR_clear_error();
	return 0;
}
