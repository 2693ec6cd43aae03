/* Leg 1 of a proxy: it shows the proof beside its certificate, and takes the client's approval (docs/accord.md, 4.2). */
#include "accord/proxy_leg.h"
#include "accord/seal.h"
#include "tls/extension.h"

#include <openssl/crypto.h>
#include <openssl/x509.h>
#include <stdlib.h>

#define MAX_OFFER (2 + ACCORD_NONCE + 2 + ACCORD_HASH)

struct leg1 {
	uint8_t offer[MAX_OFFER]; /* the body that every ClientHello must hold */
	size_t offer_len;
	uint8_t demand[2];
	bool demands;
	bool relayed;                   /* the client is a proxy: it shows its own leaf and passes an approval on */
	uint8_t leaf_hash[ACCORD_HASH]; /* of that leaf, as introduced */
	uint8_t *proof;
	size_t proof_len;
	uint8_t *approval;
	size_t approval_len;
};

static void leg1_free(struct leg1 *leg)
{
	if (!leg)
		return;
	free(leg->proof);
	free(leg->approval);
	free(leg);
}

static void on_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
	leg1_free(ptr);
}

static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
static int slot = -1;

static void make_slot(void)
{
	slot = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_free);
}

static struct leg1 *leg1_of(const SSL *ssl)
{
	return CRYPTO_THREAD_run_once(&once, make_slot) == 1 && slot >= 0 ? SSL_get_ex_data(ssl, slot) : NULL;
}

static int add(SSL *ssl, unsigned type, unsigned context, const unsigned char **out, size_t *len, X509 *cert,
	size_t index, int *alert, void *arg)
{
	(void)type, (void)cert, (void)alert, (void)arg;
	const struct leg1 *leg = leg1_of(ssl);
	if (!leg)
		return 0;
	if (context == SSL_EXT_TLS1_3_CERTIFICATE_REQUEST && leg->demands) {
		*out = leg->demand;
		*len = sizeof(leg->demand);
		return 1;
	}
	if (context != SSL_EXT_TLS1_3_CERTIFICATE || index != 0 || leg->proof_len == 0)
		return 0;
	*out = leg->proof;
	*len = leg->proof_len;
	return 1;
}

/* Seen after a HelloRetryRequest too: the client may not have changed its mind in between. */
static bool same_offer(const struct leg1 *leg, struct bytes data)
{
	struct accord_list list;
	return accord_list_read(data, &list) == ACCORD_BODY_OK &&
	       bytes_equal(list.offer, bytes_of(leg->offer, leg->offer_len));
}

/*
 * The certificate beside an approval holds the approval's key, so that the client proves to us that it has it. A proxy
 * before us shows the leaf it was introduced with instead, and has asked its own client in this way.
 */
static bool fits_certificate(const struct leg1 *leg, struct bytes key, const X509 *cert)
{
	unsigned char *der = NULL;
	uint8_t hash[ACCORD_HASH];
	int len = leg->relayed ? i2d_X509(cert, &der) : i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
	struct bytes shown = bytes_of(der, len > 0 ? (size_t)len : 0);
	bool ok = leg->relayed ? accord_hash(shown, hash) && memcmp(hash, leg->leaf_hash, ACCORD_HASH) == 0
	                       : bytes_equal(key, shown);
	OPENSSL_free(der);
	return ok;
}

static bool take_approval(struct leg1 *leg, struct bytes body, const X509 *cert)
{
	struct accord_approval approval;
	enum accord_body_result result = accord_approval_read(body, &approval);
	if (result == ACCORD_BODY_UNKNOWN)
		return true;
	if (result != ACCORD_BODY_OK || !cert || leg->approval || !fits_certificate(leg, approval.key, cert))
		return false;
	leg->approval = malloc(body.len);
	if (!leg->approval)
		return false;
	memcpy(leg->approval, body.data, body.len);
	leg->approval_len = body.len;
	return true;
}

static int parse(SSL *ssl, unsigned type, unsigned context, const unsigned char *in, size_t len, X509 *cert,
	size_t index, int *alert, void *arg)
{
	(void)type, (void)arg;
	struct leg1 *leg = leg1_of(ssl);
	bool ok = true;
	if (leg && context == SSL_EXT_CLIENT_HELLO)
		ok = same_offer(leg, bytes_of(in, len));
	if (leg && context == SSL_EXT_TLS1_3_CERTIFICATE)
		ok = leg->demands && index == 0 && take_approval(leg, bytes_of(in, len), cert);
	if (!ok)
		*alert = SSL_AD_ILLEGAL_PARAMETER;
	return ok;
}

bool accord_leg1_register(SSL_CTX *ctx, struct error *err)
{
	const unsigned where = SSL_EXT_CLIENT_HELLO | SSL_EXT_TLS1_3_CERTIFICATE | SSL_EXT_TLS1_3_CERTIFICATE_REQUEST |
	                       SSL_EXT_TLS1_3_ONLY;
	/* A resumed connection would show no proof, and the client would refuse it. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	if (SSL_CTX_set_num_tickets(ctx, 0) != 1 || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
		SSL_CTX_add_custom_ext(ctx, ACCORD_EXTENSION, where, add, NULL, NULL, parse, NULL) != 1)
		return error_set_openssl(err, "the extension accord cannot be registered for leg 1");
	return true;
}

/* A client's certificate for approvals is its own and leads nowhere: only its key counts, and the server judges that. */
static int any_certificate(int ok, X509_STORE_CTX *store)
{
	(void)ok;
	X509_STORE_CTX_set_error(store, X509_V_OK);
	return 1;
}

bool accord_leg1_begin(SSL *ssl, const struct accord_hello *client, struct bytes proof, bool demand, struct error *err)
{
	struct leg1 *leg = calloc(1, sizeof(*leg));
	uint8_t *copy = malloc(proof.len ? proof.len : 1);
	if (!leg || !copy) {
		free(copy);
		free(leg);
		return error_set(err, "no memory for leg 1");
	}
	if (proof.len > 0)
		memcpy(copy, proof.data, proof.len);
	leg->proof = copy;
	leg->proof_len = proof.len;
	leg->demands = demand;
	leg->relayed = client->introduced;
	if (client->introduced)
		memcpy(leg->leaf_hash, client->introduction.hop[client->introduction.hops - 1].leaf_hash, ACCORD_HASH);
	struct writer w = writer_over(leg->demand, sizeof(leg->demand));
	accord_demand_write(&w);
	struct writer offer = writer_over(leg->offer, sizeof(leg->offer));
	accord_offer_write(&offer, &client->offer);
	leg->offer_len = offer.len;
	struct leg1 *old = leg1_of(ssl);
	if (slot < 0 || SSL_set_ex_data(ssl, slot, leg) != 1) {
		leg1_free(leg);
		return error_set_openssl(err, "no place for leg 1's state");
	}
	leg1_free(old);
	if (demand)
		SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, any_certificate);
	return true;
}

struct bytes accord_leg1_approval(const SSL *ssl)
{
	const struct leg1 *leg = leg1_of(ssl);
	return leg ? bytes_of(leg->approval, leg->approval_len) : BYTES_NONE;
}

void accord_leg1_forget(SSL *ssl)
{
	struct leg1 *leg = leg1_of(ssl);
	if (leg && SSL_set_ex_data(ssl, slot, NULL) == 1)
		leg1_free(leg);
}
