#include "cli/exec_share_consent.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "keys/share_offer.h"
#include "policy/grant_folder.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sodium/crypto_hash_sha256.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_ROOM 1100
#define NAMED_MAX 16   /* keys of readers who were not offered, of which each is said */
#define LISTS_MAX 256  /* of one run: programs that began with an earlier one still have it */
#define LOOK_MS   1000 /* between looks at the grants */

struct list {
	struct share_readers readers; /* views of `text` */
	uint8_t *text;
};

struct exec_consent {
	struct exec_consent_options options;
	struct grant_folder grants;
	uint8_t mode;
	char path[256];             /* where the list stands */
	char folder[80], file[256]; /* "": not of this run */
	/* Written by one thread, read by another; what is in them stays. */
	struct list *lists[LISTS_MAX];
	atomic_size_t count;
	pthread_t thread;
	bool runs;
	int stop;
	/* Of the thread that programs are heard in. */
	bool old_said;
	uint64_t refused[SHARE_REFUSALS];
	uint8_t named[NAMED_MAX][SHARE_KEY_ID];
	size_t named_count;
};

/* The list. */

/* What a list is made of. Its views are of the grants and of `room`. */
struct making {
	const struct exec_consent_options *options;
	struct share_readers readers;
	struct writer room; /* patterns, names and purposes */
	size_t left_out;    /* readers for whom there was no place */
	uint8_t mode;
};

static bool is_asked_for(const struct making *making, const struct grant_set *set, const struct grant *grant)
{
	int64_t now_s = (int64_t)(clock_wall_ns() / NS_PER_S);
	return grant->consent == RELEASE_BOTH && grant->mode == making->mode && grant->grade == RELEASE_GRADE_RECORD &&
	       !grant_set_revoked(set, grant->id) && (!grant->until_s || now_s < grant->until_s) &&
	       grant_has_sender(grant, making->options->sender, making->options->sender_key);
}

static struct bytes add_clean(struct writer *room, const char *text, size_t most)
{
	char clean[SHARE_PURPOSE_MAX + 1];
	size_t len = text_clean(clean, most + 1, bytes_str(text)), at = room->len;
	writer_bytes(room, bytes_of(clean, len));
	return room->full ? BYTES_NONE : bytes_of(room->data + at, len);
}

static void add_patterns(struct writer *room, const struct grant *grant)
{
	for (size_t i = 0; i < grant->name_count; i++) {
		struct bytes pattern = bytes_str(grant->names[i]);
		if (bytes_find(pattern, ' ', 0) < pattern.len || bytes_find(pattern, '\t', 0) < pattern.len ||
			bytes_find(pattern, '\n', 0) < pattern.len)
			continue;
		writer_bytes(room, pattern);
		writer_u8(room, ' ');
	}
}

static bool is_listed(const struct share_readers *readers, const struct grant *grant)
{
	for (size_t i = 0; i < readers->count; i++) {
		if (memcmp(readers->at[i].key_id, grant->key_id, SHARE_KEY_ID) == 0)
			return true;
	}
	return false;
}

/* The reader of this grant, with the names of all grants for the same key. */
static void add_reader(struct making *making, const struct grant_set *set, const struct grant *grant)
{
	struct share_readers *readers = &making->readers;
	const struct grant *other;
	if (is_listed(readers, grant))
		return;
	if (readers->count == SHARE_READERS_MAX) {
		making->left_out++;
		return;
	}
	struct share_reader *reader = &readers->at[readers->count++];
	reader->mode = grant->mode;
	memcpy(reader->key_id, grant->key_id, SHARE_KEY_ID);
	reader->name = add_clean(&making->room, grant->reader, SHARE_READER_NAME_MAX);
	reader->purpose = add_clean(&making->room, grant->purpose, SHARE_PURPOSE_MAX);
	size_t at = making->room.len;
	for (size_t i = 0; (other = grant_set_at(set, i)); i++) {
		if (is_asked_for(making, set, other) && memcmp(other->key_id, grant->key_id, SHARE_KEY_ID) == 0)
			add_patterns(&making->room, other);
	}
	reader->patterns = bytes_of(making->room.data + at, making->room.len > at ? making->room.len - at - 1 : 0);
}

/* Its id is what it says. */
static bool write_list(struct share_readers *readers, uint8_t *text, size_t *len)
{
	uint8_t hash[32];
	for (unsigned turn = 0; turn < 2; turn++) {
		struct writer to = writer_over(text, SHARE_READERS_TEXT);
		struct bytes begin = bytes_of(hash, sizeof(hash));
		if (!share_readers_write(readers, &to) || crypto_hash_sha256(hash, text, to.len) != 0 ||
			(turn == 0 && !bytes_u64(&begin, &readers->id)))
			return false;
		*len = to.len;
	}
	return true;
}

/* `text` has room for SHARE_READERS_TEXT octets. */
static bool make_list(struct exec_consent *consent, uint8_t *text, size_t *len, struct error *err)
{
	struct grant_set *set = grant_folder_read(&consent->grants, clock_monotonic_ns(), err);
	void *room = set ? malloc(SHARE_READERS_TEXT) : NULL;
	struct making making = {
		.options = &consent->options, .mode = consent->mode, .room = writer_over(room, SHARE_READERS_TEXT)};
	const struct grant *grant;
	for (size_t i = 0; room && (grant = grant_set_at(set, i)); i++) {
		if (is_asked_for(&making, set, grant))
			add_reader(&making, set, grant);
	}
	bool ok = room && !making.room.full && write_list(&making.readers, text, len);
	if (set && !ok)
		error_set(err, "%s: the names in all grants with consent both are more than %zu octets",
			consent->options.grants, SHARE_READERS_TEXT);
	if (making.left_out > 0)
		log_warn("too many readers to ask for", LOG_N("asked-for", making.readers.count),
			LOG_N("left-out", making.left_out), LOG_S("do", "revoke grants with consent both"));
	free(room);
	grant_set_free(set);
	return ok;
}

/* Whole or not at all: a program may begin at any time. Programs of other users read it, too. */
static bool write_file(const char *path, struct bytes text, struct error *err)
{
	char fresh[300];
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	bool ok = fd >= 0 && fchmod(fd, 0644) == 0 && write(fd, text.data, text.len) == (ssize_t)text.len;
	if (fd >= 0)
		ok = close(fd) == 0 && ok;
	if (ok && rename(fresh, path) == 0)
		return true;
	error_set_errno(err, "%s", path);
	if (fd >= 0)
		unlink(fresh);
	return false;
}

static bool make_path(struct exec_consent *consent, struct error *err)
{
	const char *base = getenv("XDG_RUNTIME_DIR"), *wanted = consent->options.file;
	size_t cap = sizeof(consent->path);
	if (wanted)
		return (wanted[0] == '/' && (size_t)snprintf(consent->path, cap, "%s", wanted) < cap) ||
		       error_set(err, "--readers: expected the whole path of a file, at most %zu octets", cap - 1);
	if (!base || strlen(base) > 40 || access(base, W_OK) != 0)
		base = "/tmp";
	snprintf(consent->folder, sizeof(consent->folder), "%s/overt-readers-XXXXXX", base);
	if (!mkdtemp(consent->folder) || chmod(consent->folder, 0755) != 0) {
		error_set_errno(err, "no folder for this run under %s", base);
		consent->folder[0] = '\0';
		return false;
	}
	snprintf(consent->file, sizeof(consent->file), "%s/readers", consent->folder);
	snprintf(consent->path, cap, "%s", consent->file);
	return true;
}

static void list_free(struct list *list)
{
	if (list)
		free(list->text);
	free(list);
}

/* Keeps it, where it is another than the last one, and writes it. Takes it over. */
static bool take_list(struct exec_consent *consent, struct list *list, size_t len, struct error *err)
{
	size_t count = atomic_load(&consent->count);
	struct bytes text = bytes_of(list->text, len);
	bool ok = share_readers_read(text, &list->readers) || error_set(err, "the list of readers has no form");
	bool same = ok && count > 0 && consent->lists[count - 1]->readers.id == list->readers.id;
	if (ok && !same && count == LISTS_MAX)
		ok = error_set(err, "the grants have changed %d times: start again to ask for those of now", LISTS_MAX);
	if (!ok || same) {
		list_free(list);
		return ok;
	}
	/* Known here before any program can have it. */
	consent->lists[count] = list;
	atomic_store(&consent->count, count + 1);
	return write_file(consent->path, text, err);
}

static bool renew(struct exec_consent *consent, struct error *err)
{
	struct list *list = calloc(1, sizeof(*list));
	size_t len = 0;
	uint8_t *text = list ? malloc(SHARE_READERS_TEXT) : NULL;
	if (!text) {
		free(list);
		return error_set(err, "no memory for the list of readers");
	}
	list->text = text;
	if (!make_list(consent, text, &len, err)) {
		list_free(list);
		return false;
	}
	/* Most of the room is for names that nobody has. */
	uint8_t *less = realloc(text, len);
	list->text = less ? less : text;
	return take_list(consent, list, len, err);
}

/* Programs that begin later ask by the grants of then. */
static void *watch_grants(void *arg)
{
	struct exec_consent *consent = arg;
	struct pollfd polled = {.fd = consent->stop, .events = POLLIN};
	struct error err;
	while (poll(&polled, 1, LOOK_MS) == 0) {
		int64_t wall_s = (int64_t)(clock_wall_ns() / NS_PER_S);
		if (grant_folder_stale(&consent->grants, wall_s, clock_monotonic_ns()) && !renew(consent, &err))
			log_warn("the list of readers stays as it was", LOG_S("why", err.text));
	}
	return NULL;
}

static bool begin(struct exec_consent *consent, struct share_settings *settings, struct error *err)
{
	if (!make_path(consent, err) || !renew(consent, err))
		return false;
	snprintf(settings->readers, sizeof(settings->readers), "%s", consent->path);
	consent->stop = eventfd(0, EFD_CLOEXEC);
	consent->runs = consent->stop >= 0 && pthread_create(&consent->thread, NULL, watch_grants, consent) == 0;
	return consent->runs || error_set(err, "no thread to watch the grants");
}

struct exec_consent *exec_consent_new(
	const struct exec_consent_options *options, struct share_settings *settings, struct error *err)
{
	struct exec_consent *consent = calloc(1, sizeof(*consent));
	if (!consent) {
		error_set(err, "no memory for the list of readers");
		return NULL;
	}
	consent->options = *options;
	consent->mode = settings->after_rotation ? RELEASE_AFTER_ROTATION : RELEASE_LIVE;
	consent->stop = -1;
	consent->grants = (struct grant_folder){
		.path = options->grants, .signers = options->signers, .signer_count = options->signer_count};
	if (begin(consent, settings, err))
		return consent;
	exec_consent_free(consent);
	return NULL;
}

static void tell_refused(const struct exec_consent *consent)
{
	for (unsigned i = 0; i < SHARE_REFUSALS; i++) {
		if (consent->refused[i] > 0)
			fprintf(stderr, "overt exec: %llu connections without the consent of both sides: %s\n",
				(unsigned long long)consent->refused[i], share_refusal_text(i));
	}
}

void exec_consent_free(struct exec_consent *consent)
{
	if (!consent)
		return;
	uint64_t one = 1;
	if (consent->runs && write(consent->stop, &one, sizeof(one)) == (ssize_t)sizeof(one))
		pthread_join(consent->thread, NULL);
	if (consent->stop >= 0)
		close(consent->stop);
	tell_refused(consent);
	if (consent->file[0])
		unlink(consent->file);
	if (consent->folder[0])
		rmdir(consent->folder);
	for (size_t i = 0; i < atomic_load(&consent->count); i++)
		list_free(consent->lists[i]);
	free(consent);
}

/* What comes from programs. */

static void say(const struct exec_consent *consent, const struct shipper_from *from, const char *what)
{
	char program[TEXT_ROOM];
	if (consent->options.quiet)
		return;
	text_clean(program, sizeof(program), bytes_str(from->program));
	fprintf(stderr, "overt exec: %s[%u] %s\n", program, from->pid, what);
}

/* NULL: none of this run. */
static const struct share_readers *list_of(struct exec_consent *consent, uint64_t id)
{
	for (size_t i = atomic_load(&consent->count); i > 0; i--) {
		const struct share_readers *readers = &consent->lists[i - 1]->readers;
		if (readers->id == id)
			return readers;
	}
	return NULL;
}

void exec_consent_terms(struct exec_consent *consent, const struct shipper_from *from, const struct share_item *item,
	struct release *release)
{
	const struct share_terms *terms = &item->terms;
	release->mode = terms->mode ? terms->mode : RELEASE_LIVE;
	release->consent = RELEASE_UNILATERAL;
	if (terms->consent != SHARE_BOTH || !consent)
		return;
	const struct share_readers *readers = list_of(consent, terms->list);
	if (!readers) {
		if (!consent->old_said)
			say(consent, from, "has an old list of readers: start it again to ask for those of now");
		consent->old_said = true;
		return;
	}
	release->consent = RELEASE_BOTH;
	release->readers = readers;
	release->agreed = terms->readers;
	release->resumed = terms->resumed;
}

/* Each cause is said once, and each key of another's reader. */
static bool is_news(struct exec_consent *consent, const struct share_item *item)
{
	if (!share_refusal_has_reader(item->cause))
		return consent->refused[item->cause] == 1;
	for (size_t i = 0; i < consent->named_count; i++) {
		if (memcmp(consent->named[i], item->key_id, SHARE_KEY_ID) == 0)
			return false;
	}
	if (consent->named_count == NAMED_MAX)
		return false;
	memcpy(consent->named[consent->named_count++], item->key_id, SHARE_KEY_ID);
	return true;
}

bool exec_consent_refused(struct exec_consent *consent, const struct shipper_from *from, const struct share_item *item)
{
	char text[2 * TEXT_ROOM], name[TEXT_ROOM], reader[SHARE_READER_MAX * 4 + 1], key[2 * SHARE_KEY_ID + 1];
	if (!consent || item->cause >= SHARE_REFUSALS)
		return false;
	consent->refused[item->cause]++;
	bool belongs = item->cause != SHARE_OFFERS_NONE;
	if (!is_news(consent, item))
		return belongs;
	text_clean(name, sizeof(name), bytes_str(item->name));
	int len = snprintf(text, sizeof(text), "has a connection %s%s%swithout the consent of both sides: %s",
		item->name[0] ? "to " : "", item->name[0] ? name : "", item->name[0] ? " " : "",
		share_refusal_text(item->cause));
	if (share_refusal_has_reader(item->cause) && len > 0 && (size_t)len < sizeof(text)) {
		text_clean(reader, sizeof(reader), bytes_str(item->reader));
		text_hex(key, sizeof(key), bytes_of(item->key_id, SHARE_KEY_ID));
		snprintf(text + len, sizeof(text) - (size_t)len, " (\"%s\", key id %s)", reader, key);
	}
	say(consent, from, text);
	return belongs;
}
