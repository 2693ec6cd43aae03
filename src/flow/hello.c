#include "flow/hello.h"

#include "tls/list.h"

struct event_hello event_hello_of(const struct client_hello *hello)
{
	struct event_hello out = {.sni = hello->server_name,
		.ech = hello->ech == ECH_OUTER   ? FLOW_ECH_OUTER
	               : hello->ech == ECH_INNER ? FLOW_ECH_INNER
	                                         : FLOW_ECH_NONE};
	struct bytes names = hello->alpn, versions = hello->versions, name;
	uint16_t version;
	while (out.alpn_count < EVENT_LIST_MAX && alpn_next(&names, &name))
		out.alpn[out.alpn_count++] = name;
	if (!hello->has_versions)
		out.versions[out.version_count++] = hello->legacy_version;
	while (out.version_count < EVENT_LIST_MAX && list_next(&versions, &version))
		out.versions[out.version_count++] = version;
	return out;
}
