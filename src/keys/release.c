#include "keys/release.h"

#include "tls/hello.h"
#include "tls/prf12.h"
#include "tls/schedule13.h"

#include <openssl/crypto.h>
#include <sodium/crypto_generichash.h>

#define RELEASE_FORM 1

const char *release_result_text(enum release_result result)
{
	static const char *const texts[RELEASE_RESULTS] = {
		[RELEASE_OK] = "it is well formed",
		[RELEASE_SHORT] = "it ends within a field",
		[RELEASE_TRAILING] = "something stands behind it",
		[RELEASE_VERSION] = "its form is of another version",
		[RELEASE_BAD_GRADE] = "grade, mode or consent has no such value",
		[RELEASE_BAD_PLACE] = "its stage, TLS version or suite cannot be released",
		[RELEASE_BAD_KEY] = "the lengths of its key are not those of the suite",
		[RELEASE_BAD_LINE] = "it holds no line of a key log",
		[RELEASE_BAD_TEXT] = "a text in it is too long or holds a NUL",
	};
	return result < RELEASE_RESULTS && texts[result] ? texts[result] : "it is not known";
}

static enum release_result key_check(const struct record_key *key)
{
	struct shape shape;
	const struct suite *suite = suite_find(key->suite);
	if (key->stage != RECORD_STAGE_APPLICATION || !suite || !shape_of(suite, key->version, &shape))
		return RELEASE_BAD_PLACE;
	bool fits = key->key_len == shape.key && key->iv_len == shape.iv && key->mac_len == shape.mac_key;
	return fits ? RELEASE_OK : RELEASE_BAD_KEY;
}

static enum release_result line_check(const struct release *release)
{
	struct keylog_line line;
	if (release->line_len > RELEASE_LINE_MAX ||
		keylog_parse(bytes_of(release->line, release->line_len), &line) != KEYLOG_OK)
		return RELEASE_BAD_LINE;
	/* The random outside is what a collector files it under; it must not name another connection. */
	uint8_t none[KEYLOG_RANDOM] = {0};
	bool same = line.id.kind == KEYLOG_ID_RANDOM
	                    ? memcmp(release->key.client_random, line.id.octets, KEYLOG_RANDOM) == 0
	                    : memcmp(release->key.client_random, none, KEYLOG_RANDOM) == 0;
	return same ? RELEASE_OK : RELEASE_BAD_LINE;
}

enum release_result release_check(const struct release *release)
{
	bool modes = (release->mode == RELEASE_LIVE || release->mode == RELEASE_AFTER_ROTATION) &&
	             (release->consent == RELEASE_BOTH || release->consent == RELEASE_UNILATERAL);
	if (!modes)
		return RELEASE_BAD_GRADE;
	switch (release->grade) {
	case RELEASE_GRADE_RECORD:
		return release->line_len == 0 ? key_check(&release->key) : RELEASE_BAD_LINE;
	case RELEASE_GRADE_RAW:
		return line_check(release);
	default:
		return RELEASE_BAD_GRADE;
	}
}

bool release_agreed(const struct release *release, const uint8_t key_id[static SHARE_KEY_ID])
{
	if (release->consent != RELEASE_BOTH || !release->readers)
		return false;
	for (size_t i = 0; i < release->readers->count; i++) {
		const struct share_reader *reader = &release->readers->at[i];
		if ((release->agreed & share_place(i)) != 0 && reader->mode == release->mode &&
			memcmp(reader->key_id, key_id, SHARE_KEY_ID) == 0)
			return true;
	}
	return false;
}

void release_text(char *to, size_t cap, struct bytes text)
{
	size_t len = bytes_find(text, 0, 0);
	if (len >= cap)
		len = cap - 1;
	if (len > 0)
		memcpy(to, text.data, len);
	to[len] = '\0';
}

/* What a key is and where it belongs: this is what the check covers. */
static bool secret_write(const struct release *release, struct writer *to)
{
	if (release->grade == RELEASE_GRADE_RECORD)
		return record_key_write(&release->key, to);
	writer_bytes(to, bytes_of(release->key.client_random, KEYLOG_RANDOM));
	writer_vec16(to, bytes_of(release->line, release->line_len));
	return !to->full;
}

static void place_write(struct writer *to, const struct hostport *place)
{
	writer_bytes(to, bytes_of(place->ip, sizeof(place->ip)));
	writer_u16(to, place->port);
}

bool release_write(const struct release *release, struct writer *to)
{
	if (release_check(release) != RELEASE_OK)
		return false;
	writer_u8(to, RELEASE_FORM);
	writer_u8(to, release->grade);
	writer_u8(to, release->mode);
	writer_u8(to, release->consent);
	writer_bytes(to, bytes_of(release->grant, RELEASE_GRANT));
	writer_u64(to, release->made_ns);
	writer_u32(to, release->pid);
	place_write(to, &release->client);
	place_write(to, &release->server);
	writer_vec8(to, bytes_str(release->name));
	writer_vec8(to, bytes_str(release->host));
	writer_vec8(to, bytes_str(release->program));
	size_t mark = writer_open(to, 2);
	bool ok = secret_write(release, to);
	writer_close(to, mark, 2);
	return ok && !to->full;
}

static bool place_read(struct bytes *in, struct hostport *place)
{
	struct bytes ip;
	if (!bytes_take(in, sizeof(place->ip), &ip) || !bytes_u16(in, &place->port))
		return false;
	memcpy(place->ip, ip.data, ip.len);
	return true;
}

static enum release_result text_read(struct bytes *in, char *to, size_t cap)
{
	struct bytes text;
	if (!bytes_vec8(in, &text))
		return RELEASE_SHORT;
	if (text.len >= cap || bytes_find(text, 0, 0) != text.len)
		return RELEASE_BAD_TEXT;
	release_text(to, cap, text);
	return RELEASE_OK;
}

static enum release_result texts_read(struct bytes *in, struct release *out)
{
	enum release_result result = text_read(in, out->name, sizeof(out->name));
	if (result == RELEASE_OK)
		result = text_read(in, out->host, sizeof(out->host));
	if (result == RELEASE_OK)
		result = text_read(in, out->program, sizeof(out->program));
	return result;
}

static enum release_result secret_read(struct bytes in, struct release *out)
{
	if (out->grade == RELEASE_GRADE_RECORD)
		return record_key_read(in, &out->key) ? RELEASE_OK : RELEASE_BAD_KEY;
	struct bytes random, line;
	if (!bytes_take(&in, KEYLOG_RANDOM, &random) || !bytes_vec16(&in, &line) || in.len > 0 ||
		line.len > RELEASE_LINE_MAX)
		return RELEASE_BAD_LINE;
	memcpy(out->key.client_random, random.data, random.len);
	if (line.len > 0)
		memcpy(out->line, line.data, line.len);
	out->line_len = line.len;
	return RELEASE_OK;
}

static enum release_result body_read(struct bytes in, struct release *out)
{
	struct bytes grant, secret;
	uint8_t form;
	if (!bytes_u8(&in, &form))
		return RELEASE_SHORT;
	if (form != RELEASE_FORM)
		return RELEASE_VERSION;
	bool whole = bytes_u8(&in, &out->grade) && bytes_u8(&in, &out->mode) && bytes_u8(&in, &out->consent) &&
	             bytes_take(&in, RELEASE_GRANT, &grant) && bytes_u64(&in, &out->made_ns) &&
	             bytes_u32(&in, &out->pid) && place_read(&in, &out->client) && place_read(&in, &out->server);
	if (!whole)
		return RELEASE_SHORT;
	memcpy(out->grant, grant.data, grant.len);
	if (out->grade != RELEASE_GRADE_RECORD && out->grade != RELEASE_GRADE_RAW)
		return RELEASE_BAD_GRADE;
	enum release_result result = texts_read(&in, out);
	if (result != RELEASE_OK)
		return result;
	if (!bytes_vec16(&in, &secret))
		return RELEASE_SHORT;
	if (in.len > 0)
		return RELEASE_TRAILING;
	result = secret_read(secret, out);
	return result == RELEASE_OK ? release_check(out) : result;
}

enum release_result release_read(struct bytes in, struct release *out)
{
	*out = (struct release){0};
	enum release_result result = body_read(in, out);
	if (result != RELEASE_OK)
		release_wipe(out);
	return result;
}

bool release_check_octets(const struct release *release, uint8_t check[static RELEASE_CHECK])
{
	static const uint8_t label[] = "overt release check 1";
	uint8_t room[RELEASE_LINE_MAX + KEYLOG_RANDOM + 2 + RECORD_KEY_WRITTEN];
	struct writer to = writer_over(room, sizeof(room));
	bool ok = release_check(release) == RELEASE_OK && secret_write(release, &to) &&
	          crypto_generichash(check, RELEASE_CHECK, room, to.len, label, sizeof(label) - 1) == 0;
	OPENSSL_cleanse(room, to.len);
	return ok;
}

bool release_to_keyring(const struct release *release, struct keyring *ring)
{
	static const uint8_t none[KEYLOG_RANDOM];
	struct keyring_ends ends = {{release->client, release->server}};
	/* Where an end, or the random, is not known, the connection is found by its hello alone. */
	if (memcmp(release->key.client_random, none, sizeof(none)) != 0)
		(void)!keyring_add_ends(ring, &ends, bytes_of(release->key.client_random, KEYLOG_RANDOM));
	if (release->grade == RELEASE_GRADE_RECORD)
		return keyring_add_record_key(ring, &release->key);
	/* A line that the ring has already is no failure: nothing is told apart here. */
	(void)keyring_add_text(ring, bytes_of(release->line, release->line_len));
	return true;
}

/* Fills what the suite says of the key, and copies the octets. */
static bool key_set(struct release *release, uint16_t version, uint16_t suite, const struct traffic_keys *keys)
{
	struct shape shape;
	const struct suite *known = suite_find(suite);
	struct record_key *key = &release->key;
	if (!known || !shape_of(known, version, &shape) || shape.mac_key > RECORD_MAC_MAX)
		return false;
	release->grade = RELEASE_GRADE_RECORD;
	release->line_len = 0;
	key->stage = RECORD_STAGE_APPLICATION;
	key->version = version;
	key->suite = suite;
	key->key_len = shape.key;
	key->iv_len = shape.iv;
	key->mac_len = shape.mac_key;
	memcpy(key->key, keys->key, shape.key);
	memcpy(key->iv, keys->iv, shape.iv);
	memcpy(key->mac, keys->mac, shape.mac_key);
	return true;
}

bool release_from_secret13(struct release *release, struct crypto *crypto, uint16_t suite, bool from_client,
	uint32_t epoch, struct bytes secret)
{
	const struct suite *known = suite_find(suite);
	struct tls_secret traffic = {0};
	struct traffic_keys keys;
	bool ok = known && suite_fits_version(known, TLS_VERSION_13) && secret.len == crypto_hash_len(known->prf) &&
	          secret.len > 0 && tls_secret_set(&traffic, secret) && schedule13_keys(crypto, known, &traffic, &keys);
	if (ok) {
		ok = key_set(release, TLS_VERSION_13, suite, &keys);
		release->key.from_client = from_client;
		release->key.epoch = epoch;
		traffic_keys_wipe(&keys);
	}
	tls_secret_wipe(&traffic);
	return ok;
}

bool release_from_master12(struct release *client, struct release *server, struct crypto *crypto, uint16_t suite,
	struct bytes server_random, struct bytes master)
{
	const struct suite *known = suite_find(suite);
	struct traffic_keys keys[2];
	struct bytes random = bytes_of(client->key.client_random, KEYLOG_RANDOM);
	if (!known || !suite_fits_version(known, TLS_VERSION_12) || master.len != PRF12_MASTER ||
		server_random.len != KEYLOG_RANDOM ||
		!prf12_keys(crypto, known, master, random, server_random, &keys[0], &keys[1]))
		return false;
	bool ok = key_set(client, TLS_VERSION_12, suite, &keys[0]) && key_set(server, TLS_VERSION_12, suite, &keys[1]);
	client->key.from_client = true;
	server->key.from_client = false;
	memcpy(server->key.client_random, client->key.client_random, KEYLOG_RANDOM);
	traffic_keys_wipe(&keys[0]);
	traffic_keys_wipe(&keys[1]);
	return ok;
}

void release_wipe(struct release *release)
{
	OPENSSL_cleanse(release, sizeof(*release));
}
