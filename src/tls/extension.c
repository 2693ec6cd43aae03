#include "tls/extension.h"

#include "tls/list.h"

#include <stdlib.h>

bool extension_next(struct bytes *block, struct extension *out)
{
	struct bytes rest = *block;
	struct extension found;
	if (!bytes_u16(&rest, &found.type) || !bytes_vec16(&rest, &found.data))
		return false;
	*block = rest;
	*out = found;
	return true;
}

bool extension_find(struct bytes block, uint16_t type, struct extension *out)
{
	struct extension found;
	while (extension_next(&block, &found)) {
		if (found.type == type) {
			*out = found;
			return true;
		}
	}
	return false;
}

/* Where the whole extensions end: the block must, too. */
static enum extension_result check_end(struct bytes rest, uint16_t last, size_t n, size_t *count, uint16_t *type)
{
	if (rest.len > 0) {
		/* The type of the one cut short, if that much is there; else of the last whole one. */
		if (!bytes_u16(&rest, type))
			*type = last;
		return EXTENSION_TRUNCATED;
	}
	*count = n;
	return EXTENSION_OK;
}

/* One bit for each type: a block may hold 16,384, and comparing all pairs would be a gift to an attacker. */
static enum extension_result check_many(struct bytes block, size_t *count, uint16_t *type)
{
	uint64_t seen[65536 / 64] = {0};
	struct extension found = {0};
	size_t n = 0;
	for (; extension_next(&block, &found); n++) {
		uint64_t bit = 1ULL << (found.type % 64);
		if (seen[found.type / 64] & bit) {
			*type = found.type;
			return EXTENSION_DUPLICATE;
		}
		seen[found.type / 64] |= bit;
	}
	return check_end(block, found.type, n, count, type);
}

/* Nearly every block has fewer, and clearing a bit for every type takes longer than reading such a block. */
#define FEW 32

struct seen {
	uint64_t mask; /* of types, modulo 64 */
	uint16_t types[FEW];
};

static bool seen_before(struct seen *seen, uint16_t type, size_t n)
{
	uint64_t bit = 1ULL << (type % 64);
	for (size_t i = 0; (seen->mask & bit) && i < n; i++) {
		if (seen->types[i] == type)
			return true;
	}
	seen->mask |= bit;
	seen->types[n] = type;
	return false;
}

enum extension_result extension_check(struct bytes block, size_t *count, uint16_t *type)
{
	struct bytes all = block;
	struct extension found = {0};
	struct seen seen = {0};
	size_t n = 0;
	for (; extension_next(&block, &found); n++) {
		if (n == FEW)
			return check_many(all, count, type);
		if (seen_before(&seen, found.type, n)) {
			*type = found.type;
			return EXTENSION_DUPLICATE;
		}
	}
	return check_end(block, found.type, n, count, type);
}

struct name {
	uint16_t type;
	const char *text;
};

/* In order of type. */
static const struct name names[] = {
	{0, "server_name"},
	{1, "max_fragment_length"},
	{2, "client_certificate_url"},
	{3, "trusted_ca_keys"},
	{4, "truncated_hmac"},
	{5, "status_request"},
	{6, "user_mapping"},
	{7, "client_authz"},
	{8, "server_authz"},
	{9, "cert_type"},
	{10, "supported_groups"},
	{11, "ec_point_formats"},
	{12, "srp"},
	{13, "signature_algorithms"},
	{14, "use_srtp"},
	{15, "heartbeat"},
	{16, "application_layer_protocol_negotiation"},
	{17, "status_request_v2"},
	{18, "signed_certificate_timestamp"},
	{19, "client_certificate_type"},
	{20, "server_certificate_type"},
	{21, "padding"},
	{22, "encrypt_then_mac"},
	{23, "extended_master_secret"},
	{24, "token_binding"},
	{25, "cached_info"},
	{26, "tls_lts"},
	{27, "compress_certificate"},
	{28, "record_size_limit"},
	{29, "pwd_protect"},
	{30, "pwd_clear"},
	{31, "password_salt"},
	{32, "ticket_pinning"},
	{33, "tls_cert_with_extern_psk"},
	{34, "delegated_credential"},
	{35, "session_ticket"},
	{36, "TLMSP"},
	{37, "TLMSP_proxying"},
	{38, "TLMSP_delegate"},
	{39, "supported_ekt_ciphers"},
	{41, "pre_shared_key"},
	{42, "early_data"},
	{43, "supported_versions"},
	{44, "cookie"},
	{45, "psk_key_exchange_modes"},
	{47, "certificate_authorities"},
	{48, "oid_filters"},
	{49, "post_handshake_auth"},
	{50, "signature_algorithms_cert"},
	{51, "key_share"},
	{52, "transparency_info"},
	{53, "connection_id_deprecated"},
	{54, "connection_id"},
	{55, "external_id_hash"},
	{56, "external_session_id"},
	{57, "quic_transport_parameters"},
	{58, "ticket_request"},
	{59, "dnssec_chain"},
	{60, "sequence_number_encryption_algorithms"},
	{61, "rrc"},
	{13172, "next_protocol_negotiation"},
	{17513, "application_settings"},
	{17613, "application_settings_new"},
	{30032, "channel_id"},
	{0xfd00, "ech_outer_extensions"},
	{0xfe0d, "encrypted_client_hello"},
	{0xff01, "renegotiation_info"},
	{0xffce, "encrypted_server_name"},
};

static int by_type(const void *key, const void *row)
{
	uint16_t wanted = *(const uint16_t *)key, type = ((const struct name *)row)->type;
	return (wanted > type) - (wanted < type);
}

const char *extension_name(uint16_t type)
{
	const struct name *name = bsearch(&type, names, sizeof(names) / sizeof(names[0]), sizeof(names[0]), by_type);
	if (name)
		return name->text;
	return grease_is(type) ? "GREASE" : NULL;
}
