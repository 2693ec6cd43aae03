#include "decode/http2_block.h"

#include <openssl/crypto.h>

#define LENGTHS_LEN 8 /* in front of each field in the list: octets of its name and of its value */

static enum http2_block_result ready(struct http2_block *block)
{
	if (block->inflater)
		return HTTP2_BLOCK_OK;
	if (nghttp2_hd_inflate_new(&block->inflater) != 0)
		return HTTP2_BLOCK_NO_MEMORY;
	/*
	 * SETTINGS_HEADER_TABLE_SIZE is only a ceiling: what the encoder uses below it, it says inside its blocks. So the
	 * ceiling can be our own from the start, and no SETTINGS need be matched with their acknowledgement.
	 */
	return nghttp2_hd_inflate_change_table_size(block->inflater, HTTP2_TABLE_MAX) == 0 ? HTTP2_BLOCK_OK
	                                                                                   : HTTP2_BLOCK_BAD;
}

static void keep(struct http2_block *block, const nghttp2_nv *field)
{
	uint8_t lengths[LENGTHS_LEN];
	struct writer w = writer_over(lengths, sizeof(lengths));
	writer_u32(&w, (uint32_t)field->namelen);
	writer_u32(&w, (uint32_t)field->valuelen);
	size_t before = block->list.len;
	block->cut = block->cut || !buffer_add(&block->list, bytes_of(lengths, sizeof(lengths))) ||
	             !buffer_add(&block->list, bytes_of(field->name, field->namelen)) ||
	             !buffer_add(&block->list, bytes_of(field->value, field->valuelen));
	if (block->cut)
		block->list.len = before;
}

enum http2_block_result http2_block_add(struct http2_block *block, struct bytes part, bool last)
{
	enum http2_block_result result = ready(block);
	while (result == HTTP2_BLOCK_OK) {
		nghttp2_nv field;
		int flags = 0;
		ssize_t used = nghttp2_hd_inflate_hd2(block->inflater, &field, &flags, part.data, part.len, last);
		if (used < 0 || !bytes_skip(&part, (size_t)used))
			return used == NGHTTP2_ERR_NOMEM ? HTTP2_BLOCK_NO_MEMORY : HTTP2_BLOCK_BAD;
		if (flags & NGHTTP2_HD_INFLATE_EMIT)
			keep(block, &field);
		if (flags & NGHTTP2_HD_INFLATE_FINAL) {
			(void)nghttp2_hd_inflate_end_headers(block->inflater);
			break;
		}
		if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && part.len == 0)
			break;
	}
	return result;
}

void http2_block_clear(struct http2_block *block)
{
	if (block->list.data)
		OPENSSL_cleanse(block->list.data, block->list.len);
	buffer_clear(&block->list);
	block->cut = false;
}

void http2_block_free(struct http2_block *block)
{
	http2_block_clear(block);
	if (block->inflater)
		nghttp2_hd_inflate_del(block->inflater);
	block->inflater = NULL;
}

static struct bytes *pseudo_of(struct http2_fields *out, struct bytes name)
{
	const struct {
		const char *name;
		struct bytes *value;
	} all[] = {{":method", &out->method}, {":path", &out->path}, {":scheme", &out->scheme},
		{":authority", &out->authority}, {":status", &out->status}, {":protocol", &out->protocol}};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (bytes_equal(name, bytes_str(all[i].name)))
			return all[i].value;
	}
	return NULL;
}

static void pseudo(struct http2_fields *out, struct bytes name, struct bytes value)
{
	struct bytes *at = pseudo_of(out, name);
	if (!at)
		out->bad = "a pseudo-header that is not known";
	else if (at->data)
		out->bad = "a pseudo-header twice";
	else if (out->header_count > 0)
		out->bad = "a pseudo-header after headers";
	if (at && !at->data)
		*at = value;
}

static void plain(struct http2_fields *out, size_t max, struct bytes name, struct bytes value)
{
	if (!nghttp2_check_header_name(name.data, name.len))
		out->bad = "a header name that may not be";
	if (out->header_count < max)
		out->headers[out->header_count++] = (struct message_header){name, value};
	else
		out->cut = true;
}

void http2_block_fields(const struct http2_block *block, size_t max, struct http2_fields *out)
{
	memset(out, 0, offsetof(struct http2_fields, headers));
	out->cut = block->cut;
	if (max > HTTP2_HEADERS_MAX)
		max = HTTP2_HEADERS_MAX;
	struct bytes list = buffer_bytes(&block->list);
	struct bytes name;
	struct bytes value;
	uint32_t name_len;
	uint32_t value_len;
	while (bytes_u32(&list, &name_len) && bytes_u32(&list, &value_len) && bytes_take(&list, name_len, &name) &&
		bytes_take(&list, value_len, &value)) {
		if (!nghttp2_check_header_value(value.data, value.len))
			out->bad = "a control character in a header";
		if (name.len > 0 && name.data[0] == ':')
			pseudo(out, name, value);
		else
			plain(out, max, name, value);
	}
}
