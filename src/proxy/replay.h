/*
 * proxy/replay.h — saying again, to a fresh connection, what a client said in the clear before TLS (STARTTLS of SMTP,
 * IMAP and POP3; SSLRequest of PostgreSQL): once the server was looked at its connection is used up, and stepping aside
 * needs another one that stands where the first did when TLS began. No I/O.
 *
 * Commands go out one at a time, each when the reply to the one before is whole; replies are read and thrown away, as
 * the client has had its own. Only commands that change nothing and tell nothing are said again: one that carries
 * credentials or mail makes stepping aside impossible, and is not kept.
 */
#ifndef PROXY_REPLAY_H
#define PROXY_REPLAY_H

#include "base/buffer.h"
#include "proxy/starttls.h"

#define REPLAY_MAX ((size_t)8 * 1024) /* octets kept of what a client says before TLS */

/* Zeroed when new. */
struct replay {
	struct buffer said; /* the client's lines; empty once one of them must not be said again */
	size_t judged;      /* octets of them that are whole lines and harmless */
	bool capped;        /* there were more than REPLAY_MAX */
	const char *never;  /* why nothing can be said again: static text. NULL: nothing speaks against it yet */

	/* On the fresh connection. */
	struct starttls watch;
	size_t at;       /* octets of `said` that are through */
	const char *why; /* with REPLAY_FAILED: static text */
};

/* The client said `piece` in the clear, on its way to the first server, in the order it came. */
void replay_note(struct replay *r, enum starttls_protocol protocol, struct bytes piece);
/* Wipes and frees what was kept. */
void replay_clear(struct replay *r);
/* TLS has begun: why it cannot be brought about a second time, static text; NULL: it can be tried. */
must_check const char *replay_never(const struct replay *r, enum starttls_protocol protocol);

enum replay_result {
	REPLAY_WAIT,   /* for more from the server */
	REPLAY_SAY,    /* send *out, a view of what is kept, then wait for the answer */
	REPLAY_AGREED, /* the server awaits a ClientHello */
	REPLAY_FAILED, /* it did not agree, or said what fits nothing: `why` */
};

void replay_begin(struct replay *r, enum starttls_protocol protocol);
/* The fresh server said `in`; empty to begin with, when it has said nothing yet. */
must_check enum replay_result replay_step(struct replay *r, struct bytes in, struct bytes *out);

#endif
