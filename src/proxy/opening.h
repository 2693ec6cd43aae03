/*
 * proxy/opening.h — steps 0 to 5 of a connection: from "a target is known" to relay, tunnel or end. The client's
 * octets are held until it is decided who answers them; until then stepping aside is possible (docs/architecture.md).
 */
#ifndef PROXY_OPENING_H
#define PROXY_OPENING_H

#include "accord/proxy_leg.h"
#include "base/buffer.h"
#include "flow/event.h"
#include "pki/name.h"
#include "pki/verify.h"
#include "policy/rules.h"
#include "proxy/aia.h"
#include "proxy/dial.h"
#include "proxy/intake_http.h"
#include "proxy/intake_socks.h"
#include "proxy/keeper_client.h"
#include "proxy/replay.h"
#include "proxy/starttls.h"
#include "proxy/target.h"
#include "tls/collect.h"
#include "tls/fingerprint.h"
#include "tls/hello.h"

struct accord_shown;
struct conn;
struct local_case;

/* What Accord adds to an opening (proxy/accord_opening.h). */
struct opening_accord {
	bool offered;
	bool on;           /* leg 2 introduces us, leg 1 shows the proof */
	const char *unfit; /* static text: why an offer cannot be taken up; NULL: it can, or there is none */
	bool paused;       /* leg 2 stands still before our Certificate: refused, or the client's approval is awaited */
	bool approved;     /* and it has come */
	struct accord_hello client;
	struct accord_shown *shown; /* on leg 1; a reference; NULL: none taken yet */
};

struct opening {
	enum flow_intake intake;
	struct buffer held;  /* from the client, not passed on; the hello stands at its front once TLS begins */
	struct buffer early; /* from the server, come with another proxy's answer; not passed on */
	struct target target;
	struct hostport fixed;  /* where transparent intake was going; none: resolve the target */
	struct hostport source; /* TPROXY with the client's address; none: our own */
	struct dial *dial;
	void (*dialled)(struct conn *conn, const struct dial_result *result);

	/* The preludes of the explicit port. */
	struct intake_http http;
	struct intake_socks socks;
	struct starttls starttls;
	struct plain_http *plain; /* an absolute-form request in progress; NULL: none */
	void (*plain_go)(struct conn *conn);
	bool agreed;          /* TLS began in the middle: a fresh connection must be brought there first */
	struct replay replay; /* how */
	void (*reconnected)(struct conn *conn);
	bool by_sni; /* the target is known only when the hello is */

	/* The hello. */
	struct collect collect;
	uint8_t *scratch; /* for a hello over several records */
	struct client_hello hello;
	struct subject_name name; /* who the client wants: SNI, else the target */
	char ja3[JA3_LEN + 1], ja4[JA4_LEN + 1];

	/* The decision. */
	struct policy *policy; /* the snapshot this connection began with */
	uint64_t generation;   /* of that snapshot */
	struct policy_facts facts;
	struct policy_verdict verdict;
	char issuer_cn[256], issuer_o[256];

	/* Step 3 to 5. */
	struct verify_verdict verified; /* VERIFY_INTERNAL until something is known: nothing is good by default */
	bool judged;                    /* the verification callback has run */
	const char *
		aside_reason; /* static text, why a verdict to inspect ends in stepping aside; NULL: the rule said so */
	char aia_url
		[AIA_URL_MAX]; /* where the issuer that the server did not send can be had; "": no rule, or nothing said */
	bool aia_tried;
	struct aia_fetch *aia;
	bool certificate_requested; /* the server asks for a client certificate */
	bool certificate_lacking;   /* and none is configured: the handshake stands still */
	bool certificate_empty;     /* a rule says to go on without one */
	bool shown;                 /* the server got a certificate, that of this digest */
	uint8_t shown_digest[32];
	bool session_offered;
	bool session_asked; /* the offered session comes of a handshake in which the server asked for a client certificate */
	struct opening_accord accord;
	struct local_case *local; /* of `overt local`: what leg 2 has found; NULL: nothing yet */
	uint8_t binding[32];      /* what leg 1's tickets are good for */
	struct keeper_wait *leaf_wait;
};

/* The connection's target is known (conn->opening filled in by an intake): rules on addresses, then connect. */
void opening_go(struct conn *conn);
/* The same for a plain HTTP request: `go` is called when the upstream connection stands and rules permit it. */
void opening_go_plain(struct conn *conn, void (*go)(struct conn *conn));
/* The target is the SNI at `port`: the hello comes first. */
void opening_go_by_sni(struct conn *conn, uint16_t port);
/*
 * A tunnel saw `piece`. True: pass it on. False: the connection was taken back, or is over. `piece` was consumed then.
 */
must_check bool opening_watch(struct conn *conn, enum flow_direction direction, struct bytes piece);
/* The server's own certificate: what leg 2 showed, or what a proxy behind it has proven. NULL: none yet. */
must_check X509 *opening_server(const struct conn *conn);
/* Makes conn->opening. False without memory. */
must_check bool opening_new(struct conn *conn);
/* Harmless when there is none. */
void opening_free(struct conn *conn);

/*
 * Reads what the client has sent into `held`. False when the connection is over: ended here, with that reported. A full
 * buffer ends nothing: see buffer_space. A client that closed its side after sending something is heard out.
 */
must_check bool opening_fill(struct conn *conn);
/* What came is not enough to go on, and nothing more will come: ends the connection and returns true. */
must_check bool opening_starved(struct conn *conn);

#endif
