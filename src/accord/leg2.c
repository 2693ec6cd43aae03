/* Leg 2 of a proxy: it introduces itself, and keeps what the server signs (docs/accord.md, 4.2). */
#include "accord/proxy_leg.h"
#include "accord/seal.h"
#include "tls/handshake.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>

#define MAX_LIST ((size_t)512) /* octets of the offer and the introduction, each behind its length */

struct leg2 {
	uint8_t list[MAX_LIST]; /* extension_data of every ClientHello */
	size_t list_len;
	struct accord_introduction introduction;
	uint8_t body[ACCORD_MAX_INTRODUCTION]; /* the introduction as sent or sealed */
	size_t body_len;
	bool sealed;
	uint8_t blind[ACCORD_BLIND];
	uint8_t purpose[ACCORD_MAX_TEXT];
	size_t purpose_len;
	uint8_t *record; /* handshake messages so far */
	size_t record_len, record_cap;
	bool complete;  /* CertificateVerify is in the record */
	bool too_long;  /* the record is cut: of no use */
	bool malformed; /* a verdict or demand that cannot be read */
	bool has_verdict, demanded, meets_proxy;
	struct accord_verdict verdict;
	uint8_t statement[ACCORD_MAX_TEXT];
	uint8_t *approval;
	size_t approval_len;
	uint8_t *proof;
	size_t proof_len;
};

static void leg2_free(struct leg2 *leg)
{
	if (!leg)
		return;
	OPENSSL_cleanse(leg->blind, sizeof(leg->blind));
	free(leg->record);
	free(leg->approval);
	free(leg->proof);
	free(leg);
}

static void on_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
	leg2_free(ptr);
}

static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
static int slot = -1;

static void make_slot(void)
{
	slot = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_free);
}

static struct leg2 *leg2_of(const SSL *ssl)
{
	return CRYPTO_THREAD_run_once(&once, make_slot) == 1 && slot >= 0 ? SSL_get_ex_data(ssl, slot) : NULL;
}

const char *accord_leg2_text(enum accord_leg2_result result)
{
	static const char *const texts[] = {
		[ACCORD_LEG2_PROOF] = "the proof is ready",
		[ACCORD_LEG2_PENDING] = "the server has not signed yet",
		[ACCORD_LEG2_REFUSED] = "the server refuses this proxy",
		[ACCORD_LEG2_TOO_LONG] = "the server's handshake is over 48 KiB: no proof can carry it",
		[ACCORD_LEG2_NOT_TLS13] = "the other end declined TLS 1.3: there is nothing to prove",
		[ACCORD_LEG2_MALFORMED] = "the server's verdict or demand cannot be read",
	};
	return texts[result];
}

static int add(SSL *ssl, unsigned type, unsigned context, const unsigned char **out, size_t *len, X509 *cert,
	size_t index, int *alert, void *arg)
{
	(void)type, (void)cert, (void)alert, (void)arg;
	const struct leg2 *leg = leg2_of(ssl);
	if (!leg)
		return 0;
	if (context == SSL_EXT_CLIENT_HELLO) {
		*out = leg->list;
		*len = leg->list_len;
		return 1;
	}
	if (context != SSL_EXT_TLS1_3_CERTIFICATE || index != 0 || leg->approval_len == 0)
		return 0;
	*out = leg->approval;
	*len = leg->approval_len;
	return 1;
}

static bool read_verdict(struct leg2 *leg, struct bytes body)
{
	enum accord_body_result result = accord_verdict_read(body, &leg->verdict);
	if (result == ACCORD_BODY_UNKNOWN)
		return true;
	if (result != ACCORD_BODY_OK)
		return false;
	if (leg->verdict.statement.len > 0)
		memcpy(leg->statement, leg->verdict.statement.data, leg->verdict.statement.len);
	leg->verdict.statement.data = leg->statement;
	leg->has_verdict = true;
	return true;
}

/* A server's Certificate may carry a proof, if it is a proxy: that is for the client to judge. */
static int parse(SSL *ssl, unsigned type, unsigned context, const unsigned char *in, size_t len, X509 *cert,
	size_t index, int *alert, void *arg)
{
	(void)type, (void)cert, (void)arg;
	struct leg2 *leg = leg2_of(ssl);
	struct bytes body = bytes_of(in, len);
	uint8_t kind;
	bool ok = true;
	if (leg && context == SSL_EXT_TLS1_3_ENCRYPTED_EXTENSIONS)
		ok = read_verdict(leg, body);
	if (leg && context == SSL_EXT_TLS1_3_CERTIFICATE_REQUEST) {
		enum accord_body_result result = accord_demand_read(body);
		leg->demanded = result == ACCORD_BODY_OK;
		ok = leg->demanded || result == ACCORD_BODY_UNKNOWN;
	}
	if (leg && context == SSL_EXT_TLS1_3_CERTIFICATE && index == 0)
		leg->meets_proxy = bytes_u8(&body, &kind) && kind == ACCORD_PROOF;
	if (!ok) {
		leg->malformed = true;
		*alert = SSL_AD_ILLEGAL_PARAMETER;
	}
	return ok;
}

bool accord_leg2_register(SSL_CTX *ctx, struct error *err)
{
	const unsigned where = SSL_EXT_CLIENT_HELLO | SSL_EXT_TLS1_3_ENCRYPTED_EXTENSIONS | SSL_EXT_TLS1_3_CERTIFICATE |
	                       SSL_EXT_TLS1_3_CERTIFICATE_REQUEST | SSL_EXT_TLS1_3_ONLY;
#ifdef SSL_OP_NO_RX_CERTIFICATE_COMPRESSION
	/* The client's check knows no CompressedCertificate: what is signed must be what stands there. */
	SSL_CTX_set_options(ctx, SSL_OP_NO_RX_CERTIFICATE_COMPRESSION);
#endif
	return SSL_CTX_add_custom_ext(ctx, ACCORD_EXTENSION, where, add, NULL, NULL, parse, NULL) == 1 ||
	       error_set_openssl(err, "the extension accord cannot be registered for leg 2");
}

static bool plan_ok(const struct accord_leg2_plan *plan, struct error *err)
{
	const struct accord_hello *client = plan->client;
	if (!accord_role_name(plan->role) || !(client->offer.accepted_roles & plan->role))
		return error_set(err, "the client does not accept this role");
	if (client->introduced && client->introduction.hops >= ACCORD_MAX_HOPS)
		return error_set(err, "there are %d proxies already, which is the most", ACCORD_MAX_HOPS);
	if (plan->purpose.len > ACCORD_MAX_TEXT)
		return error_set(err, "the purpose is over %d octets", ACCORD_MAX_TEXT);
	/* The next proxy must read the hops to add its own. */
	if (plan->sealed && plan->towards_proxy)
		return error_set(err, "an introduction to another proxy may not be sealed");
	return true;
}

static void make_introduction(struct leg2 *leg, const struct accord_leg2_plan *plan, const uint8_t *nonce)
{
	const struct accord_hello *client = plan->client;
	struct accord_introduction *in = &leg->introduction;
	*in = (struct accord_introduction){0};
	if (client->introduced)
		*in = client->introduction;
	memcpy(in->client_nonce, client->offer.client_nonce, ACCORD_NONCE);
	in->has_approval = client->offer.has_approval;
	memcpy(in->approval_hash, client->offer.approval_hash, ACCORD_HASH);
	in->purpose_code = plan->purpose_code;
	struct accord_hop *hop = &in->hop[in->hops++];
	memcpy(hop->leaf_hash, plan->leaf_hash, ACCORD_HASH);
	memcpy(hop->proxy_nonce, nonce, ACCORD_NONCE);
	hop->role = plan->role;
}

/* Writes the extension's content, and beforehand the introduction it carries or commits to. */
static bool make_list(struct leg2 *leg, const struct accord_leg2_plan *plan)
{
	uint8_t offer[64 + ACCORD_HASH];
	uint8_t seal[2 + ACCORD_HASH];
	struct accord_sealed sealed;
	struct accord_list list = {0};
	struct bytes body;
	struct bytes all;
	struct writer w = writer_over(leg->body, sizeof(leg->body));
	accord_introduction_write(&w, &leg->introduction);
	if (!writer_done(&w, &body))
		return false;
	leg->body_len = body.len;
	list.introduction = body;
	if (plan->towards_proxy) {
		w = writer_over(offer, sizeof(offer));
		accord_offer_write(&w, &plan->client->offer);
		if (!writer_done(&w, &list.offer))
			return false;
	}
	if (plan->sealed) {
		w = writer_over(seal, sizeof(seal));
		if (!accord_seal(bytes_of(leg->blind, sizeof(leg->blind)), body, sealed.commitment))
			return false;
		accord_sealed_write(&w, &sealed);
		list.introduction = BYTES_NONE;
		if (!writer_done(&w, &list.sealed))
			return false;
	}
	w = writer_over(leg->list, sizeof(leg->list));
	accord_list_write(&w, &list);
	leg->list_len = w.len;
	return writer_done(&w, &all);
}

static bool fill(struct leg2 *leg, const struct accord_leg2_plan *plan, struct error *err)
{
	uint8_t nonce[ACCORD_NONCE];
	leg->sealed = plan->sealed;
	if (RAND_bytes(nonce, sizeof(nonce)) != 1 || RAND_priv_bytes(leg->blind, sizeof(leg->blind)) != 1)
		return error_set_openssl(err, "no random octets for the introduction");
	leg->purpose_len = plan->purpose.len;
	if (plan->purpose.len > 0)
		memcpy(leg->purpose, plan->purpose.data, plan->purpose.len);
	make_introduction(leg, plan, nonce);
	return make_list(leg, plan) || error_set(err, "the introduction cannot be written");
}

bool accord_leg2_begin(SSL *ssl, const struct accord_leg2_plan *plan, struct error *err)
{
	const SSL_SESSION *session = SSL_get0_session(ssl);
	if (!plan_ok(plan, err))
		return false;
	if (session && SSL_SESSION_is_resumable(session))
		return error_set(err, "leg 2 of an Accord connection may not resume a session");
	struct leg2 *leg = calloc(1, sizeof(*leg));
	if (!leg)
		return error_set(err, "no memory for leg 2");
	struct leg2 *old = leg2_of(ssl);
	if (slot < 0 || SSL_set_ex_data(ssl, slot, leg) != 1) {
		leg2_free(leg);
		return error_set_openssl(err, "no place for leg 2's state");
	}
	leg2_free(old);
	SSL_set_msg_callback(ssl, accord_leg2_message);
	return fill(leg, plan, err);
}

/* Room for `more` octets, up to what a proof can hold. */
static bool make_room(struct leg2 *leg, size_t more)
{
	if (more > ACCORD_MAX_PROOF - leg->record_len)
		return false;
	size_t need = leg->record_len + more;
	if (need <= leg->record_cap)
		return true;
	size_t cap = leg->record_cap ? leg->record_cap : 4096;
	while (cap < need)
		cap *= 2;
	uint8_t *grown = realloc(leg->record, cap);
	if (!grown)
		return false;
	leg->record = grown;
	leg->record_cap = cap;
	return true;
}

void accord_leg2_message(int write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
	(void)version, (void)arg;
	struct leg2 *leg = leg2_of(ssl);
	struct bytes message = bytes_of(data, len);
	uint8_t kind;
	if (type != SSL3_RT_HANDSHAKE || !leg || leg->complete || leg->too_long || !bytes_u8(&message, &kind))
		return;
	if (!make_room(leg, len)) {
		leg->too_long = true;
		return;
	}
	memcpy(leg->record + leg->record_len, data, len);
	leg->record_len += len;
	leg->complete = !write && kind == HANDSHAKE_CERTIFICATE_VERIFY;
}

static bool make_proof(struct leg2 *leg)
{
	const struct accord_proof proof = {
		.purpose = bytes_of(leg->purpose, leg->purpose_len),
		.blind = bytes_of(leg->blind, leg->sealed ? sizeof(leg->blind) : 0),
		.introduction = bytes_of(leg->body, leg->sealed ? leg->body_len : 0),
		.transcript = bytes_of(leg->record, leg->record_len),
	};
	struct bytes done;
	size_t cap = leg->record_len + ACCORD_MAX_TEXT + ACCORD_BLIND + ACCORD_MAX_INTRODUCTION + 16;
	leg->proof = malloc(cap);
	if (!leg->proof)
		return false;
	struct writer w = writer_over(leg->proof, cap);
	accord_proof_write(&w, &proof);
	leg->proof_len = w.len;
	return writer_done(&w, &done);
}

enum accord_leg2_result accord_leg2_proof(SSL *ssl, struct bytes *proof)
{
	struct leg2 *leg = leg2_of(ssl);
	*proof = BYTES_NONE;
	if (!leg)
		return ACCORD_LEG2_PENDING;
	if (leg->malformed)
		return ACCORD_LEG2_MALFORMED;
	if (leg->too_long)
		return ACCORD_LEG2_TOO_LONG;
	if (leg->record_len > 0 && SSL_version(ssl) < TLS1_3_VERSION && SSL_is_init_finished(ssl))
		return ACCORD_LEG2_NOT_TLS13;
	if (!leg->complete || SSL_version(ssl) != TLS1_3_VERSION)
		return ACCORD_LEG2_PENDING;
	if (leg->has_verdict && leg->verdict.decision != ACCORD_ACCEPT)
		return ACCORD_LEG2_REFUSED;
	if (!leg->proof && !make_proof(leg))
		return ACCORD_LEG2_TOO_LONG;
	*proof = bytes_of(leg->proof, leg->proof_len);
	return ACCORD_LEG2_PROOF;
}

const struct accord_verdict *accord_leg2_verdict(const SSL *ssl)
{
	const struct leg2 *leg = leg2_of(ssl);
	return leg && leg->has_verdict ? &leg->verdict : NULL;
}

bool accord_leg2_demanded(const SSL *ssl)
{
	const struct leg2 *leg = leg2_of(ssl);
	return leg && leg->demanded;
}

bool accord_leg2_meets_proxy(const SSL *ssl)
{
	const struct leg2 *leg = leg2_of(ssl);
	return leg && leg->meets_proxy;
}

const struct accord_introduction *accord_leg2_introduction(const SSL *ssl)
{
	const struct leg2 *leg = leg2_of(ssl);
	return leg ? &leg->introduction : NULL;
}

bool accord_leg2_approve(SSL *ssl, struct bytes approval, struct error *err)
{
	struct leg2 *leg = leg2_of(ssl);
	struct accord_approval read;
	if (!leg || !leg->demanded)
		return error_set(err, "the server demands no approval");
	if (accord_approval_read(approval, &read) != ACCORD_BODY_OK)
		return error_set(err, "the client's approval is malformed");
	uint8_t *copy = malloc(approval.len);
	if (!copy)
		return error_set(err, "no memory for the approval");
	memcpy(copy, approval.data, approval.len);
	free(leg->approval);
	leg->approval = copy;
	leg->approval_len = approval.len;
	return true;
}

void accord_leg2_forget(SSL *ssl)
{
	struct leg2 *leg = leg2_of(ssl);
	if (!leg || SSL_set_ex_data(ssl, slot, NULL) != 1)
		return;
	SSL_set_msg_callback(ssl, NULL);
	leg2_free(leg);
}
