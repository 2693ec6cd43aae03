#include "watch/hello_event.h"

#include "tls/list.h"

static void list_versions(const struct client_hello *hello, struct event_hello *out)
{
	struct bytes list = hello->versions;
	uint16_t version;
	if (!hello->has_versions)
		out->versions[out->version_count++] = hello->legacy_version;
	while (out->version_count < EVENT_LIST_MAX && list_next(&list, &version))
		out->versions[out->version_count++] = version;
}

void hello_event_of(const struct client_hello *hello, enum ja4_transport transport, struct hello_event *out)
{
	struct bytes list = hello->alpn, name;
	out->event = (struct event){.kind = EVENT_HELLO};
	struct event_hello *said = &out->event.hello;
	/* Where libcrypto has no MD5 the text is empty, which is what the event says then. */
	(void)!ja3(hello, out->ja3);
	(void)!ja4(hello, transport, out->ja4);
	said->sni = hello->server_name;
	said->ja3 = bytes_str(out->ja3);
	said->ja4 = bytes_str(out->ja4);
	while (said->alpn_count < EVENT_LIST_MAX && alpn_next(&list, &name))
		said->alpn[said->alpn_count++] = name;
	list_versions(hello, said);
	said->ech = hello->ech == ECH_OUTER ? FLOW_ECH_OUTER : hello->ech == ECH_INNER ? FLOW_ECH_INNER : FLOW_ECH_NONE;
}
