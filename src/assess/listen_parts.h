/* assess/listen_parts.h — between the parts of the listener. */
#ifndef ASSESS_LISTEN_PARTS_H
#define ASSESS_LISTEN_PARTS_H

#include "assess/client_cases.h"
#include "assess/listen.h"
#include "base/hostport.h"

#include <pthread.h>
#include <stdatomic.h>

#define LISTEN_TOKEN  ((size_t)32) /* hex digits of a report's address */
#define LISTEN_ANSWER ((size_t)2 * 1024 * 1024)

/* What one client did in one case. Of the hello only the good one is kept, in `struct guest`. */
struct deed {
	unsigned connections;
	size_t request;
	bool key_exchange, began;
	uint8_t alert;
};

struct guest {
	bool used, told;
	struct hostport at;
	char token[LISTEN_TOKEN + 1];
	uint64_t last_ns;
	unsigned open, connections; /* now; in all */
	size_t next;                /* of the cases, where they come one after the other; 0: the good one */
	bool good;                  /* it accepted the good one */
	uint8_t *hello;             /* of its last visit to it */
	size_t hello_len;
	struct deed deed[CLIENT_CASES_MAX];
};

/* One port, and what is played there. */
struct stall {
	int fd;
	uint16_t port;
	struct client_case one;
	struct identity identity;
	SSL_CTX *ctx;
};

struct listener {
	const struct listen_options *options;
	char name[256];
	struct identity_maker *maker;
	struct stall front, walk; /* front's certificate and context serve both */
	struct stall stall[CLIENT_CASES_MAX];
	size_t stalls;
	struct identity rsa; /* a good one for what needs it */
	atomic_bool end;
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t closed;
	unsigned open;
	struct guest guest[LISTEN_CLIENTS];
	unsigned reports, given_way;
	uint64_t turned_away;
};

/* Makes certificates and contexts, and opens the ports. */
must_check bool listen_open(struct listener *listener, struct error *err);

/* All with the lock held. */
/* The client of that address, made if there is none. */
must_check struct guest *guest_of(struct listener *listener, const struct hostport *at);
must_check struct guest *guest_of_token(struct listener *listener, struct bytes token);
/* Cases that the client has met, of listener->stalls. */
must_check size_t guest_met(const struct listener *listener, const struct guest *guest);
/* NULL without memory. */
must_check struct report *guest_report(const struct listener *listener, const struct guest *guest);
void guest_forget(struct guest *guest);
/* It has come again after its report: from the beginning, at the same address. */
void guest_again(struct guest *guest);
void guest_note(struct guest *guest, size_t number, const struct visit_seen *seen);

/* What the front answers: one visit's own. */
struct front_visit {
	struct listener *listener;
	struct hostport from;
	bool walk; /* on the port where cases come one after the other: the report, whatever is asked for */
};

/* As visit_order.answer, with a struct front_visit. */
size_t front_answer(void *arg, SSL *ssl, const struct visit_seen *seen, struct bytes request, char *out, size_t cap);

#endif
