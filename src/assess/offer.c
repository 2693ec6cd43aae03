#include "assess/offer.h"

#include "tls/extension.h"
#include "tls/handshake.h"
#include "tls/record.h"
#include "tls/suite.h"

static void write_list(struct writer *out, const uint16_t *values, size_t count)
{
	size_t mark = writer_open(out, 2);
	for (size_t i = 0; i < count; i++)
		writer_u16(out, values[i]);
	writer_close(out, mark, 2);
}

static void write_name(struct writer *out, const char *name)
{
	writer_u16(out, EXT_SERVER_NAME);
	size_t mark = writer_open(out, 2);
	size_t list = writer_open(out, 2);
	writer_u8(out, 0);
	writer_vec16(out, bytes_str(name));
	writer_close(out, list, 2);
	writer_close(out, mark, 2);
}

/* All that servers may need to choose a certificate: what is asked about is never this. */
static void write_sigalgs(struct writer *out)
{
	static const uint16_t schemes[] = {0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0809,
		0x080a, 0x080b, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201};
	writer_u16(out, EXT_SIGNATURE_ALGORITHMS);
	size_t mark = writer_open(out, 2);
	write_list(out, schemes, sizeof(schemes) / sizeof(schemes[0]));
	writer_close(out, mark, 2);
}

static void write_extensions(struct writer *out, const struct offer *offer)
{
	size_t block = writer_open(out, 2);
	if (offer->name && offer->name[0])
		write_name(out, offer->name);
	if (offer->group_count > 0) {
		writer_u16(out, EXT_SUPPORTED_GROUPS);
		size_t mark = writer_open(out, 2);
		write_list(out, offer->groups, offer->group_count);
		writer_close(out, mark, 2);
	}
	if (offer->version < TLS_VERSION_13) {
		writer_u16(out, EXT_EC_POINT_FORMATS);
		writer_vec16(out, bytes_of("\x01\x00", 2));
		writer_u16(out, EXT_RENEGOTIATION_INFO);
		writer_vec16(out, bytes_of("\x00", 1));
	}
	if (offer->version < TLS_VERSION_13 && offer->extended_master_secret) {
		writer_u16(out, EXT_EXTENDED_MASTER_SECRET);
		writer_vec16(out, BYTES_NONE);
	}
	if (offer->version >= TLS_VERSION_12)
		write_sigalgs(out);
	if (offer->version == TLS_VERSION_13) {
		writer_u16(out, EXT_SUPPORTED_VERSIONS);
		writer_vec16(out, bytes_of("\x02\x03\x04", 3));
		writer_u16(out, EXT_KEY_SHARE);
		writer_vec16(out, bytes_of("\x00\x00", 2));
	}
	writer_close(out, block, 2);
}

bool offer_write(const struct offer *offer, struct writer *out)
{
	bool tls13 = offer->version == TLS_VERSION_13;
	writer_u8(out, RECORD_HANDSHAKE);
	writer_u16(out, offer->version == TLS_VERSION_SSL30 ? TLS_VERSION_SSL30 : TLS_VERSION_10);
	size_t record = writer_open(out, 2);
	writer_u8(out, HANDSHAKE_CLIENT_HELLO);
	size_t message = writer_open(out, 3);
	writer_u16(out, tls13 ? TLS_VERSION_12 : offer->version);
	writer_bytes(out, bytes_of(offer->random, HELLO_RANDOM));
	writer_vec8(out, tls13 ? bytes_of(offer->random, HELLO_RANDOM) : BYTES_NONE);
	size_t suites = writer_open(out, 2);
	for (size_t i = 0; i < offer->suite_count; i++)
		writer_u16(out, offer->suites[i]);
	if (offer->version == TLS_VERSION_SSL30)
		writer_u16(out, SUITE_EMPTY_RENEGOTIATION_INFO_SCSV);
	writer_close(out, suites, 2);
	writer_vec8(out, bytes_of("\x00", 1));
	if (offer->version > TLS_VERSION_SSL30)
		write_extensions(out, offer);
	writer_close(out, message, 3);
	writer_close(out, record, 2);
	return !out->full;
}
