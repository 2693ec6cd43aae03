/* explain/dropout_ways.c — leaving as TLS 1.3 allows it: before the answer, or by keys that end (RFC 8446, 4.6.3). */
#include "explain/dropout_parts.h"
#include "tls/handshake.h"
#include "tls/hello.h"
#include "tls/protect.h"
#include "tls/record.h"
#include "tls/schedule13.h"

#define SUITE "TLS_AES_128_GCM_SHA256"

static const struct lab_setup tls13 = {.version = TLS_VERSION_13, .suites = SUITE, .groups = "X25519"};
static const struct lab_setup tls12 = {.version = TLS_VERSION_12, .suites = "ECDHE-RSA-AES128-GCM-SHA256"};

static bool ends_agree(const struct lab_end *client, const struct lab_end *server, uint16_t version)
{
	const char *label = version == TLS_VERSION_13 ? "CLIENT_TRAFFIC_SECRET_0" : "CLIENT_RANDOM";
	struct tls_secret a = {0}, b = {0};
	bool equal = lab_secret(client, label, 0, &a) && lab_secret(server, label, 0, &b) &&
	             bytes_equal_secret(tls_secret_bytes(&a), tls_secret_bytes(&b));
	tls_secret_wipe(&a);
	tls_secret_wipe(&b);
	return equal;
}

/* The relay's own handshake with the server, ended after the look. */
static bool look(const struct lab *lab, const struct lab_setup *setup, bool *seen, struct error *err)
{
	struct lab_end *relay = lab_client(lab, setup, err), *server = lab_server(lab, setup, err);
	bool ok = relay && server && lab_join(relay, server, NULL, NULL, err);
	*seen = ok && SSL_get0_peer_certificate(lab_ssl(relay)) && SSL_get_verify_result(lab_ssl(relay)) == X509_V_OK;
	if (ok)
		SSL_shutdown(lab_ssl(relay));
	lab_end_free(relay);
	lab_end_free(server);
	return ok;
}

/* Held: the client waits while the relay looks; then the hello goes out as it came in. */
static bool hold_and_forward(struct lab_end *client, struct lab_end *server, bool *untouched, struct error *err)
{
	struct buffer held = {.cap = LAB_STREAM};
	bool ok = buffer_add(&held, lab_take(client)) && lab_give(server, buffer_bytes(&held)) &&
	          lab_join(client, server, NULL, NULL, err);
	/* What the server hashed begins with what the client sent, behind the record's header. */
	struct bytes hello = buffer_bytes(&held);
	*untouched = ok && bytes_skip(&hello, RECORD_HEADER) && bytes_starts(lab_messages(server), hello);
	buffer_clear(&held);
	return ok;
}

static bool step_aside(const struct lab *lab, const struct lab_setup *setup, struct story *story, struct error *err)
{
	bool is13 = setup->version == TLS_VERSION_13, seen = false, untouched = false;
	struct lab_end *client = lab_client(lab, setup, err), *server = lab_server(lab, setup, err);
	bool ok = client && server && lab_step(client) == LAB_WAITS && look(lab, setup, &seen, err) &&
	          hold_and_forward(client, server, &untouched, err);
	if (ok) {
		bool equal = ends_agree(client, server, setup->version), flows = dropout_flows(client, server);
		story_row(story, is13 ? "tls13-step-aside" : "tls12-step-aside",
			is13 ? "TLS 1.3: deciding before the answer (step aside)"
			     : "TLS 1.2: deciding before the answer (step aside)");
		story_flag(story, "certificate_seen", "the relay saw and verified the certificate", seen);
		story_flag(story, "hello_untouched", "the server got the client's hello, octet for octet", untouched);
		story_flag(story, "relay_read", "the relay can read the connection", false);
		story_flag(story, "secrets_equal", "secrets equal, end to end", equal);
		story_flag(story, "data_flows", "data flows", flows);
		story_held(story, seen && untouched && equal && flows,
			"The relay holds the ClientHello, looks at the server with a handshake of its own, and closes "
			"that. Then it "
			"either answers the client itself, and stays; or it opens a fresh connection, forwards the "
			"held hello "
			"untouched and copies octets. In the second case there is one handshake, and the relay is no "
			"party to it.");
	}
	lab_end_free(client);
	lab_end_free(server);
	return ok;
}

/* Somebody who was given the record keys of both directions, and nothing else. */
struct reader {
	struct crypto *crypto;
	struct protect *by_client, *by_server;
};

static void reader_free(struct reader *reader)
{
	protect_free(reader->by_client);
	protect_free(reader->by_server);
	crypto_free(reader->crypto);
	*reader = (struct reader){0};
}

/* Key and IV of the epoch, from an endpoint's key log; the secret, from which later keys follow, stays there. */
static struct protect *record_key(struct crypto *crypto, const struct lab_end *end, const char *label)
{
	const struct suite *suite = suite_by_name(bytes_str(SUITE));
	struct tls_secret secret = {0};
	struct traffic_keys keys = {0};
	struct protect *made = NULL;
	if (suite && lab_secret(end, label, 0, &secret) && schedule13_keys(crypto, suite, &secret, &keys))
		made = protect_new(crypto, &(struct protect_setup){suite, TLS_VERSION_13, false, &keys, 0});
	tls_secret_wipe(&secret);
	traffic_keys_wipe(&keys);
	return made;
}

static bool reader_new(struct reader *reader, const struct lab_end *end)
{
	reader->crypto = crypto_new();
	if (!reader->crypto)
		return false;
	reader->by_client = record_key(reader->crypto, end, "CLIENT_TRAFFIC_SECRET_0");
	reader->by_server = record_key(reader->crypto, end, "SERVER_TRAFFIC_SECRET_0");
	return reader->by_client && reader->by_server;
}

struct sight {
	struct buffer text;
	unsigned opened, closed; /* records */
	bool key_update;         /* one passed by */
};

static void see(struct protect *by, struct bytes records, struct sight *sight)
{
	struct record record;
	uint8_t room[RECORD_MAX_FRAGMENT];
	sight->text.cap = LAB_STREAM;
	while (record_read(&records, &record) == RECORD_OK) {
		struct opened opened;
		if (record.type != RECORD_APPLICATION_DATA)
			continue;
		if (protect_open(by, &record, room, sizeof(room), &opened) != PROTECT_OK) {
			sight->closed++;
			continue;
		}
		sight->opened++;
		if (opened.type == RECORD_APPLICATION_DATA)
			(void)!buffer_add(&sight->text, opened.plaintext);
		else if (opened.plaintext.len > 0 && opened.plaintext.data[0] == HANDSHAKE_KEY_UPDATE)
			sight->key_update = true;
	}
}

static bool saw(const struct sight *sight, const char *text)
{
	return bytes_equal(buffer_bytes(&sight->text), bytes_str(text));
}

static bool talk(struct lab_end *client, struct lab_end *server, struct buffer tap[2])
{
	buffer_clear(&tap[0]);
	buffer_clear(&tap[1]);
	return lab_says(client, server, DROPOUT_REQUEST, &tap[0]) &&
	       lab_says(server, client, DROPOUT_RESPONSE, &tap[1]);
}

static void tell_share(struct story *story, struct lab_end *client, struct lab_end *server, struct reader *reader,
	struct buffer tap[2])
{
	struct sight up = {0}, down = {0};
	bool flows = talk(client, server, tap);
	see(reader->by_client, buffer_bytes(&tap[0]), &up);
	see(reader->by_server, buffer_bytes(&tap[1]), &down);
	bool reads = saw(&up, DROPOUT_REQUEST) && saw(&down, DROPOUT_RESPONSE);
	bool equal = ends_agree(client, server, TLS_VERSION_13);
	story_row(story, "tls13-share",
		"Sharing keys: one connection, and an endpoint gives its record keys to a reader");
	story_flag(story, "secrets_equal", "secrets equal, end to end", equal);
	story_flag(story, "data_flows", "data flows", flows);
	story_flag(story, "reader_reads", "the reader reads request and answer", reads);
	story_number(story, "records_opened", "records that opened", up.opened + down.opened);
	story_held(story, equal && flows && reads && up.closed + down.closed == 0,
		"Nobody terminates anything. The reader gets key and IV of each direction, copies records from the "
		"wire and opens "
		"them. It was no party to the handshake and changed no octet of it.");
	buffer_clear(&up.text);
	buffer_clear(&down.text);
}

static void tell_drop_out(struct story *story, struct lab_end *client, struct lab_end *server, struct reader *reader,
	struct buffer tap[2])
{
	struct sight up = {0}, down = {0}, last = {0};
	bool updated = SSL_key_update(lab_ssl(client), SSL_KEY_UPDATE_REQUESTED) == 1;
	/* The KeyUpdate goes out ahead of the request; the server answers with its own ahead of the response. */
	bool flows = updated && talk(client, server, tap);
	see(reader->by_client, buffer_bytes(&tap[0]), &last);
	see(reader->by_server, buffer_bytes(&tap[1]), &last);
	bool told = last.key_update && last.opened == 2 && last.closed == 2;
	bool lives = flows && talk(client, server, tap);
	see(reader->by_client, buffer_bytes(&tap[0]), &up);
	see(reader->by_server, buffer_bytes(&tap[1]), &down);
	bool blind = up.opened + down.opened == 0 && up.closed + down.closed == 2 && last.text.len == 0;
	bool equal = ends_agree(client, server, TLS_VERSION_13);
	story_row(story, "tls13-honest-drop-out",
		"The honest drop-out: the grant ends, the keys rotate, nothing more is given");
	story_flag(story, "key_update_seen", "the last that the reader saw is KeyUpdate, both ways", told);
	story_flag(story, "reader_reads", "the reader reads what follows", !blind);
	story_number(story, "records_closed", "records that did not open", last.closed + up.closed + down.closed);
	story_flag(story, "secrets_equal", "secrets equal, end to end", equal);
	story_flag(story, "data_flows", "data flows", lives);
	story_held(story, equal && lives && told && blind,
		"The same connection goes on. Each traffic secret is replaced by HKDF-Expand-Label of itself, which "
		"the reader never "
		"had: it had a key made from it. So whoever was let in is out from the next record on, by arithmetic "
		"and not by a "
		"promise, and the endpoints need not connect anew. A server rotates when it next writes: an idle one "
		"does so late.");
	buffer_clear(&up.text);
	buffer_clear(&down.text);
	buffer_clear(&last.text);
}

static bool share(const struct lab *lab, struct story *story, struct error *err)
{
	struct reader reader = {0};
	struct buffer tap[2] = {{.cap = LAB_STREAM}, {.cap = LAB_STREAM}};
	struct lab_end *client = lab_client(lab, &tls13, err), *server = lab_server(lab, &tls13, err);
	bool ok = client && server && lab_join(client, server, NULL, NULL, err) &&
	          (reader_new(&reader, client) || error_set(err, "the reader's keys cannot be made"));
	if (ok) {
		tell_share(story, client, server, &reader, tap);
		tell_drop_out(story, client, server, &reader, tap);
	}
	reader_free(&reader);
	buffer_clear(&tap[0]);
	buffer_clear(&tap[1]);
	lab_end_free(client);
	lab_end_free(server);
	return ok;
}

bool dropout_ways(const struct lab *lab, struct story *story, struct error *err)
{
	return step_aside(lab, &tls12, story, err) && step_aside(lab, &tls13, story, err) && share(lab, story, err);
}
