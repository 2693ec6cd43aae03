#include "proxy/refusal.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPIRE_EVERY_S 60

enum statement { ADD, READ, EVICT, EXPIRE, EACH, FORGET, BEGIN, COMMIT, COUNT, STATEMENTS };

static const char *const sql[STATEMENTS] = {
	[ADD] = "INSERT INTO refusals VALUES (?1, ?2, ?3, 1, ?4, ?4) ON CONFLICT (client, name) DO UPDATE SET "
		"alert = ?3, count = count + 1, last = ?4",
	[READ] = "SELECT client, name, alert, count, first, last FROM refusals WHERE client = ?1 AND name = ?2",
	[EVICT] =
		"DELETE FROM refusals WHERE (client, name) IN (SELECT client, name FROM refusals ORDER BY last, first "
		"LIMIT ?1)",
	[EXPIRE] = "DELETE FROM refusals WHERE last <= ?1",
	[EACH] = "SELECT client, name, alert, count, first, last FROM refusals WHERE last > ?1 ORDER BY last DESC",
	[FORGET] = "DELETE FROM refusals WHERE ?1 IS NULL OR client = ?1",
	[BEGIN] = "BEGIN",
	[COMMIT] = "COMMIT",
	[COUNT] = "SELECT count(*) FROM refusals",
};

struct refusal_store {
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];
	struct refusal_limits limits;
	struct refusal_counts counts;
	uint64_t expired_s; /* when old ones were last looked for */
	bool begun;         /* a transaction is open: one commit for many refusals */
	uint64_t pending;   /* refusals in it */
};

static void recount(struct refusal_store *store);

/* SQLite may have given the transaction up by itself (a full disk): what stood in it is lost, the next begins anew. */
static bool fault(struct refusal_store *store, const char *doing, struct error *err)
{
	error_set(err, "refusals: cannot %s: %s", doing, sqlite3_errmsg(store->db));
	if (store->begun && sqlite3_get_autocommit(store->db)) {
		store->begun = false;
		store->counts.lost += store->pending;
		store->pending = 0;
		recount(store);
	}
	return false;
}

/* Runs a statement that gives no rows. */
static bool run(struct refusal_store *store, enum statement which)
{
	int code = sqlite3_step(store->statements[which]);
	sqlite3_reset(store->statements[which]);
	sqlite3_clear_bindings(store->statements[which]);
	return code == SQLITE_DONE;
}

static bool begin(struct refusal_store *store)
{
	if (!store->begun)
		store->begun = run(store, BEGIN);
	return store->begun;
}

static void recount(struct refusal_store *store)
{
	if (sqlite3_step(store->statements[COUNT]) == SQLITE_ROW)
		store->counts.held = (size_t)sqlite3_column_int64(store->statements[COUNT], 0);
	sqlite3_reset(store->statements[COUNT]);
}

/* Life. */

static bool set_up(struct refusal_store *store, struct error *err)
{
	static const char schema[] =
		"PRAGMA secure_delete = ON; PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = NORMAL;"
		"CREATE TABLE IF NOT EXISTS refusals (client TEXT, name TEXT, alert INTEGER, "
		"count INTEGER, first INTEGER, last INTEGER, PRIMARY KEY (client, name)) WITHOUT ROWID;"
		"CREATE INDEX IF NOT EXISTS refusals_last ON refusals (last);";
	/* `overt refusals` may be reading: not longer than nobody notices. */
	sqlite3_busy_timeout(store->db, 50);
	if (sqlite3_exec(store->db, schema, NULL, NULL, NULL) != SQLITE_OK)
		return fault(store, "open the database", err);
	for (int i = 0; i < STATEMENTS; i++) {
		if (sqlite3_prepare_v3(store->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &store->statements[i], NULL) !=
			SQLITE_OK)
			return fault(store, "use the database", err);
	}
	recount(store);
	return true;
}

static bool make_file(const char *path, struct error *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_set_errno(err, "cannot open %s", path);
	close(fd);
	return true;
}

struct refusal_store *refusal_store_open(const char *path, const struct refusal_limits *limits, struct error *err)
{
	struct refusal_store *store = calloc(1, sizeof(*store));
	if (!store) {
		error_set(err, "no memory for the refusals");
		return NULL;
	}
	if (limits)
		store->limits = *limits;
	if (!store->limits.lifetime_s)
		store->limits.lifetime_s = REFUSAL_LIFETIME_S;
	if (!store->limits.cap)
		store->limits.cap = REFUSAL_CAP;
	store->counts.cap = store->limits.cap;
	if (!path || make_file(path, err)) {
		int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
		if (sqlite3_open_v2(path ? path : ":memory:", &store->db, flags, NULL) != SQLITE_OK)
			fault(store, "open the database", err);
		else if (set_up(store, err))
			return store;
		if (path)
			error_prefix(err, "%s", path);
	}
	refusal_store_close(store);
	return NULL;
}

void refusal_store_close(struct refusal_store *store)
{
	if (!store)
		return;
	if (store->begun)
		(void)run(store, COMMIT);
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(store->statements[i]);
	sqlite3_close(store->db);
	free(store);
}

/* Work. */

static void bind_pair(sqlite3_stmt *statement, const struct refusal *refusal)
{
	sqlite3_bind_text(statement, 1, refusal->client, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(statement, 2, refusal->name, -1, SQLITE_TRANSIENT);
}

static void column_text(sqlite3_stmt *statement, int column, char *out, size_t cap)
{
	const unsigned char *text = sqlite3_column_text(statement, column);
	size_t len = (size_t)sqlite3_column_bytes(statement, column);
	if (len >= cap)
		len = cap - 1;
	if (text && len)
		memcpy(out, text, len);
	out[text ? len : 0] = '\0';
}

static void read_row(sqlite3_stmt *statement, struct refusal *refusal)
{
	*refusal = (struct refusal){0};
	column_text(statement, 0, refusal->client, sizeof(refusal->client));
	column_text(statement, 1, refusal->name, sizeof(refusal->name));
	refusal->alert = sqlite3_column_int(statement, 2);
	refusal->count = (uint64_t)sqlite3_column_int64(statement, 3);
	refusal->first_s = (uint64_t)sqlite3_column_int64(statement, 4);
	refusal->last_s = (uint64_t)sqlite3_column_int64(statement, 5);
}

static void evict(struct refusal_store *store)
{
	if (store->counts.held <= store->limits.cap)
		return;
	sqlite3_bind_int64(store->statements[EVICT], 1, (sqlite3_int64)(store->counts.held - store->limits.cap));
	if (run(store, EVICT)) {
		size_t gone = (size_t)sqlite3_changes(store->db);
		store->counts.evicted += gone;
		store->counts.held -= gone;
	}
}

bool refusal_add(struct refusal_store *store, struct refusal *refusal, uint64_t now_s, struct error *err)
{
	sqlite3_stmt *add = store->statements[ADD];
	sqlite3_stmt *read = store->statements[READ];
	if (!begin(store)) {
		store->counts.lost++;
		return fault(store, "note one", err);
	}
	bind_pair(add, refusal);
	sqlite3_bind_int(add, 3, refusal->alert);
	sqlite3_bind_int64(add, 4, (sqlite3_int64)now_s);
	if (!run(store, ADD)) {
		store->counts.lost++;
		return fault(store, "note one", err);
	}
	bind_pair(read, refusal);
	bool found = sqlite3_step(read) == SQLITE_ROW;
	if (found)
		read_row(read, refusal);
	sqlite3_reset(read);
	if (!found)
		return fault(store, "read one", err);
	store->counts.added++;
	store->pending++;
	store->counts.held += refusal->count == 1;
	evict(store);
	return true;
}

bool refusal_due(const struct refusal_store *store, uint64_t now_s)
{
	return store->begun || (store->counts.held > 0 && now_s - store->expired_s >= EXPIRE_EVERY_S);
}

bool refusal_flush(struct refusal_store *store, uint64_t now_s, struct error *err)
{
	if (!refusal_due(store, now_s))
		return true;
	store->expired_s = now_s;
	uint64_t before = now_s > store->limits.lifetime_s ? now_s - store->limits.lifetime_s : 0;
	sqlite3_bind_int64(store->statements[EXPIRE], 1, (sqlite3_int64)before);
	if (!run(store, EXPIRE))
		return fault(store, "remove old ones", err);
	size_t gone = (size_t)sqlite3_changes(store->db);
	store->counts.expired += gone;
	if (gone)
		recount(store);
	if (!store->begun)
		return true;
	if (!run(store, COMMIT))
		return fault(store, "write them", err);
	store->begun = false;
	store->pending = 0;
	return true;
}

bool refusal_each(struct refusal_store *store, uint64_t now_s, void (*visit)(const struct refusal *refusal, void *ctx),
	void *ctx, struct error *err)
{
	sqlite3_stmt *each = store->statements[EACH];
	struct refusal refusal;
	uint64_t before = now_s > store->limits.lifetime_s ? now_s - store->limits.lifetime_s : 0;
	sqlite3_bind_int64(each, 1, (sqlite3_int64)before);
	int code;
	while ((code = sqlite3_step(each)) == SQLITE_ROW) {
		read_row(each, &refusal);
		visit(&refusal, ctx);
	}
	sqlite3_reset(each);
	return code == SQLITE_DONE || fault(store, "read them", err);
}

bool refusal_forget(struct refusal_store *store, const char *client, struct error *err)
{
	if (client)
		sqlite3_bind_text(store->statements[FORGET], 1, client, -1, SQLITE_TRANSIENT);
	if (!begin(store) || !run(store, FORGET))
		return fault(store, "forget them", err);
	recount(store);
	return true;
}

uint64_t refusal_lifetime_s(const struct refusal_store *store)
{
	return store->limits.lifetime_s;
}

struct refusal_counts refusal_count(const struct refusal_store *store)
{
	return store->counts;
}
