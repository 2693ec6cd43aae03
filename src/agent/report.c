#include "agent/report.h"

static struct bytes cut(struct bytes text, size_t cap)
{
	return bytes_of(text.data, text.len < cap ? text.len : cap);
}

static void write_text(struct writer *w, struct bytes text)
{
	writer_vec8(w, cut(text, UINT8_MAX));
}

static void write_hops(struct writer *w, const struct report *report)
{
	if (report->hops > REPORT_HOPS) {
		w->full = true;
		return;
	}
	writer_u8(w, (uint8_t)report->hops);
	for (size_t i = 0; i < report->hops; i++) {
		write_text(w, report->hop[i].name);
		writer_u8(w, report->hop[i].role);
		write_text(w, report->hop[i].purpose);
	}
}

static void write_served(struct writer *w, const struct report *report)
{
	writer_u8(w, report->served);
	writer_u8(w, report->told);
	writer_u8(w, report->purpose);
	write_text(w, report->host);
	write_text(w, report->peer);
	write_text(w, report->rule);
	write_text(w, report->client);
	write_text(w, report->statement);
	write_hops(w, report);
}

static void write_connection(struct writer *w, const struct report *report)
{
	writer_u8(w, report->path);
	writer_u8(w, report->check);
	writer_u8(w, report->leg);
	write_text(w, report->fault);
	write_text(w, report->host);
	writer_u8(w, report->told);
	write_text(w, report->statement);
	write_hops(w, report);
}

void report_write(struct writer *w, const struct report *report)
{
	writer_u8(w, REPORT_VERSION);
	writer_bytes(w, bytes_of(report->token, REPORT_TOKEN));
	writer_u8(w, report->kind);
	writer_u32(w, report->pid);
	write_text(w, report->program);
	writer_vec16(w, cut(report->text, REPORT_TEXT));
	writer_u32(w, report->lost);
	if (report->kind == REPORT_CONNECTION)
		write_connection(w, report);
	if (report->kind == REPORT_SERVED)
		write_served(w, report);
}

static bool read_hops(struct bytes *in, struct report *out)
{
	uint8_t count;
	bool ok = bytes_u8(in, &count);
	if (!ok)
		return false;
	out->hops = count;
	for (size_t i = 0; ok && i < out->hops && i < REPORT_HOPS; i++) {
		struct report_hop *hop = &out->hop[i];
		ok = bytes_vec8(in, &hop->name) && bytes_u8(in, &hop->role) && bytes_vec8(in, &hop->purpose);
	}
	return ok;
}

static bool read_connection(struct bytes *in, struct report *out)
{
	return bytes_u8(in, &out->path) && bytes_u8(in, &out->check) && bytes_u8(in, &out->leg) &&
	       bytes_vec8(in, &out->fault) && bytes_vec8(in, &out->host) && bytes_u8(in, &out->told) &&
	       bytes_vec8(in, &out->statement) && read_hops(in, out);
}

static bool read_served(struct bytes *in, struct report *out)
{
	return bytes_u8(in, &out->served) && bytes_u8(in, &out->told) && bytes_u8(in, &out->purpose) &&
	       bytes_vec8(in, &out->host) && bytes_vec8(in, &out->peer) && bytes_vec8(in, &out->rule) &&
	       bytes_vec8(in, &out->client) && bytes_vec8(in, &out->statement) && read_hops(in, out);
}

static bool values_ok(const struct report *report)
{
	if (report->kind < REPORT_ATTACHED || report->kind > REPORT_RULES || report->text.len > REPORT_TEXT)
		return false;
	if (report->kind == REPORT_SERVED)
		return report->served >= REPORT_ACCEPTED && report->served <= REPORT_IGNORED &&
		       (report->told & ~REPORT_TOLD_SEALED) == 0 && report->hops <= REPORT_HOPS;
	if (report->kind != REPORT_CONNECTION)
		return true;
	return report->path >= REPORT_PROVEN && report->path <= REPORT_REFUSED && report->check <= 6 &&
	       (report->told & ~(REPORT_TOLD_SEALED | REPORT_TOLD_VERDICT)) == 0 && report->hops <= REPORT_HOPS;
}

enum report_result report_read(struct bytes in, struct report *out)
{
	uint8_t version;
	*out = (struct report){0};
	if (!bytes_u8(&in, &version))
		return REPORT_TRUNCATED;
	if (version != REPORT_VERSION)
		return REPORT_VERSION_UNKNOWN;
	struct bytes token;
	if (!bytes_take(&in, REPORT_TOKEN, &token))
		return REPORT_TRUNCATED;
	memcpy(out->token, token.data, REPORT_TOKEN);
	if (!bytes_u8(&in, &out->kind) || !bytes_u32(&in, &out->pid) || !bytes_vec8(&in, &out->program) ||
		!bytes_vec16(&in, &out->text) || !bytes_u32(&in, &out->lost))
		return REPORT_TRUNCATED;
	if (out->kind == REPORT_CONNECTION && !read_connection(&in, out))
		return REPORT_TRUNCATED;
	if (out->kind == REPORT_SERVED && !read_served(&in, out))
		return REPORT_TRUNCATED;
	if (!values_ok(out))
		return REPORT_VALUE;
	return in.len == 0 ? REPORT_OK : REPORT_TRAILING;
}

const char *report_result_text(enum report_result result)
{
	static const char *const texts[] = {
		[REPORT_OK] = "good",
		[REPORT_TRUNCATED] = "a field reaches past the end",
		[REPORT_TRAILING] = "octets after the last field",
		[REPORT_VERSION_UNKNOWN] = "of another version of the agent",
		[REPORT_VALUE] = "a field with a value that has no meaning",
	};
	return texts[result];
}
