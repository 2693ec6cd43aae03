/* Frames between sender, collector and reader. */
#include "keys/courier.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const struct courier_frame *frame)
{
	struct courier_taken taken;
	struct courier_want want;
	struct courier_given given;
	struct seal_head head;
	struct bytes items, sealed, text;
	uint8_t octets[32], why;
	uint64_t number;
	(void)!courier_taken_read(frame->body, &taken);
	(void)!courier_want_read(frame->body, &want);
	(void)!courier_ended_read(frame->body, octets, &why);
	(void)!courier_enough_read(frame->body, octets);
	(void)!courier_instance_read(frame->body, octets, &number);
	(void)!courier_caught_up_read(frame->body, &number);
	(void)!courier_sorry_read(frame->body, &why, &text);
	if (!courier_put_read(frame->body, &number, &items))
		return;
	struct bytes again = items;
	while (bytes_vec16(&items, &sealed))
		(void)!seal_head_read(sealed, &head);
	while (courier_given_take(&again, &given))
		(void)!seal_head_read(given.sealed, &head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	struct courier_frame frame;
	size_t before = in.len;
	while (courier_take(&in, &frame) == COURIER_OK) {
		if (frame.body.len > COURIER_MAX_BODY || in.len != before - COURIER_HEADER - frame.body.len)
			__builtin_trap();
		before = in.len;
		look(&frame);
	}
	if (in.len != before)
		__builtin_trap();
	return 0;
}
