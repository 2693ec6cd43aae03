#include "keys/courier.h"

const char *courier_why_text(enum courier_why why)
{
	static const char *const texts[COURIER_WHYS] = {
		[COURIER_WHY_NONE] = "nothing was refused",
		[COURIER_WHY_FORM] = "it is malformed",
		[COURIER_WHY_NO_GRANT] = "the collector has no such grant",
		[COURIER_WHY_OUTSIDE] = "the grant does not cover it",
		[COURIER_WHY_REVOKED] = "the grant was revoked",
		[COURIER_WHY_EXPIRED] = "the grant has ended",
		[COURIER_WHY_ENOUGH] = "the reader has said that it is enough",
		[COURIER_WHY_FULL] = "there is no room",
		[COURIER_WHY_LOG] = "the audit log cannot be written",
		[COURIER_WHY_NOT_ALLOWED] = "this certificate may not do that",
		[COURIER_WHY_RATE] = "too many at once",
		[COURIER_WHY_STOPPING] = "the collector is stopping",
		[COURIER_WHY_BUS] = "the bus has not taken it: come again, or to another collector",
	};
	return (unsigned)why < COURIER_WHYS && texts[why] ? texts[why] : "for a reason that is not known here";
}

enum courier_result courier_take(struct bytes *in, struct courier_frame *out)
{
	struct bytes rest = *in;
	uint8_t type;
	uint32_t len;
	if (!bytes_u8(&rest, &type))
		return COURIER_MORE;
	if (type < COURIER_PUT || type > COURIER_SORRY)
		return COURIER_UNKNOWN;
	if (!bytes_u24(&rest, &len))
		return COURIER_MORE;
	if (len > COURIER_MAX_BODY)
		return COURIER_TOO_LONG;
	if (!bytes_take(&rest, len, &out->body))
		return COURIER_MORE;
	out->type = (enum courier_type)type;
	*in = rest;
	return COURIER_OK;
}

size_t courier_open(struct writer *to, enum courier_type type)
{
	writer_u8(to, (uint8_t)type);
	return writer_open(to, 3);
}

void courier_close(struct writer *to, size_t mark)
{
	writer_close(to, mark, 3);
}

static bool take(struct bytes *in, void *to, size_t len)
{
	struct bytes field;
	if (!bytes_take(in, len, &field))
		return false;
	memcpy(to, field.data, len);
	return true;
}

bool courier_put_read(struct bytes body, uint64_t *batch, struct bytes *items)
{
	if (!bytes_u64(&body, batch))
		return false;
	*items = body;
	return true;
}

void courier_taken_write(struct writer *to, const struct courier_taken *taken)
{
	size_t mark = courier_open(to, COURIER_TAKEN);
	writer_u64(to, taken->batch);
	writer_u32(to, taken->fresh);
	writer_u32(to, taken->known);
	writer_u32(to, taken->contradictory);
	writer_u32(to, taken->refused);
	writer_u8(to, taken->why);
	courier_close(to, mark);
}

bool courier_taken_read(struct bytes body, struct courier_taken *taken)
{
	return bytes_u64(&body, &taken->batch) && bytes_u32(&body, &taken->fresh) && bytes_u32(&body, &taken->known) &&
	       bytes_u32(&body, &taken->contradictory) && bytes_u32(&body, &taken->refused) &&
	       bytes_u8(&body, &taken->why) && body.len == 0;
}

void courier_ended_write(struct writer *to, const uint8_t grant[static RELEASE_GRANT], enum courier_why why)
{
	size_t mark = courier_open(to, COURIER_ENDED);
	writer_bytes(to, bytes_of(grant, RELEASE_GRANT));
	writer_u8(to, (uint8_t)why);
	courier_close(to, mark);
}

bool courier_ended_read(struct bytes body, uint8_t grant[static RELEASE_GRANT], uint8_t *why)
{
	return take(&body, grant, RELEASE_GRANT) && bytes_u8(&body, why) && body.len == 0;
}

void courier_want_write(struct writer *to, const struct courier_want *want)
{
	size_t mark = courier_open(to, COURIER_WANT);
	writer_u8(to, want->follow);
	writer_bytes(to, bytes_of(want->instance, COURIER_INSTANCE));
	writer_u64(to, want->from);
	courier_close(to, mark);
}

bool courier_want_read(struct bytes body, struct courier_want *want)
{
	uint8_t follow;
	bool ok = bytes_u8(&body, &follow) && follow <= 1 && take(&body, want->instance, COURIER_INSTANCE) &&
	          bytes_u64(&body, &want->from) && body.len == 0;
	want->follow = ok && follow;
	return ok;
}

void courier_enough_write(struct writer *to, const uint8_t grant[static RELEASE_GRANT])
{
	size_t mark = courier_open(to, COURIER_ENOUGH);
	writer_bytes(to, bytes_of(grant, RELEASE_GRANT));
	courier_close(to, mark);
}

bool courier_enough_read(struct bytes body, uint8_t grant[static RELEASE_GRANT])
{
	return take(&body, grant, RELEASE_GRANT) && body.len == 0;
}

void courier_instance_write(struct writer *to, const uint8_t instance[static COURIER_INSTANCE], uint64_t lifetime_ms)
{
	size_t mark = courier_open(to, COURIER_INSTANCE_IS);
	writer_bytes(to, bytes_of(instance, COURIER_INSTANCE));
	writer_u64(to, lifetime_ms);
	courier_close(to, mark);
}

bool courier_instance_read(struct bytes body, uint8_t instance[static COURIER_INSTANCE], uint64_t *lifetime_ms)
{
	return take(&body, instance, COURIER_INSTANCE) && bytes_u64(&body, lifetime_ms) && body.len == 0;
}

bool courier_give_read(struct bytes body, uint64_t *next, struct bytes *items)
{
	return courier_put_read(body, next, items);
}

bool courier_given_take(struct bytes *items, struct courier_given *given)
{
	struct bytes rest = *items;
	if (!bytes_vec8(&rest, &given->sender) || !bytes_u64(&rest, &given->received_ns) ||
		!bytes_vec16(&rest, &given->sealed))
		return false;
	*items = rest;
	return true;
}

void courier_caught_up_write(struct writer *to, uint64_t next)
{
	size_t mark = courier_open(to, COURIER_CAUGHT_UP);
	writer_u64(to, next);
	courier_close(to, mark);
}

bool courier_caught_up_read(struct bytes body, uint64_t *next)
{
	return bytes_u64(&body, next) && body.len == 0;
}

void courier_sorry_write(struct writer *to, enum courier_why why, const char *text)
{
	size_t len = strlen(text);
	size_t mark = courier_open(to, COURIER_SORRY);
	writer_u8(to, (uint8_t)why);
	writer_vec8(to, bytes_of(text, len > UINT8_MAX ? UINT8_MAX : len));
	courier_close(to, mark);
}

bool courier_sorry_read(struct bytes body, uint8_t *why, struct bytes *text)
{
	return bytes_u8(&body, why) && bytes_vec8(&body, text) && body.len == 0;
}
