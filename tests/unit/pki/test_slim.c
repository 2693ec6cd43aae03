#include "base/clock.h"
#include "forge.h"
#include "pki/slim.h"
#include "pki/verify.h"

#include <openssl/ocsp.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const enum forge_key kinds[] = {FORGE_P256, FORGE_P384, FORGE_RSA2048, FORGE_ED25519};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static X509 *decoded_in(OSSL_LIB_CTX *lib, struct bytes der)
{
	X509 *cert = X509_new_ex(lib, NULL);
	const unsigned char *at = der.data;
	assert_non_null(d2i_X509(&cert, &at, (long)der.len));
	return cert;
}

static void certificates_of_every_usual_key_are_read_and_checked(void **state)
{
	(void)state;
	struct slim *slim = slim_new();
	assert_non_null(slim);
	assert_non_null(slim_lib(slim));
	for (size_t i = 0; i < KINDS; i++) {
		struct forge_spec spec = forge_root_spec("Root");
		spec.key = kinds[i];
		struct forged root = forge(&spec);
		uint8_t buffer[4096];
		X509 *cert = decoded_in(slim_lib(slim), forge_der(root.cert, buffer, sizeof(buffer)));
		EVP_PKEY *key = X509_get0_pubkey(cert);
		assert_non_null(key);
		assert_int_equal(X509_verify(cert, key), 1);
		X509_free(cert);
		forged_free(&root);
	}
	slim_free(slim);
}

static struct bytes pem_of(X509 *cert)
{
	static uint8_t buffer[8192];
	return forge_pem(cert, buffer, sizeof(buffer));
}

struct peers {
	struct verifier *verifier;
	struct subject_name host;
	struct bytes staple;
	struct verify_verdict verdict;
};

static int on_verify(X509_STORE_CTX *ctx, void *arg)
{
	struct peers *peers = arg;
	struct verify_request request = {.host = &peers->host, .now_s = FORGE_NOW, .staple = peers->staple};
	return verify_store_ctx(peers->verifier, ctx, &request, &peers->verdict);
}

static void pump(SSL *from, SSL *to)
{
	uint8_t buffer[65536];
	int n = BIO_read(SSL_get_wbio(from), buffer, sizeof(buffer));
	if (n > 0)
		assert_int_equal(BIO_write(SSL_get_rbio(to), buffer, n), n);
}

static bool handshake(SSL *client, SSL *server)
{
	for (int i = 0; i < 10; i++) {
		int a = SSL_do_handshake(client);
		pump(client, server);
		int b = SSL_do_handshake(server);
		pump(server, client);
		if (a == 1 && b == 1)
			return true;
	}
	return false;
}

static SSL *ssl_over_memory(SSL_CTX *ctx, bool server)
{
	SSL *ssl = SSL_new(ctx);
	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	if (server)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	return ssl;
}

static void a_handshake_and_a_verified_chain_work_within_it(void **state)
{
	(void)state;
	struct slim *slim = slim_new();
	for (size_t i = 0; i < KINDS; i++) {
		struct forged root = forge_root("Root");
		struct forge_spec spec = forge_intermediate_spec("Intermediate", &root);
		spec.key = kinds[i];
		struct forged intermediate = forge(&spec);
		spec = forge_leaf_spec("example.com", "DNS:example.com", &intermediate);
		spec.key = kinds[i];
		struct forged leaf = forge(&spec);
		struct error err = {{0}};
		struct trust *trust = trust_new(slim_lib(slim));
		assert_true(trust_add_bytes(trust, pem_of(root.cert), "root", &err));
		struct peers peers = {.verifier = verifier_new(trust, 4)};
		assert_int_equal(subject_name_parse(bytes_str("example.com"), &peers.host), NAME_OK);
		/* A staple signed by a delegate: its certificate is decoded in the default context. */
		uint8_t buffer[8192];
		struct forge_spec responder = forge_leaf_spec("Responder", NULL, &intermediate);
		forge_extension(&responder, "extendedKeyUsage", "OCSPSigning");
		struct forged signer = forge(&responder);
		peers.staple = forge_staple(&(struct forge_staple){.leaf = leaf.cert,
						    .issuer = intermediate.cert,
						    .signer = &signer,
						    .send_signer = true,
						    .status = V_OCSP_CERTSTATUS_GOOD,
						    .from_s = FORGE_NOW - 10,
						    .until_s = FORGE_NOW + 100},
			buffer, sizeof(buffer));
		SSL_CTX *client_ctx = SSL_CTX_new_ex(slim_lib(slim), NULL, TLS_client_method());
		SSL_CTX *server_ctx = SSL_CTX_new(TLS_server_method());
		assert_non_null(client_ctx);
		SSL_CTX_set_verify(client_ctx, SSL_VERIFY_PEER, NULL);
		SSL_CTX_set_cert_verify_callback(client_ctx, on_verify, &peers);
		assert_int_equal(SSL_CTX_use_certificate(server_ctx, leaf.cert), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey(server_ctx, leaf.key), 1);
		assert_int_equal(SSL_CTX_add1_chain_cert(server_ctx, intermediate.cert), 1);
		SSL *client = ssl_over_memory(client_ctx, false);
		SSL *server = ssl_over_memory(server_ctx, true);
		if (!handshake(client, server))
			fail_msg("%s", peers.verdict.text);
		assert_int_equal(peers.verdict.fault, VERIFY_OK);
		assert_int_equal(peers.verdict.status, VERIFY_STATUS_STAPLE);
		assert_int_equal(SSL_get_verify_result(client), X509_V_OK);
		SSL_free(client);
		SSL_free(server);
		SSL_CTX_free(client_ctx);
		SSL_CTX_free(server_ctx);
		verifier_free(peers.verifier);
		trust_free(trust);
		forged_free(&signer);
		forged_free(&leaf);
		forged_free(&intermediate);
		forged_free(&root);
	}
	slim_free(slim);
}

/* Every suite and group that leg 2 may offer, with a session taken up again: each uses algorithms of its own. */
static void resume_with(OSSL_LIB_CTX *lib, const struct forged *leaf, int version, const char *suite)
{
	SSL_CTX *client_ctx = SSL_CTX_new_ex(lib, NULL, TLS_client_method());
	SSL_CTX *server_ctx = SSL_CTX_new(TLS_server_method());
	assert_int_equal(SSL_CTX_use_certificate(server_ctx, leaf->cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(server_ctx, leaf->key), 1);
	assert_int_equal(SSL_CTX_set_min_proto_version(client_ctx, version), 1);
	assert_int_equal(SSL_CTX_set_max_proto_version(client_ctx, version), 1);
	SSL_CTX *both[] = {client_ctx, server_ctx};
	for (size_t i = 0; i < 2; i++) {
		int set = version == TLS1_3_VERSION ? SSL_CTX_set_ciphersuites(both[i], suite)
		                                    : SSL_CTX_set_cipher_list(both[i], suite);
		assert_int_equal(set, 1);
	}
	SSL_SESSION *session = NULL;
	for (int round = 0; round < 2; round++) {
		SSL *client = ssl_over_memory(client_ctx, false);
		SSL *server = ssl_over_memory(server_ctx, true);
		if (session)
			assert_int_equal(SSL_set_session(client, session), 1);
		assert_true(handshake(client, server));
		assert_string_equal(SSL_get_cipher_name(client), suite);
		assert_int_equal(SSL_session_reused(client), round);
		char octet;
		assert_true(SSL_read(client, &octet, 1) <= 0); /* takes the tickets in */
		SSL_SESSION_free(session);
		session = SSL_get1_session(client);
		SSL_shutdown(client);
		SSL_free(client);
		SSL_free(server);
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(client_ctx);
	SSL_CTX_free(server_ctx);
}

static void sessions_of_every_suite_are_resumed_within_it(void **state)
{
	(void)state;
	static const char *const tls13[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
		"TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_CCM_SHA256"};
	static const char *const tls12[] = {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
		"ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-CCM"};
	struct slim *slim = slim_new();
	struct forged root = forge_root("Root");
	struct forge_spec spec = forge_leaf_spec("example.com", "DNS:example.com", &root);
	struct forged leaf = forge(&spec);
	for (size_t i = 0; i < 4; i++) {
		resume_with(slim_lib(slim), &leaf, TLS1_3_VERSION, tls13[i]);
		resume_with(slim_lib(slim), &leaf, TLS1_2_VERSION, tls12[i]);
	}
	forged_free(&leaf);
	forged_free(&root);
	slim_free(slim);
}

static double decode_us(OSSL_LIB_CTX *lib, struct bytes der)
{
	enum { ROUNDS = 300 };
	uint64_t start = clock_monotonic_ns();
	for (int i = 0; i < ROUNDS; i++) {
		X509 *cert = decoded_in(lib, der);
		assert_non_null(X509_get0_pubkey(cert));
		X509_free(cert);
	}
	return (double)(clock_monotonic_ns() - start) / ROUNDS / 1000;
}

static void decoding_costs_less(void **state)
{
	(void)state;
	struct slim *slim = slim_new();
	struct forged root = forge_root("Root");
	uint8_t buffer[4096];
	struct bytes der = forge_der(root.cert, buffer, sizeof(buffer));
	(void)decode_us(slim_lib(slim), der);
	(void)decode_us(NULL, der);
	double slim_us = decode_us(slim_lib(slim), der);
	double default_us = decode_us(NULL, der);
	print_message("# a certificate decodes in %.1f us, in the default context in %.1f us: %.2f of it\n", slim_us,
		default_us, slim_us / default_us);
	forged_free(&root);
	slim_free(slim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(certificates_of_every_usual_key_are_read_and_checked),
		cmocka_unit_test(a_handshake_and_a_verified_chain_work_within_it),
		cmocka_unit_test(sessions_of_every_suite_are_resumed_within_it),
		cmocka_unit_test(decoding_costs_less),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
