#include "assess/handshake.h"

#include "assess/channel.h"
#include "base/clock.h"
#include "base/text.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int take_ticket(SSL *ssl, SSL_SESSION *session)
{
	struct handshake_seen *seen = SSL_get_app_data(ssl);
	if (seen && SSL_SESSION_has_ticket(session)) {
		uint32_t early = SSL_SESSION_get_max_early_data(session);
		seen->early_data = early > seen->early_data ? early : seen->early_data;
		seen->tickets++;
	}
	return 0;
}

static int verify_later(X509_STORE_CTX *ctx, void *arg)
{
	(void)arg;
	X509_STORE_CTX_set_error(ctx, X509_V_OK);
	return 1;
}

static SSL *make_tls(SSL_CTX *ctx, const struct target *target, const struct handshake_wish *wish)
{
	static const unsigned char protocols[] = "\x02h2\x08http/1.1";
	const char *name = wish->name ? wish->name : target->name.is_ip ? NULL : target->name.text;
	SSL_CTX_set_cert_verify_callback(ctx, verify_later, NULL);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	SSL_CTX_sess_set_new_cb(ctx, take_ticket);
	SSL_CTX_set_options(ctx, SSL_OP_LEGACY_SERVER_CONNECT | SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION);
	SSL_CTX_set_security_level(ctx, 0);
	SSL *ssl = SSL_new(ctx);
	if (ssl && SSL_set_min_proto_version(ssl, wish->min) == 1 && SSL_set_max_proto_version(ssl, wish->max) == 1 &&
		SSL_set_cipher_list(ssl, wish->suites ? wish->suites : "ALL:@SECLEVEL=0") == 1 &&
		SSL_set_alpn_protos(ssl, protocols, sizeof(protocols) - 1) == 0 &&
		SSL_set_tlsext_status_type(ssl, TLSEXT_STATUSTYPE_ocsp) == 1 &&
		(!name || SSL_set_tlsext_host_name(ssl, (void *)(uintptr_t)name) == 1))
		return ssl;
	SSL_free(ssl);
	return NULL;
}

static void note(SSL *ssl, struct handshake_seen *seen)
{
	const unsigned char *staple = NULL, *alpn = NULL;
	unsigned alpn_len = 0;
	long staple_len = SSL_get_tlsext_status_ocsp_resp(ssl, &staple);
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
	seen->done = true;
	seen->version = (uint16_t)SSL_version(ssl);
	seen->suite = SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl));
	seen->leaf = SSL_get1_peer_certificate(ssl);
	seen->chain = chain ? X509_chain_up_ref(chain) : NULL;
	/* What `overt exec --accord` preloads tells the server's, out of the proof; the session has what came. */
	X509 *sent = SSL_SESSION_get0_peer(SSL_get_session(ssl));
	if (sent && seen->leaf && X509_cmp(sent, seen->leaf) != 0 && X509_up_ref(sent) == 1)
		seen->sent = sent;
	seen->extended_master_secret = SSL_get_extms_support(ssl) == 1;
	seen->ticket = SSL_SESSION_has_ticket(SSL_get_session(ssl)) == 1;
	SSL_get0_alpn_selected(ssl, &alpn, &alpn_len);
	text_clean(seen->alpn, sizeof(seen->alpn), bytes_of(alpn, alpn_len));
	if (staple && staple_len > 0 && (seen->staple = malloc((size_t)staple_len))) {
		memcpy(seen->staple, staple, (size_t)staple_len);
		seen->staple_len = (size_t)staple_len;
	}
}

/* Tickets of TLS 1.3 come behind the handshake. Application data that comes instead ends the waiting. */
static void await_tickets(struct channel *channel, const struct handshake_seen *seen)
{
	char octet;
	int result;
	do {
		ERR_clear_error();
		result = SSL_peek(channel->ssl, &octet, 1);
	} while (result != 1 && seen->tickets == 0 && channel_again(channel, result));
	ERR_clear_error();
}

static bool renegotiate(struct channel *channel)
{
	char octet;
	SSL *ssl = channel->ssl;
	if (SSL_version(ssl) > TLS1_2_VERSION || SSL_renegotiate(ssl) != 1 || !channel_shake(channel)) {
		ERR_clear_error();
		return false;
	}
	/* The hello went out; whether the server took it up is known when nothing is pending any more. */
	while (SSL_renegotiate_pending(ssl)) {
		int result = SSL_peek(ssl, &octet, 1);
		if (result == 1 || !channel_again(channel, result))
			break;
	}
	ERR_clear_error();
	return !SSL_renegotiate_pending(ssl);
}

static void converse(struct channel *channel, const struct handshake_wish *wish, struct handshake_seen *out)
{
	if (!channel_shake(channel)) {
		snprintf(out->fault, sizeof(out->fault), "%s", channel_why(channel));
		return;
	}
	note(channel->ssl, out);
	if (wish->renegotiate)
		out->renegotiated = renegotiate(channel);
	uint64_t until_ns = clock_monotonic_ns() + wish->tickets_ns;
	if (wish->tickets_ns > 0 && out->version == TLS1_3_VERSION) {
		channel->deadline_ns = until_ns < channel->deadline_ns ? until_ns : channel->deadline_ns;
		await_tickets(channel, out);
	}
}

bool handshake_try(struct target *target, const struct handshake_wish *wish, struct handshake_seen *out)
{
	uint64_t deadline_ns = 0;
	int fd = -1;
	*out = (struct handshake_seen){0};
	enum dial_result dial = target_dial(target, &fd, &deadline_ns);
	if (dial != DIAL_OK) {
		snprintf(out->fault, sizeof(out->fault), "%s", dial_text(dial));
		return false;
	}
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = ctx ? make_tls(ctx, target, wish) : NULL;
	struct channel channel;
	if (ssl && channel_open(&channel, ssl, fd, deadline_ns)) {
		SSL_set_app_data(ssl, out);
		SSL_set_connect_state(ssl);
		converse(&channel, wish, out);
		(void)SSL_shutdown(ssl);
	} else {
		snprintf(out->fault, sizeof(out->fault), "this OpenSSL cannot offer that");
	}
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	ERR_clear_error();
	close(fd);
	return out->done;
}

void handshake_seen_free(struct handshake_seen *seen)
{
	X509_free(seen->leaf);
	X509_free(seen->sent);
	sk_X509_pop_free(seen->chain, X509_free);
	free(seen->staple);
	*seen = (struct handshake_seen){0};
}
