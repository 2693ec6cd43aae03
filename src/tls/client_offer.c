/* What a ClientHello offers: questions answered from its parsed fields. */
#include "tls/extension.h"
#include "tls/hello.h"
#include "tls/list.h"
#include "tls/suite.h"

bool client_hello_has(const struct client_hello *hello, uint16_t type)
{
	struct extension ext;
	return extension_find(hello->extensions, type, &ext);
}

bool client_hello_offers_version(const struct client_hello *hello, uint16_t version)
{
	if (hello->has_versions)
		return list_holds(hello->versions, version);
	/* Without the extension nothing above TLS 1.2 can be meant, whatever legacy_version says (RFC 8446, 4.2.1). */
	if (version > TLS_VERSION_12 || version > hello->legacy_version)
		return false;
	uint16_t least = hello->legacy_version == TLS_VERSION_SSL30 ? TLS_VERSION_SSL30 : TLS_VERSION_10;
	return version >= least;
}

uint16_t client_hello_max_version(const struct client_hello *hello)
{
	for (uint16_t version = TLS_VERSION_13; version >= TLS_VERSION_SSL30; version--) {
		if (client_hello_offers_version(hello, version))
			return version;
	}
	return 0;
}

bool client_hello_offers_suite(const struct client_hello *hello, uint16_t suite)
{
	return list_holds(hello->suites, suite);
}

bool client_hello_offers_group(const struct client_hello *hello, uint16_t group)
{
	return list_holds(hello->groups, group);
}

bool client_hello_offers_sigalg(const struct client_hello *hello, uint16_t scheme)
{
	return list_holds(hello->sigalgs, scheme);
}

bool client_hello_offers_alpn(const struct client_hello *hello, struct bytes name)
{
	struct bytes list = hello->alpn, offered;
	while (alpn_next(&list, &offered)) {
		if (bytes_equal(offered, name))
			return true;
	}
	return false;
}

bool client_hello_shares_group(const struct client_hello *hello, uint16_t group)
{
	struct bytes list = hello->key_shares, key;
	uint16_t shared;
	while (key_share_next(&list, &shared, &key)) {
		if (shared == group)
			return true;
	}
	return false;
}

bool client_hello_is_fallback(const struct client_hello *hello)
{
	return client_hello_offers_suite(hello, SUITE_FALLBACK_SCSV);
}

bool client_hello_secure_renegotiation(const struct client_hello *hello)
{
	return hello->has_renegotiation_info || client_hello_offers_suite(hello, SUITE_EMPTY_RENEGOTIATION_INFO_SCSV);
}

enum hello_resumption client_hello_resumption(const struct client_hello *hello)
{
	if (hello->has_psk)
		return RESUMPTION_PSK;
	/* A ticket comes with a made-up session id (RFC 5077, 3.4), so it is asked for first. */
	if (hello->ticket.len > 0)
		return RESUMPTION_TICKET;
	if (hello->session_id.len == 0)
		return RESUMPTION_NONE;
	return client_hello_offers_version(hello, TLS_VERSION_13) ? RESUMPTION_PERHAPS : RESUMPTION_SESSION_ID;
}
