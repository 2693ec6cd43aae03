/*
 * bus/config.h — configurations of nats-server for a fleet: nodes with mutual TLS between all, and who may do what. No I/O.
 *
 * Users are certificates (verify_and_map: their subject, "CN=NAME"). A collector publishes below its site and does nothing
 * else. A reader asks for messages of its own stream, acknowledges them, and does nothing else: it can make no consumer,
 * because one that pushes could be told to push anywhere. The administrator makes streams and consumers.
 *
 * Permissions are on what is published, not on where an answer is asked for, and JetStream answers in the right of its own
 * account: in one account, an answer could be sent to another's stream, or to where streams are deleted. So each site and
 * each reader's key has an account of its own, in which there is nothing but what it may ask of OVERT, the account of
 * JetStream and the administrator; an answer goes back into the account that asked.
 *
 * Routes between nodes show certificates of the same CA. So that no client can pass for a node, their names must be those
 * of nodes (verify_cert_and_check_known_urls): nodes are named by DNS names, clients have none.
 */
#ifndef BUS_CONFIG_H
#define BUS_CONFIG_H

#include "base/bytes.h"
#include "base/error.h"
#include "bus/name.h"

#define BUS_NODES_MAX 9
#define BUS_USERS_MAX 256 /* collectors, and as many readers */
#define BUS_HOST_MAX  253
#define BUS_ADMIN     "bus-admin" /* common name of the administrator's certificate */

struct bus_node {
	char name[BUS_SITE_MAX + 1], host[BUS_HOST_MAX + 1];
	uint16_t port, routes; /* for clients; for other nodes */
};

struct bus_plan {
	struct bus_node nodes[BUS_NODES_MAX];
	size_t node_count;
	struct {
		char login[BUS_LOGIN_MAX + 1], site[BUS_SITE_MAX + 1];
	} collectors[BUS_USERS_MAX];
	size_t collector_count;
	struct {
		char login[BUS_LOGIN_MAX + 1];
		uint8_t key_id[SEAL_KEY_ID];
	} readers[BUS_USERS_MAX];
	size_t reader_count;
	uint64_t store; /* octets that one node may keep on its disk */
};

/* "NAME=HOST", "NAME=HOST:PORT", "NAME=HOST:PORT:ROUTES" [4222, 6222]. HOST is a DNS name. */
must_check bool bus_plan_node(struct bus_plan *plan, const char *text, struct error *err);
/* "NAME=SITE": the name in the collector's certificate. */
must_check bool bus_plan_collector(struct bus_plan *plan, const char *text, struct error *err);
must_check bool bus_plan_reader(
	struct bus_plan *plan, const char *login, const uint8_t key_id[static SEAL_KEY_ID], struct error *err);

/* The configuration of one node, whose files (node.pem, node.key, ca.pem, users.conf) stand in `folder` there. */
must_check bool bus_config_node(const struct bus_plan *plan, size_t node, const char *folder, struct writer *to);
/* Users and what they may do, which is the same on every node. */
must_check bool bus_config_users(const struct bus_plan *plan, struct writer *to);

#endif
