/* explain/schedule_tree12.c — master secret, key block and Finished of TLS 1.2 (RFC 5246, 6.3, 7.4.9, 8.1; RFC 7627, 4). */
#include "explain/schedule_parts.h"
#include "tls/prf12.h"

#include <openssl/crypto.h>

struct tree {
	struct tls_secret master, verify[2];
	struct traffic_keys client, server;
	struct shape shape;
	bool computed;
};

static bool compute(struct crypto *crypto, const struct schedule_source *source, const struct schedule_walk *walk,
	struct tree *tree)
{
	enum suite_hash hash = walk->suite->prf;
	struct bytes premaster = tls_secret_bytes(&source->shared);
	tree->computed = premaster.len > 0 && !walk->server_first;
	if (!tree->computed)
		tree->master = source->known[SCHEDULE_MASTER];
	else if (walk->extended ? !prf12_extended_master(crypto, hash, premaster,
					  tls_secret_bytes(&walk->at_key_exchange), &tree->master)
				: !prf12_master(crypto, hash, premaster, walk->client_random, walk->server_random,
					  &tree->master))
		return false;
	struct bytes master = tls_secret_bytes(&tree->master);
	return shape_of(walk->suite, TLS_VERSION_12, &tree->shape) &&
	       prf12_keys(crypto, walk->suite, master, walk->client_random, walk->server_random, &tree->client,
		       &tree->server) &&
	       prf12_finished(crypto, hash, master, true, tls_secret_bytes(&walk->before_finished[walk->server_first]),
		       &tree->verify[0]) &&
	       prf12_finished(crypto, hash, master, false,
		       tls_secret_bytes(&walk->before_finished[!walk->server_first]), &tree->verify[1]);
}

static void keys_of(struct story *story, const struct tree *tree, const char *name, const struct traffic_keys *keys)
{
	schedule_branch(story, 2, name, "its part of the key block, in the order of RFC 5246, 6.3");
	if (tree->shape.mac_key > 0)
		schedule_node(story, 3, "MAC key", "octets of the key block", bytes_of(keys->mac, tree->shape.mac_key));
	schedule_node(story, 3, "key", "octets of the key block", bytes_of(keys->key, tree->shape.key));
	if (tree->shape.iv > 0)
		schedule_node(story, 3, "iv", "octets of the key block", bytes_of(keys->iv, tree->shape.iv));
}

static void tell_tree(struct story *story, const struct schedule_source *source, const struct schedule_walk *walk,
	const struct tree *tree)
{
	schedule_tree(story, "The tree: what comes of what, under which label, over what");
	if (walk->server_first)
		schedule_branch(story, 0, "an earlier connection", "its session is resumed: no key exchange here");
	else
		schedule_node(story, 0, "premaster secret", "the key exchange", tls_secret_bytes(&source->shared));
	schedule_node(story, 1, "master secret",
		walk->server_first ? "that of the earlier connection"
		: walk->extended
			? "PRF, label \"extended master secret\", over the hash of ClientHello..ClientKeyExchange"
			: "PRF, label \"master secret\", over the two randoms and nothing else",
		tls_secret_bytes(&tree->master));
	keys_of(story, tree, "client's keys: label \"key expansion\"", &tree->client);
	keys_of(story, tree, "server's keys: label \"key expansion\"", &tree->server);
	schedule_node(story, 2, "client Finished", "label \"client finished\", over the hash of all before it",
		tls_secret_bytes(&tree->verify[0]));
	schedule_node(story, 2, "server Finished", "label \"server finished\", over the hash of all before it",
		tls_secret_bytes(&tree->verify[1]));
}

bool schedule_tell12(struct crypto *crypto, const struct schedule_source *source, const struct schedule_walk *walk,
	struct story *story)
{
	struct tree tree = {0};
	bool ok = compute(crypto, source, walk, &tree);
	if (ok) {
		tell_tree(story, source, walk, &tree);
		if (tree.computed)
			schedule_compare(story, source, "master", "master secret", tls_secret_bytes(&tree.master),
				tls_secret_bytes(&source->known[SCHEDULE_MASTER]), source->logged_by,
				walk->extended ? "With the extended master secret it depends on every message up to "
						 "the key exchange, the "
						 "certificate included: two handshakes cannot end in one master secret."
					       : "It depends on the premaster secret and the two randoms alone, so "
						 "that a relay can give two "
						 "handshakes one master secret: overt explain dropout.");
		schedule_compare(story, source, "client-finished", "the client's Finished",
			tls_secret_bytes(&tree.verify[0]), walk->finished[walk->server_first], "in the message",
			"Who can make it has the master secret and has seen the same messages.");
		schedule_compare(story, source, "server-finished", "the server's Finished",
			tls_secret_bytes(&tree.verify[1]), walk->finished[!walk->server_first], "in the message",
			"Who can make it has the master secret and has seen the same messages.");
	}
	if (ok)
		schedule_tell_opened(source, walk, story);
	OPENSSL_cleanse(&tree, sizeof(tree));
	return ok;
}
