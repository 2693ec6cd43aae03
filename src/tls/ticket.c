#include "tls/ticket.h"

#include "tls/extension.h"

static bool parse_13(struct bytes body, struct session_ticket *out)
{
	size_t count;
	uint16_t faulty;
	struct extension ext;
	if (!bytes_u32(&body, &out->lifetime_s) || !bytes_u32(&body, &out->age_add) ||
		!bytes_vec8(&body, &out->nonce) || !bytes_vec16(&body, &out->ticket) || out->ticket.len == 0 ||
		!bytes_vec16(&body, &out->extensions) || body.len != 0 ||
		extension_check(out->extensions, &count, &faulty) != EXTENSION_OK)
		return false;
	if (!extension_find(out->extensions, EXT_EARLY_DATA, &ext))
		return true;
	out->has_early_data = true;
	return bytes_u32(&ext.data, &out->max_early_data) && ext.data.len == 0;
}

bool session_ticket_parse(struct bytes body, uint16_t version, struct session_ticket *out)
{
	*out = (struct session_ticket){.tls13 = version >= 0x0304};
	if (out->tls13)
		return parse_13(body, out);
	return bytes_u32(&body, &out->lifetime_s) && bytes_vec16(&body, &out->ticket) && body.len == 0;
}
