/* explain/relay_exchange.c — key exchanges of TLS 1.2 with somebody in the middle (RFC 5246, 7.4.3, 7.4.7; RFC 8422). */
#include "explain/relay_parts.h"
#include "tls/group.h"

#include <openssl/bn.h>
#include <openssl/rsa.h>

#define SCHEME_RSA_PKCS1_SHA256 0x0401
#define CURVE_NAMED             3
#define GROUP_X25519            0x001d
#define POINT_X25519            32

static bool set_premaster(struct leg *leg, struct bytes value)
{
	struct writer w = writer_over(leg->premaster, sizeof(leg->premaster));
	struct bytes done;
	writer_bytes(&w, value);
	if (!writer_done(&w, &done))
		return false;
	leg->premaster_len = done.len;
	return true;
}

/* Without leading zeros, as RFC 5246, 8.1.2 wants premaster secrets. */
static bool number_bytes(const BIGNUM *number, uint8_t out[RELAY_KEY], size_t *len)
{
	if (BN_num_bytes(number) > RELAY_KEY)
		return false;
	*len = (size_t)BN_bn2bin(number, out);
	return true;
}

static BIGNUM *number_of(struct bytes octets)
{
	return BN_bin2bn(octets.data, (int)octets.len, NULL);
}

/*
 * The trick (Triple Handshake paper, V-B, made fit for libraries that want an odd modulus). With the server, the relay picks x
 * until S = Ys^x mod p is odd and leaves 1 when it is divided by 3. For the client it makes the modulus 3S and shows S as its
 * public value: SS = S mod 3S, so S to whatever the client picks is S again, and S is the server's premaster secret too.
 */
static bool search(struct relay *relay, const struct server_key_exchange *of, BIGNUM *secret, BN_CTX *ctx)
{
	BIGNUM *p = number_of(of->dh_p), *g = number_of(of->dh_g), *ys = number_of(of->key), *x = BN_new(),
	       *own = BN_new();
	bool found = false, ok = p && g && ys && x && own;
	while (ok && !found) {
		ok = BN_rand(x, 256, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
		     BN_mod_exp(secret, ys, x, p, ctx) == 1;
		/* As long as p, so that the client does not find the modulus too short. */
		found = ok && BN_is_odd(secret) && BN_mod_word(secret, 3) == 1 &&
		        BN_num_bits(secret) >= BN_num_bits(p) - 1;
	}
	ok = ok && BN_mod_exp(own, g, x, p, ctx) == 1 && number_bytes(own, relay->to_server, &relay->to_server_len);
	BN_free(p);
	BN_free(g);
	BN_free(ys);
	BN_clear_free(x);
	BN_free(own);
	return ok;
}

static bool make_group(struct relay *relay, const struct server_key_exchange *of, struct writer *params)
{
	static const uint8_t generator[] = {2};
	uint8_t modulus[RELAY_KEY];
	size_t len = 0;
	BN_CTX *ctx = BN_CTX_new();
	BIGNUM *secret = BN_new();
	struct leg *client = &relay->legs[RELAY_CLIENT], *server = &relay->legs[RELAY_SERVER];
	bool ok = ctx && secret && search(relay, of, secret, ctx) &&
	          number_bytes(secret, client->premaster, &client->premaster_len) &&
	          number_bytes(secret, server->premaster, &server->premaster_len) && BN_mul_word(secret, 3) == 1 &&
	          number_bytes(secret, modulus, &len);
	if (ok) {
		relay->modulus_bits = (unsigned)BN_num_bits(secret);
		writer_vec16(params, bytes_of(modulus, len));
		writer_vec16(params, bytes_of(generator, sizeof(generator)));
		writer_vec16(params, bytes_of(client->premaster, client->premaster_len));
	}
	BN_clear_free(secret);
	BN_CTX_free(ctx);
	return ok;
}

static bool agree(EVP_PKEY *own, struct bytes point, struct leg *leg)
{
	EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, point.data, point.len);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own, NULL);
	size_t len = sizeof(leg->premaster);
	bool ok = peer && ctx && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
	          EVP_PKEY_derive(ctx, leg->premaster, &len) == 1;
	leg->premaster_len = ok ? len : 0;
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(peer);
	return ok;
}

static bool own_point(struct relay *relay, uint8_t point[POINT_X25519])
{
	size_t len = POINT_X25519;
	if (!relay->own)
		relay->own = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	return relay->own && EVP_PKEY_get_raw_public_key(relay->own, point, &len) == 1;
}

static bool make_point(struct relay *relay, const struct server_key_exchange *of, struct writer *params)
{
	uint8_t point[POINT_X25519];
	if (of->group != GROUP_X25519 || !own_point(relay, point) ||
		!agree(relay->own, of->key, &relay->legs[RELAY_SERVER]))
		return false;
	/* u = 0 has order 2: every multiple of it is 0. */
	if (relay->setup.low_order)
		memset(point, 0, sizeof(point));
	writer_u8(params, CURVE_NAMED);
	writer_u16(params, GROUP_X25519);
	writer_vec8(params, bytes_of(point, sizeof(point)));
	return true;
}

static bool sign(struct relay *relay, struct bytes params, struct writer *out)
{
	uint8_t signature[RELAY_KEY];
	size_t len = sizeof(signature);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, lab_key(relay->lab, LAB_RELAY)) == 1 &&
	          EVP_DigestSignUpdate(ctx, relay->client_random, HELLO_RANDOM) == 1 &&
	          EVP_DigestSignUpdate(ctx, relay->server_random, HELLO_RANDOM) == 1 &&
	          EVP_DigestSignUpdate(ctx, params.data, params.len) == 1 &&
	          EVP_DigestSignFinal(ctx, signature, &len) == 1;
	EVP_MD_CTX_free(ctx);
	if (!ok)
		return false;
	writer_u16(out, SCHEME_RSA_PKCS1_SHA256);
	writer_vec16(out, bytes_of(signature, len));
	return true;
}

bool relay_server_exchange(struct relay *relay, struct bytes body, struct writer *out)
{
	struct server_key_exchange of;
	uint8_t room[4 * RELAY_KEY];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes params;
	if (server_key_exchange_parse(body, relay->suite, TLS_VERSION_12, &of) != KEY_EXCHANGE_OK)
		return false;
	if (!(relay->suite->kx == SUITE_KX_DHE ? make_group(relay, &of, &w) : make_point(relay, &of, &w)) ||
		!writer_done(&w, &params))
		return false;
	writer_bytes(out, params);
	return sign(relay, params, out);
}

/* The premaster secret that the client made up, taken out of the client's message and put into the server's. */
static bool encrypt_again(struct relay *relay, struct bytes encrypted, struct writer *out)
{
	uint8_t secret[RELAY_KEY], again[RELAY_KEY];
	size_t len = sizeof(secret), again_len = sizeof(again);
	EVP_PKEY_CTX *from = EVP_PKEY_CTX_new(lab_key(relay->lab, LAB_RELAY), NULL);
	EVP_PKEY_CTX *to = EVP_PKEY_CTX_new(relay->server_key, NULL);
	bool ok = from && to && EVP_PKEY_decrypt_init(from) == 1 &&
	          EVP_PKEY_CTX_set_rsa_padding(from, RSA_PKCS1_PADDING) == 1 &&
	          EVP_PKEY_decrypt(from, secret, &len, encrypted.data, encrypted.len) == 1 &&
	          EVP_PKEY_encrypt_init(to) == 1 && EVP_PKEY_CTX_set_rsa_padding(to, RSA_PKCS1_PADDING) == 1 &&
	          EVP_PKEY_encrypt(to, again, &again_len, secret, len) == 1 &&
	          set_premaster(&relay->legs[RELAY_CLIENT], bytes_of(secret, len)) &&
	          set_premaster(&relay->legs[RELAY_SERVER], bytes_of(secret, len));
	EVP_PKEY_CTX_free(from);
	EVP_PKEY_CTX_free(to);
	OPENSSL_cleanse(secret, sizeof(secret));
	if (ok)
		writer_vec16(out, bytes_of(again, again_len));
	return ok;
}

bool relay_client_exchange(struct relay *relay, struct bytes body, struct writer *out)
{
	struct client_key_exchange of;
	uint8_t point[POINT_X25519];
	if (client_key_exchange_parse(body, relay->suite, TLS_VERSION_12, &of) != KEY_EXCHANGE_OK)
		return false;
	if (relay->suite->kx == SUITE_KX_RSA)
		return encrypt_again(relay, of.encrypted, out);
	if (relay->suite->kx == SUITE_KX_DHE) {
		writer_vec16(out, bytes_of(relay->to_server, relay->to_server_len));
		return true;
	}
	if (!own_point(relay, point) || !agree(relay->own, of.key, &relay->legs[RELAY_CLIENT]))
		return false;
	writer_vec8(out, bytes_of(point, sizeof(point)));
	return true;
}
