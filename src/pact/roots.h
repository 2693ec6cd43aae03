/*
 * pact/roots.h — web roots as the distribution ships them, without any that were added on this machine: a local CA is
 * not to stand in for a server (docs/accord.md, 5.4). Reads files; at start only.
 */
#ifndef PACT_ROOTS_H
#define PACT_ROOTS_H

#include "pki/trust.h"

/* Where a distribution keeps them. */
struct roots_places {
	const char *list;      /* what is in use: a path below `directory` per line, "!" before those that are not */
	const char *directory; /* where packages put certificates */
	const char *own;       /* below it: the distribution's own, with the "/" at its end */
};

/* Debian, and those that follow it: /etc/ca-certificates.conf, /usr/share/ca-certificates, "mozilla/". */
extern const struct roots_places roots_debian;

/*
 * Adds the distribution's roots that are in use. What was put into other folders, and what stands in
 * /usr/local/share/ca-certificates, SSL_CERT_FILE or SSL_CERT_DIR, does not count. False when there are none to be
 * found or one is damaged.
 */
must_check bool roots_add(struct trust *trust, const struct roots_places *places, struct error *err);

#endif
