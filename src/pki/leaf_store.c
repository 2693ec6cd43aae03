#include "pki/leaf_store.h"

#include "base/log.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLUSH_EVERY   256
#define PATH_MAX_HERE 4096

struct leaf_store {
	sqlite3 *db; /* NULL: working without */
	sqlite3_stmt *find, *insert, *count, *drop_expired, *drop_oldest;
	char path[PATH_MAX_HERE];
	size_t pending; /* rows put in the open transaction; 0: none is open */
	bool stopped;   /* writing failed; said once */
	struct leaf_store_counts counts;
};

static void statements_close(struct leaf_store *store)
{
	sqlite3_finalize(store->find);
	sqlite3_finalize(store->insert);
	sqlite3_finalize(store->count);
	sqlite3_finalize(store->drop_expired);
	sqlite3_finalize(store->drop_oldest);
	store->find = store->insert = store->count = store->drop_expired = store->drop_oldest = NULL;
	sqlite3_close(store->db);
	store->db = NULL;
}

static int run(struct leaf_store *store, const char *sql)
{
	return sqlite3_exec(store->db, sql, NULL, NULL, NULL);
}

/*
 * A WAL that is not synced at each commit may lose the last leaves at a power cut, never the file (sqlite.org/wal). Row
 * numbers grow, so the lowest are the oldest: no index is needed for that.
 */
static const char schema[] =
	"PRAGMA secure_delete=ON; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-4000;"
	"CREATE TABLE IF NOT EXISTS leaf(id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, "
	"expires INTEGER NOT NULL, der BLOB NOT NULL);"
	"CREATE INDEX IF NOT EXISTS leaf_expires ON leaf(expires);";

static int prepare(struct leaf_store *store, sqlite3_stmt **out, const char *sql)
{
	return sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
}

static int rows_count(struct leaf_store *store)
{
	int result = sqlite3_step(store->count);
	if (result == SQLITE_ROW)
		store->counts.rows = (size_t)sqlite3_column_int64(store->count, 0);
	int reset = sqlite3_reset(store->count);
	return result == SQLITE_ROW ? reset : result;
}

/* SQLITE_OK, or what is wrong with the file. */
static int database_open(struct leaf_store *store)
{
	/* SQLite gives the files beside it the same mode; names of visited hosts are nobody else's business. */
	int fd = open(store->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return SQLITE_CANTOPEN;
	close(fd);
	int result = sqlite3_open_v2(store->path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW, NULL);
	if (result == SQLITE_OK)
		result = run(store, schema);
	if (result == SQLITE_OK)
		result = prepare(store, &store->find, "SELECT der FROM leaf WHERE key = ?1 AND expires > ?2");
	if (result == SQLITE_OK)
		result = prepare(
			store, &store->insert, "INSERT OR REPLACE INTO leaf(key, expires, der) VALUES(?1, ?2, ?3)");
	if (result == SQLITE_OK)
		result = prepare(store, &store->count, "SELECT count(*) FROM leaf");
	if (result == SQLITE_OK)
		result = prepare(store, &store->drop_expired, "DELETE FROM leaf WHERE expires <= ?1");
	if (result == SQLITE_OK)
		result = prepare(store, &store->drop_oldest,
			"DELETE FROM leaf WHERE id IN (SELECT id FROM leaf ORDER BY id LIMIT ?1)");
	return result == SQLITE_OK ? rows_count(store) : result;
}

static bool is_damage(int result)
{
	int code = result & 0xff;
	return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

static void file_aside(struct leaf_store *store, const char *suffix)
{
	char from[PATH_MAX_HERE + 16];
	char to[PATH_MAX_HERE + 32];
	snprintf(from, sizeof(from), "%s%s", store->path, suffix);
	snprintf(to, sizeof(to), "%s.damaged%s", store->path, suffix);
	(void)rename(from, to);
}

static void move_aside(struct leaf_store *store)
{
	statements_close(store);
	file_aside(store, "");
	file_aside(store, "-wal");
	file_aside(store, "-shm");
	store->counts.moved_aside++;
	log_warn("leaf store damaged, moved aside", LOG_S("file", store->path),
		LOG_S("advice", "leaves are minted again; the old file may be removed"));
}

static void give_up(struct leaf_store *store, int result)
{
	if (!store->stopped)
		log_warn("leaf store not usable, going on without", LOG_S("file", store->path),
			LOG_S("reason", sqlite3_errstr(result)));
	store->stopped = true;
}

/* Opens the file, once more after putting a damaged one aside. */
static void database_start(struct leaf_store *store)
{
	int result = database_open(store);
	/* At opening, SQLITE_ERROR is a table of that name that is not ours. */
	if (is_damage(result) || (result & 0xff) == SQLITE_ERROR) {
		move_aside(store);
		result = database_open(store);
	}
	if (result != SQLITE_OK) {
		give_up(store, result);
		statements_close(store);
	}
}

/* The rows of the open transaction are gone. Damage found while running begins a new file. */
static void transaction_lost(struct leaf_store *store, int result)
{
	store->counts.lost += store->pending;
	store->pending = 0;
	if (!sqlite3_get_autocommit(store->db))
		(void)run(store, "ROLLBACK");
	(void)rows_count(store);
	if (is_damage(result)) {
		move_aside(store);
		database_start(store);
		return;
	}
	give_up(store, result);
}

struct leaf_store *leaf_store_open(const char *path, size_t cap, int64_t now_s)
{
	struct leaf_store *store = calloc(1, sizeof(*store));
	if (!store)
		return NULL;
	store->counts.cap = cap;
	if ((size_t)snprintf(store->path, sizeof(store->path), "%s", path) >= sizeof(store->path)) {
		give_up(store, SQLITE_CANTOPEN);
		return store;
	}
	database_start(store);
	if (store->db)
		(void)leaf_store_flush(store, now_s);
	return store;
}

void leaf_store_close(struct leaf_store *store)
{
	if (!store)
		return;
	if (store->db && store->pending > 0) {
		int result = run(store, "COMMIT");
		if (result != SQLITE_OK)
			transaction_lost(store, result);
	}
	statements_close(store);
	free(store);
}

void leaf_store_key(uint8_t out[LEAF_STORE_KEY], struct bytes upstream_der, struct bytes host,
	const uint8_t ca_sha256[32], const uint8_t leaf_key_id[32], struct bytes variant)
{
	/* Lengths first, so that no two sets of parts are the same octets. */
	uint8_t head[12 + 64];
	struct writer w = writer_over(head, sizeof(head));
	writer_u32(&w, (uint32_t)upstream_der.len);
	writer_u32(&w, (uint32_t)host.len);
	writer_u32(&w, (uint32_t)variant.len);
	writer_bytes(&w, bytes_of(ca_sha256, 32));
	writer_bytes(&w, bytes_of(leaf_key_id, 32));
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	bool ok = hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 &&
	          EVP_DigestUpdate(hash, head, w.len) == 1 &&
	          EVP_DigestUpdate(hash, upstream_der.data, upstream_der.len) == 1 &&
	          EVP_DigestUpdate(hash, host.data, host.len) == 1 &&
	          EVP_DigestUpdate(hash, variant.data, variant.len) == 1 && EVP_DigestFinal_ex(hash, out, NULL) == 1;
	EVP_MD_CTX_free(hash);
	/* Without memory for a hash nothing will work much longer; a zero key at least is never put. */
	if (!ok)
		memset(out, 0, LEAF_STORE_KEY);
}

static bool key_is_zero(const uint8_t key[LEAF_STORE_KEY])
{
	static const uint8_t zero[LEAF_STORE_KEY];
	return memcmp(key, zero, LEAF_STORE_KEY) == 0;
}

bool leaf_store_get(struct leaf_store *store, const uint8_t key[LEAF_STORE_KEY], int64_t now_s, uint8_t *buffer,
	size_t cap, size_t *len)
{
	if (!store->db) {
		store->counts.misses++;
		return false;
	}
	(void)sqlite3_bind_blob(store->find, 1, key, LEAF_STORE_KEY, SQLITE_STATIC);
	(void)sqlite3_bind_int64(store->find, 2, now_s);
	int result = sqlite3_step(store->find);
	bool found = false;
	if (result == SQLITE_ROW) {
		int n = sqlite3_column_bytes(store->find, 0);
		const void *der = sqlite3_column_blob(store->find, 0);
		found = der && n > 0 && (size_t)n <= cap;
		if (found) {
			memcpy(buffer, der, (size_t)n);
			*len = (size_t)n;
		}
	}
	(void)sqlite3_reset(store->find);
	if (result != SQLITE_ROW && result != SQLITE_DONE && is_damage(result))
		transaction_lost(store, result);
	*(found ? &store->counts.hits : &store->counts.misses) += 1;
	return found;
}

void leaf_store_put(
	struct leaf_store *store, const uint8_t key[LEAF_STORE_KEY], struct bytes der, int64_t now_s, int64_t expires_s)
{
	if (!store->db || key_is_zero(key)) {
		store->counts.lost++;
		return;
	}
	int result = store->pending == 0 ? run(store, "BEGIN IMMEDIATE") : SQLITE_OK;
	if (result == SQLITE_OK) {
		(void)sqlite3_bind_blob(store->insert, 1, key, LEAF_STORE_KEY, SQLITE_STATIC);
		(void)sqlite3_bind_int64(store->insert, 2, expires_s);
		(void)sqlite3_bind_blob(store->insert, 3, der.data, (int)der.len, SQLITE_STATIC);
		result = sqlite3_step(store->insert);
		(void)sqlite3_reset(store->insert);
		(void)sqlite3_clear_bindings(store->insert);
	}
	store->pending++;
	store->counts.rows++;
	if (result != SQLITE_DONE) {
		transaction_lost(store, result);
		return;
	}
	if (store->pending >= FLUSH_EVERY)
		(void)leaf_store_flush(store, now_s);
}

static int drop(struct leaf_store *store, sqlite3_stmt *statement, int64_t argument, uint64_t *counter)
{
	(void)sqlite3_bind_int64(statement, 1, argument);
	int result = sqlite3_step(statement);
	if (result == SQLITE_DONE)
		*counter += (uint64_t)sqlite3_changes(store->db);
	int reset = sqlite3_reset(statement);
	return result == SQLITE_DONE ? SQLITE_OK : reset;
}

/* `rows` is an upper bound while leaves replace others; it is counted anew only when it reaches the cap. */
static int prune(struct leaf_store *store, int64_t now_s)
{
	uint64_t before = store->counts.expired;
	int result = drop(store, store->drop_expired, now_s, &store->counts.expired);
	size_t gone = (size_t)(store->counts.expired - before);
	store->counts.rows -= gone < store->counts.rows ? gone : store->counts.rows;
	if (result != SQLITE_OK || store->counts.rows <= store->counts.cap)
		return result;
	result = rows_count(store);
	if (result == SQLITE_OK && store->counts.rows > store->counts.cap) {
		/* A tenth more than must go, so that a full store does not prune at every flush. */
		size_t excess = store->counts.rows - store->counts.cap + store->counts.cap / 10;
		result = drop(store, store->drop_oldest, (int64_t)excess, &store->counts.pruned);
		if (result == SQLITE_OK)
			result = rows_count(store);
	}
	return result;
}

bool leaf_store_flush(struct leaf_store *store, int64_t now_s)
{
	if (!store->db)
		return false;
	size_t pending = store->pending;
	int result = prune(store, now_s);
	if (result == SQLITE_OK && pending > 0)
		result = run(store, "COMMIT");
	if (result != SQLITE_OK) {
		transaction_lost(store, result);
		return false;
	}
	store->pending = 0;
	store->counts.stored += pending;
	store->stopped = false;
	return true;
}

struct leaf_store_counts leaf_store_count(const struct leaf_store *store)
{
	return store->counts;
}
