#include "proxy/accord_audit.h"

#include "accord/proxy_leg.h"
#include "accord/seal.h"
#include "audit/entry.h"
#include "base/text.h"
#include "proxy/conn.h"
#include "proxy/keeper_client.h"
#include "proxy/opening_parts.h"
#include "proxy/worker.h"

#include <stdio.h>

#define HASH_TEXT (2 * ACCORD_HASH + 1)

/* Of nothing: "". */
static void hash_text(char out[HASH_TEXT], struct bytes in)
{
	uint8_t hash[ACCORD_HASH];
	out[0] = '\0';
	if (in.len > 0 && accord_hash(in, hash))
		text_hex(out, HASH_TEXT, bytes_of(hash, sizeof(hash)));
}

/* The leaf hashes, one space between. */
static void hops_text(char out[ACCORD_MAX_HOPS * HASH_TEXT], const struct accord_introduction *introduction)
{
	size_t hops = introduction ? introduction->hops : 0;
	out[0] = '\0';
	for (size_t i = 0; i < hops; i++) {
		if (i > 0)
			out[i * HASH_TEXT - 1] = ' ';
		text_hex(out + i * HASH_TEXT, HASH_TEXT, bytes_of(introduction->hop[i].leaf_hash, ACCORD_HASH));
	}
}

static void add_where(struct audit_entry *entry, const struct conn *conn)
{
	audit_entry_add(entry, AUDIT_N("worker", conn->worker->number));
	audit_entry_add(entry, AUDIT_N("flow", conn->flow.id));
}

static const char *queue(struct conn *conn, const struct audit_entry *entry)
{
	const char *closed = keeper_client_audit_closed(conn->worker->keeper);
	if (closed)
		return closed;
	return keeper_client_audit(conn->worker->keeper, entry) ? NULL : "the queue to the audit log is full";
}

const char *accord_audit_proof(struct conn *conn, struct bytes proof)
{
	const struct opening *o = conn->opening;
	const struct accord_introduction *introduction = accord_leg2_introduction(conn->leg2.ssl);
	char peer[HOSTPORT_TEXT], server[HOSTPORT_TEXT], hash[HASH_TEXT], hops[ACCORD_MAX_HOPS * HASH_TEXT];
	struct audit_entry entry = {.kind = AUDIT_PROOF};
	bool writer = conn->worker->config->accord_role == CONFIG_ACCORD_WRITER;
	hostport_ip_text(&conn->peer, peer);
	hostport_text(&conn->origin, server);
	hash_text(hash, proof);
	hops_text(hops, introduction);
	add_where(&entry, conn);
	audit_entry_add(&entry, AUDIT_N("generation", o->generation));
	audit_entry_add(&entry, AUDIT_C("client", bytes_str(peer)));
	audit_entry_add(&entry, AUDIT_C("name", bytes_str(o->name.text)));
	audit_entry_add(&entry, AUDIT_C("server", bytes_str(server)));
	audit_entry_add(&entry, AUDIT_T("proof_sha256", bytes_str(hash)));
	audit_entry_add(&entry, AUDIT_T("proxies", bytes_str(hops)));
	audit_entry_add(&entry, AUDIT_T("role", bytes_str(writer ? "writer" : "reader")));
	audit_entry_add(&entry, AUDIT_T("level", bytes_str(accord_leg2_verdict(conn->leg2.ssl) ? "2" : "1")));
	return queue(conn, &entry);
}

const char *accord_audit_approval(struct conn *conn, struct bytes approval)
{
	char peer[HOSTPORT_TEXT], hash[HASH_TEXT] = "", key[HASH_TEXT] = "";
	struct accord_approval read;
	struct bytes proof;
	struct audit_entry entry = {.kind = AUDIT_APPROVAL};
	hostport_ip_text(&conn->peer, peer);
	if (accord_leg2_proof(conn->leg2.ssl, &proof) == ACCORD_LEG2_PROOF)
		hash_text(hash, proof);
	if (accord_approval_read(approval, &read) == ACCORD_BODY_OK)
		hash_text(key, read.key);
	add_where(&entry, conn);
	audit_entry_add(&entry, AUDIT_C("client", bytes_str(peer)));
	audit_entry_add(&entry, AUDIT_T("approval_key", bytes_str(key)));
	audit_entry_add(&entry, AUDIT_T("proof_sha256", bytes_str(hash)));
	audit_entry_add(&entry, AUDIT_T("verdict", bytes_str("approved")));
	return queue(conn, &entry);
}
