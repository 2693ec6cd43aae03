/* What ClientHello and ServerHello share: texts, iterators, names of versions. */
#include "tls/hello.h"

#include "tls/dtls.h"

const char *hello_result_text(enum hello_result result)
{
	switch (result) {
	case HELLO_OK:
		return "well-formed";
	case HELLO_TRUNCATED:
		return "a field reaches past the end of the message";
	case HELLO_TRAILING:
		return "octets follow the last field";
	case HELLO_BAD_SESSION_ID:
		return "the session id is longer than 32 octets";
	case HELLO_BAD_SUITES:
		return "the list of cipher suites is empty or of odd length";
	case HELLO_BAD_COMPRESSION:
		return "the list of compression methods is empty";
	case HELLO_BAD_EXTENSIONS:
		return "an extension reaches past the end of the extensions";
	case HELLO_DUPLICATE_EXTENSION:
		return "an extension stands twice";
	case HELLO_PSK_NOT_LAST:
		return "pre_shared_key is not the last extension";
	}
	return "unknown result";
}

const char *hello_sni_text(enum hello_sni sni)
{
	switch (sni) {
	case SNI_ABSENT:
		return "no server name";
	case SNI_OK:
		return "a host name";
	case SNI_EMPTY:
		return "an empty server_name extension";
	case SNI_MALFORMED:
		return "a malformed server_name extension";
	case SNI_BAD_OCTET:
		return "a server name with an octet that no host name has";
	case SNI_BAD_LABEL:
		return "a server name with an empty or overlong label, or longer than 253 octets";
	case SNI_TRAILING_DOT:
		return "a server name with a final dot";
	case SNI_ADDRESS:
		return "an address as server name";
	}
	return "unknown result";
}

bool alpn_next(struct bytes *list, struct bytes *name)
{
	struct bytes rest = *list;
	struct bytes found;
	if (!bytes_vec8(&rest, &found) || found.len == 0)
		return false;
	*list = rest;
	*name = found;
	return true;
}

bool key_share_next(struct bytes *list, uint16_t *group, struct bytes *key)
{
	struct bytes rest = *list;
	struct bytes found;
	uint16_t value;
	if (!bytes_u16(&rest, &value) || !bytes_vec16(&rest, &found) || found.len == 0)
		return false;
	*list = rest;
	*group = value;
	*key = found;
	return true;
}

bool psk_identity_next(struct bytes *list, struct bytes *identity, uint32_t *obfuscated_age)
{
	struct bytes rest = *list;
	struct bytes found;
	uint32_t age;
	if (!bytes_vec16(&rest, &found) || found.len == 0 || !bytes_u32(&rest, &age))
		return false;
	*list = rest;
	*identity = found;
	*obfuscated_age = age;
	return true;
}

const char *tls_version_name(uint16_t version)
{
	switch (version) {
	case 0x0002:
		return "SSL 2.0";
	case TLS_VERSION_SSL30:
		return "SSL 3.0";
	case TLS_VERSION_10:
		return "TLS 1.0";
	case TLS_VERSION_11:
		return "TLS 1.1";
	case TLS_VERSION_12:
		return "TLS 1.2";
	case TLS_VERSION_13:
		return "TLS 1.3";
	case DTLS_VERSION_10:
		return "DTLS 1.0";
	case DTLS_VERSION_12:
		return "DTLS 1.2";
	case DTLS_VERSION_13:
		return "DTLS 1.3";
	default:
		return NULL;
	}
}
