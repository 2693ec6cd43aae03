#include "pki/summary.h"

#include "base/text.h"
#include "pki/name.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void name_text(const X509_NAME *name, char *out, size_t cap)
{
	out[0] = '\0';
	BIO *bio = BIO_new(BIO_s_mem());
	/* RFC 2253 order, but as UTF-8: text_clean escapes what may not be shown. */
	unsigned long form = XN_FLAG_RFC2253 & ~(unsigned long)(ASN1_STRFLGS_ESC_MSB | ASN1_STRFLGS_ESC_CTRL);
	if (bio && name && X509_NAME_print_ex(bio, name, 0, form) >= 0) {
		char *data;
		long len = BIO_get_mem_data(bio, &data);
		if (len > 0)
			text_clean(out, cap, bytes_of(data, (size_t)len));
	}
	BIO_free(bio);
}

static void common_name(const X509_NAME *name, char *out, size_t cap)
{
	out[0] = '\0';
	int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
	if (at < 0)
		return;
	unsigned char *utf8 = NULL;
	int len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	if (len >= 0)
		text_clean(out, cap, bytes_of(utf8, (size_t)len));
	OPENSSL_free(utf8);
}

static bool general_name_text(const GENERAL_NAME *name, char *out, size_t cap)
{
	int type;
	const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
	if (type != GEN_DNS && type != GEN_IPADD)
		return false;
	struct bytes raw = bytes_of(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
	struct subject_name ip;
	if (type == GEN_DNS)
		text_clean(out, cap, raw);
	else if (subject_name_from_ip(raw, &ip))
		snprintf(out, cap, "%s", ip.text);
	else
		return false;
	return true;
}

static void names_list(const X509 *cert, struct cert_summary *out)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	int total = names ? sk_GENERAL_NAME_num(names) : 0;
	out->name_total = (size_t)total;
	for (int i = 0; i < total && out->name_count < CERT_SUMMARY_NAMES; i++) {
		char *at = out->names[out->name_count];
		if (general_name_text(sk_GENERAL_NAME_value(names, i), at, sizeof(out->names[0])))
			out->name_count++;
	}
	GENERAL_NAMES_free(names);
}

static void key_text(X509 *cert, char *out, size_t cap)
{
	EVP_PKEY *key = X509_get0_pubkey(cert);
	char group[32];
	size_t len;
	if (!key)
		snprintf(out, cap, "unknown");
	else if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
		 EVP_PKEY_get_group_name(key, group, sizeof(group), &len) == 1)
		snprintf(out, cap, "EC %.24s", group);
	else if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
		snprintf(out, cap, "RSA %d", EVP_PKEY_get_bits(key));
	else
		snprintf(out, cap, "%.31s", EVP_PKEY_get0_type_name(key) ? EVP_PKEY_get0_type_name(key) : "unknown");
}

static void digest_text(const X509 *cert, char *out, size_t cap)
{
	uint8_t digest[32];
	unsigned len;
	out[0] = '\0';
	if (X509_digest(cert, EVP_sha256(), digest, &len) == 1)
		text_hex(out, cap, bytes_of(digest, len));
}

void cert_summary_of(X509 *cert, struct cert_summary *out)
{
	*out = (struct cert_summary){0};
	name_text(X509_get_subject_name(cert), out->subject, sizeof(out->subject));
	name_text(X509_get_issuer_name(cert), out->issuer, sizeof(out->issuer));
	common_name(X509_get_subject_name(cert), out->common_name, sizeof(out->common_name));
	names_list(cert, out);
	digest_text(cert, out->sha256, sizeof(out->sha256));
	const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
	struct bytes raw = bytes_of(ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial));
	text_hex(out->serial, sizeof(out->serial), raw);
	key_text(cert, out->key, sizeof(out->key));
	const char *signature = OBJ_nid2sn(X509_get_signature_nid(cert));
	snprintf(out->signature, sizeof(out->signature), "%s", signature ? signature : "unknown");
	if (!cert_dates(cert, &out->not_before_s, &out->not_after_s))
		out->not_before_s = out->not_after_s = 0;
}

size_t cert_summary_line(const struct cert_summary *summary, char *out, size_t cap)
{
	char date[16];
	cert_date(date, sizeof(date), summary->not_after_s);
	int n = snprintf(out, cap, "%s, issued by %s, until %s", summary->subject[0] ? summary->subject : "no subject",
		summary->issuer[0] ? summary->issuer : "no issuer", date);
	return n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap - 1;
}

void cert_date(char *out, size_t cap, int64_t at_s)
{
	time_t at = (time_t)at_s;
	struct tm tm;
	if (!gmtime_r(&at, &tm) || strftime(out, cap, "%Y-%m-%d", &tm) == 0)
		snprintf(out, cap, "?");
}

void cert_subject(const X509 *cert, char *out, size_t cap)
{
	name_text(X509_get_subject_name(cert), out, cap);
	if (out[0] == '\0')
		snprintf(out, cap, "no subject");
}

bool cert_time(const ASN1_TIME *time, int64_t *out_s)
{
	struct tm tm;
	if (!time || ASN1_TIME_to_tm(time, &tm) != 1)
		return false;
	*out_s = timegm(&tm);
	return true;
}

bool cert_dates(const X509 *cert, int64_t *not_before_s, int64_t *not_after_s)
{
	int64_t from;
	int64_t until;
	if (!cert_time(X509_get0_notBefore(cert), &from) || !cert_time(X509_get0_notAfter(cert), &until))
		return false;
	*not_before_s = from;
	*not_after_s = until;
	return true;
}

bool cert_issuer_url(X509 *cert, char *out, size_t cap)
{
	AUTHORITY_INFO_ACCESS *access = X509_get_ext_d2i(cert, NID_info_access, NULL, NULL);
	bool found = false;
	for (int i = 0; access && !found && i < sk_ACCESS_DESCRIPTION_num(access); i++) {
		const ACCESS_DESCRIPTION *entry = sk_ACCESS_DESCRIPTION_value(access, i);
		if (OBJ_obj2nid(entry->method) != NID_ad_ca_issuers || entry->location->type != GEN_URI)
			continue;
		const ASN1_STRING *uri = entry->location->d.uniformResourceIdentifier;
		struct bytes raw = bytes_of(ASN1_STRING_get0_data(uri), (size_t)ASN1_STRING_length(uri));
		/* Whatever text_clean would change is no address to fetch. */
		found = raw.len < cap && raw.len > 7 &&
		        bytes_equal_nocase(bytes_of(raw.data, 7), bytes_str("http://")) &&
		        text_clean(out, cap, raw) == raw.len && bytes_equal(bytes_str(out), raw);
	}
	AUTHORITY_INFO_ACCESS_free(access);
	return found;
}
