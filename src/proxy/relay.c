#include "proxy/relay.h"

#include "proxy/conn.h"
#include "proxy/report.h"
#include "proxy/worker.h"

#include <stdio.h>
#include <sys/socket.h>

/* Octets of plaintext one direction may move before others get their turn. */
#define TURN_OCTETS ((size_t)512 * 1024)
/* What a record costs beside its octets, as octets: small ones must not make a turn long. */
#define RECORD_COST ((size_t)1024)

static struct leg *source(struct conn *conn, enum flow_direction direction)
{
	return direction == FLOW_UP ? &conn->leg1 : &conn->leg2;
}

static struct leg *sink(struct conn *conn, enum flow_direction direction)
{
	return direction == FLOW_UP ? &conn->leg2 : &conn->leg1;
}

/* Moves records until the source is dry, the sink is full, or the turn is used up. Says why it stopped. */
static enum leg_result move(struct conn *conn, enum flow_direction direction)
{
	struct leg *from = source(conn, direction), *to = sink(conn, direction);
	size_t moved = 0;
	while (moved < TURN_OCTETS) {
		if (leg_stalled(to) || !report_ready(conn, LEG_PLAIN))
			return LEG_FULL;
		size_t n;
		enum leg_result result = leg_read(from, &n);
		if (result != LEG_OK)
			return result;
		struct bytes plain = bytes_of(from->room->plain, n);
		report_data(conn, direction, plain);
		conn->half[direction].octets += n;
		moved += n + RECORD_COST * from->effort;
		result = leg_write(to, plain);
		if (result != LEG_OK)
			return LEG_RESET;
		if (to->room->out_len >= LEG_FLUSH && leg_flush(to) != LEG_OK)
			return LEG_RESET;
	}
	return LEG_OK;
}

/* The sink's TCP end follows the source's, once all before it is in the kernel. */
static void pass_end(struct conn *conn, enum flow_direction direction)
{
	struct half *half = &conn->half[direction];
	struct leg *to = sink(conn, direction);
	if (!half->ended || half->shut || leg_stalled(to))
		return;
	half->shut = true;
	shutdown(to->io->fd, SHUT_WR);
}

/*
 * A client that goes as soon as the handshake is done may have looked at the leaf and not liked it: GnuTLS checks
 * afterwards and says nothing. A preconnect looks the same, so this is no refusal, only worth a word.
 */
static void say_if_silent(struct conn *conn)
{
	if (conn->half[FLOW_UP].first && conn->half[FLOW_UP].octets == 0 && conn->half[FLOW_DOWN].octets == 0)
		report_notice(conn, SEVERITY_INFO, "client-left-after-handshake",
			"the client closed right after the handshake, without a request: it may not trust the leaf");
}

static void note_first(struct conn *conn, enum flow_direction direction)
{
	const struct half *other = &conn->half[direction == FLOW_UP ? FLOW_DOWN : FLOW_UP];
	if (!other->notified && !other->ended)
		conn->half[direction].first = true;
}

static void fail(struct conn *conn, enum flow_direction direction, enum leg_result result)
{
	struct leg *from = source(conn, direction), *to = sink(conn, direction);
	struct leg *bad = to->socket_failed ? to : from;
	/* A peer that said close_notify owes nothing more, not even reading our answer. */
	if (conn->half[bad == &conn->leg1 ? FLOW_UP : FLOW_DOWN].notified) {
		conn_end(conn, ENDING_DONE, "", "");
		return;
	}
	char why[200], text[256];
	leg_fault_text(bad, why, sizeof(why));
	snprintf(text, sizeof(text), "%s: %s", bad == &conn->leg1 ? "client" : "server", why);
	if (bad == &conn->leg1) {
		note_first(conn, FLOW_UP);
		say_if_silent(conn);
	}
	const char *name = result == LEG_FAULT ? "protocol-fault" : result == LEG_ALERT ? "alert" : "reset";
	/* Where libssl has prepared an alert for the side at fault it goes out; the other must not take this for an end. */
	(void)!leg_flush(from);
	conn_abort(conn, name, text);
}

/* One direction's turn. False when the connection is over. */
static bool work(struct conn *conn, enum flow_direction direction)
{
	struct half *half = &conn->half[direction];
	struct leg *from = source(conn, direction), *to = sink(conn, direction);
	/* What waits goes first: a socket that takes all of it now says nothing more, and the source must move again. */
	bool lost = leg_stalled(to) && leg_flush(to) != LEG_OK;
	if (from->box.len - from->box.at > LEG_BOX_MAX) {
		conn_abort(conn, "protocol-fault", "a side makes the proxy answer and does not read the answers");
		return false;
	}
	enum leg_result result = half->ended ? LEG_WAIT : half->notified ? LEG_NOTIFIED : move(conn, direction);
	if (lost || leg_flush(to) != LEG_OK || leg_flush(from) != LEG_OK)
		result = LEG_RESET;
	switch (result) {
	case LEG_OK:
		conn_again(conn);
		break;
	case LEG_WAIT:
	case LEG_FULL:
		break;
	case LEG_NOTIFIED:
		if (!half->notified) {
			note_first(conn, direction);
			half->notified = true;
			report_half(conn, direction);
			leg_notify(to);
		}
		/* After close_notify only TCP's end can still come. */
		half->ended = half->ended || from->io->hung;
		break;
	case LEG_END:
		note_first(conn, direction);
		half->ended = true;
		break;
	default:
		fail(conn, direction, result);
		return false;
	}
	pass_end(conn, direction);
	return true;
}

static bool finished(const struct conn *conn)
{
	const struct half *up = &conn->half[FLOW_UP], *down = &conn->half[FLOW_DOWN];
	bool both = (up->notified || up->shut) && (down->notified || down->shut);
	return both && !leg_stalled(&conn->leg1) && !leg_stalled(&conn->leg2);
}

static void relay_ready(struct conn *conn)
{
	bool goes_on = work(conn, FLOW_UP) && work(conn, FLOW_DOWN);
	conn_note_traffic(conn);
	if (!goes_on || !finished(conn))
		return;
	say_if_silent(conn);
	bool cut = !conn->half[FLOW_UP].notified || !conn->half[FLOW_DOWN].notified;
	conn_end(conn, ENDING_DONE, cut ? "no-close-notify" : "", cut ? "a side closed TCP without close_notify" : "");
}

static void relay_late(struct conn *conn)
{
	uint64_t idle = worker_config(conn->worker)->idle_timeout_ns;
	uint64_t since = loop_now_ns(worker_loop(conn->worker)) - conn->active_ns;
	if (since < idle) {
		conn_deadline(conn, idle - since);
		return;
	}
	leg_notify(&conn->leg1);
	leg_notify(&conn->leg2);
	conn_end(conn, ENDING_TIMEOUT, "idle", "nothing moved within the idle deadline");
}

void relay_begin(struct conn *conn)
{
	conn->active_ns = loop_now_ns(worker_loop(conn->worker));
	conn_enter(conn, relay_ready, relay_late, worker_config(conn->worker)->idle_timeout_ns);
}
