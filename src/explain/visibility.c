/*
 * explain/visibility.c — the story of keys handed to a reader: in the handshake itself (draft-rhrd-tls-tls13-visibility-01), by
 * a key share that never changes (ETSI TS 103 523-3), and by record keys of one direction.
 */
#include "base/text.h"
#include "explain/lab_parts.h"
#include "explain/stories.h"
#include "explain/visibility_parts.h"
#include "tls/extension.h"
#include "tls/group.h"
#include "tls/hello.h"
#include "tls/schedule13.h"

#include <stdio.h>

#define QUESTION "what is my balance?"
#define ANSWER   "it is 42"
#define LIE      "transfer it to somebody else"

/* One connection with all that took part in it. */
struct scene {
	struct crypto *crypto;
	const struct lab *lab;
	struct story *story;
	struct error *err;
	struct visibility_pair reader; /* SSWrapDH1 */
	struct own_server server;
	struct stock_client client;
	struct observer observer;
	struct buffer wire[2];
};

static void scene_clear(struct scene *scene)
{
	own_server_clear(&scene->server);
	stock_client_clear(&scene->client);
	observer_wipe(&scene->observer);
	buffer_clear(&scene->wire[0]);
	buffer_clear(&scene->wire[1]);
}

/* A server with this certificate, a client that trusts `anchor` alone, and a conversation. */
static bool play(struct scene *scene, X509 *cert, X509 *anchor, const struct visibility_pair *share, bool wraps)
{
	scene->wire[0].cap = scene->wire[1].cap = VISIBILITY_STREAM;
	scene->server = (struct own_server){.crypto = scene->crypto,
		.share = *share,
		.cert = cert,
		.key = lab_key(scene->lab, LAB_SERVER),
		.reader = wraps ? scene->reader.public : NULL};
	scene->observer = (struct observer){.crypto = scene->crypto};
	return stock_client_make(&scene->client, anchor, wraps, NULL, scene->err) &&
	       visibility_converse(&scene->client, &scene->server, scene->wire, QUESTION, ANSWER, scene->err);
}

/* The wrapped secrets in the ServerHello on the wire. */
static bool find_wrapped(const struct scene *scene, struct bytes *data)
{
	struct bytes body, whole;
	struct server_hello hello;
	struct extension extension;
	if (!observer_hello(buffer_bytes(&scene->wire[1]), &body, &whole) ||
		server_hello_parse(body, &hello) != HELLO_OK ||
		!extension_find(hello.extensions, VISIBILITY_EXTENSION, &extension))
		return false;
	*data = extension.data;
	return true;
}

static void tell_handshake(struct scene *scene, struct bytes wrapped)
{
	struct bytes rest = wrapped, fingerprint = BYTES_NONE, dh2 = BYTES_NONE, sealed = BYTES_NONE;
	bool whole = bytes_vec8(&rest, &fingerprint) && bytes_vec16(&rest, &dh2) && bytes_vec16(&rest, &sealed);
	story_figure(
		scene->story, "In the handshake itself", (const char *const[]){"client", "observer", "server", NULL});
	story_arrow(scene->story, 0, 2, "ClientHello: visibility (empty)", "I may be read");
	story_arrow(scene->story, 2, 0, "ServerHello: wrapped SessionSecrets",
		"fingerprint of SSWrapDH1, SSWrapDH2, early and handshake secret sealed");
	story_mark(scene->story, 1, false, "unwraps with SSWrapDH1");
	story_arrow(scene->story, 0, 2, QUESTION, NULL);
	story_arrow(scene->story, 2, 0, ANSWER, NULL);
	story_mark(scene->story, 1, true, "reads all, could write all");
	story_row(scene->story, "inband-handshake",
		"A stock client finishes the handshake with the extension in the ServerHello");
	story_hex(scene->story, "fingerprint", "fingerprint of SSWrapDH1", fingerprint);
	story_hex(scene->story, "sswrapdh2", "SSWrapDH2, of this session", dh2);
	story_number(scene->story, "sealed_octets", "octets of sealed SessionSecrets", sealed.len);
	story_flag(scene->story, "data_flows", "data flows", true);
	story_held(scene->story, whole && scene->client.was_wrapped,
		"SSWrapDH1 is the reader's lasting key; the server makes a fresh SSWrapDH2, agrees with SSWrapDH1 on a "
		"key and "
		"seals under it. The handshake secret is known when the ServerHello is made, so that it can go into "
		"it.");
	story_row(scene->story, "inband-no-name",
		"In the lab's extension, as the published critique says, nothing tells the client who reads");
	story_words(scene->story, "told", "what the lab's extension tells", "20 octets of the hash of a public key");
	story_flag(scene->story, "reader_named", "a name of the reader in the lab's extension", false);
	story_flag(scene->story, "reader_signs", "a signature by the reader in the lab's extension", false);
	story_held(scene->story, whole && rest.len == 0 && fingerprint.len == VISIBILITY_FINGERPRINT,
		"The lab wrote this extension itself, after that critique: its fields are those above, and nothing is "
		"left over. That there is no name in the draft's is the critique's word. A fingerprint says who reads "
		"only to those who know the key already; the reader takes no part, and nobody vouches for it.");
}

static bool secrets_equal(const struct scene *scene)
{
	return bytes_equal_secret(
		tls_secret_bytes(&scene->observer.server_traffic), tls_secret_bytes(&scene->server.server_traffic));
}

static void tell_reading(struct scene *scene, const char *name, const char *title, const char *why)
{
	bool read = observer_read(&scene->observer, scene->wire);
	bool right = strcmp(scene->observer.text[0], QUESTION) == 0 && strcmp(scene->observer.text[1], ANSWER) == 0;
	story_row(scene->story, name, title);
	story_flag(scene->story, "secrets_equal", "traffic secrets are the server's", read && secrets_equal(scene));
	story_words(scene->story, "client_said", "what the client said", scene->observer.text[0]);
	story_words(scene->story, "server_said", "what the server said", scene->observer.text[1]);
	story_held(scene->story, read && right && secrets_equal(scene), "%s", why);
}

static void tell_forgery(struct scene *scene)
{
	struct buffer record = {.cap = VISIBILITY_STREAM};
	bool made = observer_forge(&scene->observer, LIE, &record);
	bool taken = made && stock_client_reads(&scene->client, buffer_bytes(&record), LIE);
	buffer_clear(&record);
	story_row(scene->story, "inband-forge", "The holder writes in the session that it was to read");
	story_words(scene->story, "forged", "what it wrote", LIE);
	story_flag(scene->story, "client_took_it", "the client took it for the server's", taken);
	story_held(scene->story, taken,
		"Record keys are symmetric: whoever can open a record can make one. Nothing marks the reader as a "
		"reader.");
}

/* The client resumes; the holder answers in the server's place, with a fresh key share and no certificate. */
static bool masquerade(struct scene *scene, X509 *anchor, const char *name, struct error *err)
{
	struct buffer wire[2] = {{.cap = VISIBILITY_STREAM}, {.cap = VISIBILITY_STREAM}};
	struct own_server impostor = {.crypto = scene->crypto, .psk = scene->observer.psk};
	struct stock_client victim;
	bool equal = bytes_equal_secret(tls_secret_bytes(&scene->observer.psk), tls_secret_bytes(&scene->server.psk));
	struct error why = {""};
	bool ok = visibility_pair_make(&impostor.share) || error_set(err, "no key can be made");
	ok = ok && stock_client_make(&victim, anchor, false, scene->client.session, err);
	if (ok) {
		bool fooled = visibility_converse(&victim, &impostor, wire, QUESTION, LIE, &why);
		bool resumed = fooled && SSL_session_reused(victim.ssl) == 1;
		bool verified = fooled && SSL_get_verify_result(victim.ssl) == X509_V_OK;
		story_row(scene->story, name, "The holder poses as the server in the client's next connection");
		story_flag(scene->story, "psk_equal", "the holder's PSK is the server's", equal);
		story_flag(scene->story, "resumed", "the client resumed its session", resumed);
		story_flag(scene->story, "verified", "the client's verification result is good", verified);
		story_flag(scene->story, "client_took_it", "the client read what the holder made up", fooled);
		if (why.text[0])
			story_words(scene->story, "fault", "why not", why.text);
		story_held(scene->story, equal && resumed && verified,
			"The resumption secret is derived from the master secret, that one from the handshake secret, "
			"and with a "
			"resumption secret no certificate is shown any more. The real server took no part in this "
			"connection.");
		stock_client_clear(&victim);
	}
	own_server_clear(&impostor);
	buffer_clear(&wire[0]);
	buffer_clear(&wire[1]);
	return ok;
}

static bool tell_refusal(struct scene *scene, X509 *cert, X509 *anchor)
{
	struct buffer wire[2] = {{.cap = VISIBILITY_STREAM}, {.cap = VISIBILITY_STREAM}};
	struct own_server server = {.crypto = scene->crypto,
		.share = scene->server.share,
		.cert = cert,
		.key = lab_key(scene->lab, LAB_SERVER),
		.reader = scene->reader.public};
	struct stock_client client;
	bool ok = stock_client_make(&client, anchor, false, NULL, scene->err);
	if (ok) {
		bool begun = stock_client_step(&client, BYTES_NONE, &wire[0]);
		bool answered = own_server_answer(&server, buffer_bytes(&wire[0]), &wire[1]);
		story_row(scene->story, "inband-no-choice",
			"A server of the lab that insists turns away the client that does not offer to be read");
		story_flag(scene->story, "answered", "the server answered", answered);
		story_words(scene->story, "reason", "its reason", server.fault ? server.fault : "");
		story_held(scene->story, begun && !answered && server.fault != NULL,
			"The extension is an offer that the client may leave out, and then has no connection. In the "
			"ClientHello, the lab's is empty: the client cannot choose the reader, one direction, an end, "
			"or what the reader gets, for there are no fields for any of this.");
		stock_client_clear(&client);
	}
	own_server_clear(&server);
	buffer_clear(&wire[0]);
	buffer_clear(&wire[1]);
	return ok;
}

static bool tell_inband(struct scene *scene, X509 *anchor)
{
	X509 *cert = lab_cert(scene->lab, LAB_SERVER);
	struct visibility_pair share;
	struct tls_secret early;
	struct bytes wrapped;
	story_chapter(scene->story, "In-band: the secrets travel in the ServerHello");
	story_say(scene->story,
		"Built after what we know of draft-rhrd-tls-tls13-visibility-01: an empty extension in the "
		"ClientHello; "
		"in the ServerHello a fingerprint of the reader's key SSWrapDH1, the server's SSWrapDH2, and "
		"SessionSecrets (early and handshake secret) sealed between the two. Its text was not at hand. That "
		"there is an extension tls_visibility which the client offers and the server answers, that the "
		"reader's "
		"key is called SSWrapDH1, and that the reader has no name in it, is said by a public critique of the "
		"draft (S. Farrell, tinfoil) and was held against that. Not held against anything: code point (here "
		"0xffce), field widths, the fingerprint's length, and the sealing (here HPKE, RFC 9180). No finding "
		"below depends on them.");
	if (!visibility_pair_make(&scene->reader) || !visibility_pair_make(&share))
		return error_set(scene->err, "no key can be made");
	if (!play(scene, cert, anchor, &share, true))
		return false;
	if (!find_wrapped(scene, &wrapped) ||
		!visibility_unwrap(wrapped, &scene->reader, &early, &scene->observer.handshake))
		return error_set(scene->err, "the wrapped secrets cannot be unwrapped");
	tell_handshake(scene, wrapped);
	tell_reading(scene, "inband-observer", "An observer of the wire with SSWrapDH1's private key reads everything",
		"From the handshake secret and the messages on the wire follow all keys of the connection, in both "
		"directions and "
		"for ever, the client's Finished and the ticket's PSK included.");
	tell_forgery(scene);
	return tell_refusal(scene, cert, anchor) && masquerade(scene, anchor, "inband-masquerade", scene->err);
}

/* The (EC)DHE secret from the static private key and the share in the ClientHello: an observer needs no more. */
static bool ets_derive(struct scene *scene, const struct visibility_pair *fixed)
{
	struct bytes body, whole, shares, key;
	struct client_hello hello;
	struct tls_secret early, shared;
	uint16_t group;
	if (!observer_hello(buffer_bytes(&scene->wire[0]), &body, &whole) ||
		client_hello_parse(body, &hello) != HELLO_OK)
		return false;
	shares = hello.key_shares;
	while (key_share_next(&shares, &group, &key)) {
		if (group == GROUP_X25519)
			return visibility_agree(fixed->own, key, &shared) &&
			       schedule13_early(scene->crypto, SUITE_HASH_SHA256, BYTES_NONE, &early) &&
			       schedule13_handshake(scene->crypto, SUITE_HASH_SHA256, &early, tls_secret_bytes(&shared),
				       &scene->observer.handshake);
	}
	return false;
}

static void tell_certificate(struct scene *scene, X509 *cert, const struct visibility_pair *fixed)
{
	uint8_t told[10] = {0}, is[10] = {0};
	char description[64] = "";
	bool found = ets_read(cert, told, description, sizeof(description)) && ets_fingerprint(fixed->public, is);
	bool same = found && memcmp(told, is, sizeof(told)) == 0;
	story_row(scene->story, "ets-certificate",
		"The certificate says that the key share is lasting, and who may use it");
	story_hex(scene->story, "fingerprint", "fingerprint in VisibilityInformation", bytes_of(told, sizeof(told)));
	story_words(scene->story, "description", "accessDescription", description);
	story_flag(scene->story, "matches", "it is that of the key share in the ServerHello", same);
	story_flag(scene->story, "client_stopped", "the stock client stopped at it", false);
	story_held(scene->story, same,
		"VisibilityInformation is an otherName of the subjectAltName (" ETS_OID
		"). A client that does not look for it, and "
		"stock libraries do not, goes on as ever: it is told, and does not hear. It cannot answer either.");
}

static bool tell_ets(struct scene *scene)
{
	struct visibility_pair fixed;
	X509 *cert = NULL;
	bool ok = visibility_pair_make(&fixed) && (cert = ets_certificate(lab_key(scene->lab, LAB_SERVER), fixed.public,
							   "the data centre's monitoring"));
	story_chapter(scene->story, "ETS: a key share that never changes");
	story_say(scene->story,
		"ETSI TS 103 523-3 leaves the handshake as it is. The server uses the same Diffie-Hellman key pair "
		"in every connection, and readers have its private key. VisibilityInformation is as clause 4.3.3 has "
		"it: "
		"SEQUENCE of an OCTET STRING of 10 octets, the first 80 bits of SHA-256 over the public key as it "
		"stands "
		"in the ServerHello's key_share, and a UTF8String; its object identifier is 0.4.0.3523.3.1. The clause "
		"was read as the documentation of wolfKeyMgr gives it again, not in the standard itself, which was not "
		"at hand; that it stands in the subjectAltName as an otherName was held against neither.");
	if (!ok)
		error_set_openssl(scene->err, "a certificate with VisibilityInformation cannot be made");
	for (unsigned turn = 0; ok && turn < 2; turn++) {
		scene_clear(scene);
		ok = play(scene, cert, cert, &fixed, false) && ets_derive(scene, &fixed);
		if (!ok && !scene->err->text[0])
			error_set(scene->err, "the connection with a lasting key share cannot be read");
		if (ok && turn == 0)
			tell_certificate(scene, cert, &fixed);
		if (ok)
			tell_reading(scene, turn == 0 ? "ets-observer" : "ets-second",
				turn == 0 ? "An observer with the static private key reads everything"
					  : "The same key opens the next connection, and every one before it",
				turn == 0 ? "The (EC)DHE secret follows from the static key and the share in the "
					    "ClientHello."
					  : "Forward secrecy is gone: whoever gets this key later reads what was "
					    "recorded earlier.");
	}
	ok = ok && masquerade(scene, cert, "ets-masquerade", scene->err);
	X509_free(cert);
	return ok;
}

/* Opens the first application record of a side: whether the key fits. */
static bool opens(struct scene *scene, unsigned side, const struct traffic_keys *keys)
{
	uint8_t plain[1024];
	struct bytes rest = buffer_bytes(&scene->wire[side]);
	struct record record, last = {0};
	struct opened opened;
	struct protect_setup setup = {.suite = suite_find(0x1301),
		.version = TLS_VERSION_13,
		.keys = keys,
		.sequence = scene->observer.next[side] - 1};
	struct protect *protect = protect_new(scene->crypto, &setup);
	while (record_read(&rest, &record) == RECORD_OK)
		last = record;
	bool ok = protect && last.fragment.len > 0 && last.fragment.len <= sizeof(plain) &&
	          protect_open(protect, &last, plain, sizeof(plain), &opened) == PROTECT_OK;
	protect_free(protect);
	return ok;
}

static void tell_share(struct scene *scene)
{
	const struct traffic_keys *keys = &scene->observer.server_keys;
	story_chapter(scene->story, "Share: a record key of one direction");
	story_row(scene->story, "share-one-direction", "One record key opens one direction of one generation");
	bool server = opens(scene, 1, keys), client = opens(scene, 0, keys);
	story_number(scene->story, "released_octets", "octets released", 16 + 12);
	story_flag(scene->story, "opens_server", "opens what the server said", server);
	story_flag(scene->story, "opens_client", "opens what the client said", client);
	story_held(scene->story, server && !client,
		"Key and IV come out of the traffic secret through HKDF, and nothing leads back: not to the other "
		"direction, not to "
		"the next key update, not to a ticket. While the key is in use its holder could still write with it; "
		"released after "
		"rotation it reads and forges nothing (overt explain readonly).");
}

static void tell_comparison(struct story *story)
{
	static const char *const lines[][5] = {
		{"client is told", "that somebody reads", "by the certificate, if it looks", "yes, who and for what",
			NULL},
		{"reader has a name", "no: a fingerprint", "no", "yes, certified and in the log", NULL},
		{"client must agree", "by an empty extension, or no connection", "no",
			"yes, unless a grant says why not", NULL},
		{"server must agree", "yes", "yes: it gives the secrets", "one endpoint at least, by default both",
			NULL},
		{"one direction only", "no", "no", "yes", NULL},
		{"can end within a connection", "no", "no", "yes: no key after the next KeyUpdate", NULL},
		{"holder can write", "yes", "yes", "live: yes; after rotation: no", NULL},
		{"holder can resume and pose as server", "yes", "yes", "no", NULL},
		{"past connections when the key is lost", "all", "all, with a static key",
			"those released, until they expire", NULL},
		{"seen by everyone on the path", "yes: the ServerHello is in the clear", "no", "no", NULL},
		{"stock libraries suffice", "no", "for clients", "yes", NULL},
	};
	story_chapter(story, "Side by side");
	story_table(story, "What each way gives to whom",
		(const char *const[]){"property", "in-band (the lab's, after the draft)",
			"out-of-band (ETS, whole secrets)", "Overt's share, as specified", NULL});
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		story_line(story, false, lines[i]);
}

bool explain_visibility(const struct explain_options *options, struct story *story, struct error *err)
{
	struct crypto *crypto = crypto_new();
	struct lab *lab = lab_new(err);
	struct scene scene = {.crypto = crypto, .lab = lab, .story = story, .err = err};
	(void)options;
	if (!crypto)
		error_set(err, "no memory");
	story_say(story, "Client: stock OpenSSL. Server: a small TLS 1.3 server of this program, since no stock "
			 "library gives its "
			 "secrets away in a handshake. Observer: has the octets on the wire, and one private key.");
	bool ok = crypto && lab && tell_inband(&scene, lab->identity[LAB_SERVER].ca);
	if (ok)
		ok = tell_ets(&scene);
	if (ok) {
		tell_share(&scene);
		tell_comparison(story);
	}
	scene_clear(&scene);
	OPENSSL_cleanse(&scene, sizeof(scene));
	lab_free(lab);
	crypto_free(crypto);
	return ok;
}
