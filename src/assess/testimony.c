#include "assess/testimony.h"

#include "assess/json.h"
#include "base/text.h"
#include "sink/jsonout.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>

#define LABEL      "EXPORTER-Channel-Binding"
#define CONTEXT    "overt assess testimony, version 1" /* so that the signature can stand for nothing else */
#define KEY_MAX    1024
#define SIGNED_MAX (VISIT_HELLO_MAX + 512)
#define SIGNATURES 1024

bool testimony_binding(SSL *ssl, uint8_t out[TESTIMONY_BINDING])
{
	bool ok = SSL_version(ssl) == TLS1_3_VERSION || SSL_get_extms_support(ssl) == 1;
	if (!ok || SSL_export_keying_material(ssl, out, TESTIMONY_BINDING, LABEL, sizeof(LABEL) - 1,
			   (const unsigned char *)"", 0, 1) != 1) {
		memset(out, 0, TESTIMONY_BINDING);
		return false;
	}
	return true;
}

/* What is signed: every field, each with its length. */
static bool write_signed(const struct testimony *testimony, struct writer *out)
{
	writer_vec8(out, bytes_str(CONTEXT));
	writer_vec8(out, bytes_of(testimony->nonce, sizeof(testimony->nonce)));
	writer_vec16(out, bytes_of(testimony->hello, testimony->hello_len));
	writer_vec8(out, bytes_str(testimony->source));
	writer_u16(out, testimony->version);
	writer_u16(out, testimony->suite);
	writer_u8(out, testimony->extended_master_secret);
	writer_vec8(out, bytes_of(testimony->binding, sizeof(testimony->binding)));
	return !out->full;
}

static bool sign(const struct testimony *testimony, EVP_PKEY *key, uint8_t *signature, size_t *len)
{
	uint8_t room[SIGNED_MAX];
	struct writer writer = writer_over(room, sizeof(room));
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && write_signed(testimony, &writer) &&
	          EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
	          EVP_DigestSign(ctx, signature, len, room, writer.len) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

static void write_hex(struct jsonout *json, const char *key, struct bytes octets)
{
	char *hex = malloc(octets.len * 2 + 1);
	if (hex)
		text_hex(hex, octets.len * 2 + 1, octets);
	jsonout_word(json, key, hex ? hex : "");
	free(hex);
}

size_t testimony_write(const struct testimony *testimony, EVP_PKEY *key, void *out, size_t cap)
{
	struct jsonout json = jsonout_over(out, cap);
	uint8_t signature[SIGNATURES];
	unsigned char *spki = NULL;
	size_t signature_len = sizeof(signature), len = 0;
	int spki_len = i2d_PUBKEY(key, &spki);
	bool ok = spki_len > 0 && sign(testimony, key, signature, &signature_len);
	if (ok) {
		jsonout_object(&json, NULL);
		jsonout_word(&json, "overt", "assess path");
		write_hex(&json, "nonce", bytes_of(testimony->nonce, sizeof(testimony->nonce)));
		write_hex(&json, "hello", bytes_of(testimony->hello, testimony->hello_len));
		jsonout_text(&json, "source", bytes_str(testimony->source));
		jsonout_number(&json, "version", testimony->version);
		jsonout_number(&json, "suite", testimony->suite);
		jsonout_number(&json, "extended_master_secret", testimony->extended_master_secret);
		write_hex(&json, "binding", bytes_of(testimony->binding, sizeof(testimony->binding)));
		write_hex(&json, "key", bytes_of(spki, (size_t)spki_len));
		write_hex(&json, "signature", bytes_of(signature, signature_len));
		jsonout_object_end(&json);
		ok = jsonout_done(&json, &len);
	}
	OPENSSL_free(spki);
	ERR_clear_error();
	return ok ? len : 0;
}

/* Hex of any length up to `cap`. */
static bool read_hex(struct bytes text, const char *key, uint8_t *out, size_t cap, size_t *len)
{
	struct bytes value;
	return json_member(text, key, &value) && value.len >= 2 && value.data[0] == '"' &&
	       text_unhex(out, cap, len, bytes_of(value.data + 1, value.len - 2));
}

static bool read_number(struct bytes text, const char *key, uint64_t max, uint64_t *out)
{
	struct bytes value;
	return json_member(text, key, &value) && json_number(value, max, out);
}

static bool read_fields(struct bytes text, struct testimony *out)
{
	struct bytes source;
	uint64_t version, suite, ems;
	size_t nonce_len, binding_len;
	if (!read_hex(text, "nonce", out->nonce, sizeof(out->nonce), &nonce_len) ||
		!read_hex(text, "hello", out->hello, sizeof(out->hello), &out->hello_len) ||
		!read_hex(text, "binding", out->binding, sizeof(out->binding), &binding_len) ||
		!read_number(text, "version", UINT16_MAX, &version) ||
		!read_number(text, "suite", UINT16_MAX, &suite) ||
		!read_number(text, "extended_master_secret", 1, &ems) || !json_member(text, "source", &source) ||
		!json_text(source, out->source, sizeof(out->source)))
		return false;
	out->version = (uint16_t)version;
	out->suite = (uint16_t)suite;
	out->extended_master_secret = ems == 1;
	return nonce_len == sizeof(out->nonce) && binding_len == sizeof(out->binding);
}

bool testimony_read(struct bytes text, struct testimony *out, uint8_t key[32])
{
	uint8_t spki[KEY_MAX], signature[SIGNATURES], room[SIGNED_MAX];
	size_t spki_len = 0, signature_len = 0;
	struct writer writer = writer_over(room, sizeof(room));
	*out = (struct testimony){0};
	if (!read_fields(text, out) || !read_hex(text, "key", spki, sizeof(spki), &spki_len) ||
		!read_hex(text, "signature", signature, sizeof(signature), &signature_len) ||
		!write_signed(out, &writer))
		return false;
	const unsigned char *at = spki;
	EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)spki_len);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = pkey && ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, pkey) == 1 &&
	          EVP_DigestVerify(ctx, signature, signature_len, room, writer.len) == 1 &&
	          EVP_Digest(spki, spki_len, key, NULL, EVP_sha256(), NULL) == 1;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	ERR_clear_error();
	return ok;
}
