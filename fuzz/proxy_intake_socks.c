/* A SOCKS exchange comes to the same in whole pieces and octet by octet, on both sides of it. */
#include "proxy/intake_socks.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum intake_socks_result serve(
	struct intake_socks *s, struct bytes in, size_t piece, const struct intake_users *users, size_t *used)
{
	size_t come = 0;
	*used = 0;
	for (;;) {
		enum intake_socks_result result = intake_socks_step(s, bytes_of(in.data + *used, come - *used), users);
		*used += s->used;
		if (*used > come || s->reply_len > sizeof(s->reply))
			abort();
		if (result == INTAKE_SOCKS_REPLY)
			continue;
		if (result != INTAKE_SOCKS_NEED_MORE || come == in.len)
			return result;
		come = in.len - come < piece ? in.len : come + piece;
	}
}

static enum socks_client_result ask(
	struct socks_client *c, struct bytes in, size_t piece, const struct target *target, size_t *used)
{
	size_t come = 0;
	*used = 0;
	for (;;) {
		enum socks_client_result result = socks_client_step(
			c, bytes_of(in.data + *used, come - *used), target, bytes_str("u"), bytes_str("p"));
		*used += c->used;
		if (*used > come || c->message_len > sizeof(c->message))
			abort();
		if (result == SOCKS_CLIENT_SEND)
			continue;
		if (result != SOCKS_CLIENT_NEED_MORE || come == in.len)
			return result;
		come = in.len - come < piece ? in.len : come + piece;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct intake_user user = {INTAKE_USER_BASIC, bytes_str("a:b")};
	struct intake_socks whole = {0}, octets = {0};
	struct socks_client client = {0}, by_octet = {0};
	struct target target;
	size_t used, again;
	if (size < 1)
		return 0;
	struct intake_users users = {&user, data[0] & 1};
	struct bytes in = bytes_of(data + 1, size - 1);
	enum intake_socks_result result = serve(&whole, in, in.len + 1, &users, &used);
	if (serve(&octets, in, 1, &users, &again) != result || used != again)
		abort();
	if (strcmp(whole.target.host, octets.target.host) != 0 || whole.target.port != octets.target.port)
		abort();
	if (target_from_host(bytes_str("example.com"), 443, &target) != TARGET_OK)
		abort();
	enum socks_client_result answer = ask(&client, in, in.len + 1, &target, &used);
	if (ask(&by_octet, in, 1, &target, &again) != answer || used != again || client.code != by_octet.code)
		abort();
	return 0;
}
