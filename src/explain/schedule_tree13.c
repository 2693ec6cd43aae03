/* explain/schedule_tree13.c — the key schedule of TLS 1.3 as a tree (RFC 8446, 7.1 to 7.3, 4.4.4, 4.6.1). */
#include "explain/schedule_parts.h"
#include "tls/schedule13.h"

#include <openssl/crypto.h>
#include <stdio.h>

struct tree {
	struct crypto *crypto;
	const struct schedule_source *source;
	const struct schedule_walk *walk;
	struct story *story;
	enum suite_hash hash;
	struct tls_secret at[SCHEDULE_SECRETS]; /* as computed, or where that cannot be, as logged */
	bool computed[SCHEDULE_SECRETS];
	struct tls_secret next[2][SCHEDULE_UPDATES];
	struct tls_secret verify[2];
	struct tls_secret binder_key, binder;
	bool external;
};

static struct bytes at(const struct tree *tree, enum schedule_secret which)
{
	return tls_secret_bytes(&tree->at[which]);
}

/* Which secret comes of which, under which label, over which hash. */
static bool derive(struct tree *tree, enum schedule_secret which, enum schedule_secret from,
	enum schedule13_label label, const struct tls_secret *over)
{
	if (tree->at[from].len == 0) {
		tree->at[which] = tree->source->known[which];
		return true;
	}
	tree->computed[which] = true;
	return schedule13_derive(
		tree->crypto, tree->hash, &tree->at[from], label, tls_secret_bytes(over), &tree->at[which]);
}

/* A PSK that was chosen and is not known leaves nothing to compute: the log's secrets hang in the air. */
static bool compute_stems(struct tree *tree)
{
	const struct schedule_source *source = tree->source;
	const struct schedule_walk *walk = tree->walk;
	if (walk->psk_chosen && source->psk.len == 0)
		return true;
	tree->computed[SCHEDULE_EARLY] = true;
	bool ok = schedule13_early(tree->crypto, tree->hash,
		walk->psk_chosen ? tls_secret_bytes(&source->psk) : BYTES_NONE, &tree->at[SCHEDULE_EARLY]);
	if (source->shared.len == 0 && !walk->psk_alone)
		return ok;
	tree->computed[SCHEDULE_HANDSHAKE] = tree->computed[SCHEDULE_MASTER] = true;
	return ok &&
	       schedule13_handshake(tree->crypto, tree->hash, &tree->at[SCHEDULE_EARLY],
		       tls_secret_bytes(&source->shared), &tree->at[SCHEDULE_HANDSHAKE]) &&
	       schedule13_master(tree->crypto, tree->hash, &tree->at[SCHEDULE_HANDSHAKE], &tree->at[SCHEDULE_MASTER]);
}

/* The binder says by its label whether the PSK is a session's or was agreed on otherwise: both are tried. */
static bool compute_binder(struct tree *tree)
{
	const struct schedule_walk *walk = tree->walk;
	static const enum schedule13_label labels[2] = {SCHEDULE13_EXT_BINDER, SCHEDULE13_RES_BINDER};
	for (unsigned i = 0; walk->psk_chosen && tree->computed[SCHEDULE_EARLY] && i < 2; i++) {
		if (!schedule13_derive(tree->crypto, tree->hash, &tree->at[SCHEDULE_EARLY], labels[i], BYTES_NONE,
			    &tree->binder_key) ||
			!schedule13_finished(tree->crypto, tree->hash, &tree->binder_key,
				tls_secret_bytes(&walk->at_binder), &tree->binder))
			return false;
		tree->external = i == 0;
		if (bytes_equal(tls_secret_bytes(&tree->binder), walk->binder))
			break;
	}
	return true;
}

/* What 0-RTT data and early exporters need: where there is a PSK, or a log that has them. */
static bool compute_early(struct tree *tree)
{
	const struct schedule_walk *walk = tree->walk;
	const struct schedule_source *source = tree->source;
	tree->at[SCHEDULE_EARLY_TRAFFIC] = source->known[SCHEDULE_EARLY_TRAFFIC];
	tree->at[SCHEDULE_EARLY_EXPORTER] = source->known[SCHEDULE_EARLY_EXPORTER];
	if (!walk->psk_chosen || !tree->computed[SCHEDULE_EARLY])
		return true;
	return derive(tree, SCHEDULE_EARLY_TRAFFIC, SCHEDULE_EARLY, SCHEDULE13_C_E_TRAFFIC, &walk->at_client_hello) &&
	       derive(tree, SCHEDULE_EARLY_EXPORTER, SCHEDULE_EARLY, SCHEDULE13_E_EXP_MASTER, &walk->at_client_hello);
}

static bool compute_updates(struct tree *tree, unsigned side, enum schedule_secret from)
{
	const struct tls_secret *now = &tree->at[from];
	for (size_t i = 0; i < tree->source->updates[side]; i++) {
		if (now->len == 0 || !schedule13_next(tree->crypto, tree->hash, now, &tree->next[side][i]))
			return now->len == 0;
		now = &tree->next[side][i];
	}
	return true;
}

static bool compute(struct tree *tree)
{
	const struct schedule_walk *walk = tree->walk;
	static const enum schedule_secret base[2] = {SCHEDULE_SERVER_HANDSHAKE, SCHEDULE_CLIENT_HANDSHAKE};
	bool ok = compute_stems(tree) && compute_binder(tree) && compute_early(tree) &&
	          derive(tree, SCHEDULE_CLIENT_HANDSHAKE, SCHEDULE_HANDSHAKE, SCHEDULE13_C_HS_TRAFFIC,
			  &walk->at_server_hello) &&
	          derive(tree, SCHEDULE_SERVER_HANDSHAKE, SCHEDULE_HANDSHAKE, SCHEDULE13_S_HS_TRAFFIC,
			  &walk->at_server_hello) &&
	          derive(tree, SCHEDULE_CLIENT_TRAFFIC, SCHEDULE_MASTER, SCHEDULE13_C_AP_TRAFFIC,
			  &walk->at_finished[0]) &&
	          derive(tree, SCHEDULE_SERVER_TRAFFIC, SCHEDULE_MASTER, SCHEDULE13_S_AP_TRAFFIC,
			  &walk->at_finished[0]) &&
	          derive(tree, SCHEDULE_EXPORTER, SCHEDULE_MASTER, SCHEDULE13_EXP_MASTER, &walk->at_finished[0]) &&
	          derive(tree, SCHEDULE_RESUMPTION, SCHEDULE_MASTER, SCHEDULE13_RES_MASTER, &walk->at_finished[1]);
	for (unsigned i = 0; ok && i < 2; i++) {
		if (tree->at[base[i]].len > 0)
			ok = schedule13_finished(tree->crypto, tree->hash, &tree->at[base[i]],
				tls_secret_bytes(&walk->before_finished[i]), &tree->verify[i]);
	}
	if (ok && walk->has_ticket && tree->at[SCHEDULE_RESUMPTION].len > 0) {
		tree->computed[SCHEDULE_TICKET] = true;
		ok = schedule13_ticket_psk(tree->crypto, tree->hash, &tree->at[SCHEDULE_RESUMPTION], walk->ticket_nonce,
			&tree->at[SCHEDULE_TICKET]);
	}
	return ok && compute_updates(tree, 0, SCHEDULE_CLIENT_TRAFFIC) &&
	       compute_updates(tree, 1, SCHEDULE_SERVER_TRAFFIC);
}

static void keys_of(const struct tree *tree, unsigned depth, const struct tls_secret *traffic)
{
	struct traffic_keys keys;
	struct shape shape;
	if (traffic->len == 0 || !shape_of(tree->walk->suite, TLS_VERSION_13, &shape) ||
		!schedule13_keys(tree->crypto, tree->walk->suite, traffic, &keys))
		return;
	schedule_node(tree->story, depth, "key", "label \"key\", over nothing", bytes_of(keys.key, shape.key));
	schedule_node(tree->story, depth, "iv", "label \"iv\", over nothing", bytes_of(keys.iv, shape.iv));
	traffic_keys_wipe(&keys);
}

static void tell_updates(const struct tree *tree, unsigned side)
{
	for (size_t i = 0; i < tree->source->updates[side]; i++) {
		char name[64];
		unsigned depth = 3 + (unsigned)i;
		snprintf(name, sizeof(name), "%s traffic %zu", side == 0 ? "client" : "server", i + 1);
		schedule_node(tree->story, depth, name, "KeyUpdate; label \"traffic upd\", over nothing",
			tls_secret_bytes(&tree->next[side][i]));
		keys_of(tree, depth + 1, &tree->next[side][i]);
	}
}

static void tell_early_part(const struct tree *tree)
{
	const struct schedule_walk *walk = tree->walk;
	if (walk->psk_chosen)
		schedule_node(tree->story, 0, "PSK", "what the ticket stands for, or what was agreed on beforehand",
			tls_secret_bytes(&tree->source->psk));
	schedule_node(tree->story, 0, "early secret",
		walk->psk_chosen ? "HKDF-Extract(salt 0, PSK)" : "HKDF-Extract(salt 0, no PSK: 0)",
		at(tree, SCHEDULE_EARLY));
	if (walk->psk_chosen) {
		schedule_node(tree->story, 1, "binder key",
			tree->binder_key.len == 0 ? "label \"res binder\" or \"ext binder\", over nothing"
			: tree->external          ? "label \"ext binder\", over nothing"
						  : "label \"res binder\", over nothing",
			tls_secret_bytes(&tree->binder_key));
		schedule_node(tree->story, 2, "binder",
			"label \"finished\" makes its key; HMAC over the hash up to the binders in the ClientHello",
			walk->binder);
	}
	if (walk->psk_chosen || tree->at[SCHEDULE_EARLY_TRAFFIC].len > 0) {
		schedule_node(tree->story, 1, "client early traffic", "label \"c e traffic\", over ClientHello",
			at(tree, SCHEDULE_EARLY_TRAFFIC));
		keys_of(tree, 2, &tree->at[SCHEDULE_EARLY_TRAFFIC]);
		schedule_node(tree->story, 1, "early exporter master", "label \"e exp master\", over ClientHello",
			at(tree, SCHEDULE_EARLY_EXPORTER));
	}
}

static void tell_handshake_part(const struct tree *tree)
{
	static const char made[] = "label \"finished\" makes its key; HMAC over the hash before it";
	tell_early_part(tree);
	schedule_node(tree->story, 1, "handshake secret", "HKDF-Extract(salt: early under label \"derived\", (EC)DHE)",
		at(tree, SCHEDULE_HANDSHAKE));
	schedule_node(tree->story, 2, "client handshake traffic",
		"label \"c hs traffic\", over ClientHello..ServerHello", at(tree, SCHEDULE_CLIENT_HANDSHAKE));
	keys_of(tree, 3, &tree->at[SCHEDULE_CLIENT_HANDSHAKE]);
	schedule_node(tree->story, 3, "client Finished", made, tls_secret_bytes(&tree->verify[1]));
	schedule_node(tree->story, 2, "server handshake traffic",
		"label \"s hs traffic\", over ClientHello..ServerHello", at(tree, SCHEDULE_SERVER_HANDSHAKE));
	keys_of(tree, 3, &tree->at[SCHEDULE_SERVER_HANDSHAKE]);
	schedule_node(tree->story, 3, "server Finished", made, tls_secret_bytes(&tree->verify[0]));
}

static void tell_tree(const struct tree *tree)
{
	schedule_tree(tree->story, "The tree: what comes of what, under which label, over which hash");
	tell_handshake_part(tree);
	schedule_node(tree->story, 1, "master secret", "HKDF-Extract(salt: handshake under label \"derived\", 0)",
		at(tree, SCHEDULE_MASTER));
	schedule_node(tree->story, 2, "client traffic 0", "label \"c ap traffic\", over ClientHello..server Finished",
		at(tree, SCHEDULE_CLIENT_TRAFFIC));
	keys_of(tree, 3, &tree->at[SCHEDULE_CLIENT_TRAFFIC]);
	tell_updates(tree, 0);
	schedule_node(tree->story, 2, "server traffic 0", "label \"s ap traffic\", over ClientHello..server Finished",
		at(tree, SCHEDULE_SERVER_TRAFFIC));
	keys_of(tree, 3, &tree->at[SCHEDULE_SERVER_TRAFFIC]);
	tell_updates(tree, 1);
	schedule_node(tree->story, 2, "exporter master", "label \"exp master\", over ClientHello..server Finished",
		at(tree, SCHEDULE_EXPORTER));
	schedule_node(tree->story, 2, "resumption master", "label \"res master\", over ClientHello..client Finished",
		at(tree, SCHEDULE_RESUMPTION));
	if (tree->walk->has_ticket)
		schedule_node(tree->story, 3, "PSK of the first ticket",
			"label \"resumption\", over the ticket's nonce", at(tree, SCHEDULE_TICKET));
}

static void compare_secrets(const struct tree *tree)
{
	static const struct {
		enum schedule_secret which;
		const char *name, *title;
	} rows[] = {
		{SCHEDULE_EARLY, "early", "early secret"},
		{SCHEDULE_HANDSHAKE, "handshake", "handshake secret"},
		{SCHEDULE_CLIENT_HANDSHAKE, "client-handshake-traffic", "client handshake traffic secret"},
		{SCHEDULE_SERVER_HANDSHAKE, "server-handshake-traffic", "server handshake traffic secret"},
		{SCHEDULE_MASTER, "master", "master secret"},
		{SCHEDULE_CLIENT_TRAFFIC, "client-traffic-0", "client application traffic secret 0"},
		{SCHEDULE_SERVER_TRAFFIC, "server-traffic-0", "server application traffic secret 0"},
		{SCHEDULE_EXPORTER, "exporter", "exporter master secret"},
		{SCHEDULE_RESUMPTION, "resumption", "resumption master secret"},
		{SCHEDULE_TICKET, "ticket-psk", "PSK that the ticket stands for"},
		{SCHEDULE_EARLY_TRAFFIC, "early-traffic", "client early traffic secret"},
		{SCHEDULE_EARLY_EXPORTER, "early-exporter", "early exporter master secret"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (tree->computed[rows[i].which])
			schedule_compare(tree->story, tree->source, rows[i].name, rows[i].title,
				at(tree, rows[i].which), tls_secret_bytes(&tree->source->known[rows[i].which]),
				tree->source->logged_by,
				"Both follow from the same (EC)DHE secret and the same messages, and from nothing "
				"else.");
	}
}

static void compare_updates(const struct tree *tree)
{
	for (unsigned side = 0; side < 2; side++) {
		for (size_t i = 0; i < tree->source->updates[side]; i++) {
			char name[64], title[96];
			snprintf(name, sizeof(name), "%s-traffic-%zu", side == 0 ? "client" : "server", i + 1);
			snprintf(title, sizeof(title), "%s application traffic secret %zu, after a KeyUpdate",
				side == 0 ? "client" : "server", i + 1);
			schedule_compare(tree->story, tree->source, name, title, tls_secret_bytes(&tree->next[side][i]),
				tls_secret_bytes(&tree->source->update[side][i]), tree->source->logged_by,
				"It follows from the secret before it alone: no transcript, nothing new. Whoever has "
				"one has all "
				"that come after it; nobody gets from it to the one before.");
		}
	}
}

bool schedule_tell13(struct crypto *crypto, const struct schedule_source *source, const struct schedule_walk *walk,
	struct story *story)
{
	static const char *const names[2] = {"server-finished", "client-finished"};
	static const char *const titles[2] = {"the server's Finished", "the client's Finished"};
	struct tree tree = {.crypto = crypto, .source = source, .walk = walk, .story = story, .hash = walk->suite->prf};
	bool ok = compute(&tree);
	if (ok) {
		tell_tree(&tree);
		if (tree.binder_key.len > 0)
			schedule_compare(story, source, "binder", "the binder of the PSK",
				tls_secret_bytes(&tree.binder), walk->binder, "in the ClientHello",
				"It stands in the ClientHello and proves that who sent it has the PSK: a key of the "
				"early secret, over all of the hello in front of it.");
		compare_secrets(&tree);
		for (unsigned i = 0; i < 2; i++)
			schedule_compare(story, source, names[i], titles[i], tls_secret_bytes(&tree.verify[i]),
				walk->finished[i], "in the message",
				"Its verify_data stands in the message itself: who can make it has the handshake "
				"traffic secret "
				"and has seen the same messages.");
		compare_updates(&tree);
		schedule_tell_opened(source, walk, story);
	}
	OPENSSL_cleanse(&tree, sizeof(tree));
	return ok;
}
