/* assess/target.h — the one host that is asked, and how much may be asked of it: connections, time, and a pause between. */
#ifndef ASSESS_TARGET_H
#define ASSESS_TARGET_H

#include "base/error.h"
#include "base/hostport.h"
#include "pki/name.h"

#define TARGET_CONNECTIONS 72

struct target {
	struct subject_name name; /* what was asked for */
	char port_text[8];
	struct hostport at; /* the address that answered first; the others of the name are left alone */
	char text[SUBJECT_NAME_MAX + 16];
	/* The explicit proxy that connections go through, by CONNECT: `at` is its address then. */
	bool has_via;
	struct subject_name via;
	char via_port[8], via_text[SUBJECT_NAME_MAX + 16];
	unsigned via_status; /* its last answer */
	/* The budget. */
	uint64_t deadline_ns; /* of the whole */
	uint64_t step_ns;     /* of one connection */
	uint64_t pause_ns;    /* between two */
	unsigned left, made;  /* connections */
};

/* "HOST", "HOST:PORT" or "[IPV6]:PORT". */
must_check bool target_of_word(const char *text, const char *default_port, struct target *out, struct error *err);
/* From now on through this proxy: "HOST", "HOST:PORT" or "[IPV6]:PORT"; 8080 by default. */
must_check bool target_via(struct target *target, const char *proxy, struct error *err);
/* Looks the name up, or that of the proxy, and connects once to find an address that answers. The budget must be set. */
must_check bool target_find(struct target *target, struct error *err);

/* Why there is no connection. */
enum dial_result {
	DIAL_OK,
	DIAL_REFUSED,
	DIAL_TIMEOUT,
	DIAL_TUNNEL, /* the proxy did not connect: see via_status */
	DIAL_SPENT,
};

must_check const char *dial_text(enum dial_result result);

/* One connection to the address found: a non-blocking descriptor in *fd, and its deadline. Pauses first. */
must_check enum dial_result target_dial(struct target *target, int *fd, uint64_t *deadline_ns);
/* Waits until one of poll's `events` is there. False at the deadline. */
must_check bool wait_until(int fd, short events, uint64_t deadline_ns);

/* Sends all of `octets` on a non-blocking socket. False at the deadline too. */
must_check bool send_until(int fd, struct bytes octets, uint64_t deadline_ns);

#endif
