/* ClientHello bodies: all that reads a hello can read whatever the parser takes, and its views stay in the body. */
#include "tls/extension.h"
#include "tls/fingerprint.h"
#include "tls/hello.h"
#include "tls/list.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct bytes body, struct bytes view)
{
	if (view.len > 0 && (view.data < body.data || view.data + view.len > body.data + body.len))
		abort();
}

static void walk(const struct client_hello *hello)
{
	const struct bytes views[] = {hello->random, hello->session_id, hello->suites, hello->compression,
		hello->extensions, hello->server_name, hello->versions, hello->groups, hello->sigalgs,
		hello->sigalgs_cert, hello->cert_compress, hello->alpn, hello->key_shares, hello->point_formats,
		hello->psk_modes, hello->psk_identities, hello->psk_binders, hello->ticket, hello->renegotiated,
		hello->cookie};
	for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++)
		inside(hello->body, views[i]);
	struct bytes list = hello->key_shares, item;
	uint16_t value;
	uint32_t age;
	while (key_share_next(&list, &value, &item))
		inside(hello->body, item);
	if (list.len != 0)
		abort();
	list = hello->alpn;
	while (alpn_next(&list, &item))
		inside(hello->body, item);
	if (list.len != 0)
		abort();
	list = hello->psk_identities;
	while (psk_identity_next(&list, &item, &age))
		inside(hello->body, item);
	if (list.len != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client_hello hello;
	char three[JA3_LEN + 1], four[JA4_LEN + 1];
	if (!*hello_result_text(client_hello_parse(bytes_of(data, size), &hello)))
		abort();
	if (client_hello_parse(bytes_of(data, size), &hello) != HELLO_OK)
		return 0;
	walk(&hello);
	if (!ja3(&hello, three) || !ja4(&hello, JA4_TCP, four) || strlen(three) != JA3_LEN || strlen(four) != JA4_LEN)
		abort();
	uint16_t most = client_hello_max_version(&hello);
	if (most != 0 && !client_hello_offers_version(&hello, most))
		abort();
	if (client_hello_resumption(&hello) == RESUMPTION_PSK && !client_hello_has(&hello, EXT_PRE_SHARED_KEY))
		abort();
	if (hello.faults > 0 && !client_hello_has(&hello, hello.faulty))
		abort();
	return 0;
}
