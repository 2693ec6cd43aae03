/*
 * watch/session: the input is a script of what two sides send, what the capture loses, and when keys come. Records are
 * sealed with real keys, so that much of it opens; octets of the script's own stand between. Whatever comes out must be
 * what was sealed, each event must follow on the one before, and nothing may be left over.
 */
#include "tls/protect.h"
#include "tls/schedule13.h"
#include "watch/session.h"

#include <stdlib.h>

#define SECRET 32

struct world {
	struct keyring *ring;
	struct session_room *room;
	struct crypto *crypto;
	struct session *session;
	struct protect *seal[2][2]; /* by direction; handshake, application */
	uint64_t offset[2];
	uint64_t now;
};

static const char key_log[] =
	"CLIENT_HANDSHAKE_TRAFFIC_SECRET 1111111111111111111111111111111111111111111111111111111111111111 "
	"2121212121212121212121212121212121212121212121212121212121212121\n"
	"SERVER_HANDSHAKE_TRAFFIC_SECRET 1111111111111111111111111111111111111111111111111111111111111111 "
	"2222222222222222222222222222222222222222222222222222222222222222\n"
	"CLIENT_TRAFFIC_SECRET_0 1111111111111111111111111111111111111111111111111111111111111111 "
	"2323232323232323232323232323232323232323232323232323232323232323\n"
	"SERVER_TRAFFIC_SECRET_0 1111111111111111111111111111111111111111111111111111111111111111 "
	"2424242424242424242424242424242424242424242424242424242424242424\n";

/* By direction; handshake, application: as above. */
static const uint8_t secret_octet[2][2] = {{0x21, 0x23}, {0x22, 0x24}};

static void expect(bool truth)
{
	if (!truth)
		abort();
}

static void heard(void *arg, void *user, const struct event *event)
{
	struct world *world = arg;
	(void)user;
	if (event->kind == EVENT_GAP) {
		expect(event->gap.octets > 0 && event->gap.offset == world->offset[event->gap.direction]);
		world->offset[event->gap.direction] += event->gap.octets;
	}
	if (event->kind != EVENT_DATA)
		return;
	struct bytes data = event->data.bytes;
	expect(data.len > 0 && event->data.offset == world->offset[event->data.direction]);
	world->offset[event->data.direction] += data.len;
	for (size_t i = 0; i < data.len; i++)
		expect(data.data[i] == (uint8_t)data.len);
}

static struct protect *sealer(struct world *world, uint8_t octet)
{
	struct tls_secret secret = {.len = SECRET};
	struct traffic_keys keys;
	const struct suite *suite = suite_find(0x1301);
	struct protect_setup setup = {.suite = suite, .version = 0x0304, .keys = &keys};
	memset(secret.octets, octet, SECRET);
	expect(suite && schedule13_keys(world->crypto, suite, &secret, &keys));
	struct protect *protect = protect_new(world->crypto, &setup);
	expect(protect != NULL);
	return protect;
}

static void hello(struct writer *w, bool client)
{
	uint8_t room[400], random[32];
	struct writer body = writer_over(room, sizeof(room));
	memset(random, client ? 0x11 : 0x12, sizeof(random));
	writer_u16(&body, 0x0303);
	writer_bytes(&body, bytes_of(random, sizeof(random)));
	writer_u8(&body, 0);
	if (client)
		writer_u16(&body, 2);
	writer_u16(&body, 0x1301);
	if (client)
		writer_u8(&body, 1);
	writer_u8(&body, 0);
	size_t extensions = writer_open(&body, 2);
	writer_u16(&body, 43);
	writer_u16(&body, client ? 3 : 2);
	if (client)
		writer_u8(&body, 2);
	writer_u16(&body, 0x0304);
	writer_close(&body, extensions, 2);
	writer_u8(w, 22);
	writer_u16(w, 0x0303);
	writer_u16(w, (uint16_t)(body.len + 4));
	writer_u8(w, client ? 1 : 2);
	writer_u24(w, (uint32_t)body.len);
	writer_bytes(w, bytes_of(body.data, body.len));
}

/* A record of `len` octets that all say how many they are, or a message. */
static void seal(struct world *world, struct writer *w, int direction, bool handshake, size_t len, bool finished)
{
	static uint8_t plain[RECORD_MAX_PLAINTEXT];
	memset(plain, (int)(len & 0xff), len);
	uint8_t type = RECORD_APPLICATION_DATA;
	if (finished) {
		const uint8_t message[4] = {handshake ? 20 : 24, 0, 0, handshake ? 32 : 1};
		len = handshake ? 36 : 5;
		memset(plain, 0, len);
		memcpy(plain, message, sizeof(message));
		type = RECORD_HANDSHAKE;
	}
	expect(protect_seal(world->seal[direction][!handshake], type, bytes_of(plain, len), 0, w) == PROTECT_OK);
}

static void act(struct world *world, uint8_t op, uint8_t arg, struct bytes *script)
{
	static uint8_t room[20000];
	struct writer w = writer_over(room, sizeof(room));
	enum flow_direction direction = op & 0x80 ? FLOW_DOWN : FLOW_UP;
	struct bytes raw;
	size_t len = (size_t)arg + 1 + ((op & 0x40) ? (size_t)arg * 60 : 0);
	switch (op & 0x0f) {
	case 0:
		hello(&w, direction == FLOW_UP);
		break;
	case 1:
		seal(world, &w, direction, true, len, true);
		break;
	case 2:
	case 3:
	case 4:
		seal(world, &w, direction, false, len, false);
		break;
	case 5:
		session_gap(world->session, direction, len, ++world->now);
		return;
	case 6:
		/* A record of which a part is missing. */
		seal(world, &w, direction, false, len, false);
		session_data(world->session, direction, bytes_of(room, w.len / 2), ++world->now);
		session_gap(world->session, direction, w.len - w.len / 2, ++world->now);
		return;
	case 7:
		/* One that is missing. */
		seal(world, &w, direction, false, len, false);
		session_gap(world->session, direction, w.len, ++world->now);
		return;
	case 8:
		(void)keyring_add_text(world->ring, bytes_str(key_log));
		session_room_keys(world->room, ++world->now);
		return;
	case 9:
		world->now += (uint64_t)arg << 28;
		session_room_tick(world->room, world->now);
		return;
	case 10:
		session_half(world->session, direction, ++world->now);
		return;
	case 11:
		session_room_keys_final(world->room, ++world->now);
		return;
	default:
		if (!bytes_take(script, arg, &raw))
			return;
		writer_bytes(&w, raw);
	}
	/* In two pieces, so that records are put together. */
	size_t cut = (op >> 4 & 3) * (w.len / 4);
	session_data(world->session, direction, bytes_of(room, cut), ++world->now);
	session_data(world->session, direction, bytes_of(room + cut, w.len - cut), ++world->now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes script = bytes_of(data, size);
	struct world world = {.now = 1};
	uint8_t how, op, arg;
	if (!bytes_u8(&script, &how))
		return 0;
	struct session_limits limits = session_limits_default;
	limits.park_session = (size_t)how << 10;
	world.ring = keyring_new(&(struct keyring_limits){.text = (size_t)64 << 10});
	world.crypto = crypto_new();
	world.room = session_room_new(&(struct session_setup){.limits = limits,
		.ring = world.ring,
		.keys_final = how & 1,
		.wake_fd = -1,
		.emit = heard,
		.arg = &world});
	expect(world.ring && world.crypto && world.room);
	world.session = session_new(world.room, &(struct session_start){.from_start = how & 2});
	expect(world.session != NULL);
	for (int i = 0; i < 4; i++)
		world.seal[i & 1][i >> 1] = sealer(&world, secret_octet[i & 1][i >> 1]);
	if (how & 4)
		(void)keyring_add_text(world.ring, bytes_str(key_log));
	for (int i = 0; i < 200 && bytes_u8(&script, &op) && bytes_u8(&script, &arg); i++)
		act(&world, op, arg, &script);
	session_close(world.session, ++world.now);
	expect(session_room_count(world.room).parked == 0);
	session_free(world.session);
	expect(session_room_count(world.room).held == 0);
	for (int i = 0; i < 4; i++)
		protect_free(world.seal[i & 1][i >> 1]);
	session_room_free(world.room);
	keyring_free(world.ring);
	crypto_free(world.crypto);
	return 0;
}
