#include "keys/keylog_index.h"

#include "base/hash.h"
#include "keys/keylog_split.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * A session is a record: the upper half of its id's hash, and the blocks in which lines of it begin, ascending. Two
 * sessions with the same half (one in 2^32 of all pairs) share a record, and look-ups tell them apart by the file.
 *
 * Records lie in shards, chosen by the first bits of that half, in the order in which they were made. A shard's table
 * finds them by open addressing: 24 bits of record number and 8 bits of the half, which spare a look at most records
 * that are not meant. Each shard grows by itself, by a quarter, so that at no time much more memory is used than stays.
 */
#define BLOCKS_OF_RECORD 5
#define BLOCK_NONE       UINT32_MAX

struct record {
	uint32_t half;
	uint32_t blocks[BLOCKS_OF_RECORD];
};

#define SHARDS       64
#define SHARD_BITS   6
#define CHUNK        128                            /* records allocated at once */
#define SHARD_CAP    ((uint32_t)(1U << 24) - CHUNK) /* what 24 bits can number, from 1 */
#define TABLE_FIRST  64
#define READ_AT_ONCE ((size_t)256 * 1024)
#define ANCHOR       256 /* octets before the place reached, to notice a file that was written anew */

struct shard {
	struct record **chunks;
	uint32_t *table; /* number of the record from 1, << 8, and the last 8 bits of its half; 0: free */
	uint32_t count, table_len, chunks_len;
};

/* A piece of the file as it was read for a look-up: sessions mostly come in the order of their lines. */
#define WINDOWS       4 /* that several threads may look at a time */
#define WINDOW_OCTETS ((size_t)16 * 1024)

struct window {
	pthread_mutex_t lock;
	uint64_t at;
	size_t len; /* 0: nothing is in it */
	uint8_t octets[WINDOW_OCTETS];
};

struct keylog_index {
	int fd;
	struct window *windows; /* WINDOWS of them */
	size_t cap;
	struct keylog_index_counts counts;
	struct keylog_split split;
	struct timespec changed; /* when the file was, as of the last update */
	uint64_t anchor;         /* hash of what stands before split.next_at */
	struct keylog_id last;   /* of the line placed last, and its block: lines of a session mostly stand together */
	uint32_t last_block;
	struct shard shards[SHARDS];
};

static struct window *windows_new(void)
{
	struct window *windows = calloc(WINDOWS, sizeof(*windows));
	for (size_t i = 0; windows && i < WINDOWS; i++) {
		if (pthread_mutex_init(&windows[i].lock, NULL) == 0)
			continue;
		while (i > 0)
			pthread_mutex_destroy(&windows[--i].lock);
		free(windows);
		return NULL;
	}
	return windows;
}

/* Nobody looks anything up meanwhile. */
static void windows_empty(struct keylog_index *index)
{
	for (size_t i = 0; i < WINDOWS; i++) {
		OPENSSL_cleanse(index->windows[i].octets, index->windows[i].len);
		index->windows[i].len = 0;
	}
}

struct keylog_index *keylog_index_new(int fd, size_t sessions)
{
	struct keylog_index *index = calloc(1, sizeof(*index));
	if (!index)
		return NULL;
	index->windows = windows_new();
	if (!index->windows) {
		free(index);
		return NULL;
	}
	index->fd = fd;
	index->cap = sessions;
	index->last_block = BLOCK_NONE;
	index->counts.memory = sizeof(*index) + WINDOWS * sizeof(struct window);
	return index;
}

static void shards_free(struct keylog_index *index)
{
	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *shard = &index->shards[i];
		for (size_t c = 0; c < shard->chunks_len && shard->chunks; c++)
			free(shard->chunks[c]);
		free(shard->chunks);
		free(shard->table);
		*shard = (struct shard){0};
	}
	index->counts.records = 0;
	index->counts.memory = sizeof(*index) + WINDOWS * sizeof(struct window);
}

void keylog_index_free(struct keylog_index *index)
{
	if (!index)
		return;
	shards_free(index);
	keylog_split_wipe(&index->split);
	windows_empty(index);
	for (size_t i = 0; i < WINDOWS; i++)
		pthread_mutex_destroy(&index->windows[i].lock);
	free(index->windows);
	free(index);
}

static uint32_t half_of(const struct keylog_id *id)
{
	return (uint32_t)(keylog_id_hash(id) >> 32);
}

static struct record *record_at(const struct shard *shard, uint32_t number)
{
	return &shard->chunks[(number - 1) / CHUNK][(number - 1) % CHUNK];
}

/* Where the search for this half begins: its bits after those that chose the shard, scaled to the table. */
static uint32_t table_home(const struct shard *shard, uint32_t half)
{
	return (uint32_t)(((uint64_t)(half << SHARD_BITS) * shard->table_len) >> 32);
}

static uint32_t table_after(const struct shard *shard, uint32_t slot)
{
	return slot + 1 == shard->table_len ? 0 : slot + 1;
}

/* The record of this half at or after `*slot`, which moves past it; NULL, and `*slot` free, when there is no further. */
static struct record *table_next(const struct shard *shard, uint32_t half, uint32_t *slot)
{
	if (shard->table_len == 0)
		return NULL;
	for (uint32_t entry; (entry = shard->table[*slot]) != 0;) {
		struct record *record = (entry & 0xff) == (half & 0xff) ? record_at(shard, entry >> 8) : NULL;
		if (record && record->half == half) {
			*slot = table_after(shard, *slot);
			return record;
		}
		*slot = table_after(shard, *slot);
	}
	return NULL;
}

static void table_put(struct shard *shard, uint32_t half, uint32_t number)
{
	uint32_t slot = table_home(shard, half);
	while (shard->table[slot])
		slot = table_after(shard, slot);
	shard->table[slot] = number << 8 | (half & 0xff);
}

/* Records are entered in their order, so that a session's blocks are found ascending. */
static bool table_grow(struct keylog_index *index, struct shard *shard)
{
	uint32_t len = shard->table_len ? shard->table_len + shard->table_len / 4 : TABLE_FIRST;
	uint32_t *table = calloc(len, sizeof(*table));
	if (!table)
		return false;
	free(shard->table);
	index->counts.memory += (len - shard->table_len) * sizeof(*table);
	shard->table = table;
	shard->table_len = len;
	for (uint32_t number = 1; number <= shard->count; number++)
		table_put(shard, record_at(shard, number)->half, number);
	return true;
}

static bool chunk_add(struct keylog_index *index, struct shard *shard)
{
	struct record **wider = realloc(shard->chunks, (shard->chunks_len + 1) * sizeof(struct record *));
	if (!wider)
		return false;
	shard->chunks = wider;
	struct record *chunk = malloc(CHUNK * sizeof(*chunk));
	if (!chunk)
		return false;
	shard->chunks[shard->chunks_len++] = chunk;
	index->counts.memory += CHUNK * sizeof(*chunk) + sizeof(struct record *);
	return true;
}

enum placed { PLACED, REFUSED, NO_MEMORY };

static enum placed record_new(struct keylog_index *index, struct shard *shard, uint32_t half, uint32_t block)
{
	if (index->counts.records >= index->cap || shard->count >= SHARD_CAP)
		return REFUSED;
	/* At most four fifths full. */
	if ((uint64_t)(shard->count + 1) * 5 > (uint64_t)shard->table_len * 4 && !table_grow(index, shard))
		return NO_MEMORY;
	if (shard->count == shard->chunks_len * CHUNK && !chunk_add(index, shard))
		return NO_MEMORY;
	struct record *record = record_at(shard, shard->count + 1);
	*record = (struct record){half, {block, BLOCK_NONE, BLOCK_NONE, BLOCK_NONE, BLOCK_NONE}};
	table_put(shard, half, ++shard->count);
	index->counts.records++;
	return PLACED;
}

static enum placed place_anew(struct keylog_index *index, const struct keylog_id *id, uint32_t block)
{
	uint32_t half = half_of(id);
	struct shard *shard = &index->shards[half >> (32 - SHARD_BITS)];
	uint32_t slot = shard->table_len ? table_home(shard, half) : 0;
	for (struct record *record; (record = table_next(shard, half, &slot)) != NULL;) {
		for (size_t i = 0; i < BLOCKS_OF_RECORD; i++) {
			if (record->blocks[i] == BLOCK_NONE)
				record->blocks[i] = block;
			if (record->blocks[i] == block)
				return PLACED;
		}
	}
	return record_new(index, shard, half, block);
}

/* A line of this session begins in `block`; no later block is known yet. */
static enum placed place(struct keylog_index *index, const struct keylog_id *id, uint32_t block)
{
	if (index->last_block == block && keylog_id_equal(&index->last, id))
		return PLACED;
	enum placed placed = place_anew(index, id, block);
	index->last = *id;
	index->last_block = placed == PLACED ? block : BLOCK_NONE;
	return placed;
}

/* All of `len` octets, or what the file has. -1 as read() has it. */
static ssize_t read_at(int fd, uint8_t *to, size_t len, uint64_t at)
{
	size_t got = 0;
	while (got < len) {
		ssize_t n = pread(fd, to + got, len - got, (off_t)(at + got));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

/* Hash of what stands before `at` in the file now. */
static uint64_t anchor_at(int fd, uint64_t at)
{
	uint8_t octets[ANCHOR];
	size_t len = at < ANCHOR ? (size_t)at : ANCHOR;
	ssize_t got = read_at(fd, octets, len, at - len);
	uint64_t hash = hash_bytes(bytes_of(octets, got < 0 ? 0 : (size_t)got));
	OPENSSL_cleanse(octets, sizeof(octets));
	return hash;
}

static bool line_take(struct keylog_index *index, struct bytes text, keylog_told_fn *told, void *ctx)
{
	struct keylog_line line;
	index->counts.lines++;
	enum keylog_result result = keylog_parse(text, &line);
	if (result != KEYLOG_OK) {
		index->counts.unknown += result == KEYLOG_UNKNOWN_LABEL;
		index->counts.bad += result != KEYLOG_UNKNOWN_LABEL && result != KEYLOG_NOTHING;
		return true;
	}
	index->counts.secrets++;
	uint64_t block = index->split.line_at / KEYLOG_BLOCK;
	enum placed placed = block < BLOCK_NONE ? place(index, &line.id, (uint32_t)block) : REFUSED;
	index->counts.refused += placed == REFUSED;
	if (placed == PLACED && told)
		told(&line.id, ctx);
	return placed != NO_MEMORY;
}

/* The last line may stay without LF for ever, or may be in the middle of being written: it counts as it stands. */
static bool cut_take(struct keylog_index *index, keylog_told_fn *told, void *ctx)
{
	struct bytes text;
	struct keylog_line line;
	if (!keylog_split_rest(&index->split, &text))
		return true;
	uint64_t at = index->split.next_at - text.len;
	if (keylog_parse(text, &line) != KEYLOG_OK)
		return true;
	enum placed placed =
		at / KEYLOG_BLOCK < BLOCK_NONE ? place(index, &line.id, (uint32_t)(at / KEYLOG_BLOCK)) : REFUSED;
	if (placed == PLACED && told)
		told(&line.id, ctx);
	return placed != NO_MEMORY;
}

static enum keylog_index_result read_on(
	struct keylog_index *index, uint8_t *buffer, size_t budget, keylog_told_fn *told, void *ctx)
{
	for (size_t taken = 0;;) {
		ssize_t got = read_at(index->fd, buffer, READ_AT_ONCE, index->split.next_at);
		if (got < 0)
			return KEYLOG_INDEX_UNREADABLE;
		struct bytes more = bytes_of(buffer, (size_t)got);
		struct bytes line;
		while (keylog_split_next(&index->split, &more, &line)) {
			if (!line_take(index, line, told, ctx)) {
				/* This line is the first to be read when it is tried again. */
				keylog_split_restart(&index->split, index->split.line_at);
				return KEYLOG_INDEX_NO_MEMORY;
			}
		}
		index->counts.octets += (size_t)got;
		taken += (size_t)got;
		if ((size_t)got < READ_AT_ONCE)
			return cut_take(index, told, ctx) ? KEYLOG_INDEX_NEW : KEYLOG_INDEX_NO_MEMORY;
		if (budget && taken >= budget)
			return KEYLOG_INDEX_MORE;
	}
}

static void begin_anew(struct keylog_index *index)
{
	shards_free(index);
	keylog_split_restart(&index->split, 0);
	index->last_block = BLOCK_NONE;
}

enum keylog_index_result keylog_index_update(struct keylog_index *index, size_t budget, keylog_told_fn *told, void *ctx)
{
	struct stat st;
	if (fstat(index->fd, &st) != 0)
		return KEYLOG_INDEX_UNREADABLE;
	uint64_t reached = index->split.next_at;
	bool touched = st.st_mtim.tv_sec != index->changed.tv_sec || st.st_mtim.tv_nsec != index->changed.tv_nsec;
	if ((uint64_t)st.st_size == reached && !touched)
		return KEYLOG_INDEX_QUIET;
	windows_empty(index);
	if ((uint64_t)st.st_size < reached || (reached && anchor_at(index->fd, reached) != index->anchor)) {
		begin_anew(index);
		return KEYLOG_INDEX_TRUNCATED;
	}
	index->changed = st.st_mtim;
	if ((uint64_t)st.st_size == reached)
		return KEYLOG_INDEX_QUIET;
	uint8_t *buffer = malloc(READ_AT_ONCE);
	if (!buffer)
		return KEYLOG_INDEX_NO_MEMORY;
	enum keylog_index_result result = read_on(index, buffer, budget, told, ctx);
	OPENSSL_clear_free(buffer, READ_AT_ONCE);
	index->anchor = anchor_at(index->fd, index->split.next_at);
	return result;
}

/* Blocks next to each other are read at once, and behind them what is mostly enough for a line begun in the last. */
#define RUN_BLOCKS 4
#define RUN_BEHIND ((size_t)512)
_Static_assert(1 + RUN_BLOCKS * KEYLOG_BLOCK + RUN_BEHIND <= WINDOW_OCTETS, "a run fits into a window");

struct run {
	const struct keylog_index *index;
	const struct keylog_id *id;
	struct keyset *out;
	uint32_t first, blocks; /* 0 blocks: none yet */
	size_t added;
};

/*
 * False: the line is certainly another session's, which spares reading it to its end. Only the first digits behind the
 * label are looked at: whatever stands there in another form is read.
 */
static bool may_be_of(struct bytes text, const struct keylog_id *id)
{
	uint8_t wrong = 0;
	size_t blank = bytes_find(text, ' ', 0);
	if (id->kind != KEYLOG_ID_RANDOM || !bytes_skip(&text, blank) || text.len < 9)
		return true;
	for (size_t i = 0; i < 4; i++) {
		uint8_t high = text.data[1 + 2 * i], low = text.data[2 + 2 * i];
		if (!isxdigit(high) || !isxdigit(low))
			return true;
		uint8_t said = (uint8_t)(((high & 0xf) + 9 * (high >> 6)) << 4 | ((low & 0xf) + 9 * (low >> 6)));
		wrong |= said ^ id->octets[i];
	}
	return !wrong;
}

static void run_line(struct run *run, struct bytes text, bool cut)
{
	struct keylog_line line;
	if (!may_be_of(text, run->id))
		return;
	if (keylog_parse(text, &line) != KEYLOG_OK || !keylog_id_equal(&line.id, run->id))
		return;
	enum keyset_result result = keyset_add_line(run->out, &line, cut);
	run->added += result == KEYSET_ADDED || result == KEYSET_CONTRADICTS;
}

/* The line that begins at this place, of any length. */
static void run_long_line(struct run *run, uint64_t at)
{
	uint8_t octets[KEYLOG_MAX_LINE + 1];
	ssize_t got = read_at(run->index->fd, octets, sizeof(octets), at);
	struct bytes text = bytes_of(octets, got < 0 ? 0 : (size_t)got);
	size_t end = bytes_find(text, '\n', 0);
	/* Neither a line end nor the file's: too long to be a line. */
	if (end < text.len || text.len < sizeof(octets))
		run_line(run, bytes_of(text.data, end), end == text.len);
	OPENSSL_cleanse(octets, text.len);
}

/* Lines that begin in the first `len` octets of `text`, which stands at `from` in the file. */
static void run_lines(struct run *run, struct bytes text, size_t len, uint64_t from)
{
	struct bytes rest = text;
	struct bytes line;
	while (rest.len > 0 && text.len - rest.len < len) {
		size_t end = bytes_find(rest, '\n', 0);
		if (end == rest.len) {
			run_long_line(run, from + (text.len - rest.len));
			return;
		}
		if (!bytes_take(&rest, end, &line) || !bytes_skip(&rest, 1))
			return;
		run_line(run, line, false);
	}
}

/* Has the window hold `len` octets from `from` on, or what the file has of them. */
static struct bytes window_of(const struct keylog_index *index, struct window *window, uint64_t from, size_t len)
{
	/* Just behind what is there: the next look-ups will go on from here. */
	bool onward = from >= window->at && from - window->at <= window->len + RUN_BEHIND;
	if (from < window->at || from + len > window->at + window->len) {
		OPENSSL_cleanse(window->octets, window->len);
		ssize_t got = read_at(index->fd, window->octets, onward ? WINDOW_OCTETS : len, from);
		window->at = from;
		window->len = got < 0 ? 0 : (size_t)got;
	}
	struct bytes text = bytes_of(window->octets, window->len);
	(void)!bytes_skip(&text, (size_t)(from - window->at));
	text.len = text.len < len ? text.len : len;
	return text;
}

/* A window that nobody looks at, if need be another one than the last. */
static struct window *window_take(const struct keylog_index *index)
{
	for (size_t i = 0; i < WINDOWS; i++) {
		if (pthread_mutex_trylock(&index->windows[i].lock) == 0)
			return &index->windows[i];
	}
	pthread_mutex_lock(&index->windows[0].lock);
	return &index->windows[0];
}

/* Looks for the session in the blocks gathered so far. */
static void run_read(struct run *run)
{
	uint64_t from = (uint64_t)run->first * KEYLOG_BLOCK;
	size_t len = (size_t)run->blocks * KEYLOG_BLOCK;
	size_t before = from > 0; /* the LF that a line beginning with the block has before it */
	if (run->blocks == 0)
		return;
	struct window *window = window_take(run->index);
	struct bytes text = window_of(run->index, window, from - before, before + len + RUN_BEHIND);
	/* The line that goes on here began in an earlier block. */
	size_t begun = before ? bytes_find(text, '\n', 0) + 1 : 0;
	if (bytes_skip(&text, begun) && begun < before + len)
		run_lines(run, text, before + len - begun, from - before + begun);
	pthread_mutex_unlock(&window->lock);
	run->blocks = 0;
}

static void run_add(struct run *run, uint32_t block)
{
	if (run->blocks && run->blocks < RUN_BLOCKS && block == run->first + run->blocks) {
		run->blocks++;
		return;
	}
	run_read(run);
	run->first = block;
	run->blocks = 1;
}

size_t keylog_index_find(const struct keylog_index *index, const struct keylog_id *id, struct keyset *out)
{
	uint32_t half = half_of(id);
	const struct shard *shard = &index->shards[half >> (32 - SHARD_BITS)];
	uint32_t slot = shard->table_len ? table_home(shard, half) : 0;
	struct run run = {.index = index, .id = id, .out = out};
	for (const struct record *record; (record = table_next(shard, half, &slot)) != NULL;) {
		for (size_t i = 0; i < BLOCKS_OF_RECORD && record->blocks[i] != BLOCK_NONE; i++)
			run_add(&run, record->blocks[i]);
	}
	run_read(&run);
	return run.added;
}

/* Shows the lines of one piece; true when told to stop. */
static bool each_line(struct keylog_split *split, struct bytes more, keylog_visit_fn *visit, void *ctx, uint64_t *at)
{
	struct bytes text;
	struct keylog_line line;
	while (keylog_split_next(split, &more, &text)) {
		*at = split->next_at;
		if (keylog_parse(text, &line) == KEYLOG_OK && !visit(&line, ctx))
			return true;
	}
	return false;
}

bool keylog_index_each(const struct keylog_index *index, uint64_t *at, keylog_visit_fn *visit, void *ctx)
{
	uint64_t end = index->split.next_at;
	bool stopped = false;
	struct bytes text;
	struct keylog_line line;
	struct keylog_split split = {.line_at = *at, .next_at = *at};
	uint8_t *buffer = *at < end ? malloc(READ_AT_ONCE) : NULL;
	while (buffer && !stopped && split.next_at < end) {
		size_t want = end - split.next_at < READ_AT_ONCE ? (size_t)(end - split.next_at) : READ_AT_ONCE;
		ssize_t got = read_at(index->fd, buffer, want, split.next_at);
		if (got <= 0)
			break;
		stopped = each_line(&split, bytes_of(buffer, (size_t)got), visit, ctx, at);
	}
	if (buffer && !stopped && keylog_split_rest(&split, &text)) {
		*at = split.next_at;
		stopped = keylog_parse(text, &line) == KEYLOG_OK && !visit(&line, ctx);
	}
	if (buffer)
		OPENSSL_clear_free(buffer, READ_AT_ONCE);
	keylog_split_wipe(&split);
	return stopped;
}

struct keylog_index_counts keylog_index_count(const struct keylog_index *index)
{
	struct keylog_index_counts counts = index->counts;
	counts.too_long = index->split.too_long;
	return counts;
}
