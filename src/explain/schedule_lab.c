/* explain/schedule_lab.c — connections made for the purpose, as sources: one of TLS 1.3 with two KeyUpdates, one of 1.2. */
#include "explain/schedule_parts.h"
#include "tls/handshake.h"
#include "tls/key_exchange.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

/* What the key log of an end says of TLS 1.3; a label that is not there stays empty. */
static void read_log(const struct lab_end *end, struct schedule_source *out)
{
	static const struct {
		enum schedule_secret which;
		const char *label;
	} labels[] = {
		{SCHEDULE_CLIENT_HANDSHAKE, "CLIENT_HANDSHAKE_TRAFFIC_SECRET"},
		{SCHEDULE_SERVER_HANDSHAKE, "SERVER_HANDSHAKE_TRAFFIC_SECRET"},
		{SCHEDULE_CLIENT_TRAFFIC, "CLIENT_TRAFFIC_SECRET_0"},
		{SCHEDULE_SERVER_TRAFFIC, "SERVER_TRAFFIC_SECRET_0"},
		{SCHEDULE_EXPORTER, "EXPORTER_SECRET"},
	};
	static const char *const updates[2] = {"CLIENT_TRAFFIC_SECRET_N", "SERVER_TRAFFIC_SECRET_N"};
	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++)
		(void)!lab_secret(end, labels[i].label, 0, &out->known[labels[i].which]);
	for (unsigned side = 0; side < 2; side++) {
		while (out->updates[side] < SCHEDULE_UPDATES &&
			lab_secret(end, updates[side], (unsigned)out->updates[side],
				&out->update[side][out->updates[side]]))
			out->updates[side]++;
	}
}

/* The client asks the server to update too, which it does at its next write. */
static bool update_keys(struct lab_end *client, struct lab_end *server)
{
	return SSL_key_update(lab_ssl(client), SSL_KEY_UPDATE_REQUESTED) == 1 &&
	       lab_says(client, server, "said under client traffic 1", NULL) &&
	       lab_says(server, client, "said under server traffic 1", NULL);
}

bool schedule_lab13(const struct lab *lab, struct buffer *room, struct schedule_source *out, struct error *err)
{
	struct lab_setup setup = {.version = TLS_VERSION_13, .groups = "X25519", .tickets = true};
	struct lab_end *client = lab_client(lab, &setup, err);
	struct lab_end *server = client ? lab_server(lab, &setup, err) : NULL;
	*out = (struct schedule_source){.name = "lab", .logged_by = "OpenSSL's key log"};
	bool ok = server && lab_join(client, server, NULL, NULL, err);
	if (ok) {
		ok = lab_shared(client, &out->shared) && lab_says(server, client, "hello", NULL) &&
		     update_keys(client, server) && buffer_add(room, lab_messages(client));
		out->messages = buffer_bytes(room);
		read_log(client, out);
		if (!ok)
			error_set_openssl(err, "the connection made for the purpose broke off after its handshake");
	}
	lab_end_free(client);
	lab_end_free(server);
	return ok;
}

/* The client's point, from its ClientKeyExchange among the messages. */
static bool client_point(struct bytes messages, const struct suite *suite, struct bytes *point)
{
	struct handshake message;
	struct client_key_exchange exchange;
	while (handshake_read(&messages, 1 << 20, &message) == HANDSHAKE_OK) {
		if (message.type != HANDSHAKE_CLIENT_KEY_EXCHANGE)
			continue;
		bool ok = client_key_exchange_parse(message.body, suite, TLS_VERSION_12, &exchange) == KEY_EXCHANGE_OK;
		*point = exchange.key;
		return ok;
	}
	return false;
}

static bool agree(EVP_PKEY *own, struct bytes point, struct tls_secret *out)
{
	EVP_PKEY *peer = EVP_PKEY_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own, NULL);
	size_t len = sizeof(out->octets);
	bool ok = peer && ctx && EVP_PKEY_copy_parameters(peer, own) == 1 &&
	          EVP_PKEY_set1_encoded_public_key(peer, point.data, point.len) == 1 &&
	          EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
	          EVP_PKEY_derive(ctx, out->octets, &len) == 1;
	out->len = ok ? len : 0;
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(peer);
	return ok;
}

/* libssl lets go of the ephemeral key when it has made the premaster secret: it is taken in between. */
static bool join12(struct lab_end *client, struct lab_end *server, EVP_PKEY **own, struct error *err)
{
	(void)!lab_step(client);
	if (!lab_pass(client, server, NULL))
		return error_set(err, "no memory");
	(void)!lab_step(server);
	return (SSL_get_tmp_key(lab_ssl(server), own) == 1 ||
		       error_set(err, "no ephemeral key of the server can be had")) &&
	       (lab_pass(server, client, NULL) || error_set(err, "no memory")) &&
	       lab_join(client, server, NULL, NULL, err);
}

bool schedule_lab12(const struct lab *lab, struct buffer *room, struct schedule_source *out, struct error *err)
{
	struct lab_setup setup = {
		.version = TLS_VERSION_12, .suites = "ECDHE-RSA-AES128-GCM-SHA256", .groups = "P-256"};
	struct lab_end *client = lab_client(lab, &setup, err);
	struct lab_end *server = client ? lab_server(lab, &setup, err) : NULL;
	EVP_PKEY *own = NULL;
	struct bytes point;
	*out = (struct schedule_source){.name = "lab12", .logged_by = "OpenSSL's key log"};
	bool ok = server && join12(client, server, &own, err);
	if (ok) {
		ok = buffer_add(room, lab_messages(client)) &&
		     client_point(buffer_bytes(room), suite_find(0xc02f), &point) && agree(own, point, &out->shared) &&
		     lab_secret(client, "CLIENT_RANDOM", 0, &out->known[SCHEDULE_MASTER]);
		out->messages = buffer_bytes(room);
		if (!ok)
			error_set_openssl(err, "the premaster secret of the connection cannot be had");
	}
	EVP_PKEY_free(own);
	lab_end_free(client);
	lab_end_free(server);
	return ok;
}

/* Tickets are sealed with keys of the SSL_CTX, of which each end of the lab has its own. */
static bool same_ticket_keys(const struct lab_end *from, const struct lab_end *to)
{
	uint8_t keys[256];
	SSL_CTX *source = SSL_get_SSL_CTX(lab_ssl(from)), *target = SSL_get_SSL_CTX(lab_ssl(to));
	long len = SSL_CTX_get_tlsext_ticket_keys(source, NULL, 0);
	bool ok = len > 0 && (size_t)len <= sizeof(keys) && SSL_CTX_get_tlsext_ticket_keys(source, keys, len) == 1 &&
	          SSL_CTX_set_tlsext_ticket_keys(target, keys, len) == 1;
	OPENSSL_cleanse(keys, sizeof(keys));
	return ok;
}

/* A session of a first connection; NULL with err set. */
static SSL_SESSION *first_session(
	const struct lab *lab, const struct lab_setup *setup, struct lab_end *again, struct error *err)
{
	struct lab_end *client = lab_client(lab, setup, err);
	struct lab_end *server = client ? lab_server(lab, setup, err) : NULL;
	SSL_SESSION *session = NULL;
	/* The tickets come with what the server says first. */
	if (server && lab_join(client, server, NULL, NULL, err) && lab_says(server, client, "hello", NULL) &&
		same_ticket_keys(server, again))
		session = SSL_get1_session(lab_ssl(client));
	/* libssl lets nobody resume a session whose connection was dropped. */
	if (client)
		SSL_set_shutdown(lab_ssl(client), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	if (server && !session)
		error_set_openssl(err, "a first connection gave no session to resume");
	lab_end_free(client);
	lab_end_free(server);
	return session;
}

bool schedule_lab_resumed(const struct lab *lab, struct buffer *room, struct schedule_source *out, struct error *err)
{
	struct lab_setup setup = {.version = TLS_VERSION_13, .groups = "X25519", .tickets = true};
	struct lab_end *client = lab_client(lab, &setup, err);
	struct lab_end *server = client ? lab_server(lab, &setup, err) : NULL;
	SSL_SESSION *session = server ? first_session(lab, &setup, server, err) : NULL;
	*out = (struct schedule_source){.name = "resumed", .logged_by = "OpenSSL's key log"};
	bool ok =
		session && SSL_set_session(lab_ssl(client), session) == 1 && lab_join(client, server, NULL, NULL, err);
	if (ok) {
		/* In TLS 1.3, what libssl calls the session's master key is the PSK. */
		out->psk.len = SSL_SESSION_get_master_key(session, out->psk.octets, sizeof(out->psk.octets));
		ok = SSL_session_reused(lab_ssl(client)) == 1 && lab_shared(client, &out->shared) &&
		     buffer_add(room, lab_messages(client));
		out->messages = buffer_bytes(room);
		read_log(client, out);
		if (!ok)
			error_set(err, "the connection made for the purpose was not resumed");
	}
	SSL_SESSION_free(session);
	lab_end_free(client);
	lab_end_free(server);
	return ok;
}

/* One plain connection; the groups of each side as OpenSSL names them. */
static bool lab_with(const struct lab *lab, const char *name, const char *const groups[2], struct buffer *room,
	struct schedule_source *out, struct error *err)
{
	const struct lab_setup setup = {.version = TLS_VERSION_13, .groups = groups[0]};
	const struct lab_setup other = {.version = TLS_VERSION_13, .groups = groups[1]};
	struct lab_end *client = lab_client(lab, &setup, err);
	struct lab_end *server = client ? lab_server(lab, &other, err) : NULL;
	*out = (struct schedule_source){.name = name, .logged_by = "OpenSSL's key log"};
	bool ok = server && lab_join(client, server, NULL, NULL, err);
	if (ok) {
		ok = lab_shared(client, &out->shared) && buffer_add(room, lab_messages(client));
		out->messages = buffer_bytes(room);
		read_log(client, out);
		if (!ok)
			error_set_openssl(err, "the secret of the connection made for the purpose cannot be had");
	}
	lab_end_free(client);
	lab_end_free(server);
	return ok;
}

bool schedule_lab_retried(const struct lab *lab, struct buffer *room, struct schedule_source *out, struct error *err)
{
	static const char *const groups[2] = {"X25519:P-256", "P-256"};
	return lab_with(lab, "retried", groups, room, out, err);
}

bool schedule_lab_hybrid(const struct lab *lab, struct buffer *room, struct schedule_source *out, struct error *err)
{
	static const char *const groups[2] = {LAB_HYBRID, LAB_HYBRID};
	return lab_with(lab, "hybrid", groups, room, out, err);
}
