/* explain/visibility_client.c — a client of stock OpenSSL that offers to be read, or does not. */
#include "explain/lab.h"
#include "explain/visibility_parts.h"

#include <openssl/err.h>

/* Which client an SSL belongs to: its app data. */
static struct stock_client *client_of(SSL *ssl)
{
	return SSL_get_app_data(ssl);
}

static int offer(SSL *ssl, unsigned type, unsigned context, const unsigned char **out, size_t *len, X509 *x,
	size_t chain_index, int *alert, void *arg)
{
	(void)ssl, (void)type, (void)context, (void)x, (void)chain_index, (void)alert, (void)arg;
	*out = NULL;
	*len = 0;
	return 1;
}

static int see(SSL *ssl, unsigned type, unsigned context, const unsigned char *in, size_t len, X509 *x,
	size_t chain_index, int *alert, void *arg)
{
	(void)type, (void)context, (void)in, (void)x, (void)chain_index, (void)alert, (void)arg;
	client_of(ssl)->was_wrapped = len > 0;
	return 1;
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct stock_client *client = client_of(ssl);
	SSL_SESSION_free(client->session);
	client->session = session;
	return 1;
}

static bool set_up(struct stock_client *client, X509 *anchor, bool offers)
{
	static int groups[] = {NID_X25519};
	SSL_CTX *ctx = client->ctx;
	SSL_CTX_set_security_level(ctx, 2);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, keep_session);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") == 1 &&
	       SSL_CTX_set1_groups(ctx, groups, 1) == 1 &&
	       X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), anchor) == 1 &&
	       (!offers ||
		       SSL_CTX_add_custom_ext(ctx, VISIBILITY_EXTENSION,
			       SSL_EXT_CLIENT_HELLO | SSL_EXT_TLS1_3_SERVER_HELLO, offer, NULL, NULL, see, NULL) == 1);
}

bool stock_client_make(struct stock_client *client, X509 *anchor, bool offers, SSL_SESSION *session, struct error *err)
{
	char name[] = LAB_NAME;
	*client = (struct stock_client){.ctx = SSL_CTX_new(TLS_client_method())};
	if (client->ctx && set_up(client, anchor, offers))
		client->ssl = SSL_new(client->ctx);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	if (!client->ssl || !in || !out || SSL_set1_host(client->ssl, LAB_NAME) != 1 ||
		SSL_set_tlsext_host_name(client->ssl, name) != 1 ||
		(session && SSL_set_session(client->ssl, session) != 1)) {
		BIO_free(in);
		BIO_free(out);
		return error_set_openssl(err, "a client cannot be made");
	}
	BIO_set_mem_eof_return(in, -1);
	BIO_set_mem_eof_return(out, -1);
	SSL_set_bio(client->ssl, in, out);
	SSL_set_app_data(client->ssl, client);
	SSL_set_connect_state(client->ssl);
	return true;
}

static bool give(struct stock_client *client, struct bytes octets)
{
	return octets.len == 0 || BIO_write(SSL_get_rbio(client->ssl), octets.data, (int)octets.len) == (int)octets.len;
}

static bool take(struct stock_client *client, struct buffer *out)
{
	char *data = NULL;
	long len = BIO_get_mem_data(SSL_get_wbio(client->ssl), &data);
	bool ok = len <= 0 || buffer_add(out, bytes_of(data, (size_t)len));
	(void)BIO_reset(SSL_get_wbio(client->ssl));
	return ok;
}

bool stock_client_step(struct stock_client *client, struct bytes octets, struct buffer *out)
{
	ERR_clear_error();
	if (!give(client, octets))
		return false;
	int result = SSL_do_handshake(client->ssl);
	int error = SSL_get_error(client->ssl, result);
	return take(client, out) && (result == 1 || error == SSL_ERROR_WANT_READ);
}

bool stock_client_says(struct stock_client *client, const char *text, struct buffer *out)
{
	size_t written = 0;
	return SSL_write_ex(client->ssl, text, strlen(text), &written) == 1 && take(client, out);
}

bool stock_client_reads(struct stock_client *client, struct bytes octets, const char *text)
{
	char got[256];
	size_t len = 0;
	ERR_clear_error();
	bool ok = give(client, octets) && SSL_read_ex(client->ssl, got, sizeof(got), &len) == 1 &&
	          bytes_equal(bytes_of(got, len), bytes_str(text));
	ERR_clear_error();
	return ok;
}

void stock_client_clear(struct stock_client *client)
{
	SSL_free(client->ssl);
	SSL_SESSION_free(client->session);
	SSL_CTX_free(client->ctx);
	*client = (struct stock_client){0};
}

/* What was added to `wire` since it had `from` octets. */
static struct bytes since(const struct buffer *wire, size_t from)
{
	struct bytes all = buffer_bytes(wire);
	(void)!bytes_skip(&all, from);
	return all;
}

static bool shake_hands(
	struct stock_client *client, struct own_server *server, struct buffer wire[2], struct error *err)
{
	if (!stock_client_step(client, BYTES_NONE, &wire[0]))
		return error_set_openssl(err, "the client does not begin");
	size_t said = wire[0].len;
	if (!own_server_answer(server, buffer_bytes(&wire[0]), &wire[1]))
		return error_set(err, "the server: %s", server->fault);
	size_t heard = wire[1].len;
	if (!stock_client_step(client, buffer_bytes(&wire[1]), &wire[0]))
		return error_set_openssl(err, "the client refuses");
	if (!own_server_finish(server, since(&wire[0], said), &wire[1]))
		return error_set(err, "the server: %s", server->fault);
	/* The ticket is read with the data that comes behind it. */
	return give(client, since(&wire[1], heard)) || error_set(err, "no memory");
}

bool visibility_converse(struct stock_client *client, struct own_server *server, struct buffer wire[2],
	const char *question, const char *answer, struct error *err)
{
	if (!shake_hands(client, server, wire, err))
		return false;
	size_t said = wire[0].len, heard = wire[1].len;
	bool ok = stock_client_says(client, question, &wire[0]) &&
	          own_server_reads(server, since(&wire[0], said), question) &&
	          own_server_says(server, answer, &wire[1]) &&
	          stock_client_reads(client, since(&wire[1], heard), answer);
	return ok || error_set(err, "data does not flow after the handshake");
}
