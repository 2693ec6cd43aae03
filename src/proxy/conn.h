/*
 * proxy/conn.h — one client's connection from accept to close, and what its stages share. Private to proxy/.
 *
 * A connection is always in one stage, which is the pair of functions `ready` (a socket may have something) and `late`
 * (the deadline passed). Stages hand over by setting both: intake → opening → relay or tunnel.
 */
#ifndef PROXY_CONN_H
#define PROXY_CONN_H

#include "base/hostport.h"
#include "base/loop.h"
#include "flow/publish.h"
#include "proxy/leg.h"
#include "proxy/outbox.h"

struct book_row;
struct worker;
struct listener;
struct opening;

/* One direction of a relay or tunnel. */
struct half {
	bool first;    /* this side ended before the other */
	bool notified; /* close_notify came, and was passed on */
	bool ended;    /* TCP's end came */
	bool shut;     /* and was passed on */
	uint64_t octets;
};

struct conn {
	struct worker *worker;
	struct conn *older, *newer; /* of all the worker's connections */
	struct conn *same_slot;     /* next in the worker's table by flow id */
	const struct listener *listener;

	struct loop_io client, server; /* fd -1: none */
	struct loop_timer timer;
	struct loop_task again; /* to go on in the next turn */
	struct loop_task burial;
	void (*ready)(struct conn *conn);
	void (*late)(struct conn *conn);
	uint64_t opened_ns, active_ns; /* monotonic */
	uint64_t traffic;              /* octets moved when active_ns was set */
	bool over;
	bool unread; /* plain HTTP that a rule bypasses: relayed, not published */
	bool shown;  /* a tunnel whose octets are published: plain HTTP that changed to another protocol */

	struct hostport peer;   /* the client's */
	struct hostport origin; /* the server's, once connected */

	struct opening *opening; /* what only steps 0 to 5 need; NULL afterwards */

	struct leg leg1, leg2;              /* split */
	struct outbox to_client, to_server; /* tunnel, and before there are legs */
	struct half half[2];                /* by enum flow_direction */
	struct publish_flow flow;
	struct book_row *row; /* of `overt local`: where it counts as open; NULL: nowhere */

	uint8_t session_key[32]; /* where leg 2's sessions are kept: they come long after the handshake */
	int64_t session_ends_s;  /* none is kept past this; 0: none at all */
	bool session_asked;      /* the server asked for a client certificate when they were made */
};

/* Takes the accepted, non-blocking `fd`. NULL, and `fd` closed, without memory or when registering fails. */
must_check struct conn *conn_new(
	struct worker *worker, const struct listener *listener, int fd, const struct hostport *peer);

/*
 * The end of it: reported, sockets closed, memory freed at the end of this turn. The connection must not be used after.
 * `name` is stable ("upstream-unreachable"), `text` a sentence for people; both may be "".
 */
void conn_end(struct conn *conn, enum flow_ending ending, const char *name, const char *text);
/* As conn_end, but both sockets are reset, so that neither peer takes the end for a clean one. */
void conn_abort(struct conn *conn, const char *name, const char *text);

/* The client is another than the socket says (PROXY protocol). May end the connection: ask conn->over. */
void conn_rename(struct conn *conn, const struct hostport *peer);
/* For worker_free: frees what conn_end has left for the end of the turn. */
void conn_bury(struct conn *conn);

/* Enters a stage. Its `ready` is called once at the end of this turn, so that nothing that came before is missed. */
void conn_stage(struct conn *conn, void (*ready)(struct conn *conn), void (*late)(struct conn *conn));
/* As conn_stage and conn_deadline, but `ready` is called at once: the last thing the caller does with the connection. */
void conn_enter(struct conn *conn, void (*ready)(struct conn *conn), void (*late)(struct conn *conn), uint64_t ns);
/* The deadline of the present stage, from now. 0: none. */
void conn_deadline(struct conn *conn, uint64_t ns);
/* Sets active_ns if octets moved since it was set. Being woken alone is no sign of life. */
void conn_note_traffic(struct conn *conn);
/* Calls `ready` again in the next turn. */
void conn_again(struct conn *conn);

/* The connected upstream socket becomes the connection's; false (and fd closed) when registering fails. */
must_check bool conn_take_server(struct conn *conn, int fd);
/* Closes the upstream socket, if there is one. */
void conn_drop_server(struct conn *conn);

/* A fatal alert in the clear, for a client that has sent its hello and gets no answer to it. */
void conn_alert(struct conn *conn, uint8_t description);

#endif
