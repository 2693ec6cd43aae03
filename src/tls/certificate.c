#include "tls/certificate.h"

#include "tls/extension.h"

#define TLS13 0x0304

bool certificate_next(struct certificate_message *list, struct certificate_entry *out)
{
	struct bytes rest = list->entries;
	struct certificate_entry found = {0};
	if (!bytes_vec24(&rest, &found.der) || found.der.len == 0)
		return false;
	if (list->tls13 && !bytes_vec16(&rest, &found.extensions))
		return false;
	list->entries = rest;
	*out = found;
	return true;
}

bool certificate_parse(struct bytes body, uint16_t version, struct certificate_message *out)
{
	*out = (struct certificate_message){.tls13 = version >= TLS13};
	if (out->tls13 && !bytes_vec8(&body, &out->context))
		return false;
	if (!bytes_vec24(&body, &out->entries) || body.len != 0)
		return false;
	struct certificate_message list = *out;
	struct certificate_entry entry;
	while (certificate_next(&list, &entry)) {
		size_t extensions;
		uint16_t faulty;
		if (extension_check(entry.extensions, &extensions, &faulty) != EXTENSION_OK)
			return false;
		out->count++;
	}
	return list.entries.len == 0;
}

bool certificate_staple(const struct certificate_entry *entry, struct bytes *ocsp)
{
	struct extension ext;
	uint8_t type;
	struct bytes response;
	if (!extension_find(entry->extensions, EXT_STATUS_REQUEST, &ext))
		return false;
	if (!bytes_u8(&ext.data, &type) || type != 1 || !bytes_vec24(&ext.data, &response) || ext.data.len != 0 ||
		response.len == 0)
		return false;
	*ocsp = response;
	return true;
}

bool authority_next(struct bytes *list, struct bytes *name)
{
	struct bytes rest = *list;
	struct bytes found;
	if (!bytes_vec16(&rest, &found) || found.len == 0)
		return false;
	*list = rest;
	*name = found;
	return true;
}

static bool authorities_ok(struct bytes list)
{
	struct bytes name;
	while (authority_next(&list, &name))
		;
	return list.len == 0;
}

/* A list of u16 that is not empty, alone in `data`. */
static bool whole_list(struct bytes data, struct bytes *out)
{
	return bytes_vec16(&data, out) && data.len == 0 && out->len >= 2 && out->len % 2 == 0;
}

static bool read_extension(struct extension ext, struct certificate_request *out)
{
	switch (ext.type) {
	case EXT_SIGNATURE_ALGORITHMS:
		return whole_list(ext.data, &out->sigalgs);
	case EXT_SIGNATURE_ALGORITHMS_CERT:
		return whole_list(ext.data, &out->sigalgs_cert);
	case EXT_CERTIFICATE_AUTHORITIES:
		return bytes_vec16(&ext.data, &out->authorities) && ext.data.len == 0 && out->authorities.len >= 3 &&
		       authorities_ok(out->authorities);
	default:
		return true;
	}
}

static bool parse_13(struct bytes body, struct certificate_request *out)
{
	size_t count;
	uint16_t faulty;
	if (!bytes_vec8(&body, &out->context) || !bytes_vec16(&body, &out->extensions) || body.len != 0 ||
		extension_check(out->extensions, &count, &faulty) != EXTENSION_OK)
		return false;
	struct bytes block = out->extensions;
	struct extension ext;
	while (extension_next(&block, &ext)) {
		if (!read_extension(ext, out))
			return false;
	}
	return out->sigalgs.len > 0;
}

static bool parse_12(struct bytes body, uint16_t version, struct certificate_request *out)
{
	if (!bytes_vec8(&body, &out->types) || out->types.len == 0)
		return false;
	/* TLS 1.0 and 1.1 have no list of signature algorithms here. */
	if (version == 0x0303 &&
		(!bytes_vec16(&body, &out->sigalgs) || out->sigalgs.len < 2 || out->sigalgs.len % 2 != 0))
		return false;
	return bytes_vec16(&body, &out->authorities) && body.len == 0 && authorities_ok(out->authorities);
}

bool certificate_request_parse(struct bytes body, uint16_t version, struct certificate_request *out)
{
	*out = (struct certificate_request){.tls13 = version >= TLS13};
	return out->tls13 ? parse_13(body, out) : parse_12(body, version, out);
}
