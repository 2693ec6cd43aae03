#include "pact/saved.h"

#include "pki/file.h"

#include <openssl/pem.h>
#include <stdlib.h>

const char *saved_result_text(enum saved_result result)
{
	static const char *const texts[] = {
		[SAVED_OK] = "well",
		[SAVED_TRUNCATED] = "it ends too early",
		[SAVED_TRAILING] = "something stands behind its end",
		[SAVED_VERSION_UNKNOWN] = "it is of a version that is not known here",
		[SAVED_VALUE] = "it has a value that cannot be",
	};
	return texts[result];
}

static enum saved_result read_chain(struct bytes *in, struct accord_chain *out)
{
	uint8_t count;
	if (!bytes_u8(in, &count))
		return SAVED_TRUNCATED;
	if (count == 0 || count > ACCORD_MAX_CERTS)
		return SAVED_VALUE;
	for (out->count = 0; out->count < count; out->count++) {
		if (!bytes_vec32(in, &out->cert[out->count]))
			return SAVED_TRUNCATED;
		if (out->cert[out->count].len == 0)
			return SAVED_VALUE;
	}
	return SAVED_OK;
}

static bool values_ok(const struct saved *saved, uint64_t time_s)
{
	const struct accord_leg1 *leg1 = &saved->leg1;
	size_t address = leg1->address.len;
	return time_s <= INT64_MAX && (address == 0 || address == 4 || address == 16) && saved->proof.len > 0 &&
	       saved->proof.len <= ACCORD_MAX_PROOF;
}

enum saved_result saved_read(struct bytes in, struct saved *out)
{
	uint8_t version;
	uint64_t time_s;
	struct bytes offer;
	struct accord_leg1 *leg1 = &out->leg1;
	*out = (struct saved){0};
	if (!bytes_u8(&in, &version))
		return SAVED_TRUNCATED;
	if (version != SAVED_VERSION)
		return SAVED_VERSION_UNKNOWN;
	if (!bytes_u64(&in, &time_s) || !bytes_u16(&in, &leg1->version) || !bytes_vec8(&in, &leg1->alpn) ||
		!bytes_vec16(&in, &leg1->host) || !bytes_vec8(&in, &leg1->address) ||
		!bytes_vec16(&in, &leg1->suites) || !bytes_vec16(&in, &leg1->groups) ||
		!bytes_vec16(&in, &leg1->sigalgs) || !bytes_vec16(&in, &offer))
		return SAVED_TRUNCATED;
	if (accord_offer_read(offer, &leg1->offer) != ACCORD_BODY_OK)
		return SAVED_VALUE;
	enum saved_result result = read_chain(&in, &leg1->proxy);
	if (result != SAVED_OK)
		return result;
	if (!bytes_vec32(&in, &out->proof))
		return SAVED_TRUNCATED;
	if (in.len > 0)
		return SAVED_TRAILING;
	out->time_s = (int64_t)time_s;
	return values_ok(out, time_s) ? SAVED_OK : SAVED_VALUE;
}

bool saved_write(struct writer *w, const struct saved *saved)
{
	const struct accord_leg1 *leg1 = &saved->leg1;
	struct bytes done;
	if (leg1->proxy.count == 0 || leg1->proxy.count > ACCORD_MAX_CERTS || saved->time_s < 0 ||
		!values_ok(saved, (uint64_t)saved->time_s))
		return false;
	writer_u8(w, SAVED_VERSION);
	writer_u64(w, (uint64_t)saved->time_s);
	writer_u16(w, leg1->version);
	writer_vec8(w, leg1->alpn);
	writer_vec16(w, leg1->host);
	writer_vec8(w, leg1->address);
	writer_vec16(w, leg1->suites);
	writer_vec16(w, leg1->groups);
	writer_vec16(w, leg1->sigalgs);
	size_t mark = writer_open(w, 2);
	accord_offer_write(w, &leg1->offer);
	writer_close(w, mark, 2);
	writer_u8(w, (uint8_t)leg1->proxy.count);
	for (size_t i = 0; i < leg1->proxy.count; i++)
		writer_vec32(w, leg1->proxy.cert[i]);
	writer_vec32(w, saved->proof);
	return writer_done(w, &done);
}

/* The note, each line behind a sign: so none of them can begin a block. */
static bool put_note(BIO *bio, struct bytes note)
{
	bool ok = true;
	while (ok && note.len > 0) {
		struct bytes line;
		ok = bytes_take(&note, bytes_find(note, '\n', 0), &line) &&
		     BIO_printf(bio, "# %.*s\n", (int)line.len, (const char *)line.data) > 0;
		(void)!bytes_skip(&note, 1);
	}
	return ok;
}

bool saved_to_file(const char *path, struct bytes note, const struct saved *saved, struct error *err)
{
	uint8_t *block = malloc(SAVED_MAX);
	BIO *bio = BIO_new(BIO_s_mem());
	struct writer w = writer_over(block, block ? SAVED_MAX : 0);
	char *text = NULL;
	bool ok = block && bio && saved_write(&w, saved) && put_note(bio, note) &&
	          PEM_write_bio(bio, SAVED_LABEL, "", block, (long)w.len) > 0;
	long len = ok ? BIO_get_mem_data(bio, &text) : 0;
	ok = len > 0 ? file_replace(path, bytes_of(text, (size_t)len), 0600, err)
	             : error_set(err, "%s: the proof cannot be written", path);
	BIO_free(bio);
	free(block);
	return ok;
}

/* The first block of our name. */
static bool find_block(struct bytes in, uint8_t **data, long *len)
{
	BIO *bio = BIO_new_mem_buf(in.data, (int)in.len);
	char *label = NULL;
	char *header = NULL;
	bool found = false;
	*data = NULL;
	while (bio && !found && PEM_read_bio(bio, &label, &header, data, len) == 1) {
		found = strcmp(label, SAVED_LABEL) == 0 && header[0] == '\0';
		OPENSSL_free(label);
		OPENSSL_free(header);
		if (!found) {
			OPENSSL_free(*data);
			*data = NULL;
		}
	}
	BIO_free(bio);
	return found;
}

bool saved_from_file(const char *path, struct saved *out, uint8_t **memory, struct error *err)
{
	struct file_bytes file;
	long len = 0;
	*memory = NULL;
	if (!file_read(path, 2 * SAVED_MAX, &file, NULL, err))
		return false;
	bool found = find_block(bytes_of(file.data, file.len), memory, &len);
	file_bytes_free(&file);
	if (!found)
		return error_set_openssl(err, "%s: holds no proof (a block \"BEGIN " SAVED_LABEL "\")", path);
	enum saved_result result = saved_read(bytes_of(*memory, (size_t)len), out);
	if (result == SAVED_OK)
		return true;
	OPENSSL_free(*memory);
	*memory = NULL;
	return error_set(err, "%s: the proof cannot be read: %s", path, saved_result_text(result));
}
