/* explain/dropout13.c — TLS 1.3 with a relay that terminates both sides and leaves (RFC 8446, 4.4.1 and 7.1). */
#include "explain/dropout_parts.h"
#include "tls/hello.h"

#include <string.h>

struct sides {
	struct lab_end *client, *at_client; /* the client, and the relay's end of that leg */
	struct lab_end *at_server, *server;
};

static const struct lab_setup plain = {
	.version = TLS_VERSION_13, .suites = "TLS_AES_128_GCM_SHA256", .groups = "X25519"};

static void sides_free(struct sides *sides)
{
	lab_end_free(sides->client);
	lab_end_free(sides->at_client);
	lab_end_free(sides->at_server);
	lab_end_free(sides->server);
}

static bool sides_join(const struct lab *lab, enum lab_who shown, struct sides *sides, struct error *err)
{
	struct lab_setup setup = plain;
	sides->client = lab_client(lab, &plain, err);
	sides->server = lab_server(lab, &plain, err);
	sides->at_server = lab_client(lab, &plain, err);
	setup.who = shown;
	sides->at_client = lab_server(lab, &setup, err);
	return sides->client && sides->server && sides->at_client && sides->at_server &&
	       lab_join(sides->at_server, sides->server, NULL, NULL, err) &&
	       lab_join(sides->client, sides->at_client, NULL, NULL, err);
}

/* The relay in its place: what it read goes on in a record of the other leg. */
static bool carry(const struct sides *sides)
{
	return lab_says(sides->client, sides->at_client, DROPOUT_REQUEST, NULL) &&
	       lab_says(sides->at_server, sides->server, DROPOUT_REQUEST, NULL) &&
	       lab_says(sides->server, sides->at_server, DROPOUT_RESPONSE, NULL) &&
	       lab_says(sides->at_client, sides->client, DROPOUT_RESPONSE, NULL);
}

static bool same_secret(const struct sides *sides, const char *label, struct tls_secret *a, struct tls_secret *b)
{
	return lab_secret(sides->client, label, 0, a) && lab_secret(sides->server, label, 0, b) &&
	       bytes_equal_secret(tls_secret_bytes(a), tls_secret_bytes(b));
}

static void tell(struct story *story, const struct sides *sides, bool handed)
{
	struct tls_secret a = {0}, b = {0};
	bool read = carry(sides), equal = same_secret(sides, "CLIENT_TRAFFIC_SECRET_0", &a, &b);
	bool flows = dropout_flows(sides->client, sides->server);
	bool same = SSL_get0_peer_certificate(lab_ssl(sides->client)) &&
	            X509_cmp(SSL_get0_peer_certificate(lab_ssl(sides->client)),
			    SSL_get0_peer_certificate(lab_ssl(sides->at_server))) == 0;
	story_row(story, handed ? "tls13-certificate-handed" : "tls13-two-handshakes",
		handed ? "TLS 1.3, the relay was handed the server's certificate, and its private key too"
		       : "TLS 1.3, the relay with a certificate of its own");
	story_flag(story, "certificate_same", "shown the server's certificate", same);
	dropout_secret(story, "client_secret", "traffic secret, client", tls_secret_bytes(&a));
	dropout_secret(story, "server_secret", "traffic secret, server", tls_secret_bytes(&b));
	story_flag(story, "secrets_equal", "traffic secrets equal", equal);
	story_flag(story, "relay_read", "the relay read while it stood in", read);
	story_flag(story, "data_flows", "data flows once the relay left", flows);
	story_words(story, "fault", "ended by, at the server",
		lab_fault(sides->server)[0] ? lab_fault(sides->server) : "nothing");
	story_held(story, read && !equal && !flows && same == handed, "%s",
		handed ? "The certificate is no longer hidden from anybody, and still the relay cannot leave. What is "
			 "in the way is not "
			 "that TLS 1.3 encrypts the certificate, but that both sides put their own Diffie-Hellman "
			 "share and every "
			 "message they saw into the keys."
		       : "Groups are named in TLS 1.3, so the relay agrees on one secret with the client and on "
			 "another with the "
			 "server; and every traffic secret is derived from the hash of all messages, of which there "
			 "are two "
			 "different sets. There is no extension to strip.");
	tls_secret_wipe(&a);
	tls_secret_wipe(&b);
}

bool dropout_tls13(const struct lab *lab, struct story *story, struct error *err)
{
	static const enum lab_who shown[] = {LAB_RELAY, LAB_SERVER};
	for (unsigned i = 0; i < 2; i++) {
		struct sides sides = {0};
		bool ok = sides_join(lab, shown[i], &sides, err);
		if (ok)
			tell(story, &sides, shown[i] == LAB_SERVER);
		sides_free(&sides);
		if (!ok)
			return false;
	}
	return true;
}

/* A relay that copies octets, and looks at those of the server's first flights. */
static bool decide_late(const struct lab *lab, bool tls13, struct story *story, struct error *err)
{
	static const struct lab_setup tls12 = {
		.version = TLS_VERSION_12, .suites = "ECDHE-RSA-AES128-GCM-SHA256", .groups = "X25519"};
	struct lab_end *client = lab_client(lab, tls13 ? &plain : &tls12, err);
	struct lab_end *server = lab_server(lab, tls13 ? &plain : &tls12, err);
	struct buffer tap = {.cap = LAB_STREAM};
	struct tls_secret a = {0}, b = {0};
	uint8_t *der = NULL;
	int len = i2d_X509(lab_cert(lab, LAB_SERVER), &der);
	bool ok = client && server && len > 0 && lab_join(client, server, NULL, &tap, err);
	if (ok) {
		const char *label = tls13 ? "CLIENT_TRAFFIC_SECRET_0" : "CLIENT_RANDOM";
		bool seen = memmem(tap.data, tap.len, der, (size_t)len) != NULL;
		bool equal = lab_secret(client, label, 0, &a) && lab_secret(server, label, 0, &b) &&
		             bytes_equal_secret(tls_secret_bytes(&a), tls_secret_bytes(&b));
		bool flows = dropout_flows(client, server);
		story_row(story, tls13 ? "tls13-late-deciding" : "tls12-late-deciding",
			tls13 ? "TLS 1.3, a relay that copies, and would decide by the certificate it sees pass"
			      : "TLS 1.2, a relay that copies, and would decide by the certificate it sees pass");
		story_flag(story, "certificate_seen", "the certificate is there to be seen", seen);
		story_flag(story, "secrets_equal", "secrets equal, end to end", equal);
		story_flag(story, "data_flows", "data flows", flows);
		story_held(story, seen == !tls13 && equal && flows, "%s",
			tls13 ? "The server's certificate is encrypted to the client: who copies sees the hellos and "
				"no "
				"more. So a decision by certificate, issuer or verification needs a look of one's own, "
				"before the client's hello is passed on. This is what the encryption takes away."
			      : "The certificate goes by in the clear, one flight before the client commits itself. A "
				"relay could copy up to here and decide only now.");
	}
	tls_secret_wipe(&a);
	tls_secret_wipe(&b);
	OPENSSL_free(der);
	buffer_clear(&tap);
	lab_end_free(client);
	lab_end_free(server);
	return ok;
}

bool dropout_late_deciding(const struct lab *lab, struct story *story, struct error *err)
{
	return decide_late(lab, false, story, err) && decide_late(lab, true, story, err);
}
