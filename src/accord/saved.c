#include "accord/saved.h"

static const char magic[] = "overt accord proof 1\n";

/* Certificates can be longer than 16 bits say. */
static void write_chain(struct writer *w, const struct accord_chain *chain)
{
	size_t count = chain->count <= ACCORD_MAX_CERTS ? chain->count : 0;
	w->full |= count != chain->count;
	writer_u8(w, (uint8_t)count);
	for (size_t i = 0; i < count; i++)
		writer_vec32(w, chain->cert[i]);
	writer_vec32(w, chain->staple);
}

static bool read_chain(struct bytes *in, struct accord_chain *out)
{
	uint8_t count;
	if (!bytes_u8(in, &count) || count == 0 || count > ACCORD_MAX_CERTS)
		return false;
	out->count = count;
	for (size_t i = 0; i < out->count; i++) {
		if (!bytes_vec32(in, &out->cert[i]))
			return false;
	}
	return bytes_vec32(in, &out->staple);
}

void accord_saved_write(struct writer *w, const struct accord_saved *saved)
{
	const struct accord_leg1 *leg1 = &saved->leg1;
	writer_bytes(w, bytes_str(magic));
	writer_u64(w, (uint64_t)saved->at_s);
	writer_u16(w, leg1->version);
	writer_u8(w, leg1->resumed);
	write_chain(w, &leg1->proxy);
	writer_vec8(w, leg1->alpn);
	writer_vec8(w, leg1->host);
	writer_vec8(w, leg1->address);
	writer_vec16(w, leg1->suites);
	writer_vec16(w, leg1->groups);
	writer_vec16(w, leg1->sigalgs);
	size_t mark = writer_open(w, 1);
	accord_offer_write(w, &leg1->offer);
	writer_close(w, mark, 1);
	writer_vec32(w, saved->proof);
}

static bool read_lists(struct bytes *in, struct accord_leg1 *leg1)
{
	return bytes_vec8(in, &leg1->alpn) && bytes_vec8(in, &leg1->host) && bytes_vec8(in, &leg1->address) &&
	       bytes_vec16(in, &leg1->suites) && bytes_vec16(in, &leg1->groups) && bytes_vec16(in, &leg1->sigalgs);
}

bool accord_saved_read(struct bytes in, struct accord_saved *out, struct error *err)
{
	struct accord_leg1 *leg1 = &out->leg1;
	struct bytes offer;
	uint64_t at;
	uint8_t resumed;
	*out = (struct accord_saved){0};
	if (!bytes_starts(in, bytes_str(magic)) || !bytes_skip(&in, sizeof(magic) - 1))
		return error_set(err, "this is no saved proof, or one of another version");
	if (!bytes_u64(&in, &at) || !bytes_u16(&in, &leg1->version) || !bytes_u8(&in, &resumed) || resumed > 1 ||
		!read_chain(&in, &leg1->proxy) || !read_lists(&in, leg1) || !bytes_vec8(&in, &offer) ||
		!bytes_vec32(&in, &out->proof))
		return error_set(err, "the saved proof is cut short or damaged");
	out->at_s = (int64_t)at;
	leg1->resumed = resumed;
	enum accord_body_result result = accord_offer_read(offer, &leg1->offer);
	if (result != ACCORD_BODY_OK)
		return error_set(err, "the offer in the saved proof: %s", accord_body_text(result));
	return in.len == 0 || error_set(err, "there are octets after the saved proof");
}
