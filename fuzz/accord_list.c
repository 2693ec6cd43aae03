/* The list of a ClientHello: what is found in it is in it, reads again, and makes a list that reads the same. */
#include "accord_body.h"

static void same(struct bytes a, struct bytes b)
{
	if (!bytes_equal(a, b))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t memory[1 << 17];
	struct accord_list list;
	struct accord_list again;
	struct bytes written;
	if (accord_list_read(bytes_of(data, size), &list) != ACCORD_BODY_OK)
		return 0;
	struct accord_offer offer;
	struct accord_introduction introduction;
	struct accord_sealed sealed;
	if ((list.offer.len > 0 && accord_offer_read(list.offer, &offer) != ACCORD_BODY_OK) ||
		(list.sealed.len > 0 && accord_sealed_read(list.sealed, &sealed) != ACCORD_BODY_OK) ||
		(list.introduction.len > 0 &&
			accord_introduction_read(list.introduction, &introduction) != ACCORD_BODY_OK))
		abort();
	struct writer w = writer_over(memory, sizeof(memory));
	accord_list_write(&w, &list);
	if (!writer_done(&w, &written) || written.len > size)
		abort();
	if (written.len == 0)
		return 0;
	if (accord_list_read(written, &again) != ACCORD_BODY_OK)
		abort();
	same(list.offer, again.offer);
	same(list.introduction, again.introduction);
	same(list.sealed, again.sealed);
	return 0;
}
