/*
 * proxy/bundle.h — everything a process of the family needs to read before its sandbox closes: configuration, rules, name
 * lists, trust anchors, client certificates, as named octets in one sealed memory file. So all processes see the same
 * snapshot, and a reload is one descriptor.
 */
#ifndef PROXY_BUNDLE_H
#define PROXY_BUNDLE_H

#include "base/bytes.h"
#include "base/error.h"

/* Writing. */

struct bundle_writer {
	int fd; /* -1: none */
	bool failed;
};

must_check bool bundle_begin(struct bundle_writer *w, struct error *err);
/* A second entry of the same name is never found. Failure is told by bundle_seal. */
void bundle_add(struct bundle_writer *w, const char *name, struct bytes content);
/* The sealed, close-on-exec descriptor is the caller's; -1 with `err` set, and everything released. */
must_check int bundle_seal(struct bundle_writer *w, struct error *err);
void bundle_abandon(struct bundle_writer *w);

/* Reading. */

struct bundle;

/* Maps `fd`, which stays the caller's; one owner. NULL with `err` set, also when the form is broken. */
must_check struct bundle *bundle_open(int fd, struct error *err);
/* One owner more, or one less: the last unmaps it. */
void bundle_keep(struct bundle *bundle);
void bundle_close(struct bundle *bundle);
/* A view that lives as long as the bundle. False when there is no such entry. */
must_check bool bundle_find(const struct bundle *bundle, const char *name, struct bytes *content);

#endif
