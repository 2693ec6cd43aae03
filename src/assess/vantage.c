#include "assess/vantage.h"

#include "assess/json.h"
#include "base/text.h"
#include "pki/file.h"
#include "pki/summary.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define REPORT_MAX ((size_t)4 * 1024 * 1024)
#define CHAIN_MAX  10

bool key_digest(X509 *cert, uint8_t out[VANTAGE_DIGEST])
{
	unsigned char *der = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
	bool ok = len > 0 && EVP_Digest(der, (size_t)len, out, NULL, EVP_sha256(), NULL) == 1;
	OPENSSL_free(der);
	return ok;
}

static bool names_digest(X509 *cert, uint8_t out[VANTAGE_DIGEST])
{
	int at = X509_get_ext_by_NID(cert, NID_subject_alt_name, -1);
	const ASN1_OCTET_STRING *value = at >= 0 ? X509_EXTENSION_get_data(X509_get_ext(cert, at)) : NULL;
	return value && EVP_Digest(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value), out, NULL,
				EVP_sha256(), NULL) == 1;
}

void vantage_of(X509 *leaf, struct vantage *out)
{
	struct cert_summary summary;
	out->has_leaf = key_digest(leaf, out->key) && X509_digest(leaf, EVP_sha256(), out->leaf, NULL) == 1;
	(void)!names_digest(leaf, out->names);
	cert_summary_of(leaf, &summary);
	memcpy(out->issuer, summary.issuer, sizeof(out->issuer));
}

static void write_digest(struct jsonout *json, const char *key, const uint8_t digest[VANTAGE_DIGEST])
{
	char hex[VANTAGE_DIGEST * 2 + 1];
	text_hex(hex, sizeof(hex), bytes_of(digest, VANTAGE_DIGEST));
	jsonout_word(json, key, hex);
}

void vantage_write(struct jsonout *json, const struct vantage *vantage)
{
	jsonout_object(json, "vantage");
	if (vantage->has_leaf) {
		write_digest(json, "leaf", vantage->leaf);
		write_digest(json, "key", vantage->key);
		write_digest(json, "names", vantage->names);
		jsonout_text(json, "issuer", bytes_str(vantage->issuer));
	}
	jsonout_array(json, "answers");
	for (size_t i = 0; i < ANSWERS; i++) {
		jsonout_object(json, NULL);
		jsonout_word(json, "asked", answers_question(i));
		jsonout_text(json, "answered", bytes_str(vantage->answers.text[i]));
		jsonout_object_end(json);
	}
	jsonout_array_end(json);
	jsonout_object_end(json);
}

/* By the question, not by its place: another release may ask others. */
static void read_answer(struct bytes value, struct answers *out)
{
	struct bytes asked, answered;
	char question[ANSWER_TEXT], text[ANSWER_TEXT];
	if (!json_member(value, "asked", &asked) || !json_member(value, "answered", &answered) ||
		!json_text(asked, question, sizeof(question)) || !json_text(answered, text, sizeof(text)))
		return;
	for (size_t i = 0; i < ANSWERS; i++) {
		if (strcmp(answers_question(i), question) == 0)
			memcpy(out->text[i], text, sizeof(text));
	}
}

bool vantage_read(struct bytes report, struct vantage *out)
{
	struct bytes vantage, value, rest;
	*out = (struct vantage){0};
	if (!json_member(report, "vantage", &vantage))
		return false;
	out->has_leaf = json_member(vantage, "leaf", &value) && json_hex(value, out->leaf, VANTAGE_DIGEST) &&
	                json_member(vantage, "key", &value) && json_hex(value, out->key, VANTAGE_DIGEST) &&
	                json_member(vantage, "names", &value) && json_hex(value, out->names, VANTAGE_DIGEST) &&
	                json_member(vantage, "issuer", &value) && json_text(value, out->issuer, sizeof(out->issuer));
	if (json_member(vantage, "answers", &value) && json_array(value, &rest)) {
		while (json_next(&rest, &value))
			read_answer(value, &out->answers);
	}
	return out->has_leaf;
}

static bool add_key(struct expect *expect, const uint8_t digest[VANTAGE_DIGEST], struct error *err)
{
	if (expect->keys == EXPECT_KEYS)
		return error_set(err, "more than %d keys are expected", EXPECT_KEYS);
	memcpy(expect->key[expect->keys++], digest, VANTAGE_DIGEST);
	return true;
}

static bool add_digest(struct expect *expect, const char *text, struct error *err)
{
	uint8_t digest[VANTAGE_DIGEST + 1];
	size_t len = 0, size = strlen(text);
	if (size == 64 && text_unhex(digest, sizeof(digest), &len, bytes_str(text)) && len == VANTAGE_DIGEST)
		return add_key(expect, digest, err);
	if (size == 44 && text[43] == '=' && text[42] != '=' &&
		EVP_DecodeBlock(digest, (const unsigned char *)text, 44) == VANTAGE_DIGEST + 1)
		return add_key(expect, digest, err);
	return error_set(err, "sha256:%s: a key's digest has 64 hex digits, or 44 characters of base64", text);
}

static bool add_certificates(struct expect *expect, const char *path, struct bytes text, struct error *err)
{
	BIO *bio = BIO_new_mem_buf(text.data, (int)text.len);
	unsigned count = 0;
	bool ok = bio != NULL;
	for (X509 *cert; ok && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL; count++) {
		uint8_t digest[VANTAGE_DIGEST];
		if (count == 0)
			expect->has_names = names_digest(cert, expect->names);
		ok = key_digest(cert, digest) ? add_key(expect, digest, err) : error_set_openssl(err, "%s", path);
		if (ok)
			expect->cert[expect->keys - 1] = cert;
		else
			X509_free(cert);
	}
	BIO_free(bio);
	if (!ok || count > 0)
		return ok;
	return error_set_openssl(err, "%s: neither a report of overt assess path --json nor certificates in PEM", path);
}

bool expect_add(struct expect *expect, const char *word, struct error *err)
{
	struct file_bytes file = {0};
	if (strncmp(word, "sha256:", 7) == 0)
		return add_digest(expect, word + 7, err);
	if (!file_read(word, REPORT_MAX, &file, NULL, err))
		return false;
	struct bytes text = bytes_of(file.data, file.len);
	bool ok;
	if (vantage_read(text, &expect->vantage)) {
		expect->has_vantage = expect->has_names = true;
		memcpy(expect->names, expect->vantage.names, VANTAGE_DIGEST);
		ok = add_key(expect, expect->vantage.key, err);
	} else {
		ok = add_certificates(expect, word, text, err);
	}
	file_bytes_free(&file);
	return ok;
}

static bool expected(const struct expect *expect, X509 *cert)
{
	uint8_t digest[VANTAGE_DIGEST];
	if (!key_digest(cert, digest))
		return false;
	for (size_t i = 0; i < expect->keys; i++) {
		if (memcmp(expect->key[i], digest, VANTAGE_DIGEST) == 0)
			return true;
	}
	return false;
}

/* By the signature, for anybody can send certificates. */
static bool issued(X509 *issuer, X509 *cert)
{
	return issuer && X509_cmp(issuer, cert) != 0 && X509_check_issued(issuer, cert) == X509_V_OK &&
	       X509_verify(cert, X509_get0_pubkey(issuer)) == 1;
}

/* Who issued it: one that is expected, before what was sent and what is trusted. */
static X509 *issuer_of(const struct expect *expect, X509 *cert, STACK_OF(X509) * chain, X509 *anchor)
{
	for (size_t i = 0; i < expect->keys; i++) {
		if (issued(expect->cert[i], cert))
			return expect->cert[i];
	}
	for (int i = 0; i < sk_X509_num(chain); i++) {
		X509 *one = sk_X509_value(chain, i);
		if (issued(one, cert))
			return one;
	}
	return issued(anchor, cert) ? anchor : NULL;
}

enum expect_match expect_judge(const struct expect *expect, X509 *leaf, STACK_OF(X509) * chain, X509 *anchor)
{
	if (expect->keys == 0)
		return EXPECT_NOTHING;
	if (expected(expect, leaf))
		return EXPECT_LEAF;
	X509 *at = issuer_of(expect, leaf, chain, anchor);
	for (unsigned depth = 0; at && depth < CHAIN_MAX; depth++) {
		if (expected(expect, at))
			return EXPECT_ABOVE;
		at = issuer_of(expect, at, chain, anchor);
	}
	return EXPECT_OTHER;
}

void expect_free(struct expect *expect)
{
	for (size_t i = 0; i < expect->keys; i++) {
		X509_free(expect->cert[i]);
		expect->cert[i] = NULL;
	}
}
