#include "tls/certificate_extra.h"

#define STATUS_OCSP       1
#define STATUS_OCSP_MULTI 2

bool certificate_status_next(struct bytes *list, struct bytes *response)
{
	return bytes_vec24(list, response);
}

bool certificate_status_parse(struct bytes body, struct certificate_status *out)
{
	*out = (struct certificate_status){0};
	if (!bytes_u8(&body, &out->type))
		return false;
	if (out->type == STATUS_OCSP)
		return bytes_vec24(&body, &out->response) && out->response.len > 0 && body.len == 0;
	if (out->type != STATUS_OCSP_MULTI || !bytes_vec24(&body, &out->list) || out->list.len == 0 || body.len != 0)
		return false;
	struct bytes list = out->list, response;
	while (certificate_status_next(&list, &response))
		;
	return list.len == 0;
}

bool compressed_certificate_parse(struct bytes body, struct compressed_certificate *out)
{
	return bytes_u16(&body, &out->algorithm) && bytes_u24(&body, &out->length) &&
	       bytes_vec24(&body, &out->packed) && out->packed.len > 0 && body.len == 0;
}
