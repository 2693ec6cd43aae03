/*
 * explain/schedule_streams: the input is a script of what two sides of a connection send. It may begin with hellos that are
 * in order; records are sealed with real keys, so that much of it opens, and octets of the script's own stand between. What
 * is read is told as a story, as `overt explain schedule --capture` does; nothing may be left over, and each failure must
 * have its sentence.
 */
#include "explain/schedule_streams.h"
#include "tls/handshake.h"
#include "tls/protect.h"
#include "tls/schedule13.h"

#include <stdlib.h>

#define ROOM ((size_t)256 * 1024)

static const char key_log[] =
	"CLIENT_HANDSHAKE_TRAFFIC_SECRET 1111111111111111111111111111111111111111111111111111111111111111 "
	"2121212121212121212121212121212121212121212121212121212121212121\n"
	"SERVER_HANDSHAKE_TRAFFIC_SECRET 1111111111111111111111111111111111111111111111111111111111111111 "
	"2222222222222222222222222222222222222222222222222222222222222222\n"
	"CLIENT_TRAFFIC_SECRET_0 1111111111111111111111111111111111111111111111111111111111111111 "
	"2323232323232323232323232323232323232323232323232323232323232323\n"
	"SERVER_TRAFFIC_SECRET_0 1111111111111111111111111111111111111111111111111111111111111111 "
	"2424242424242424242424242424242424242424242424242424242424242424\n"
	"CLIENT_EARLY_TRAFFIC_SECRET 1111111111111111111111111111111111111111111111111111111111111111 "
	"2525252525252525252525252525252525252525252525252525252525252525\n"
	"CLIENT_RANDOM 1111111111111111111111111111111111111111111111111111111111111111 "
	"262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626\n";

/* By direction; handshake, application: as above. */
static const uint8_t secret_octet[2][2] = {{0x21, 0x23}, {0x22, 0x24}};

struct world {
	struct crypto *crypto;
	struct buffer streams[2], room;
	struct protect *seal[2][2];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool truth)
{
	if (!truth)
		abort();
}

static void extension_key_share(struct writer *w, bool client)
{
	uint8_t share[32] = {9};
	writer_u16(w, 51);
	size_t all = writer_open(w, 2), list = client ? writer_open(w, 2) : 0;
	writer_u16(w, 29);
	writer_vec16(w, bytes_of(share, sizeof(share)));
	if (client)
		writer_close(w, list, 2);
	writer_close(w, all, 2);
}

/* A hello in a record; with a PSK that is chosen where `psk`. */
static void hello(struct buffer *to, bool client, bool tls13, bool psk)
{
	uint8_t octets[512], random[32];
	struct writer w = writer_over(octets, sizeof(octets));
	struct bytes done;
	memset(random, client ? 0x11 : 0x12, sizeof(random));
	writer_u8(&w, RECORD_HANDSHAKE);
	writer_u16(&w, 0x0303);
	size_t record = writer_open(&w, 2);
	writer_u8(&w, client ? HANDSHAKE_CLIENT_HELLO : HANDSHAKE_SERVER_HELLO);
	size_t message = writer_open(&w, 3);
	writer_u16(&w, 0x0303);
	writer_bytes(&w, bytes_of(random, sizeof(random)));
	writer_u8(&w, 0);
	if (client)
		writer_u16(&w, 2);
	writer_u16(&w, tls13 ? 0x1301 : 0xc02f);
	if (client)
		writer_u8(&w, 1);
	writer_u8(&w, 0);
	size_t extensions = writer_open(&w, 2);
	if (tls13) {
		writer_u16(&w, 43);
		writer_u16(&w, client ? 3 : 2);
		if (client)
			writer_u8(&w, 2);
		writer_u16(&w, 0x0304);
		extension_key_share(&w, client);
	}
	if (tls13 && psk && client) {
		writer_u16(&w, 42);
		writer_u16(&w, 0);
		writer_u16(&w, 41);
		writer_u16(&w, 2 + 2 + 1 + 4 + 2 + 33);
		writer_u16(&w, 2 + 1 + 4);
		writer_vec16(&w, bytes_str("i"));
		writer_u32(&w, 0);
		writer_u16(&w, 33);
		writer_vec8(&w, bytes_of(random, 32));
	} else if (tls13 && psk) {
		writer_u16(&w, 41);
		writer_u16(&w, 2);
		writer_u16(&w, 0);
	}
	writer_close(&w, extensions, 2);
	writer_close(&w, message, 3);
	writer_close(&w, record, 2);
	expect(writer_done(&w, &done));
	(void)!buffer_add(to, done);
}

static void make_sealers(struct world *world)
{
	const struct suite *suite = suite_find(0x1301);
	for (unsigned side = 0; side < 2; side++) {
		for (unsigned stage = 0; stage < 2; stage++) {
			struct tls_secret secret = {.len = 32};
			struct traffic_keys keys;
			memset(secret.octets, secret_octet[side][stage], secret.len);
			expect(schedule13_keys(world->crypto, suite, &secret, &keys));
			world->seal[side][stage] = protect_new(world->crypto,
				&(struct protect_setup){.suite = suite, .version = TLS_VERSION_13, .keys = &keys});
			expect(world->seal[side][stage] != NULL);
		}
	}
}

/* One step of the script: side, how, and octets. */
static void step(struct world *world, uint8_t how, struct bytes octets)
{
	unsigned side = how & 1, stage = how >> 1 & 1;
	uint8_t room[600];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes done;
	uint8_t type = how & 8 ? RECORD_APPLICATION_DATA : how & 64 ? RECORD_ALERT : RECORD_HANDSHAKE;
	if (how & 4) {
		if (protect_seal(world->seal[side][stage], type, octets, 0, &w) == PROTECT_OK && writer_done(&w, &done))
			(void)!buffer_add(&world->streams[side], done);
	} else if (how & 16) {
		writer_u8(&w, how & 32 ? RECORD_CHANGE_CIPHER_SPEC : type);
		writer_u16(&w, 0x0303);
		writer_vec16(&w, octets);
		if (writer_done(&w, &done))
			(void)!buffer_add(&world->streams[side], done);
	} else {
		(void)!buffer_add(&world->streams[side], octets);
	}
}

static void run_script(struct world *world, struct bytes script)
{
	uint8_t first, how, len;
	if (!bytes_u8(&script, &first))
		return;
	if (first & 1) {
		hello(&world->streams[0], true, !(first & 2), first & 4);
		hello(&world->streams[1], false, !(first & 2), first & 4);
	}
	while (bytes_u8(&script, &how) && bytes_u8(&script, &len)) {
		struct bytes octets;
		if (!bytes_take(&script, len < script.len ? len : script.len, &octets))
			return;
		step(world, how, octets);
	}
}

static void tell(struct world *world, const struct schedule_source *source)
{
	struct schedule_walk walk;
	struct error err = {0};
	struct story *story = story_new("fuzz", "", "");
	if (!story)
		return;
	if (!schedule_walk(world->crypto, source, story, &walk, &err))
		expect(err.text[0]);
	else if (walk.version == TLS_VERSION_13)
		(void)!schedule_tell13(world->crypto, source, &walk, story);
	else
		(void)!schedule_tell12(world->crypto, source, &walk, story);
	story_free(story);
}

/*
 * The random of what the script sent and of the script itself, each after the other's, and each in two pieces: what one call
 * leaves behind is nothing to the next, and it is the same as at once.
 */
static void randoms(const struct world *world, struct bytes script)
{
	static uint8_t scratch[ROOM];
	const struct bytes streams[] = {buffer_bytes(&world->streams[0]), script, buffer_bytes(&world->streams[1])};
	for (unsigned i = 0; i < 2 * sizeof(streams) / sizeof(streams[0]); i++) {
		struct bytes octets = streams[i / 2];
		struct collect collect;
		uint8_t at_once[HELLO_RANDOM] = {0}, in_pieces[HELLO_RANDOM] = {0};
		collect_init(&collect, scratch, i % 2 ? sizeof(scratch) : 0);
		enum schedule_opening opening = schedule_streams_random(&collect, octets, at_once);
		collect_init(&collect, scratch, i % 2 ? sizeof(scratch) : 0);
		(void)!schedule_streams_random(&collect, bytes_of(octets.data, octets.len / 2), in_pieces);
		expect(schedule_streams_random(&collect, octets, in_pieces) == opening);
		expect(opening != SCHEDULE_HELLO || memcmp(at_once, in_pieces, HELLO_RANDOM) == 0);
		expect(i % 2 == 0 || opening != SCHEDULE_NO_ROOM);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world world = {.crypto = crypto_new(), .streams = {{.cap = ROOM}, {.cap = ROOM}}, .room = {.cap = ROOM}};
	struct keyring *ring =
		keyring_new(&(struct keyring_limits){.sessions = 16, .text = 65536, .files = 1, .keys = 1});
	struct schedule_source source;
	struct error err = {0};
	if (!world.crypto || !ring)
		abort();
	(void)keyring_add_text(ring, bytes_str(key_log));
	make_sealers(&world);
	run_script(&world, bytes_of(data, size));
	const struct schedule_streams streams = {
		.octets = {buffer_bytes(&world.streams[0]), buffer_bytes(&world.streams[1])}};
	randoms(&world, bytes_of(data, size));
	if (schedule_streams_read(world.crypto, &streams, ring, &world.room, &source, &err))
		tell(&world, &source);
	else
		expect(err.text[0]);
	schedule_source_wipe(&source);
	for (unsigned i = 0; i < 4; i++)
		protect_free(world.seal[i / 2][i % 2]);
	buffer_clear(&world.streams[0]);
	buffer_clear(&world.streams[1]);
	buffer_clear(&world.room);
	keyring_free(ring);
	crypto_free(world.crypto);
	return 0;
}
