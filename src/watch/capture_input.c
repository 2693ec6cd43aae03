#include "watch/capture_input.h"

#include "base/clock.h"
#include "watch/capture_field.h"
#include "watch/inflate.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

/* One read: small enough to stay in the cache until it is looked at, large enough that workers seldom wait for the next. */
#define READ_MOST ((size_t)1024 * 1024)
/* One read behind a hop: most of what is read there is a block's head. */
#define READ_HOPPING ((size_t)4 * 1024)
#define HOP_LEAST    ((uint64_t)16 * 1024)
/* No reader asks for more at a time. */
#define NEED_MOST ((size_t)4 * 1024 * 1024)
/* Where a file that grows cannot be watched, it is looked at this often. */
#define LOOK_AGAIN_MS  100
#define CONNECT_WITHIN 10 /* seconds */
#define SNIFF          4  /* octets that tell how the input is packed */

/* A buffer that is not in use by the input: what was taken still lies in it, or nothing does. */
struct piece {
	uint8_t *octets; /* NULL: none */
	size_t room;
};

struct input {
	char name[256];
	int fd;
	int grown; /* inotify; below 0: none */
	struct input_options options;
	bool file;
	off_t base; /* where reading of a file began */
	uint64_t size, octets;
	size_t chunk;
	bool sniffed;
	bool plain; /* a file known not to be packed; stays so when it is read again */
	enum inflate_kind kind;
	struct inflater *inflater;
	uint8_t *packed; /* READ_MOST octets */
	struct bytes packed_rest;
	bool failed; /* unpacking did, after octets that are good: `failure` is told once these are taken */
	struct error failure;
	uint8_t *buffer;
	size_t room, start, end; /* the view is from start to end */
	bool lend;
	struct piece left, spare;
};

static struct input *input_new(const char *name, int fd, struct input_options options, struct error *err)
{
	struct input *input = calloc(1, sizeof(*input));
	uint8_t *buffer = malloc(2 * READ_MOST);
	if (!input || !buffer) {
		free(input);
		free(buffer);
		close(fd);
		error_set(err, "%s: no memory", name);
		return NULL;
	}
	*input = (struct input){.fd = fd, .grown = -1, .options = options, .chunk = READ_MOST, .buffer = buffer};
	input->room = 2 * READ_MOST;
	snprintf(input->name, sizeof(input->name), "%s", name);
	return input;
}

void input_free(struct input *input)
{
	if (!input)
		return;
	inflater_free(input->inflater);
	close(input->fd);
	if (input->grown >= 0)
		close(input->grown);
	free(input->packed);
	free(input->buffer);
	free(input->left.octets);
	free(input->spare.octets);
	free(input);
}

static void watch_growth(struct input *input)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", input->fd);
	input->grown = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (input->grown >= 0 && inotify_add_watch(input->grown, path, IN_MODIFY) < 0) {
		close(input->grown);
		input->grown = -1;
	}
}

struct input *input_open(const char *path, struct input_options options, struct error *err)
{
	bool standard = strcmp(path, "-") == 0;
	int fd = standard ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		error_set_errno(err, "%s: cannot be opened", standard ? "standard input" : path);
		return NULL;
	}
	struct stat about;
	if (fstat(fd, &about) != 0 || S_ISDIR(about.st_mode)) {
		close(fd);
		error_set(err, "%s: a folder, not a capture", path);
		return NULL;
	}
	struct input *input = input_new(standard ? "standard input" : path, fd, options, err);
	if (!input)
		return NULL;
	input->file = S_ISREG(about.st_mode);
	if (!input->file) {
		/* More octets for each call; a pipe that refuses stays as it is. */
		if (S_ISFIFO(about.st_mode))
			(void)fcntl(fd, F_SETPIPE_SZ, 1024 * 1024);
		return input;
	}
	input->base = lseek(fd, 0, SEEK_CUR);
	input->size = (uint64_t)(about.st_size > input->base ? about.st_size - input->base : 0);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	if (options.follow)
		watch_growth(input);
	return input;
}

/* "HOST:PORT" in two, brackets taken off. Both must hold what `where` holds. */
static bool split(const char *where, char *host, char *port, size_t room, struct error *err)
{
	const char *colon = strrchr(where, ':');
	struct bytes name = bytes_of(where, colon ? (size_t)(colon - where) : 0);
	if (name.len >= 2 && field_u8(name, 0) == '[' && field_u8(name, name.len - 1) == ']')
		name = field_first(field_after(name, 1), name.len - 2);
	else if (bytes_find(name, ':', 0) < name.len)
		name = BYTES_NONE;
	if (!colon || name.len == 0 || name.len >= room || strlen(colon + 1) >= room || colon[1] == '\0')
		return error_set(err, "%.200s: not HOST:PORT or [IPV6]:PORT", where);
	memcpy(host, name.data, name.len);
	host[name.len] = '\0';
	snprintf(port, room, "%s", colon + 1);
	return true;
}

static int connect_one(const struct addrinfo *to)
{
	int fd = socket(to->ai_family, to->ai_socktype | SOCK_CLOEXEC, to->ai_protocol);
	if (fd < 0)
		return -1;
	/* Linux takes the send timeout for connect as well. */
	struct timeval within = {.tv_sec = CONNECT_WITHIN};
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &within, sizeof(within));
	if (connect(fd, to->ai_addr, to->ai_addrlen) == 0)
		return fd;
	int why = errno == EINPROGRESS ? ETIMEDOUT : errno;
	close(fd);
	errno = why;
	return -1;
}

struct input *input_connect(const char *where, struct input_options options, struct error *err)
{
	char host[256], port[256];
	if (!split(where, host, port, sizeof(host), err))
		return NULL;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all;
	int failed = getaddrinfo(host, port, &hints, &all);
	if (failed != 0) {
		error_set(err, "%s: %s", where, gai_strerror(failed));
		return NULL;
	}
	int fd = -1;
	for (const struct addrinfo *one = all; one && fd < 0; one = one->ai_next)
		fd = connect_one(one);
	if (fd < 0)
		error_set_errno(err, "%s: cannot connect", where);
	freeaddrinfo(all);
	return fd < 0 ? NULL : input_new(where, fd, options, err);
}

struct bytes input_view(const struct input *input)
{
	return field_first(field_after(bytes_of(input->buffer, input->end), input->start), input->end - input->start);
}

void input_take(struct input *input, size_t n)
{
	input->start += n < input->end - input->start ? n : input->end - input->start;
}

/* Until `fd` has something, the stop descriptor has, or the time is over. `fd` below 0: only the two others. */
static enum input_result wait_for(struct input *input, int fd, uint64_t deadline_ns, int at_most_ms)
{
	struct pollfd polled[] = {{.fd = fd, .events = POLLIN}, {.fd = input->options.stop_fd, .events = POLLIN}};
	while (true) {
		int wait_ms = at_most_ms;
		if (deadline_ns != UINT64_MAX) {
			uint64_t now = clock_monotonic_ns();
			uint64_t left = now < deadline_ns ? (deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS : 0;
			wait_ms = at_most_ms < 0 || left < (uint64_t)at_most_ms ? (int)left : at_most_ms;
		}
		int ready = poll(polled, 2, wait_ms);
		if (ready < 0 && errno == EINTR)
			continue;
		if (polled[1].revents != 0)
			return INPUT_STOPPED;
		return ready > 0 ? INPUT_OK : INPUT_WAIT;
	}
}

/* At the end of a file that is followed. OK: look again. */
static enum input_result wait_growth(struct input *input, uint64_t deadline_ns, struct error *err)
{
	struct stat about;
	if (fstat(input->fd, &about) == 0 && about.st_size < input->base + (off_t)input->octets) {
		error_set(err, "became shorter while it was followed");
		return INPUT_BROKEN;
	}
	enum input_result result = wait_for(input, input->grown, deadline_ns, input->grown < 0 ? LOOK_AGAIN_MS : -1);
	if (input->grown >= 0) {
		/* What the events say is of no interest. */
		char events[4096];
		while (read(input->grown, events, sizeof(events)) > 0) {
		}
	} else if (result == INPUT_WAIT && (deadline_ns == UINT64_MAX || clock_monotonic_ns() < deadline_ns)) {
		return INPUT_OK;
	}
	return result;
}

/* A file is always ready; but whoever stops a long one wants to be heard. */
static enum input_result ready_to_read(struct input *input, uint64_t deadline_ns)
{
	if (!input->file)
		return wait_for(input, input->fd, deadline_ns, -1);
	if (input->options.stop_fd < 0)
		return INPUT_OK;
	return wait_for(input, -1, 0, 0) == INPUT_STOPPED ? INPUT_STOPPED : INPUT_OK;
}

/* One read from the descriptor. */
static enum input_result read_some(
	struct input *input, uint8_t *out, size_t room, size_t *got, int wait_ms, struct error *err)
{
	uint64_t deadline = wait_ms < 0 ? UINT64_MAX : clock_monotonic_ns() + (uint64_t)wait_ms * NS_PER_MS;
	while (true) {
		enum input_result ready = ready_to_read(input, deadline);
		if (ready != INPUT_OK)
			return ready;
		ssize_t n = read(input->fd, out, room);
		if (n > 0) {
			*got = (size_t)n;
			input->octets += *got;
			return INPUT_OK;
		}
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0) {
			error_set_errno(err, "cannot be read");
			return INPUT_BROKEN;
		}
		if (!input->file || !input->options.follow)
			return INPUT_END;
		enum input_result grown = wait_growth(input, deadline, err);
		if (grown != INPUT_OK)
			return grown;
	}
}

static enum input_result no_memory(struct error *err)
{
	error_set(err, "no memory to read it");
	return INPUT_BROKEN;
}

void input_lend(struct input *input)
{
	input->lend = true;
}

uint8_t *input_left(struct input *input, size_t *room)
{
	struct piece left = input->left;
	input->left = (struct piece){0};
	*room = left.room;
	return left.octets;
}

uint8_t *input_part(struct input *input, size_t *room)
{
	uint8_t *buffer = input->buffer;
	*room = input->room;
	input->buffer = NULL;
	input->room = input->start = input->end = 0;
	return buffer;
}

void input_give_back(struct input *input, uint8_t *buffer, size_t room)
{
	free(input->spare.octets);
	input->spare = (struct piece){buffer, room};
}

/* Goes on in another buffer; what is still in view goes along. */
static bool leave_buffer(struct input *input)
{
	size_t held = input->end - input->start;
	struct piece next = input->spare;
	input->spare = (struct piece){0};
	if (next.room < held + READ_MOST) {
		free(next.octets);
		next.room = held + 2 * READ_MOST;
		next.octets = malloc(next.room);
	}
	if (!next.octets)
		return false;
	memcpy(next.octets, input->buffer + input->start, held);
	input->left = (struct piece){input->buffer, input->room};
	input->buffer = next.octets;
	input->room = next.room;
	input->start = 0;
	input->end = held;
	return true;
}

/* Room behind the view for a read, and for `need` octets in all. */
static bool make_room(struct input *input, size_t need)
{
	size_t held = input->end - input->start;
	/* Where one was left already and not asked for, nothing has been taken since. */
	if (input->lend && input->start > 0 && !input->left.octets && !leave_buffer(input))
		return false;
	if (input->start > 0) {
		memmove(input->buffer, input->buffer + input->start, held);
		input->start = 0;
		input->end = held;
	}
	if (need > NEED_MOST)
		return false;
	size_t least = (need > held ? need : held) + READ_MOST;
	if (input->room >= least)
		return true;
	uint8_t *grown = realloc(input->buffer, least);
	if (!grown)
		return false;
	input->buffer = grown;
	input->room = least;
	return true;
}

/* Once the first octets are there: packed ones become the unpacker's input. */
static enum input_result sniff(struct input *input, struct error *err)
{
	input->sniffed = true;
	input->kind = inflate_kind_of(input_view(input));
	input->plain = input->file && input->kind == INFLATE_NONE;
	if (input->kind == INFLATE_NONE)
		return INPUT_OK;
	input->inflater = inflater_new(input->kind);
	input->packed = input->packed ? input->packed : malloc(READ_MOST);
	if (!input->inflater || !input->packed)
		return no_memory(err);
	memcpy(input->packed, input->buffer, input->end);
	input->packed_rest = bytes_of(input->packed, input->end);
	input->start = input->end = 0;
	return INPUT_OK;
}

/* Reads until it is known how the input is packed, or it ends. */
static enum input_result read_first(struct input *input, int wait_ms, struct error *err)
{
	while (!input->sniffed) {
		size_t got = 0;
		enum input_result result =
			read_some(input, input->buffer + input->end, READ_MOST - input->end, &got, wait_ms, err);
		if (result != INPUT_OK && result != INPUT_END)
			return result;
		input->end += got;
		if (result == INPUT_END || input->end >= SNIFF) {
			enum input_result told = sniff(input, err);
			return told == INPUT_OK ? result : told;
		}
	}
	return INPUT_OK;
}

static enum input_result unpack_some(struct input *input, int wait_ms, struct error *err)
{
	while (!input->failed) {
		size_t made = 0;
		enum inflate_result unpacked =
			inflater_run(input->inflater, &input->packed_rest, input->buffer + input->end,
				input->room - input->end < READ_MOST ? input->room - input->end : READ_MOST, &made,
				&input->failure);
		input->failed = unpacked == INFLATE_BROKEN;
		input->end += made;
		if (made > 0)
			return INPUT_OK;
		if (unpacked != INFLATE_MORE)
			continue;
		size_t got = 0;
		enum input_result result = read_some(input, input->packed, READ_MOST, &got, wait_ms, err);
		if (result == INPUT_END && !inflater_between(input->inflater))
			return INPUT_CUT;
		if (result != INPUT_OK)
			return result;
		input->packed_rest = bytes_of(input->packed, got);
	}
	error_set(err, "%s", input->failure.text);
	return INPUT_BROKEN;
}

enum input_result input_more(struct input *input, size_t need, int wait_ms, struct error *err)
{
	if (!make_room(input, need))
		return no_memory(err);
	if (!input->sniffed) {
		enum input_result first = read_first(input, wait_ms, err);
		if (first != INPUT_OK || input->kind == INFLATE_NONE)
			return first;
	}
	if (input->kind != INFLATE_NONE)
		return unpack_some(input, wait_ms, err);
	size_t got = 0;
	enum input_result result = read_some(input, input->buffer + input->end, input->chunk, &got, wait_ms, err);
	input->end += got;
	if (input->chunk < READ_MOST)
		input->chunk *= 4;
	return result;
}

uint64_t input_hop(struct input *input, uint64_t n)
{
	struct stat about;
	if (!input_plain_file(input) || n < HOP_LEAST || input->start != input->end || fstat(input->fd, &about) != 0)
		return 0;
	uint64_t left = (uint64_t)(about.st_size - input->base) - input->octets;
	if (about.st_size < input->base + (off_t)input->octets || n > left)
		return 0;
	if (lseek(input->fd, (off_t)n, SEEK_CUR) < 0)
		return 0;
	input->octets += n;
	input->chunk = READ_HOPPING;
	return n;
}

bool input_seekable(const struct input *input)
{
	return input->file;
}

bool input_plain_file(const struct input *input)
{
	return input->plain;
}

bool input_rewind(struct input *input, struct error *err)
{
	if (!input->file || lseek(input->fd, input->base, SEEK_SET) < 0)
		return error_set(err, "%s: cannot be read again from its beginning", input->name);
	inflater_free(input->inflater);
	input->inflater = NULL;
	input->kind = INFLATE_NONE;
	input->packed_rest = BYTES_NONE;
	input->sniffed = input->failed = false;
	input->start = input->end = 0;
	input->octets = 0;
	input->chunk = READ_MOST;
	return true;
}

bool input_read_at(const struct input *input, uint64_t at, uint8_t *out, size_t len)
{
	if (!input_plain_file(input) || at > INT64_MAX / 2)
		return false;
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(input->fd, out + done, len - done, input->base + (off_t)(at + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

const char *input_name(const struct input *input)
{
	return input->name;
}

const char *input_packing(const struct input *input)
{
	static const char *const names[] = {[INFLATE_NONE] = NULL, [INFLATE_GZIP] = "gzip", [INFLATE_ZSTD] = "zstd"};
	return names[input->kind];
}

uint64_t input_octets(const struct input *input)
{
	return input->octets;
}

uint64_t input_size(const struct input *input)
{
	return input->size;
}
