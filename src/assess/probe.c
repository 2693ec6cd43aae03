#include "assess/probe.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static enum probe_result exchange(int fd, uint64_t deadline_ns, struct bytes hello, struct flight *flight)
{
	uint8_t room[16384];
	if (!send_until(fd, hello, deadline_ns))
		return clock_monotonic_ns() < deadline_ns ? PROBE_CLOSED : PROBE_SILENT;
	for (;;) {
		/* Asked each time: a peer that trickles is no reason to stay. */
		if (!wait_until(fd, POLLIN, deadline_ns))
			return PROBE_SILENT;
		ssize_t n = recv(fd, room, sizeof(room), 0);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return PROBE_CLOSED;
		if (n > 0 && flight_take(flight, bytes_of(room, (size_t)n)) != FLIGHT_MORE)
			return PROBE_ANSWERED;
	}
}

enum probe_result probe(struct target *target, const struct offer *offer, struct flight *flight)
{
	uint8_t room[OFFER_RECORD_MAX];
	struct writer writer = writer_over(room, sizeof(room));
	struct bytes hello;
	uint64_t deadline_ns = 0;
	int fd = -1;
	flight_begin(flight);
	if (!offer_write(offer, &writer) || !writer_done(&writer, &hello))
		return PROBE_SPENT;
	enum dial_result dial = target_dial(target, &fd, &deadline_ns);
	if (dial != DIAL_OK)
		return dial == DIAL_SPENT ? PROBE_SPENT : dial == DIAL_TUNNEL ? PROBE_CLOSED : PROBE_NO_CONNECTION;
	enum probe_result result = exchange(fd, deadline_ns, hello, flight);
	close(fd);
	return result;
}

static void tell_flight(const struct flight *flight, char *out, size_t cap)
{
	const char *alert = alert_name(flight->alert.description);
	switch (flight->kind) {
	case FLIGHT_HELLO:
	case FLIGHT_MORE:
		snprintf(out, cap, "answered");
		break;
	case FLIGHT_ALERT:
		if (alert)
			snprintf(out, cap, "refused with alert %s", alert);
		else
			snprintf(out, cap, "refused with alert %u", flight->alert.description);
		break;
	case FLIGHT_NOT_TLS:
		snprintf(out, cap, "what answers is not TLS");
		break;
	case FLIGHT_BROKEN:
		snprintf(out, cap, "the answer is malformed");
		break;
	case FLIGHT_FLOOD:
		snprintf(out, cap, "the answer had no end after %zu KiB", FLIGHT_MAX / 1024);
		break;
	}
}

void probe_tell(enum probe_result result, const struct flight *flight, char *out, size_t cap)
{
	static const char *const texts[] = {"", "closed the connection", "no whole answer before the deadline",
		"cannot be connected to", "not asked: the budget of connections or time is spent"};
	if (result == PROBE_ANSWERED)
		tell_flight(flight, out, cap);
	else
		snprintf(out, cap, "%s", texts[result]);
}

bool probe_took(enum probe_result result, const struct flight *flight, uint16_t version)
{
	return result == PROBE_ANSWERED && flight->kind == FLIGHT_HELLO && flight->version == version;
}
