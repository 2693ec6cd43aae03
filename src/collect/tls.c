#include "collect/tls.h"

#include "base/bytes.h"
#include "base/text.h"
#include "keys/courier.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <time.h>

#define SECURITY_LEVEL 2 /* as elsewhere: no RSA below 2048 bits, no SHA-1 */

/* The client's list as it stands in the extension. */
static bool offers(struct bytes list, const char *protocol)
{
	struct bytes one;
	while (bytes_vec8(&list, &one)) {
		if (bytes_equal(one, bytes_str(protocol)))
			return true;
	}
	return false;
}

static int choose(SSL *ssl, const unsigned char **out, unsigned char *len, const unsigned char *in, unsigned int in_len,
	void *arg)
{
	static const char *const known[] = {COURIER_ALPN_KEYS, COURIER_ALPN_READ};
	(void)ssl;
	(void)arg;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!offers(bytes_of(in, in_len), known[i]))
			continue;
		*out = (const unsigned char *)known[i];
		*len = (unsigned char)strlen(known[i]);
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool load(SSL_CTX *ctx, const struct collect_files *files, struct error *err)
{
	if (SSL_CTX_use_certificate_chain_file(ctx, files->certificate) != 1)
		return error_set_openssl(err, "%s: no certificate to show", files->certificate);
	if (SSL_CTX_use_PrivateKey_file(ctx, files->key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(ctx) != 1)
		return error_set_openssl(err, "%s: no key that fits %s", files->key, files->certificate);
	if (SSL_CTX_load_verify_locations(ctx, files->ca, NULL) != 1)
		return error_set_openssl(err, "%s: no CA to check others with", files->ca);
	return true;
}

static SSL_CTX *context(const SSL_METHOD *method, const struct collect_files *files, struct error *err)
{
	SSL_CTX *ctx = SSL_CTX_new(method);
	if (!ctx) {
		(void)error_set_openssl(err, "no TLS");
		return NULL;
	}
	if (SSL_CTX_get_security_level(ctx) < SECURITY_LEVEL)
		SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
	bool ok = SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 && load(ctx, files, err);
	SSL_CTX_set_mode(
		ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	if (ok)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

SSL_CTX *collect_server_context(const struct collect_files *files, struct error *err)
{
	SSL_CTX *ctx = context(TLS_server_method(), files, err);
	if (!ctx)
		return NULL;
	/* Lines are secrets: libssl wipes what it has given out. */
	SSL_CTX_set_options(ctx, SSL_OP_CLEANSE_PLAINTEXT);
	/* Without sessions each connection shows its certificate anew. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_alpn_select_cb(ctx, choose, NULL);
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(files->ca);
	if (names)
		SSL_CTX_set_client_CA_list(ctx, names);
	return ctx;
}

SSL_CTX *collect_client_context(const struct collect_files *files, const char *alpn, struct error *err)
{
	uint8_t room[64];
	struct writer list = writer_over(room, sizeof(room));
	SSL_CTX *ctx = context(TLS_client_method(), files, err);
	if (!ctx)
		return NULL;
	writer_vec8(&list, bytes_str(alpn));
	if (list.full || SSL_CTX_set_alpn_protos(ctx, room, (unsigned)list.len) != 0) {
		(void)error_set(err, "no memory for TLS");
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

SSL *collect_client_ssl(SSL_CTX *ctx, const char *host)
{
	struct in6_addr ip;
	SSL *ssl = SSL_new(ctx);
	if (!ssl)
		return NULL;
	bool is_ip = inet_pton(AF_INET, host, &ip) == 1 || inet_pton(AF_INET6, host, &ip) == 1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	bool ok = is_ip ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1
	                : SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, (void *)(uintptr_t)host) == 1;
	if (ok) {
		SSL_set_connect_state(ssl);
		return ssl;
	}
	SSL_free(ssl);
	return NULL;
}

static bool common_name(const X509 *cert, char out[COLLECT_NAME_MAX + 1])
{
	const X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	unsigned char *text = NULL;
	if (at < 0)
		return false;
	int len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	/* One that is cut could be another's. */
	bool ok = len > 0 && len <= COLLECT_NAME_MAX &&
	          text_clean(out, COLLECT_NAME_MAX + 1, bytes_of(text, (size_t)len)) == (size_t)len;
	OPENSSL_free(text);
	return ok;
}

static bool identity_of(const X509 *cert, struct collect_identity *out)
{
	unsigned char *spki = NULL;
	struct tm tm;
	*out = (struct collect_identity){0};
	if (!common_name(cert, out->name) || ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		return false;
	out->not_after_s = (int64_t)timegm(&tm);
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &spki);
	bool ok = len > 0 && EVP_Digest(spki, (size_t)len, out->key_hash, NULL, EVP_sha256(), NULL) == 1;
	OPENSSL_free(spki);
	return ok;
}

bool collect_identity_of(const SSL *ssl, struct collect_identity *out)
{
	const X509 *cert = SSL_get0_peer_certificate(ssl);
	return cert && SSL_get_verify_result(ssl) == X509_V_OK && identity_of(cert, out);
}

bool collect_identity_own(const SSL_CTX *ctx, struct collect_identity *out)
{
	const X509 *cert = SSL_CTX_get0_certificate(ctx);
	return cert && identity_of(cert, out);
}

enum collect_protocol collect_protocol_of(const SSL *ssl)
{
	const unsigned char *name;
	unsigned len;
	SSL_get0_alpn_selected(ssl, &name, &len);
	struct bytes chosen = bytes_of(name, len);
	if (bytes_equal(chosen, bytes_str(COURIER_ALPN_KEYS)))
		return COLLECT_KEYS;
	return bytes_equal(chosen, bytes_str(COURIER_ALPN_READ)) ? COLLECT_READ : COLLECT_LINES;
}
