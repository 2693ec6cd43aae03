#include "proxy/conn.h"

#include "base/clock.h"
#include "proxy/local_parts.h"
#include "proxy/opening.h"
#include "proxy/report.h"
#include "proxy/worker.h"
#include "tls/alert.h"
#include "tls/record.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONN_OF(member, pointer) ((struct conn *)(void *)((char *)(pointer)-offsetof(struct conn, member)))

static void client_ready(struct loop_io *io)
{
	struct conn *conn = CONN_OF(client, io);
	conn->ready(conn);
}

static void server_ready(struct loop_io *io)
{
	struct conn *conn = CONN_OF(server, io);
	conn->ready(conn);
}

static void task_ready(struct loop_task *task)
{
	struct conn *conn = CONN_OF(again, task);
	conn->ready(conn);
}

static void timer_late(struct loop_timer *timer)
{
	struct conn *conn = CONN_OF(timer, timer);
	conn->late(conn);
}

void conn_bury(struct conn *conn)
{
	loop_task_cancel(conn->worker->loop, &conn->burial);
	worker_leave(conn->worker, conn);
	free(conn);
}

static void bury(struct loop_task *task)
{
	conn_bury(CONN_OF(burial, task));
}

struct conn *conn_new(struct worker *worker, const struct listener *listener, int fd, const struct hostport *peer)
{
	struct conn *conn = calloc(1, sizeof(*conn));
	if (!conn) {
		close(fd);
		return NULL;
	}
	conn->worker = worker;
	conn->listener = listener;
	conn->peer = *peer;
	conn->server.fd = -1;
	conn->opened_ns = clock_monotonic_ns();
	int yes = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	if (!loop_add(worker->loop, &conn->client, fd, client_ready) || !worker_enter(worker, conn)) {
		loop_remove(worker->loop, &conn->client);
		close(fd);
		free(conn);
		return NULL;
	}
	return conn;
}

void conn_rename(struct conn *conn, const struct hostport *peer)
{
	if (!worker_rename(conn->worker, conn, peer))
		conn_end(conn, ENDING_BLOCKED, "too-many-connections", "the client has as many connections as it may");
}

static void close_io(struct conn *conn, struct loop_io *io, bool reset)
{
	if (io->fd < 0)
		return;
	if (reset) {
		struct linger now = {.l_onoff = 1, .l_linger = 0};
		setsockopt(io->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	}
	loop_forget(conn->worker->loop, io);
	close(io->fd);
	io->fd = -1;
}

static void end(struct conn *conn, enum flow_ending ending, const char *name, const char *text, bool reset)
{
	if (conn->over)
		return;
	struct loop *loop = conn->worker->loop;
	conn->over = true;
	report_close(conn, ending, name, text);
	if (conn->row)
		local_ended(conn);
	if (conn->leg1.ssl)
		conn->worker->counts.plain_octets += conn->half[FLOW_UP].octets + conn->half[FLOW_DOWN].octets;
	opening_free(conn);
	leg_free(&conn->leg1);
	leg_free(&conn->leg2);
	outbox_free(&conn->to_client);
	outbox_free(&conn->to_server);
	close_io(conn, &conn->client, reset);
	close_io(conn, &conn->server, reset);
	loop_timer_clear(loop, &conn->timer);
	loop_task_cancel(loop, &conn->again);
	/* Whoever called may still hold the pointer until this turn is over. */
	loop_task_queue(loop, &conn->burial, bury);
}

void conn_end(struct conn *conn, enum flow_ending ending, const char *name, const char *text)
{
	end(conn, ending, name, text, false);
}

void conn_abort(struct conn *conn, const char *name, const char *text)
{
	end(conn, ENDING_RESET, name, text, true);
}

void conn_stage(struct conn *conn, void (*ready)(struct conn *conn), void (*late)(struct conn *conn))
{
	conn->ready = ready;
	conn->late = late;
	conn_again(conn);
}

void conn_enter(struct conn *conn, void (*ready)(struct conn *conn), void (*late)(struct conn *conn), uint64_t ns)
{
	loop_task_cancel(conn->worker->loop, &conn->again);
	conn->ready = ready;
	conn->late = late;
	conn_deadline(conn, ns);
	ready(conn);
}

void conn_deadline(struct conn *conn, uint64_t ns)
{
	if (ns == 0)
		loop_timer_clear(conn->worker->loop, &conn->timer);
	else
		loop_timer_set(conn->worker->loop, &conn->timer, loop_now_ns(conn->worker->loop) + ns, timer_late);
}

void conn_note_traffic(struct conn *conn)
{
	uint64_t traffic = conn->half[FLOW_UP].octets + conn->half[FLOW_DOWN].octets + conn->leg1.wire_in +
	                   conn->leg1.box.sent + conn->leg2.wire_in + conn->leg2.box.sent + conn->to_client.sent +
	                   conn->to_server.sent;
	if (traffic == conn->traffic)
		return;
	conn->traffic = traffic;
	conn->active_ns = loop_now_ns(conn->worker->loop);
}

void conn_again(struct conn *conn)
{
	loop_task_queue(conn->worker->loop, &conn->again, task_ready);
}

bool conn_take_server(struct conn *conn, int fd)
{
	if (loop_add(conn->worker->loop, &conn->server, fd, server_ready))
		return true;
	close(fd);
	conn->server.fd = -1;
	return false;
}

void conn_drop_server(struct conn *conn)
{
	close_io(conn, &conn->server, false);
	outbox_free(&conn->to_server);
}

void conn_alert(struct conn *conn, uint8_t description)
{
	const uint8_t record[] = {RECORD_ALERT, 3, 3, 0, ALERT_LEN, ALERT_FATAL, description};
	(void)!outbox_send(&conn->to_client, &conn->client, bytes_of(record, sizeof(record)));
}
