/*
 * assess/listen.h — a server for those who cannot be started as a command, and for the other end of a path: browsers and
 * devices visit it, are led through servers that misbehave on purpose, each on a port of its own, and get a report; `overt
 * assess path --listener` asks it what it saw of a connection.
 *
 * A client is whoever comes from one address. Ports: the front, which is good; one where each connection of a client meets
 * the next case; then one for each case.
 */
#ifndef ASSESS_LISTEN_H
#define ASSESS_LISTEN_H

#include "assess/report.h"
#include "base/error.h"

#define LISTEN_CLIENTS     64 /* told apart at one time; the one that was quiet for longest gives way */
#define LISTEN_CONNECTIONS 96 /* served at one time; more are closed at once */
#define LISTEN_EACH        48 /* of one client */

struct listen_options {
	const char *
		where; /* IP:PORT or [IP]:PORT; port 0: of the kernel's choice, else as many as are needed from it on */
	const char *name; /* under which clients reach it; NULL: localhost, or the IP where it is no loopback address */
	const char *origin; /* folder of the root that clients are to trust for this; made if it is not there */
	unsigned clients;   /* ends after so many reports; 0: never */
	uint64_t whole_ns;  /* ends after this time; 0: never */
	uint64_t quiet_ns;  /* a client that says nothing for so long is reported on */
	/* Says where what is. */
	void (*begun)(void *arg, const char *line);
	/* A client's report. False ends it. */
	bool (*told)(void *arg, const struct report *report);
	void *arg;
};

/* Until SIGINT or SIGTERM, or a bound. False with err set when it cannot begin. */
must_check bool listen_run(const struct listen_options *options, struct error *err);

#endif
