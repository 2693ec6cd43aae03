#include "proxy/tunnel.h"

#include "proxy/conn.h"
#include "proxy/opening.h"
#include "proxy/report.h"
#include "proxy/worker.h"

#include <errno.h>
#include <sys/socket.h>

#define TURN_OCTETS ((size_t)512 * 1024)
#define SHOWN_PIECE ((size_t)16 * 1024) /* read at a time where it is published */

static struct loop_io *source(struct conn *conn, enum flow_direction direction)
{
	return direction == FLOW_UP ? &conn->client : &conn->server;
}

static struct loop_io *sink(struct conn *conn, enum flow_direction direction)
{
	return direction == FLOW_UP ? &conn->server : &conn->client;
}

static struct outbox *box(struct conn *conn, enum flow_direction direction)
{
	return direction == FLOW_UP ? &conn->to_server : &conn->to_client;
}

enum moved { MOVED_ALL, MOVED_SOME, MOVED_BACK, MOVED_END, MOVED_LOST };

/* MOVED_SOME: more may be there; MOVED_BACK: the connection went back to its opening, or is over. */
static enum moved move(struct conn *conn, enum flow_direction direction)
{
	struct loop_io *from = source(conn, direction);
	size_t moved = 0;
	uint8_t *scratch = conn->worker->scratch;
	size_t most = conn->shown ? SHOWN_PIECE : WORKER_SCRATCH;
	while (moved < TURN_OCTETS) {
		if (outbox_stalled(box(conn, direction)) || !from->readable)
			return MOVED_ALL;
		if (conn->shown && !report_ready(conn, most))
			return MOVED_ALL;
		ssize_t n = recv(from->fd, scratch, most, 0);
		if (n == 0)
			return MOVED_END;
		if (n < 0 && errno == EAGAIN) {
			from->readable = false;
			return MOVED_ALL;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return MOVED_LOST;
		if ((size_t)n < most && !from->hung)
			from->readable = false;
		struct bytes piece = bytes_of(scratch, (size_t)n);
		if (conn->opening && !opening_watch(conn, direction, piece))
			return MOVED_BACK;
		if (conn->shown)
			report_data(conn, direction, piece);
		conn->half[direction].octets += (uint64_t)n;
		moved += (size_t)n;
		if (!outbox_send(box(conn, direction), sink(conn, direction), piece))
			return MOVED_LOST;
	}
	return MOVED_SOME;
}

static void pass_end(struct conn *conn, enum flow_direction direction)
{
	struct half *half = &conn->half[direction];
	if (!half->ended || half->shut || outbox_stalled(box(conn, direction)))
		return;
	half->shut = true;
	report_half(conn, direction);
	shutdown(sink(conn, direction)->fd, SHUT_WR);
}

/* One direction's turn. False when the connection left the tunnel. */
static bool work(struct conn *conn, enum flow_direction direction)
{
	struct half *half = &conn->half[direction];
	if (!outbox_send(box(conn, direction), sink(conn, direction), BYTES_NONE)) {
		conn_abort(conn, "reset", direction == FLOW_UP ? "server: connection lost" : "client: connection lost");
		return false;
	}
	enum moved moved = half->ended ? MOVED_ALL : move(conn, direction);
	if (moved == MOVED_BACK)
		return false;
	if (moved == MOVED_LOST) {
		conn_abort(conn, "reset", direction == FLOW_UP ? "client: connection lost" : "server: connection lost");
		return false;
	}
	if (moved == MOVED_SOME)
		conn_again(conn);
	half->ended = half->ended || moved == MOVED_END;
	pass_end(conn, direction);
	return true;
}

static void tunnel_ready(struct conn *conn)
{
	bool goes_on = work(conn, FLOW_UP) && work(conn, FLOW_DOWN);
	conn_note_traffic(conn);
	if (!goes_on)
		return;
	if (conn->half[FLOW_UP].shut && conn->half[FLOW_DOWN].shut)
		conn_end(conn, ENDING_DONE, "", "");
}

static void tunnel_late(struct conn *conn)
{
	uint64_t idle = worker_config(conn->worker)->idle_timeout_ns;
	uint64_t since = loop_now_ns(worker_loop(conn->worker)) - conn->active_ns;
	if (since < idle)
		conn_deadline(conn, idle - since);
	else
		conn_end(conn, ENDING_TIMEOUT, "idle", "nothing moved within the idle deadline");
}

void tunnel_begin(struct conn *conn, struct bytes to_server, struct bytes to_client)
{
	conn->active_ns = loop_now_ns(worker_loop(conn->worker));
	conn->half[FLOW_UP].octets += to_server.len;
	conn->half[FLOW_DOWN].octets += to_client.len;
	if (!outbox_send(&conn->to_server, &conn->server, to_server) ||
		!outbox_send(&conn->to_client, &conn->client, to_client)) {
		conn_abort(conn, "reset", "connection lost before the first octets went out");
		return;
	}
	conn_stage(conn, tunnel_ready, tunnel_late);
	conn_deadline(conn, worker_config(conn->worker)->idle_timeout_ns);
}
