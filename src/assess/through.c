#include "assess/through.h"

#include "assess/channel.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

static void speak(struct channel *channel, const struct through_wish *wish, struct through_seen *out)
{
	char request[600];
	SSL *ssl = channel->ssl;
	int n = snprintf(request, sizeof(request),
		"GET /overt-assess HTTP/1.1\r\nHost: %s:%u\r\nConnection: close\r\n\r\n", wish->name, wish->port);
	SSL_set_connect_state(ssl);
	bool ok = channel_shake(channel);
	out->leaf = SSL_get1_peer_certificate(ssl);
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
	out->chain = chain ? X509_chain_up_ref(chain) : NULL;
	if (!ok) {
		snprintf(out->fault, sizeof(out->fault), "TLS with the proxy: %s", channel_why(channel));
		return;
	}
	out->handshake = true;
	out->version = (uint16_t)SSL_version(ssl);
	if (n > 0 && channel_write(channel, bytes_of(request, (size_t)n)))
		out->answer_len = channel_read(channel, (uint8_t *)out->answer, THROUGH_ANSWER);
	out->answer[out->answer_len] = '\0';
	if (out->answer_len == 0)
		snprintf(out->fault, sizeof(out->fault), "after the handshake: %s", channel_why(channel));
	(void)SSL_shutdown(ssl);
}

/* An address is verified as one, and is no server_name (RFC 6066, 3). */
static bool expect_name(SSL *ssl, const char *name)
{
	struct hostport at;
	if (hostport_parse_ip(&at, name))
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
	return SSL_set_tlsext_host_name(ssl, (void *)(uintptr_t)name) == 1 && SSL_set1_host(ssl, name) == 1;
}

static SSL *make_tls(SSL_CTX *ctx, const struct through_wish *wish)
{
	SSL_CTX_set_verify(ctx, wish->trusting ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	if (wish->max && wish->max < TLS1_2_VERSION) {
		SSL_CTX_set_security_level(ctx, 0);
		(void)!SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0");
	}
	if (SSL_CTX_load_verify_file(ctx, wish->ca) != 1)
		return NULL;
	SSL *ssl = SSL_new(ctx);
	if (ssl && SSL_set_min_proto_version(ssl, wish->min ? wish->min : TLS1_2_VERSION) == 1 &&
		SSL_set_max_proto_version(ssl, wish->max ? wish->max : TLS1_3_VERSION) == 1 &&
		expect_name(ssl, wish->name))
		return ssl;
	SSL_free(ssl);
	return NULL;
}

void through(struct target *proxy, const struct through_wish *wish, struct through_seen *out)
{
	char where[320];
	uint64_t deadline_ns = 0;
	int fd = -1;
	*out = (struct through_seen){0};
	snprintf(where, sizeof(where), "%s:%u", wish->name, wish->port);
	enum dial_result dial = target_dial(proxy, &fd, &deadline_ns);
	out->connected = dial == DIAL_OK;
	if (dial != DIAL_OK) {
		snprintf(out->fault, sizeof(out->fault), "%s",
			dial == DIAL_SPENT ? "not tried: the budget is spent" : "the proxy cannot be connected to");
		return;
	}
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = ctx ? make_tls(ctx, wish) : NULL;
	struct channel channel;
	if (!ssl || !channel_open(&channel, ssl, fd, deadline_ns))
		snprintf(out->fault, sizeof(out->fault), "TLS cannot be set up with %s", wish->ca);
	else if (!wish->direct && !channel_connect(fd, where, deadline_ns, &out->status))
		snprintf(out->fault, sizeof(out->fault),
			out->status ? "CONNECT was answered with %u" : "CONNECT was not answered in HTTP", out->status);
	else
		speak(&channel, wish, out);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	ERR_clear_error();
	close(fd);
}

void through_free(struct through_seen *seen)
{
	X509_free(seen->leaf);
	sk_X509_pop_free(seen->chain, X509_free);
	seen->leaf = NULL;
	seen->chain = NULL;
}
