/* ServerHello bodies: the views of what the parser takes stay in the body. */
#include "tls/hello.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct server_hello hello;
	if (server_hello_parse(bytes_of(data, size), &hello) != HELLO_OK)
		return 0;
	const struct bytes views[] = {hello.random, hello.session_id, hello.extensions, hello.key_share, hello.cookie,
		hello.alpn, hello.renegotiated};
	for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
		if (views[i].len > 0 && (views[i].data < data || views[i].data + views[i].len > data + size))
			abort();
	}
	if (hello.random.len != HELLO_RANDOM || (hello.retry && hello.key_share.len > 0))
		abort();
	if (hello.faults > 0 && !server_hello_has(&hello, hello.faulty))
		abort();
	return 0;
}
