/*
 * proxy/starttls.h — where TLS begins inside a plaintext protocol: SMTP (RFC 3207), IMAP (RFC 9051, 6.2.1), POP3
 * (RFC 2595, 4), PostgreSQL (SSLRequest). Both directions are watched while they are relayed. No I/O, no allocation.
 *
 * Plaintext that either side sends behind its agreement to TLS would be taken by a careless peer as said inside TLS
 * (command and response injection): it is refused here, never relayed.
 */
#ifndef PROXY_STARTTLS_H
#define PROXY_STARTTLS_H

#include "base/bytes.h"

enum starttls_protocol { STARTTLS_NONE, STARTTLS_SMTP, STARTTLS_IMAP, STARTTLS_POP3, STARTTLS_POSTGRESQL };

enum starttls_side { STARTTLS_CLIENT, STARTTLS_SERVER };

enum starttls_result {
	STARTTLS_PASS,   /* relay all of it, go on watching */
	STARTTLS_BEGINS, /* relay all of it, then TLS begins: the client's next octet opens a ClientHello */
	STARTTLS_HELLO, /* from the client: relay none of it, these octets are its ClientHello. After STARTTLS_BEGINS, or
			  * when TLS is the first thing that either side said */
	STARTTLS_PLAIN,  /* relay all of it and stop watching: no TLS can follow */
	STARTTLS_REFUSE, /* relay none of it, close both sides; `why` says the reason */
};

#define STARTTLS_PREFIX 96   /* octets of a line that are looked at */
#define STARTTLS_QUEUE  1024 /* commands that may wait for their replies, else STARTTLS_REFUSE */

/* One direction, cut into lines. */
struct starttls_lines {
	uint8_t prefix[STARTTLS_PREFIX];
	size_t len;       /* octets of the line so far without its LF; may be more than the prefix holds */
	uint8_t last;     /* the octet before */
	bool complete;    /* the line has ended: the next octet begins another */
	uint64_t skip;    /* octets of a literal or a BDAT chunk still to pass over */
	uint8_t brace;    /* IMAP: how far the {n} or {n+} of a literal at the end of the line has come */
	uint64_t literal; /* IMAP: its n */
	bool middle;      /* IMAP: the line goes on with a command or response that a literal interrupted */
};

/* One connection. Set up by starttls_begin. */
struct starttls {
	enum starttls_protocol protocol;
	enum { STARTTLS_WATCHES, STARTTLS_AGREED, STARTTLS_OVER } stage;
	enum starttls_result final; /* STARTTLS_OVER: given again to whoever asks */
	const char *why;            /* with STARTTLS_REFUSE: static text */

	struct starttls_lines client, server;
	bool client_spoke, server_spoke;
	bool guessed; /* SMTP: only the client's first command will tell whether it is (EHLO), or FTP */
	bool asked;   /* the client has asked for TLS and may say nothing until the answer */
	bool data;    /* SMTP: mail content follows, up to a line with a dot alone */
	bool bare_lf; /* SMTP: the line of content before ended in LF without CR */
	/* SMTP, POP3: replies that the server owes, a ring of bits: that one opens mail content, or has many lines. */
	uint8_t special[STARTTLS_QUEUE / 8];
	unsigned oldest, waiting;
	bool in_reply;                /* POP3: within the lines of one */
	bool awaits_go;               /* IMAP: the client waits for "+" before it sends its literal */
	bool answered;                /* IMAP: the greeting is in, or the reply to the client's latest command */
	uint8_t tag[STARTTLS_PREFIX]; /* IMAP: of the client's latest command */
	size_t tag_len;
	uint8_t request; /* PostgreSQL: what the client asked for, S or G */
};

void starttls_begin(struct starttls *s, enum starttls_protocol protocol);
/* What usually stands behind a port: 25, 587, 2525, 143, 110, 5432; else STARTTLS_NONE. */
must_check enum starttls_protocol starttls_by_port(uint16_t port);
/*
 * As starttls_begin, for what a server's first octets say; STARTTLS_NONE when they say nothing (yet). FTP greets with 220
 * as SMTP does, and SMTP's servers may leave that word out: such a dialogue is watched until the client's first command,
 * and is STARTTLS_PLAIN from there unless that is SMTP's.
 */
void starttls_begin_by_greeting(struct starttls *s, struct bytes in);

/*
 * Watches the next octets of one side, in the order they came. All of `in` is judged at once: the result says what to
 * do with all of it.
 */
must_check enum starttls_result starttls_feed(struct starttls *s, enum starttls_side side, struct bytes in);

/* True when the server has greeted, where servers do, and owes no reply. */
must_check bool starttls_settled(const struct starttls *s);

#endif
