#include "audit/proof.h"

#include "base/base64.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>

static const char leaf_first[] = "c2sp.org/tlog-proof@v1\n";
static const char growth_first[] = "overt.internal/tlog-growth@v1\n";

static bool take_text(struct bytes *in, const char *text)
{
	return bytes_starts(*in, bytes_str(text)) && bytes_skip(in, strlen(text));
}

static bool take_line(struct bytes *in, struct bytes *line)
{
	size_t end = bytes_find(*in, '\n', 0);
	return end < in->len && bytes_take(in, end, line) && bytes_skip(in, 1);
}

/* KEYWORD BASE64 */
static bool take_extra(struct bytes *in, const char *word, uint8_t *room, struct bytes *extra)
{
	struct bytes line;
	size_t len;
	if (!take_text(in, word) || !take_line(in, &line) || !base64_read(line, room, AUDIT_PROOF_MAX, &len))
		return false;
	*extra = bytes_of(room, len);
	return true;
}

static bool take_index(struct bytes *in, uint64_t *index)
{
	struct bytes line;
	return take_text(in, "index ") && take_line(in, &line) && text_number(line, MERKLE_SIZE_MAX, index) &&
	       (line.len == 1 || line.data[0] != '0');
}

/* Up to the empty line. */
static bool take_path(struct bytes *in, struct merkle_proof *path)
{
	struct bytes line;
	size_t len;
	for (path->count = 0; take_line(in, &line); path->count++) {
		if (line.len == 0)
			return true;
		if (path->count >= MERKLE_PROOF_MAX ||
			!base64_read(line, path->hashes[path->count].octets, MERKLE_HASH, &len) || len != MERKLE_HASH)
			return false;
	}
	return false;
}

bool audit_proof_read(struct bytes octets, uint8_t *room, struct audit_proof *proof)
{
	bool good;
	proof->extra = BYTES_NONE;
	proof->index = 0;
	proof->path.count = 0;
	proof->kind = AUDIT_PROOF_NONE;
	if (octets.len > AUDIT_PROOF_MAX)
		return false;
	if (take_text(&octets, leaf_first)) {
		proof->kind = AUDIT_PROOF_LEAF;
		good = take_extra(&octets, "extra ", room, &proof->extra) && take_index(&octets, &proof->index) &&
		       take_path(&octets, &proof->path);
	} else if (take_text(&octets, growth_first)) {
		proof->kind = AUDIT_PROOF_GROWTH;
		good = take_extra(&octets, "old ", room, &proof->extra) && take_path(&octets, &proof->path);
	} else {
		good = true;
	}
	proof->note = octets;
	return good;
}

bool audit_proof_write(struct writer *w, const struct audit_proof *proof)
{
	bool leaf = proof->kind == AUDIT_PROOF_LEAF;
	char index[40];
	writer_bytes(w, bytes_str(leaf ? leaf_first : growth_first));
	writer_bytes(w, bytes_str(leaf ? "extra " : "old "));
	base64_write(w, proof->extra);
	if (leaf)
		snprintf(index, sizeof(index), "\nindex %" PRIu64 "\n", proof->index);
	else
		snprintf(index, sizeof(index), "\n");
	writer_bytes(w, bytes_str(index));
	for (unsigned i = 0; i < proof->path.count; i++) {
		base64_write(w, bytes_of(proof->path.hashes[i].octets, MERKLE_HASH));
		writer_u8(w, '\n');
	}
	writer_u8(w, '\n');
	writer_bytes(w, proof->note);
	return !w->full;
}
