#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "pki/file.h"
#include "proxy/conn.h"
#include "proxy/local_parts.h"
#include "proxy/opening.h"
#include "proxy/worker.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SAVE_NS  (5 * NS_PER_S) /* between a change and its being written: whatever happens in between is written once */
#define TIDY_NS  (3600 * NS_PER_S) /* without any change: what is past its time goes all the same */
#define FILE_MAX ((size_t)LOCAL_ROWS * BOOK_ROW_TEXT)

static int64_t now_s(void)
{
	return (int64_t)(clock_wall_ns() / NS_PER_S);
}

/* The files. */

static bool read_file(const struct local *local, const char *name, struct file_bytes *out, struct error *err)
{
	char path[FILE_PATH_MAX];
	*out = (struct file_bytes){0};
	if (!file_join(path, local->options.state, name, err))
		return false;
	return !file_exists(path) || file_read_secret(path, FILE_MAX, out, NULL, err);
}

static bool read_files(struct local *local, struct error *err)
{
	struct file_bytes book, refused;
	if (!read_file(local, LOCAL_BOOK_FILE, &book, err))
		return false;
	local->counts.unreadable += book_read(&local->book, bytes_of(book.data, book.len));
	file_bytes_free(&book);
	if (!read_file(local, LOCAL_REFUSED_FILE, &refused, err))
		return false;
	size_t bad = refused_read(&local->refused, bytes_of(refused.data, refused.len));
	file_bytes_free(&refused);
	local->counts.unreadable += bad;
	/* A row less in the book is a pity. A refusal that is not in force must not be taken for one that is. */
	return bad == 0 || error_set(err, "%s/%s: %zu lines cannot be read; correct or remove them",
				   local->options.state, LOCAL_REFUSED_FILE, bad);
}

static bool write_file(struct local *local, const char *name, struct bytes text, struct error *err)
{
	char path[FILE_PATH_MAX];
	if (file_join(path, local->options.state, name, err) && file_replace(path, text, 0600, err))
		return true;
	local->counts.not_saved++;
	return false;
}

static size_t expire(struct local *local)
{
	return book_expire(&local->book, now_s() - (int64_t)(local->options.retention_ns / NS_PER_S));
}

static void save_book(struct local *local)
{
	struct error err;
	struct bytes text;
	local->changed = false;
	(void)expire(local);
	size_t cap = (local->book.rows + 1) * BOOK_ROW_TEXT;
	uint8_t *room = malloc(cap);
	struct writer w = writer_over(room, room ? cap : 0);
	book_write(&local->book, &w);
	bool ok = room && writer_done(&w, &text) ? write_file(local, LOCAL_BOOK_FILE, text, &err)
	                                         : error_set(&err, "no memory to write down who read what");
	if (!ok)
		log_warn("history not saved", LOG_S("why", err.text));
	free(room);
}

static bool save_refused(struct local *local, struct error *err)
{
	static const size_t cap = (size_t)REFUSED_MAX * 512;
	struct bytes text;
	uint8_t *room = malloc(cap);
	struct writer w = writer_over(room, room ? cap : 0);
	refused_write(&local->refused, &w);
	bool ok = room && writer_done(&w, &text) ? write_file(local, LOCAL_REFUSED_FILE, text, err)
	                                         : error_set(err, "no memory to write down what is refused");
	free(room);
	return ok;
}

static void save_due(struct loop_timer *timer);

static void save_in(struct local *local, uint64_t ns)
{
	loop_timer_set(local->loop, &local->save, clock_monotonic_ns() + ns, save_due);
}

static void save_due(struct loop_timer *timer)
{
	struct local *local = (struct local *)(void *)((char *)timer - offsetof(struct local, save));
	if (expire(local) > 0 || local->changed)
		save_book(local);
	save_in(local, TIDY_NS);
}

static void changed(struct local *local)
{
	if (!local->changed)
		save_in(local, SAVE_NS);
	local->changed = true;
}

/* Beginning and end. */

struct local *local_new(struct loop *loop, const struct local_options *options, struct error *err)
{
	uint8_t token[(LOCAL_TOKEN - 1) / 2];
	struct local *local = calloc(1, sizeof(*local));
	if (!local) {
		error_set(err, "no memory");
		return NULL;
	}
	*local = (struct local){
		.loop = loop, .options = *options, .asker.fd = -1, .owner = getuid(), .began_s = now_s()};
	pact_keep(options->pact);
	book_init(&local->book, LOCAL_ROWS);
	bool ok = RAND_bytes(token, sizeof(token)) == 1 || error_set_openssl(err, "no random octets");
	text_hex(local->token, sizeof(local->token), bytes_of(token, sizeof(token)));
	if (ok && local_peer_open(&local->asker, err) && read_files(local, err)) {
		(void)expire(local);
		save_in(local, TIDY_NS);
		return local;
	}
	local->options.state = NULL; /* what could not be read is left as it is */
	local_free(local);
	return NULL;
}

void local_free(struct local *local)
{
	if (!local)
		return;
	loop_timer_clear(local->loop, &local->save);
	if (local->options.state)
		save_book(local);
	local_peer_close(&local->asker);
	book_clear(&local->book);
	pact_free(local->options.pact);
	OPENSSL_cleanse(local->token, sizeof(local->token));
	free(local);
}

void local_begin(struct local *local, struct worker *worker)
{
	local->worker = worker;
}

const struct local_counts *local_count(const struct local *local)
{
	return &local->counts;
}

bool local_admits(struct local *local, int fd)
{
	uid_t uid = 0;
	enum local_peer found = local_peer_ask(&local->asker, fd, &uid);
	if (found == LOCAL_PEER_OWNER && uid == local->owner)
		return true;
	/* Not even root: what it runs for others is not this user's, and it has other means. */
	if (found == LOCAL_PEER_OWNER) {
		local->counts.strangers++;
		log_warn("connection of another user refused", LOG_N("uid", uid));
	} else {
		local->counts.unknown++;
		log_info("connection of an unknown user refused",
			LOG_S("why",
				found == LOCAL_PEER_GONE ? "its program has closed it" : "the kernel does not say"));
	}
	return false;
}

/* Connections. */

static const char *role_of(const struct book_reader *reader)
{
	const char *name = accord_role_name(reader->role);
	return name ? name : "?";
}

const char *local_reason(struct conn *conn)
{
	const struct book_entry *what = &conn->opening->local->what;
	char *out = (char *)conn->worker->scratch;
	size_t len = 0;
	if (what->kind == BOOK_NOBODY)
		return "nobody reads: the server itself was verified";
	if (what->kind != BOOK_READ)
		return "read by whoever holds a CA that was added on this machine; nothing is proven";
	for (size_t i = 0; i < what->readers; i++) {
		const struct book_reader *reader = &what->reader[i];
		int n = snprintf(out + len, WORKER_SCRATCH - len, "%s %s as %s%s%s%s", i ? ", then" : "read by",
			book_reader_key(reader), role_of(reader), reader->purpose[0] ? " (" : "", reader->purpose,
			reader->purpose[0] ? ")" : "");
		len += n > 0 ? (size_t)n : 0;
	}
	if (what->accepted)
		snprintf(out + len, WORKER_SCRATCH - len, "; the server knows, and accepts");
	return out;
}

static struct book_row *note(struct local *local, const struct book_entry *what)
{
	changed(local);
	return book_note(&local->book, what, now_s());
}

/* In the book as open. A client that asks several things in plain HTTP is in one row at a time. */
static void enter(struct conn *conn, const struct book_entry *what)
{
	if (conn->row)
		local_ended(conn);
	conn->row = note(conn->worker->mine, what);
	if (conn->row)
		conn->row->open++;
}

bool local_opened(struct conn *conn)
{
	struct local *local = conn->worker->mine;
	struct local_case *known = conn->opening->local;
	/* The user may have decided otherwise since leg 2 was judged. */
	if (refused_concerns(&local->refused, &known->what, &known->why))
		return !local_settles_failure(conn, LEG_FAULT);
	enter(conn, &known->what);
	if (known->what.kind == BOOK_LOCAL_CA)
		log_warn("nothing proven", LOG_N("flow", conn->flow.id), LOG_S("site", known->what.site),
			LOG_S("means", "only a CA that was added on this machine vouches for the certificate"));
	return true;
}

void local_ended(struct conn *conn)
{
	book_ended(&conn->worker->mine->book, conn->row, now_s());
	conn->row = NULL;
	changed(conn->worker->mine);
}

bool local_permits_plain(struct conn *conn, struct error *why)
{
	struct local *local = conn->worker->mine;
	struct book_entry what = {.kind = BOOK_PLAIN};
	snprintf(what.site, sizeof(what.site), "%s", conn->opening->target.host);
	if (refused_concerns(&local->refused, &what, why)) {
		local->counts.refused++;
		error_prefix(why, "without TLS everybody on the way may read, and");
		local_note_refused(conn, 0, why->text);
		return false;
	}
	enter(conn, &what);
	return true;
}

void local_note_refused(struct conn *conn, unsigned check, const char *why)
{
	struct book_entry what = {.kind = BOOK_REFUSED, .check = check};
	const struct opening *o = conn->opening;
	const char *site = o->name.text[0] ? o->name.text : o->target.host;
	snprintf(what.site, sizeof(what.site), "%s", site);
	text_clean(what.why, sizeof(what.why), bytes_str(why));
	(void)!note(conn->worker->mine, &what);
	log_warn("connection refused", LOG_N("flow", conn->flow.id), LOG_S("site", site), LOG_N("check", check),
		LOG_S("why", why));
}

/* The user's word. */

static void end_refused(struct local *local)
{
	for (struct conn *conn = local->worker ? local->worker->newest : NULL, *older; conn; conn = older) {
		struct error why;
		older = conn->older;
		if (conn->over || !conn->row || !refused_concerns(&local->refused, &conn->row->what, &why))
			continue;
		local->counts.ended++;
		conn_abort(conn, "refused-by-user", why.text);
	}
}

bool local_refuse(struct local *local, enum refused_kind kind, struct bytes what, struct error *err)
{
	struct refused_item item;
	if (!refused_add(&local->refused, kind, what, now_s(), &item, err))
		return false;
	log_info("refused by the user", LOG_S("kind", refused_kind_name(kind)), LOG_S("what", item.what));
	/* In force at once, also when it cannot be kept: then that is said. */
	end_refused(local);
	return save_refused(local, err) || error_prefix(err, "in force, but only until the end of this run");
}

bool local_take_back(struct local *local, enum refused_kind kind, struct bytes what, struct error *err)
{
	if (!refused_remove(&local->refused, kind, what))
		return error_set(err, "that was not refused");
	log_info("refusal taken back", LOG_S("kind", refused_kind_name(kind)), LOG_B("what", what));
	return save_refused(local, err) || error_prefix(err, "in force, but only until the end of this run");
}
