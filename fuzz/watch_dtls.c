/*
 * watch/session_dtls and tls/dtls_join: the input is a script of datagrams of two sides, the first octet of each saying
 * who sent it and how long it is. Every event must follow on the one before, and nothing may be left over.
 */
#include "watch/session.h"

#include <stdlib.h>

static const char key_log[] = "CLIENT_RANDOM 1111111111111111111111111111111111111111111111111111111111111111 "
			      "212121212121212121212121212121212121212121212121212121212121212121212121212121212121"
			      "212121212121212121212121\n";

static void expect(bool truth)
{
	if (!truth)
		abort();
}

static void heard(void *arg, void *user, const struct event *event)
{
	uint64_t *offset = arg;
	(void)user;
	if (event->kind == EVENT_DATA) {
		expect(event->data.bytes.len > 0 && event->data.offset == offset[event->data.direction]);
		offset[event->data.direction] += event->data.bytes.len;
	} else if (event->kind == EVENT_GAP) {
		expect(event->gap.octets > 0 && event->gap.offset == offset[event->gap.direction]);
		offset[event->gap.direction] += event->gap.octets;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size), datagram;
	uint64_t offset[2] = {0}, now = 1;
	uint8_t head, low;
	struct keyring *ring = keyring_new(NULL);
	expect(ring != NULL);
	(void)keyring_add_text(ring, bytes_str(key_log));
	struct session_setup setup = {
		.limits = session_limits_default, .ring = ring, .wake_fd = -1, .emit = heard, .arg = offset};
	setup.keys_final = size > 0 && (data[0] & 2);
	struct session_room *room = session_room_new(&setup);
	struct session_start start = {.flow = 1, .datagrams = true};
	struct session *s = room ? session_new(room, &start) : NULL;
	expect(s != NULL);
	while (bytes_u8(&in, &head) && bytes_u8(&in, &low)) {
		size_t len = (size_t)(head >> 4) << 8 | low;
		if (!bytes_take(&in, len < in.len ? len : in.len, &datagram))
			break;
		if (!session_datagram(s, head & 1 ? FLOW_DOWN : FLOW_UP, datagram, head >> 2 & 1, now += 1000)) {
			session_close(s, now);
			session_free(s);
			offset[0] = offset[1] = 0;
			s = session_new(room, &start);
			expect(s != NULL);
		}
	}
	session_close(s, now);
	session_free(s);
	struct session_counts counts = session_room_count(room);
	expect(counts.held == 0 && counts.parked == 0 && counts.waiting == 0);
	session_room_free(room);
	keyring_free(ring);
	return 0;
}
