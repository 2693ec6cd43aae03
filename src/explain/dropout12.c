/* explain/dropout12.c — TLS 1.2 with a relay that terminates both and leaves (RFC 5246, 8.1; RFC 7627; RFC 7919). */
#include "explain/dropout_parts.h"
#include "explain/relay.h"
#include "tls/hello.h"

#define RSA_SUITE   "AES128-GCM-SHA256"
#define DHE_SUITE   "DHE-RSA-AES128-GCM-SHA256"
#define ECDHE_SUITE "ECDHE-RSA-AES128-GCM-SHA256"

enum insists { ON_NOTHING, ON_EMS, ON_NAMED_GROUP };

struct trial {
	const char *name, *title, *suite;
	struct relay_setup relay;
	enum insists insists; /* the client, before its first octet of data */
	bool refused;         /* expected: no handshake */
	bool equal, flows;    /* expected */
	const char *why;
};

struct outcome {
	bool joined, read, accepted, honest, equal, flows;
	struct error fault;
};

/* Both are checks that a program can make on stock OpenSSL once SSL_connect is done. */
static bool accepts(const struct lab_end *client, enum insists on)
{
	EVP_PKEY *key = NULL;
	char name[32] = "";
	size_t len = 0;
	if (on == ON_NOTHING)
		return true;
	if (on == ON_EMS)
		return SSL_get_extms_support(lab_ssl(client)) == 1;
	bool named = SSL_get_peer_tmp_key(lab_ssl(client), &key) == 1 &&
	             EVP_PKEY_get_group_name(key, name, sizeof(name), &len) == 1 && strncmp(name, "ffdhe", 5) == 0;
	EVP_PKEY_free(key);
	return named;
}

/* The same client with nobody in between: what it insists on must not keep it from an honest server. */
static bool try_honest(const struct lab *lab, const struct trial *trial, bool *accepted, struct error *err)
{
	const struct lab_setup setup = {.version = TLS_VERSION_12, .suites = trial->suite, .groups = "X25519"};
	struct lab_end *client = lab_client(lab, &setup, err), *server = lab_server(lab, &setup, err);
	bool ok = client && server && lab_join(client, server, NULL, NULL, err);
	*accepted = ok && accepts(client, trial->insists) && dropout_flows(client, server);
	lab_end_free(client);
	lab_end_free(server);
	return ok;
}

static void leave(struct outcome *out, struct lab_end *client, struct lab_end *server)
{
	if (lab_says(client, server, DROPOUT_REQUEST, NULL) && lab_says(server, client, DROPOUT_RESPONSE, NULL)) {
		out->flows = true;
		return;
	}
	error_set(&out->fault, "the %s: %s", lab_fault(server)[0] ? "server" : "client",
		lab_fault(server)[0] ? lab_fault(server) : lab_fault(client));
}

static void tell(struct story *story, const struct trial *trial, const struct outcome *out, const struct relay *relay,
	const struct tls_secret *at_client, const struct tls_secret *at_server)
{
	story_row(story, trial->name, trial->title);
	story_words(story, "suite", "cipher suite", trial->suite);
	story_flag(story, "ems", "extended master secret", relay_has_ems(relay));
	story_flag(story, "certificate_seen", "the relay saw the server's certificate", relay_saw_certificate(relay));
	if (relay_modulus_bits(relay) > 0)
		story_number(story, "modulus_bits", "bits of the relay's modulus", relay_modulus_bits(relay));
	story_flag(story, "premasters_equal", "premaster secrets equal", relay_premasters_equal(relay));
	dropout_secret(story, "client_secret", "master secret, client", tls_secret_bytes(at_client));
	dropout_secret(story, "server_secret", "master secret, server", tls_secret_bytes(at_server));
	story_flag(story, "secrets_equal", "master secrets equal", out->equal);
	story_flag(story, "relay_read", "the relay read while it stood in", out->read);
	if (trial->insists != ON_NOTHING) {
		story_flag(story, "honest_accepted", "without a relay, the client goes on", out->honest);
		story_flag(story, "client_accepted", "with the relay, the client goes on", out->accepted);
	}
	story_flag(story, "data_flows", "data flows once the relay left", out->flows);
	if (out->fault.text[0])
		story_words(story, "fault", "ended by", out->fault.text);
	bool held = relay_saw_certificate(relay) && out->joined == !trial->refused && out->equal == trial->equal &&
	            out->flows == trial->flows && out->read == out->joined && out->honest &&
	            out->accepted == (trial->insists == ON_NOTHING && out->joined);
	story_held(story, held, "%s", trial->why);
}

static void observe(const struct trial *trial, struct relay *relay, struct lab_end *client, struct lab_end *server,
	struct story *story, struct outcome *out)
{
	struct tls_secret at_client = {0}, at_server = {0};
	out->joined = relay_join(relay, client, server, &out->fault);
	if (out->joined) {
		out->fault.text[0] = '\0';
		out->accepted = accepts(client, trial->insists);
	}
	if (!lab_secret(client, "CLIENT_RANDOM", 0, &at_client) || !lab_secret(server, "CLIENT_RANDOM", 0, &at_server))
		out->equal = false;
	else
		out->equal = bytes_equal_secret(tls_secret_bytes(&at_client), tls_secret_bytes(&at_server)) &&
		             bytes_equal_secret(relay_master(relay, RELAY_CLIENT), tls_secret_bytes(&at_client));
	if (out->joined)
		out->read = relay_carry(relay, client, server, true, DROPOUT_REQUEST) &&
		            relay_carry(relay, server, client, false, DROPOUT_RESPONSE);
	if (out->joined && out->accepted)
		leave(out, client, server);
	else if (out->joined)
		error_set(&out->fault, "the client, of its own accord, before it said anything");
	tell(story, trial, out, relay, &at_client, &at_server);
	tls_secret_wipe(&at_client);
	tls_secret_wipe(&at_server);
}

static bool run(const struct lab *lab, const struct trial *trial, struct story *story, struct error *err)
{
	const struct lab_setup setup = {.version = TLS_VERSION_12, .suites = trial->suite, .groups = "X25519"};
	struct outcome out = {0};
	struct lab_end *client = lab_client(lab, &setup, err), *server = lab_server(lab, &setup, err);
	struct relay *relay = relay_new(lab, &trial->relay, err);
	bool ok = client && server && relay && try_honest(lab, trial, &out.honest, err);
	if (ok)
		observe(trial, relay, client, server, story, &out);
	lab_end_free(client);
	lab_end_free(server);
	relay_free(relay);
	return ok;
}

static bool run_all(
	const struct lab *lab, const struct trial *trials, size_t count, struct story *story, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		if (!run(lab, &trials[i], story, err))
			return false;
	}
	return true;
}

bool dropout_rsa(const struct lab *lab, struct story *story, struct error *err)
{
	static const struct trial trials[] = {
		{.name = "tls12-rsa-ems-stripped",
			.title = "TLS 1.2, RSA key exchange, extended master secret taken out of the hello",
			.suite = RSA_SUITE,
			.relay = {.strip_ems = true},
			.equal = true,
			.flows = true,
			.why = "The master secret depends on three things: the premaster secret, which the client "
			       "sends encrypted to "
			       "the key it was shown, and the two randoms. The relay decrypted the premaster secret "
			       "with its own "
			       "key, encrypted it again to the server's, and let the randoms through. All three are "
			       "equal, so "
			       "master secret and record keys are; nothing in them remembers which certificate was "
			       "shown. The "
			       "relay may copy octets from now on, and neither side can tell."},
		{.name = "tls12-rsa-ems",
			.title = "TLS 1.2, RSA key exchange, with extended master secret",
			.suite = RSA_SUITE,
			.relay = {0},
			.why = "The premaster secret is the same on both sides, as before. But with RFC 7627 the "
			       "master secret is "
			       "made of it and of the hash of all handshake messages, and those hold the certificate: "
			       "the "
			       "relay's on one side, the server's on the other. As long as the relay stays and "
			       "encrypts anew, "
			       "nobody notices; the first record it only copies does not open."},
		{.name = "tls12-rsa-client-insists-ems",
			.title = "The same relay as first, and a client that insists on extended master secret",
			.suite = RSA_SUITE,
			.relay = {.strip_ems = true},
			.insists = ON_EMS,
			.equal = true,
			.why = "The relay could have left, but the client does not go on: it asks "
			       "SSL_get_extms_support after the "
			       "handshake and closes when the answer is no. OpenSSL has no setting for that; the "
			       "program must "
			       "ask. With an honest server of the same library the answer is yes."},
	};
	return run_all(lab, trials, sizeof(trials) / sizeof(trials[0]), story, err);
}

bool dropout_dhe(const struct lab *lab, struct story *story, struct error *err)
{
	static const struct trial trials[] = {
		{.name = "tls12-dhe-ems-stripped",
			.title = "TLS 1.2, DHE with a group that the relay made, extended master secret taken out",
			.suite = DHE_SUITE,
			.relay = {.strip_ems = true},
			.equal = true,
			.flows = true,
			.why = "In TLS 1.2 the server names modulus, generator and public value, and the client takes "
			       "them as they "
			       "are. With the server, the relay agreed on S by ordinary Diffie-Hellman. To the client "
			       "it shows "
			       "the modulus 3S and S as public value, S chosen odd and one more than a multiple of 3: "
			       "then S "
			       "times S is S again modulo 3S, and S to whatever power the client picks is S. Both "
			       "sides hold "
			       "the premaster secret S. The modulus is no prime, but nobody tests for that while the "
			       "client "
			       "waits; odd it must be, for the arithmetic of the library."},
		{.name = "tls12-dhe-ems",
			.title = "TLS 1.2, DHE with a group that the relay made, with extended master secret",
			.suite = DHE_SUITE,
			.relay = {0},
			.why = "The trick with the group works as before, the premaster secrets are equal. The hash of "
			       "the messages "
			       "is not: certificate, group and signature differ. So the master secrets differ."},
		{.name = "tls12-dhe-client-insists-rfc7919",
			.title = "The relay's group, and a client that insists on a group of RFC 7919",
			.suite = DHE_SUITE,
			.relay = {.strip_ems = true},
			.insists = ON_NAMED_GROUP,
			.equal = true,
			.why = "The client compares the group (SSL_get_peer_tmp_key, EVP_PKEY_get_group_name) with the "
			       "named ones, "
			       "whose moduli are safe primes, and closes when it is none of them. OpenSSL does not do "
			       "so by itself "
			       "in TLS 1.2; the program must ask. An honest server with ffdhe2048 is accepted."},
		{.name = "tls12-dhe-client-insists-ems",
			.title = "The relay's group, and a client that insists on extended master secret",
			.suite = DHE_SUITE,
			.relay = {.strip_ems = true},
			.insists = ON_EMS,
			.equal = true,
			.why = "As with RSA: the client asks whether the extension was agreed on, and closes when it "
			       "was not. That "
			       "one check covers every key exchange, so it is the better one to have."},
	};
	return run_all(lab, trials, sizeof(trials) / sizeof(trials[0]), story, err);
}

bool dropout_ecdhe(const struct lab *lab, struct story *story, struct error *err)
{
	static const struct trial trials[] = {
		{.name = "tls12-ecdhe-ems-stripped",
			.title = "TLS 1.2, ECDHE, extended master secret taken out",
			.suite = ECDHE_SUITE,
			.relay = {.strip_ems = true},
			.why = "The curve is a named one: the relay cannot make its own. With the client it agrees on "
			       "rA, with the "
			       "server on rB, and to make them equal it would have to know a secret of one of them. A "
			       "client that "
			       "offers only ECDHE in TLS 1.2 is safe from this, with or without extended master "
			       "secret."},
		{.name = "tls12-ecdhe-low-order",
			.title = "TLS 1.2, ECDHE, and the relay shows the client a point of small order",
			.suite = ECDHE_SUITE,
			.relay = {.strip_ems = true, .low_order = true},
			.refused = true,
			.why = "The nearest thing to the trick with the group: a point whose every multiple is zero "
			       "would make the "
			       "premaster secret known in advance. RFC 7748 and RFC 8422 have the client check for "
			       "that, and it "
			       "does: no handshake."},
	};
	return run_all(lab, trials, sizeof(trials) / sizeof(trials[0]), story, err);
}

bool dropout_certificate12(const struct lab *lab, struct story *story, struct error *err)
{
	static const struct trial trials[] = {
		{.name = "tls12-ems-certificate-in-clear",
			.title = "TLS 1.2 with extended master secret, the server's certificate read in the clear",
			.suite = RSA_SUITE,
			.relay = {0},
			.why = "In TLS 1.2 the certificate passes in the clear, and the relay has it before it answers "
			       "the client. That "
			       "tells it whether it wants to read. It does not help it to leave after it has answered: "
			       "the premaster "
			       "secrets are equal, nothing is hidden, and the master secrets differ all the same."},
	};
	return run_all(lab, trials, sizeof(trials) / sizeof(trials[0]), story, err);
}
