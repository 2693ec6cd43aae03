#include "tls/alert.h"

bool alert_read(struct bytes fragment, struct alert *out)
{
	struct alert found;
	if (fragment.len != ALERT_LEN || !bytes_u8(&fragment, &found.level) || !bytes_u8(&fragment, &found.description))
		return false;
	*out = found;
	return true;
}

void alert_write(struct writer *w, struct alert alert)
{
	writer_u8(w, alert.level);
	writer_u8(w, alert.description);
}

static const char *const names[256] = {
	[0] = "close_notify",
	[10] = "unexpected_message",
	[20] = "bad_record_mac",
	[21] = "decryption_failed",
	[22] = "record_overflow",
	[30] = "decompression_failure",
	[40] = "handshake_failure",
	[41] = "no_certificate",
	[42] = "bad_certificate",
	[43] = "unsupported_certificate",
	[44] = "certificate_revoked",
	[45] = "certificate_expired",
	[46] = "certificate_unknown",
	[47] = "illegal_parameter",
	[48] = "unknown_ca",
	[49] = "access_denied",
	[50] = "decode_error",
	[51] = "decrypt_error",
	[52] = "too_many_cids_requested",
	[60] = "export_restriction",
	[70] = "protocol_version",
	[71] = "insufficient_security",
	[80] = "internal_error",
	[86] = "inappropriate_fallback",
	[90] = "user_canceled",
	[100] = "no_renegotiation",
	[109] = "missing_extension",
	[110] = "unsupported_extension",
	[111] = "certificate_unobtainable",
	[112] = "unrecognized_name",
	[113] = "bad_certificate_status_response",
	[114] = "bad_certificate_hash_value",
	[115] = "unknown_psk_identity",
	[116] = "certificate_required",
	[117] = "general_error",
	[120] = "no_application_protocol",
	[121] = "ech_required",
};

const char *alert_name(uint8_t description)
{
	return names[description];
}

const char *alert_level_name(uint8_t level)
{
	switch (level) {
	case ALERT_WARNING:
		return "warning";
	case ALERT_FATAL:
		return "fatal";
	default:
		return NULL;
	}
}

bool alert_means_distrust(uint8_t description)
{
	switch (description) {
	case ALERT_BAD_CERTIFICATE:
	case ALERT_UNSUPPORTED_CERTIFICATE:
	case ALERT_CERTIFICATE_REVOKED:
	case ALERT_CERTIFICATE_EXPIRED:
	case ALERT_CERTIFICATE_UNKNOWN:
	case ALERT_UNKNOWN_CA:
		return true;
	default:
		return false;
	}
}
