/*
 * collect/issue.h — a small CA of a collector's own: certificates for the collector, for senders and for readers. It
 * vouches for nothing else: its certificates are for mutual TLS between these, and no program trusts it.
 *
 * Files in one folder: ca.pem, ca.key, collector.pem, collector.key, and NAME.pem, NAME.key for each client. Keys are
 * P-256, PKCS#8, mode 0600, written before their certificates. None is ever replaced.
 */
#ifndef COLLECT_ISSUE_H
#define COLLECT_ISSUE_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define ISSUE_CA_DAYS   3650
#define ISSUE_LEAF_DAYS 365
#define ISSUE_NAMES_MAX 16

/* Makes the CA and the collector's certificate, for these DNS names and IP addresses. */
must_check bool issue_init(
	const char *folder, const char *const *names, size_t count, int64_t now_s, struct error *err);
/* node.pem and node.key in `folder`, of a server of the bus, which is server and client to others; the CA's in `ca_folder`. */
must_check bool issue_node(const char *ca_folder, const char *folder, const char *name, const char *host, int64_t now_s,
	struct error *err);
/* A client's certificate under this common name: letters, digits, dots, hyphens and underscores; not the administrator's. */
must_check bool issue_client(const char *folder, const char *name, int64_t now_s, struct error *err);
/* That of the bus's administrator (bus/config.h). */
must_check bool issue_bus_admin(const char *folder, int64_t now_s, struct error *err);

#endif
