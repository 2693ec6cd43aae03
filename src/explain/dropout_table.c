/* explain/dropout_table.c — two key schedules of TLS 1.3 side by side (RFC 8446, 7.1). */
#include "base/text.h"
#include "explain/dropout_parts.h"
#include "tls/handshake.h"
#include "tls/hello.h"
#include "tls/protect.h"
#include "tls/schedule13.h"
#include "tls/transcript.h"

#include <stdio.h>

#define MESSAGE_MAX ((size_t)64 * 1024)
#define SHOWN       8 /* octets of a value in the table */

enum step {
	EARLY,
	SHARED,
	HANDSHAKE_SECRET,
	HELLOS,
	C_HS,
	S_HS,
	MASTER,
	TO_SERVER_FINISHED,
	C_AP,
	S_AP,
	EXPORTER,
	TO_CLIENT_FINISHED,
	RESUMPTION,
	STEPS
};

static const char *const step_name[STEPS] = {"early secret", "Diffie-Hellman secret", "handshake secret",
	"hash: hellos", "client handshake traffic", "server handshake traffic", "master secret",
	"hash: to server Finished", "client traffic", "server traffic", "exporter", "hash: to client Finished",
	"resumption"};

/* What OpenSSL's key log calls it; NULL where it does not say. */
static const char *const step_label[STEPS] = {[C_HS] = "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
	[S_HS] = "SERVER_HANDSHAKE_TRAFFIC_SECRET",
	[C_AP] = "CLIENT_TRAFFIC_SECRET_0",
	[S_AP] = "SERVER_TRAFFIC_SECRET_0",
	[EXPORTER] = "EXPORTER_SECRET"};

struct schedule {
	struct tls_secret value[STEPS];
};

/* What a connection's schedule is made of. */
struct given {
	struct bytes messages;    /* from ClientHello to the client's Finished */
	struct bytes certificate; /* in the place of the one in there; empty: none */
	struct bytes shared;
};

static bool derive_all(struct crypto *crypto, enum suite_hash hash, struct schedule *s, enum step at)
{
	struct tls_secret *v = s->value;
	struct bytes t = tls_secret_bytes(&v[at]);
	if (at == HELLOS)
		return schedule13_derive(crypto, hash, &v[HANDSHAKE_SECRET], SCHEDULE13_C_HS_TRAFFIC, t, &v[C_HS]) &&
		       schedule13_derive(crypto, hash, &v[HANDSHAKE_SECRET], SCHEDULE13_S_HS_TRAFFIC, t, &v[S_HS]);
	if (at == TO_SERVER_FINISHED)
		return schedule13_derive(crypto, hash, &v[MASTER], SCHEDULE13_C_AP_TRAFFIC, t, &v[C_AP]) &&
		       schedule13_derive(crypto, hash, &v[MASTER], SCHEDULE13_S_AP_TRAFFIC, t, &v[S_AP]) &&
		       schedule13_derive(crypto, hash, &v[MASTER], SCHEDULE13_EXP_MASTER, t, &v[EXPORTER]);
	return schedule13_derive(crypto, hash, &v[MASTER], SCHEDULE13_RES_MASTER, t, &v[RESUMPTION]);
}

static bool walk(struct crypto *crypto, enum suite_hash hash, const struct given *given, struct transcript *t,
	struct schedule *out)
{
	struct bytes rest = given->messages;
	struct handshake message;
	unsigned finished = 0;
	while (finished < 2 && handshake_read(&rest, MESSAGE_MAX, &message) == HANDSHAKE_OK) {
		bool other = message.type == HANDSHAKE_CERTIFICATE && given->certificate.len > 0;
		enum step at = STEPS;
		if (transcript_add(t, other ? given->certificate : message.whole) != TRANSCRIPT_OK)
			return false;
		if (message.type == HANDSHAKE_SERVER_HELLO)
			at = HELLOS;
		else if (message.type == HANDSHAKE_FINISHED)
			at = finished++ == 0 ? TO_SERVER_FINISHED : TO_CLIENT_FINISHED;
		if (at != STEPS &&
			(transcript_value(t, &out->value[at]) != TRANSCRIPT_OK || !derive_all(crypto, hash, out, at)))
			return false;
	}
	return finished == 2;
}

static bool compute(struct crypto *crypto, const struct given *given, struct schedule *out)
{
	struct transcript t;
	enum suite_hash hash = SUITE_HASH_SHA256;
	struct tls_secret *v = out->value;
	transcript_init(&t, TRANSCRIPT_CAP);
	bool ok = schedule13_early(crypto, hash, BYTES_NONE, &v[EARLY]) && tls_secret_set(&v[SHARED], given->shared) &&
	          schedule13_handshake(crypto, hash, &v[EARLY], given->shared, &v[HANDSHAKE_SECRET]) &&
	          schedule13_master(crypto, hash, &v[HANDSHAKE_SECRET], &v[MASTER]) &&
	          transcript_choose(&t, hash) == TRANSCRIPT_OK && walk(crypto, hash, given, &t, out);
	transcript_free(&t);
	return ok;
}

static bool same(const struct schedule *a, const struct schedule *b, enum step at)
{
	return bytes_equal(tls_secret_bytes(&a->value[at]), tls_secret_bytes(&b->value[at]));
}

static enum step first_difference(const struct schedule *a, const struct schedule *b)
{
	enum step at = EARLY;
	while (at < STEPS && same(a, b, at))
		at++;
	return at;
}

/* What was computed is what OpenSSL logged. */
static bool agrees(const struct schedule *schedule, const struct lab_end *end)
{
	for (enum step at = EARLY; at < STEPS; at++) {
		struct tls_secret logged = {0};
		bool ok = !step_label[at] || (lab_secret(end, step_label[at], 0, &logged) &&
						     bytes_equal_secret(tls_secret_bytes(&logged),
							     tls_secret_bytes(&schedule->value[at])));
		tls_secret_wipe(&logged);
		if (!ok)
			return false;
	}
	return true;
}

static void tell_table(
	struct story *story, const struct schedule *a, const struct schedule *b, const struct schedule *c)
{
	static const char *const columns[] = {
		"step", "client and relay", "relay and server", "only the certificate differs", NULL};
	const struct schedule *const all[] = {a, b, c};
	story_table(story,
		"The key schedule, first octets of each value (the fourth column is the second, save for one message)",
		columns);
	for (enum step at = EARLY; at < STEPS; at++) {
		char cell[3][2 * SHOWN + 16];
		for (unsigned i = 0; i < 3; i++) {
			char hex[2 * SHOWN + 1];
			struct bytes value = tls_secret_bytes(&all[i]->value[at]);
			text_hex(hex, sizeof(hex), bytes_of(value.data, value.len < SHOWN ? value.len : SHOWN));
			snprintf(
				cell[i], sizeof(cell[i]), "%s%s", hex, i > 0 && !same(a, all[i], at) ? " differs" : "");
		}
		story_line(story, at == first_difference(a, b) || at == first_difference(a, c),
			(const char *const[]){step_name[at], cell[0], cell[1], cell[2], NULL});
	}
}

/* A record of the one schedule's client opens with the keys of the other's. */
static bool opens(struct crypto *crypto, const struct schedule *by, const struct schedule *with)
{
	const struct suite *suite = suite_by_name(bytes_str("TLS_AES_128_GCM_SHA256"));
	struct traffic_keys seal = {0}, open = {0};
	uint8_t room[256], plain[256];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes octets;
	struct record record;
	struct opened opened;
	bool ok = suite && schedule13_keys(crypto, suite, &by->value[C_AP], &seal) &&
	          schedule13_keys(crypto, suite, &with->value[C_AP], &open);
	struct protect *sealing =
		ok ? protect_new(crypto, &(struct protect_setup){suite, TLS_VERSION_13, false, &seal, 0}) : NULL;
	struct protect *opening =
		ok ? protect_new(crypto, &(struct protect_setup){suite, TLS_VERSION_13, false, &open, 0}) : NULL;
	ok = sealing && opening &&
	     protect_seal(sealing, RECORD_APPLICATION_DATA, bytes_str(DROPOUT_REQUEST), 0, &w) == PROTECT_OK &&
	     writer_done(&w, &octets) && record_read(&octets, &record) == RECORD_OK &&
	     protect_open(opening, &record, plain, sizeof(plain), &opened) == PROTECT_OK;
	protect_free(sealing);
	protect_free(opening);
	traffic_keys_wipe(&seal);
	traffic_keys_wipe(&open);
	return ok;
}

static void tell(struct story *story, struct lab_end *client, struct lab_end *server, const struct schedule s[3])
{
	enum step first = first_difference(&s[0], &s[1]);
	bool logged = agrees(&s[0], client) && agrees(&s[1], server);
	tell_table(story, &s[0], &s[1], &s[2]);
	bool flows = dropout_flows(client, server), equal = same(&s[0], &s[1], C_AP) && same(&s[0], &s[1], S_AP);
	story_row(story, "tls13-key-schedule", "The first line that differs, in fact");
	story_flag(story, "matches_key_logs", "computed values are those of both key logs", logged);
	story_words(story, "first_difference", "first line that differs", first < STEPS ? step_name[first] : "none");
	story_flag(story, "secrets_equal", "traffic secrets equal", equal);
	story_flag(story, "data_flows", "records of one open on the other side", flows);
	story_held(story, logged && first == SHARED && !equal && !flows,
		"The early secret is the same, since there is no pre-shared key: HKDF-Extract of zeros. Then each side "
		"puts in the "
		"Diffie-Hellman secret it shares with the relay. Each line below is HMAC under a line above it; no "
		"line further "
		"down could become equal again unless HMAC or its hash were broken.");
}

static void tell_supposed(struct crypto *crypto, struct story *story, const struct schedule s[3])
{
	enum step only = first_difference(&s[0], &s[2]);
	bool equal = same(&s[0], &s[2], C_AP) || same(&s[0], &s[2], S_AP);
	bool flows = opens(crypto, &s[0], &s[2]);
	story_row(story, "tls13-only-the-certificate", "Suppose the relay could make the Diffie-Hellman secrets equal");
	story_words(story, "first_difference", "first line that differs", only < STEPS ? step_name[only] : "none");
	story_flag(story, "secrets_equal", "traffic secrets equal", equal);
	story_flag(story, "data_flows", "records of one open on the other side", flows);
	story_flag(story, "own_records_open", "records of one open on the same side", opens(crypto, &s[0], &s[0]));
	story_held(story, only == TO_SERVER_FINISHED && !equal && !flows && opens(crypto, &s[0], &s[0]),
		"Same secret, same hellos, every message the same but the certificate: the master secret is the same "
		"too. But traffic "
		"secrets are HKDF-Expand-Label(master secret, label, hash of all messages), and that hash has another "
		"certificate in "
		"it. TLS 1.2 with extended master secret does the same thing one step earlier. The table's fourth "
		"column is "
		"computed; all else in it happened.");
}

/* The Certificate message of a handshake, with its header. */
static struct bytes certificate_of(struct bytes messages)
{
	struct handshake message;
	while (handshake_read(&messages, MESSAGE_MAX, &message) == HANDSHAKE_OK) {
		if (message.type == HANDSHAKE_CERTIFICATE)
			return message.whole;
	}
	return BYTES_NONE;
}

static bool compare(struct story *story, struct lab_end *client, struct lab_end *server, struct error *err)
{
	struct crypto *crypto = crypto_new();
	struct schedule s[3] = {0};
	struct tls_secret shared[2] = {0};
	bool ok = crypto && lab_shared(client, &shared[0]) && lab_shared(server, &shared[1]);
	struct given given[3] = {
		{.messages = lab_messages(client), .shared = tls_secret_bytes(&shared[0])},
		{.messages = lab_messages(server), .shared = tls_secret_bytes(&shared[1])},
		{.messages = lab_messages(client),
			.shared = tls_secret_bytes(&shared[0]),
			.certificate = certificate_of(lab_messages(server))},
	};
	for (unsigned i = 0; ok && i < 3; i++)
		ok = compute(crypto, &given[i], &s[i]);
	if (ok) {
		tell(story, client, server, s);
		tell_supposed(crypto, story, s);
	} else {
		error_set_openssl(err, "the key schedule cannot be computed");
	}
	OPENSSL_cleanse(s, sizeof(s));
	OPENSSL_cleanse(shared, sizeof(shared));
	crypto_free(crypto);
	return ok;
}

bool dropout_table(const struct lab *lab, struct story *story, struct error *err)
{
	const struct lab_setup setup = {
		.version = TLS_VERSION_13, .suites = "TLS_AES_128_GCM_SHA256", .groups = "X25519"};
	struct lab_setup relays = setup;
	relays.who = LAB_RELAY;
	struct lab_end *client = lab_client(lab, &setup, err), *at_client = lab_server(lab, &relays, err);
	struct lab_end *at_server = lab_client(lab, &setup, err), *server = lab_server(lab, &setup, err);
	bool ok = client && at_client && at_server && server && lab_join(client, at_client, NULL, NULL, err) &&
	          lab_join(at_server, server, NULL, NULL, err) && compare(story, client, server, err);
	lab_end_free(client);
	lab_end_free(at_client);
	lab_end_free(at_server);
	lab_end_free(server);
	return ok;
}
