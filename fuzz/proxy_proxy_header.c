/* A PROXY header gives the same result however it comes, and its addresses survive being written again. */
#include "proxy/proxy_header.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header header = {0}, part = {0}, again;
	struct error why;
	uint8_t room[PROXY_HEADER_WRITE_MAX];
	struct bytes out;
	if (size < 1)
		return 0;
	struct bytes in = bytes_of(data + 1, size - 1);
	enum proxy_header_result result = proxy_header_read(in, &header, &why);
	enum proxy_header_result early = proxy_header_read(bytes_of(in.data, data[0] % (in.len + 1)), &part, &why);
	/* A verdict on the front is the verdict on the whole. */
	if (early != PROXY_HEADER_NEED_MORE && (early != result || part.len != header.len))
		abort();
	if (result != PROXY_HEADER_OK)
		return 0;
	if (header.len > in.len || header.len > PROXY_HEADER_MAX)
		abort();
	struct writer w = writer_over(room, sizeof(room));
	proxy_header_write(&header.source, &header.destination, &w);
	if (!writer_done(&w, &out) || proxy_header_read(out, &again, &why) != PROXY_HEADER_OK || again.len != out.len)
		abort();
	if (!again.addresses)
		return 0;
	if (!hostport_same_ip(&again.source, &header.source) || again.source.port != header.source.port)
		abort();
	if (!hostport_same_ip(&again.destination, &header.destination))
		abort();
	return 0;
}
