#include "tls/control.h"

#include "tls/crypto.h"
#include "tls/handshake.h"

#define TLS12_VERIFY_DATA 12

bool key_update_parse(struct bytes body, bool *requested)
{
	uint8_t value;
	if (!bytes_u8(&body, &value) || body.len != 0 || value > 1)
		return false;
	*requested = value == 1;
	return true;
}

bool control_is_empty(uint8_t type)
{
	return type == HANDSHAKE_HELLO_REQUEST || type == HANDSHAKE_SERVER_HELLO_DONE ||
	       type == HANDSHAKE_END_OF_EARLY_DATA;
}

bool finished_parse(struct bytes body, uint16_t version, enum suite_hash hash, struct bytes *verify_data)
{
	size_t len = version >= 0x0304 ? crypto_hash_len(hash) : TLS12_VERIFY_DATA;
	if (len == 0 || body.len != len)
		return false;
	*verify_data = body;
	return true;
}
