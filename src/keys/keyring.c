#include "keys/keyring.h"

#include "keys/keylog_split.h"
#include "keys/keyring_wait.h"
#include "keys/psk.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define SESSIONS_DEFAULT 10000000
#define TEXT_DEFAULT     ((size_t)64 * 1024 * 1024)
#define FILES_DEFAULT    64
#define KEYS_DEFAULT     4096
/* Of `text`, these parts are for record keys and for ends. */
#define RECORDS_PART 4
#define ENDS_PART    16

struct file {
	struct keylog_file *log;
	int polled_fd; /* in the epoll set; -1: none */
};

struct keyring {
	pthread_rwlock_t lock; /* look-ups share it */
	struct keyring_limits limits;
	struct file *files;
	size_t file_count;
	struct keystore *text;
	struct keystore *records; /* of struct record_key */
	struct keystore *ends;    /* of client_random */
	struct rsa_key **keys;
	size_t key_count;
	struct psk_list psks;
	struct keyring_waits *waits;
	int epoll_fd;
	uint64_t generation;
	/* Look-ups count as well, side by side. */
	atomic_uint_fast64_t found, found_none, duplicates, contradictory, set_refused, opened, closed;
};

static size_t or_default(size_t value, size_t fallback)
{
	return value ? value : fallback;
}

struct keyring *keyring_new(const struct keyring_limits *limits)
{
	static const struct keyring_limits none = {0};
	struct keyring *ring = calloc(1, sizeof(*ring));
	if (!ring)
		return NULL;
	if (pthread_rwlock_init(&ring->lock, NULL) != 0) {
		free(ring);
		return NULL;
	}
	ring->limits = limits ? *limits : none;
	ring->limits.sessions = or_default(ring->limits.sessions, SESSIONS_DEFAULT);
	ring->limits.text = or_default(ring->limits.text, TEXT_DEFAULT);
	ring->limits.files = or_default(ring->limits.files, FILES_DEFAULT);
	ring->limits.keys = or_default(ring->limits.keys, KEYS_DEFAULT);
	ring->psks.cap = ring->limits.keys;
	ring->epoll_fd = -1;
	ring->text = keystore_new(ring->limits.text);
	ring->records = keystore_new(ring->limits.text / RECORDS_PART);
	ring->ends = keystore_new(ring->limits.text / ENDS_PART);
	ring->files = calloc(ring->limits.files, sizeof(*ring->files));
	ring->keys = calloc(ring->limits.keys, sizeof(struct rsa_key *));
	ring->waits = keyring_waits_new();
	if (!ring->text || !ring->records || !ring->ends || !ring->files || !ring->keys || !ring->waits) {
		keyring_free(ring);
		return NULL;
	}
	return ring;
}

void keyring_free(struct keyring *ring)
{
	if (!ring)
		return;
	for (size_t i = 0; ring->files && i < ring->file_count; i++)
		keylog_file_free(ring->files[i].log);
	for (size_t i = 0; ring->keys && i < ring->key_count; i++)
		rsa_key_free(ring->keys[i]);
	psk_list_free(&ring->psks);
	keystore_free(ring->text);
	keystore_free(ring->records);
	keystore_free(ring->ends);
	keyring_waits_free(ring->waits);
	free(ring->files);
	free(ring->keys);
	if (ring->epoll_fd >= 0)
		close(ring->epoll_fd);
	pthread_rwlock_destroy(&ring->lock);
	free(ring);
}

struct keyring_waits *keyring_waits_of(struct keyring *ring)
{
	return ring->waits;
}

/* With the lock held for changes. */
static void tell(struct keyring *ring, const struct keylog_id *id)
{
	ring->generation++;
	keyring_waits_tell(ring->waits, id);
}

static void told(const struct keylog_id *id, void *ctx)
{
	tell(ctx, id);
}

/* A FIFO gets a new descriptor when its writers have gone; the old one left the set when it was closed. */
static void poll_file(const struct keyring *ring, struct file *file)
{
	int fd = keylog_file_fd(file->log);
	if (fd == file->polled_fd)
		return;
	file->polled_fd = fd;
	struct epoll_event event = {.events = EPOLLIN};
	if (fd >= 0 && ring->epoll_fd >= 0)
		(void)!epoll_ctl(ring->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

bool keyring_add_file(struct keyring *ring, const char *path, bool follow, struct error *err)
{
	pthread_rwlock_wrlock(&ring->lock);
	bool ok = ring->file_count < ring->limits.files ||
	          error_set(err, "%s: more than %zu key logs; give fewer", path, ring->limits.files);
	if (ok && ring->epoll_fd < 0)
		ring->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct keylog_file *log = ok ? keylog_file_open(path, follow, ring->limits.sessions, ring->text, err) : NULL;
	if (log) {
		struct file *file = &ring->files[ring->file_count++];
		*file = (struct file){.log = log, .polled_fd = -1};
		poll_file(ring, file);
	}
	pthread_rwlock_unlock(&ring->lock);
	return log != NULL;
}

bool keyring_add_private_keys(struct keyring *ring, const char *path, struct error *err)
{
	struct rsa_key *keys[RSA_KEY_MAX];
	size_t count;
	if (!rsa_keys_load(path, keys, RSA_KEY_MAX, &count, err))
		return false;
	pthread_rwlock_wrlock(&ring->lock);
	bool ok = ring->key_count + count <= ring->limits.keys;
	for (size_t i = 0; ok && i < count; i++)
		ring->keys[ring->key_count++] = keys[i];
	pthread_rwlock_unlock(&ring->lock);
	if (ok)
		return true;
	while (count > 0)
		rsa_key_free(keys[--count]);
	return error_set(err, "%s: more than %zu private keys in all; give fewer", path, ring->limits.keys);
}

bool keyring_add_psk(struct keyring *ring, struct bytes identity, struct bytes key, struct error *err)
{
	pthread_rwlock_wrlock(&ring->lock);
	bool ok = psk_list_add(&ring->psks, identity, key, err);
	pthread_rwlock_unlock(&ring->lock);
	return ok;
}

bool keyring_add_psks(struct keyring *ring, const char *path, struct error *err)
{
	pthread_rwlock_wrlock(&ring->lock);
	bool ok = psk_list_load(&ring->psks, path, err);
	pthread_rwlock_unlock(&ring->lock);
	return ok;
}

size_t keyring_add_text(struct keyring *ring, struct bytes text)
{
	struct keylog_split split = {0};
	struct bytes line;
	struct keylog_id id;
	size_t added = 0;
	pthread_rwlock_wrlock(&ring->lock);
	while (keylog_split_next(&split, &text, &line) || keylog_split_rest(&split, &line)) {
		bool last = split.len > 0 && !split.borrowed;
		if (keystore_add_line(ring->text, line, &id)) {
			tell(ring, &id);
			added++;
		}
		if (last)
			break;
	}
	pthread_rwlock_unlock(&ring->lock);
	keylog_split_wipe(&split);
	return added;
}

bool keyring_add_secret(
	struct keyring *ring, const struct keylog_id *id, enum keylog_label label, uint32_t epoch, struct bytes secret)
{
	pthread_rwlock_wrlock(&ring->lock);
	enum keystore_result result = keystore_add(ring->text, id, label, epoch, secret);
	if (result == KEYSTORE_ADDED)
		tell(ring, id);
	pthread_rwlock_unlock(&ring->lock);
	return result == KEYSTORE_ADDED || result == KEYSTORE_DUPLICATE;
}

enum keyring_news keyring_update(struct keyring *ring, size_t budget, struct error *err)
{
	static const enum keyring_news news_of[] = {
		[KEYLOG_FILE_QUIET] = KEYRING_NO_NEWS,
		[KEYLOG_FILE_NEW] = KEYRING_NEWS,
		[KEYLOG_FILE_MORE] = KEYRING_MORE,
		[KEYLOG_FILE_FAILED] = KEYRING_UNREADABLE,
	};
	enum keyring_news news = KEYRING_NO_NEWS;
	pthread_rwlock_wrlock(&ring->lock);
	for (size_t i = 0; i < ring->file_count; i++) {
		enum keylog_file_result result = keylog_file_update(ring->files[i].log, budget, told, ring, err);
		poll_file(ring, &ring->files[i]);
		if (news_of[result] > news)
			news = news_of[result];
	}
	pthread_rwlock_unlock(&ring->lock);
	return news;
}

int keyring_fd(const struct keyring *ring)
{
	return ring->epoll_fd;
}

size_t keyring_find(struct keyring *ring, const struct keylog_id *ids, size_t count, struct keyset *out)
{
	size_t before = out->count;
	uint64_t duplicates = out->duplicates;
	uint64_t contradictory = out->contradictory;
	uint64_t refused = out->refused;
	pthread_rwlock_rdlock(&ring->lock);
	for (size_t i = 0; i < count; i++) {
		(void)keystore_gather(ring->text, &ids[i], out);
		for (size_t f = 0; f < ring->file_count; f++)
			(void)keylog_file_find(ring->files[f].log, &ids[i], out);
	}
	pthread_rwlock_unlock(&ring->lock);
	size_t added = out->count - before;
	atomic_fetch_add(added ? &ring->found : &ring->found_none, 1);
	atomic_fetch_add(&ring->duplicates, out->duplicates - duplicates);
	atomic_fetch_add(&ring->contradictory, out->contradictory - contradictory);
	atomic_fetch_add(&ring->set_refused, out->refused - refused);
	return added;
}

size_t keyring_find_random(struct keyring *ring, struct bytes client_random, struct keyset *out)
{
	struct keylog_id id;
	if (!keylog_id_set(&id, KEYLOG_ID_RANDOM, client_random))
		return 0;
	return keyring_find(ring, &id, 1, out);
}

static bool try_keys(struct keyring *ring, struct bytes encrypted, const struct bytes *certificate, bool *fitted,
	struct secret *premaster)
{
	for (size_t i = 0; i < ring->key_count; i++) {
		if (certificate && !rsa_key_fits(ring->keys[i], *certificate))
			continue;
		*fitted = true;
		if (rsa_key_open(ring->keys[i], encrypted, premaster) == RSA_KEY_OK)
			return true;
	}
	return false;
}

enum keyring_opened keyring_open_premaster(
	struct keyring *ring, struct bytes encrypted, struct bytes certificate, struct secret *premaster)
{
	bool fitted = false;
	pthread_rwlock_rdlock(&ring->lock);
	bool any = ring->key_count > 0;
	bool opened = certificate.len > 0 && try_keys(ring, encrypted, &certificate, &fitted, premaster);
	/* No certificate that can be read is no reason to give up; one of another key is. */
	if (!opened && !fitted && (certificate.len == 0 || !rsa_certificate_reads(certificate)))
		opened = try_keys(ring, encrypted, NULL, &fitted, premaster);
	pthread_rwlock_unlock(&ring->lock);
	if (!any)
		return KEYRING_NO_KEYS;
	atomic_fetch_add(opened ? &ring->opened : &ring->closed, 1);
	return opened ? KEYRING_OPENED : KEYRING_NO_KEY;
}

bool keyring_psk(struct keyring *ring, struct bytes identity, size_t nth, struct secret *out)
{
	pthread_rwlock_rdlock(&ring->lock);
	bool found = psk_list_get(&ring->psks, identity, nth, out);
	pthread_rwlock_unlock(&ring->lock);
	return found;
}

bool keyring_add_record_key(struct keyring *ring, const struct record_key *key)
{
	uint8_t octets[RECORD_KEY_WRITTEN];
	struct writer to = writer_over(octets, sizeof(octets));
	struct bytes written;
	struct keylog_id id;
	enum keystore_result result = KEYSTORE_TOO_LONG;
	if (!keylog_id_set(&id, KEYLOG_ID_RANDOM, bytes_of(key->client_random, KEYLOG_RANDOM)))
		return false;
	if (record_key_write(key, &to) && writer_done(&to, &written)) {
		pthread_rwlock_wrlock(&ring->lock);
		result = keystore_add(ring->records, &id, KEYLOG_LABELS, key->epoch, written);
		if (result == KEYSTORE_ADDED)
			tell(ring, &id);
		pthread_rwlock_unlock(&ring->lock);
	}
	OPENSSL_cleanse(octets, sizeof(octets));
	return result == KEYSTORE_ADDED || result == KEYSTORE_DUPLICATE;
}

struct record_gathering {
	struct record_key *out;
	size_t from, cap, count;
};

static void record_gather(const struct keystore_entry *entry, void *ctx)
{
	struct record_gathering *gathering = ctx;
	if (gathering->from > 0) {
		gathering->from--;
		return;
	}
	if (gathering->count < gathering->cap && record_key_read(entry->secret, &gathering->out[gathering->count]))
		gathering->count++;
}

size_t keyring_record_keys(
	struct keyring *ring, struct bytes client_random, size_t from, struct record_key *out, size_t cap)
{
	struct record_gathering gathering = {.out = out, .from = from, .cap = cap};
	struct keylog_id id;
	if (!keylog_id_set(&id, KEYLOG_ID_RANDOM, client_random))
		return 0;
	pthread_rwlock_rdlock(&ring->lock);
	keystore_find(ring->records, &id, record_gather, &gathering);
	pthread_rwlock_unlock(&ring->lock);
	return gathering.count;
}

bool keyring_record_back(struct keyring *ring, uint64_t *at, struct record_key *out)
{
	struct keystore_entry entry;
	bool found = false;
	pthread_rwlock_rdlock(&ring->lock);
	while (!found && keystore_back(ring->records, at, &entry))
		found = record_key_read(entry.secret, out);
	pthread_rwlock_unlock(&ring->lock);
	return found;
}

static bool id_of_ends(struct keylog_id *id, const struct keyring_ends *ends)
{
	uint8_t octets[2 * (sizeof(ends->end[0].ip) + 2)], hash[KEYLOG_MAX_ID];
	struct writer to = writer_over(octets, sizeof(octets));
	struct bytes written;
	int order = memcmp(ends->end[0].ip, ends->end[1].ip, sizeof(ends->end[0].ip));
	bool second = order > 0 || (order == 0 && ends->end[0].port > ends->end[1].port);
	for (int i = 0; i < 2; i++) {
		const struct hostport *end = &ends->end[i ^ (int)second];
		if (hostport_is_none(end))
			return false;
		writer_bytes(&to, bytes_of(end->ip, sizeof(end->ip)));
		writer_u16(&to, end->port);
	}
	return writer_done(&to, &written) &&
	       EVP_Digest(written.data, written.len, hash, NULL, EVP_sha256(), NULL) == 1 &&
	       keylog_id_set(id, KEYLOG_ID_ENDS, bytes_of(hash, sizeof(hash)));
}

bool keyring_add_ends(struct keyring *ring, const struct keyring_ends *ends, struct bytes client_random)
{
	struct keylog_id id;
	if (client_random.len != KEYLOG_RANDOM || !id_of_ends(&id, ends))
		return false;
	pthread_rwlock_wrlock(&ring->lock);
	enum keystore_result result = keystore_add(ring->ends, &id, KEYLOG_LABELS, 0, client_random);
	pthread_rwlock_unlock(&ring->lock);
	return result == KEYSTORE_ADDED || result == KEYSTORE_DUPLICATE;
}

/* Comes oldest first; the newest `cap` stay, newest first. */
struct ends_gathering {
	uint8_t (*out)[KEYLOG_RANDOM];
	size_t cap, count;
};

static void ends_gather(const struct keystore_entry *entry, void *ctx)
{
	struct ends_gathering *in = ctx;
	if (entry->secret.len != KEYLOG_RANDOM)
		return;
	size_t kept = in->count < in->cap ? in->count : in->cap - 1;
	memmove(in->out + 1, in->out, kept * sizeof(*in->out));
	memcpy(in->out[0], entry->secret.data, KEYLOG_RANDOM);
	in->count = kept + 1;
}

size_t keyring_ends_randoms(
	struct keyring *ring, const struct keyring_ends *ends, uint8_t (*out)[KEYLOG_RANDOM], size_t cap)
{
	struct ends_gathering gathering = {.out = out, .cap = cap};
	struct keylog_id id;
	pthread_rwlock_rdlock(&ring->lock);
	bool any = keystore_count(ring->ends).held > 0;
	pthread_rwlock_unlock(&ring->lock);
	if (!any || cap == 0 || !id_of_ends(&id, ends))
		return 0;
	pthread_rwlock_rdlock(&ring->lock);
	keystore_find(ring->ends, &id, ends_gather, &gathering);
	pthread_rwlock_unlock(&ring->lock);
	return gathering.count;
}

struct trial {
	bool masters;
	bool (*visit)(const struct keyring_candidate *candidate, void *ctx);
	void *ctx;
	size_t left;
	bool stopped; /* by `visit`, or nothing left of the bound */
};

/* False: stop here. */
static bool try_one(struct trial *trial, const struct keyring_candidate *candidate)
{
	trial->left--;
	trial->stopped = !trial->visit(candidate, trial->ctx) || trial->left == 0;
	return !trial->stopped;
}

static bool is_wanted(const struct trial *trial, enum keylog_label label)
{
	if (trial->masters)
		return label == KEYLOG_MASTER;
	return label == KEYLOG_CLIENT_TRAFFIC || label == KEYLOG_SERVER_TRAFFIC;
}

static bool try_line(const struct keylog_line *line, void *ctx)
{
	uint8_t octets[KEYLOG_MAX_SECRET];
	if (!is_wanted(ctx, line->label))
		return true;
	size_t len = keylog_secret(line, octets, sizeof(octets));
	struct keyring_candidate candidate = {line->id, line->label, line->epoch, bytes_of(octets, len)};
	bool on = try_one(ctx, &candidate);
	OPENSSL_cleanse(octets, len);
	return on;
}

/* Secrets in memory; the cursor's `at` is one more than the place, so that 0 is the beginning. */
static void try_text(const struct keyring *ring, struct keyring_cursor *cursor, struct trial *trial)
{
	struct keystore_entry entry;
	uint64_t at = cursor->at == 0 ? UINT64_MAX : cursor->at - 1;
	while (!trial->stopped && keystore_back(ring->text, &at, &entry)) {
		struct keyring_candidate candidate = {entry.id, entry.label, entry.epoch, entry.secret};
		cursor->at = at + 1;
		if (is_wanted(trial, entry.label))
			(void)try_one(trial, &candidate);
	}
}

bool keyring_candidates(struct keyring *ring, struct keyring_cursor *cursor, size_t max,
	bool (*visit)(const struct keyring_candidate *candidate, void *ctx), void *ctx)
{
	struct trial trial = {.masters = cursor->masters, .visit = visit, .ctx = ctx, .left = max, .stopped = max == 0};
	pthread_rwlock_rdlock(&ring->lock);
	/* Place 0 is memory, then one place for each file. */
	while (!trial.stopped && cursor->place <= ring->file_count) {
		if (cursor->place == 0)
			try_text(ring, cursor, &trial);
		else
			(void)!keylog_file_each(ring->files[cursor->place - 1].log, &cursor->at, try_line, &trial);
		if (!trial.stopped) {
			cursor->place++;
			cursor->at = 0;
		}
	}
	pthread_rwlock_unlock(&ring->lock);
	return trial.stopped;
}

static void add_file_counts(struct keylog_file_counts *sum, const struct keylog_file_counts *one)
{
	sum->index.octets += one->index.octets;
	sum->index.lines += one->index.lines;
	sum->index.secrets += one->index.secrets;
	sum->index.unknown += one->index.unknown;
	sum->index.bad += one->index.bad;
	sum->index.too_long += one->index.too_long;
	sum->index.records += one->index.records;
	sum->index.refused += one->index.refused;
	sum->index.memory += one->index.memory;
	sum->replaced += one->replaced;
	sum->truncated += one->truncated;
	sum->forgotten += one->forgotten;
}

struct keyring_counts keyring_count(struct keyring *ring)
{
	struct keyring_counts counts = {0};
	pthread_rwlock_rdlock(&ring->lock);
	for (size_t i = 0; i < ring->file_count; i++) {
		struct keylog_file_counts one = keylog_file_count(ring->files[i].log);
		add_file_counts(&counts.files, &one);
	}
	counts.text = keystore_count(ring->text);
	counts.records = keystore_count(ring->records);
	counts.ends = keystore_count(ring->ends);
	counts.generation = ring->generation;
	counts.private_keys = ring->key_count;
	counts.psks = ring->psks.count;
	pthread_rwlock_unlock(&ring->lock);
	keyring_waits_count(ring->waits, &counts.waiting, &counts.told);
	counts.found = atomic_load(&ring->found);
	counts.found_none = atomic_load(&ring->found_none);
	counts.duplicates = atomic_load(&ring->duplicates);
	counts.contradictory = atomic_load(&ring->contradictory);
	counts.set_refused = atomic_load(&ring->set_refused);
	counts.premasters_opened = atomic_load(&ring->opened);
	counts.premasters_closed = atomic_load(&ring->closed);
	return counts;
}
