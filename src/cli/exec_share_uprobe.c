#include "cli/exec_share_uprobe.h"

#include "agent/place.h"
#include "agent/share_probes.h"
#include "keys/release.h"
#include "keys/share_readers.h"
#include "uprobe/gather.h"
#include "uprobe/uprobe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define FILES_MAX 1024 /* programs of a run that are remembered: beyond that they are looked at anew */
#define WORDS     1024

/* What is known of a file. */
struct known {
	dev_t device;
	ino_t inode;
	struct timespec changed;
	bool spoken;
};

struct exec_uprobe {
	struct exec_uprobe_options options;
	pthread_mutex_t lock;  /* of all that follows, but for the thread */
	struct uprobe *uprobe; /* NULL: `why` */
	struct error why;
	struct gather *gather;
	struct known files[FILES_MAX];
	size_t file_count;
	struct exec_uprobe_counts counts;
	int stop, socket; /* socket: -1 where none is needed */
	bool runs;
	pthread_t thread;
};

/* Keys. */

static void send_key(struct exec_send *send, const struct gathered *gathered)
{
	struct share_item item = {.kind = SHARE_KEY,
		.key = gathered->key,
		.server = gathered->server,
		.terms = {.mode = SHARE_LIVE, .consent = SHARE_UNILATERAL}};
	struct shipper_from from = {.pid = gathered->pid};
	snprintf(from.program, sizeof(from.program), "%s", gathered->program);
	snprintf(item.name, sizeof(item.name), "%s", gathered->name);
	/* No ring's: nobody waits for this one. */
	(void)!exec_send_key(send, &from, &item, (struct shipper_ticket){.number = UINT32_MAX});
	share_item_wipe(&item);
}

static void take_key(void *arg, const struct gathered *gathered)
{
	struct exec_uprobe *probes = arg;
	probes->counts.keys++;
	if (probes->options.view)
		view_key(probes->options.view, &gathered->key);
	else
		/* Where the suite is not known for certain, it is one of a few: the reader sees which. */
		send_key(probes->options.send, gathered);
}

/* Of use only with the server's random: in this run the view has it, else it is looked for. */
static void take_master(void *arg, const uint8_t random[PROBE_RANDOM], struct bytes master)
{
	struct exec_uprobe *probes = arg;
	struct view *view = probes->options.view;
	struct keylog_id id;
	if (!keylog_id_set(&id, KEYLOG_ID_RANDOM, bytes_of(random, PROBE_RANDOM)))
		return;
	if (!view) {
		exec_lines_master(probes->options.lines, &id, master);
		probes->counts.keys++;
	} else if (keyring_add_secret(view_keyring(view), &id, KEYLOG_MASTER, 0, master)) {
		probes->counts.keys++;
		view_random(view, random);
	}
}

/* Programs. */

static bool read_file(void *arg, uint64_t at, void *out, size_t len)
{
	const int *fd = arg;
	struct writer to = writer_over(out, len);
	while (to.len < len) {
		ssize_t n = pread(*fd, to.data + to.len, len - to.len, (off_t)(at + to.len));
		if (n <= 0 && !(n < 0 && errno == EINTR))
			return false;
		to.len += n > 0 ? (size_t)n : 0;
	}
	return true;
}

/* NULL: it was never looked at, or there is no room to know that. */
static struct known *recall(struct exec_uprobe *probes, const struct stat *about)
{
	for (size_t i = 0; i < probes->file_count; i++) {
		struct known *one = &probes->files[i];
		if (one->device == about->st_dev && one->inode == about->st_ino)
			return one;
	}
	return NULL;
}

static bool has_changed(const struct known *known, const struct stat *about)
{
	return known->changed.tv_sec != about->st_ctim.tv_sec || known->changed.tv_nsec != about->st_ctim.tv_nsec;
}

static void remember(struct exec_uprobe *probes, struct known *known, const struct stat *about, bool spoken)
{
	if (!known && probes->file_count < FILES_MAX)
		known = &probes->files[probes->file_count++];
	if (known)
		*known = (struct known){
			.device = about->st_dev, .inode = about->st_ino, .changed = about->st_ctim, .spoken = spoken};
}

/* Of whom something is to be said. */
struct subject {
	uint32_t pid; /* 0: it was not started yet */
	const char *program;
	bool late; /* it runs already */
};

/* Places the probes, and says what became of it. */
static void reach(struct exec_uprobe *probes, int fd, const struct target *target, const struct subject *subject)
{
	char words[WORDS];
	struct error err = probes->why;
	bool reached = false;
	if (target->kind == TARGET_BARRED) {
		snprintf(words, sizeof(words), "%s", target->says);
	} else if (!probes->uprobe || !uprobe_attach(probes->uprobe, fd, target, &err)) {
		snprintf(words, sizeof(words), "%s; its keys could come by probes, but %s", target->says, err.text);
	} else {
		snprintf(words, sizeof(words),
			"%s; its keys come by uprobes, asynchronously: it does not wait for them, and they may come "
			"after "
			"the first data%s",
			target->says,
			subject->late ? "; it began before they stood, so its first connections may not be read" : "");
		reached = true;
		if (target->kind == TARGET_OPENSSL && probes->options.lines)
			exec_lines_watch(probes->options.lines);
	}
	probes->options.say(probes->options.arg, subject->pid, subject->program, reached, words);
}

/* Whether the agent is in it, or is about to be: then it asks, and waits. */
static bool will_ask(uint32_t pid)
{
	static const char wanted[] = SHARE_ADDRESS "=";
	char path[32], *line = NULL;
	size_t cap = 0;
	bool found = false;
	snprintf(path, sizeof(path), "/proc/%u/environ", pid);
	FILE *file = fopen(path, "re");
	while (file && !found && getdelim(&line, &cap, '\0', file) > 0)
		found = strncmp(line, wanted, sizeof(wanted) - 1) == 0;
	free(line);
	if (file)
		fclose(file);
	return found;
}

/* Under the lock. Each file is looked at, and spoken of, once, and again when it was changed. True when it is not for the agent. */
static bool consider(struct exec_uprobe *probes, int fd, const struct subject *subject)
{
	struct stat about;
	struct target target;
	if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))
		return false;
	struct known *known = recall(probes, &about);
	if (known && !has_changed(known, &about))
		return known->spoken;
	/* What was there before may have had its functions elsewhere, or be another program altogether. */
	if (probes->uprobe)
		uprobe_detach_changed(probes->uprobe, fd);
	struct elf_source source = {.read = read_file, .arg = &fd, .size = (uint64_t)about.st_size};
	target_look(&source, &target);
	bool spoken = target.kind != TARGET_FREE;
	if (spoken && subject->late && target.dynamic && will_ask(subject->pid))
		return false;
	if (spoken)
		reach(probes, fd, &target, subject);
	remember(probes, known, &about, spoken);
	return spoken;
}

/* The last part of a file's path. */
static void name_of(int fd, char *out, size_t cap)
{
	char link[32], path[PATH_MAX];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t len = readlink(link, path, sizeof(path) - 1);
	path[len > 0 ? len : 0] = '\0';
	const char *slash = strrchr(path, '/');
	release_text(out, cap, bytes_str(slash ? slash + 1 : path));
}

/* A process that has become another program. Nobody asked before: it may be past its first connection already. */
static void consider_process(struct exec_uprobe *probes, uint32_t pid)
{
	char path[32], program[NAME_MAX + 1];
	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	name_of(fd, program, sizeof(program));
	(void)consider(probes, fd, &(struct subject){.pid = pid, .program = program, .late = true});
	close(fd);
}

bool exec_uprobe_command(struct exec_uprobe *probes, const char *command)
{
	int fd = place_open(command);
	if (fd < 0)
		return false;
	pthread_mutex_lock(&probes->lock);
	bool ours = consider(probes, fd, &(struct subject){.program = command});
	pthread_mutex_unlock(&probes->lock);
	close(fd);
	return ours;
}

unsigned exec_uprobe_programs(struct exec_uprobe *probes)
{
	pthread_mutex_lock(&probes->lock);
	unsigned count = probes->uprobe ? uprobe_files(probes->uprobe) : 0;
	pthread_mutex_unlock(&probes->lock);
	return count;
}

/* Events. */

static void take_event(void *arg, const struct probe_event *event)
{
	struct exec_uprobe *probes = arg;
	if (event->kind == PROBE_EXEC)
		consider_process(probes, event->pid);
	else
		gather_event(probes->gather, event);
}

void exec_uprobe_drain(struct exec_uprobe *probes)
{
	pthread_mutex_lock(&probes->lock);
	if (probes->uprobe)
		uprobe_fetch(probes->uprobe, take_event, probes);
	pthread_mutex_unlock(&probes->lock);
}

/* Those who ask. */

/* The descriptor that came with the question; -1 when it is none. */
static int receive_file(int sock)
{
	char octet = 0;
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec part = {.iov_base = &octet, .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof(control.room)};
	int file = -1;
	ssize_t n = recvmsg(sock, &message, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *head = n >= 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
		head->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&file, CMSG_DATA(head), sizeof(file));
	if (n == 1 && octet == PROBES_ASK)
		return file;
	if (file >= 0)
		close(file);
	return -1;
}

static void answer(struct exec_uprobe *probes, int sock)
{
	const struct timeval patience = {.tv_sec = 1};
	struct ucred who = {0};
	socklen_t len = sizeof(who);
	char program[NAME_MAX + 1];
	if (setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
		getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0 ||
		!probes->options.ours(probes->options.arg, who.pid))
		return;
	int file = receive_file(sock);
	if (file < 0)
		return;
	name_of(file, program, sizeof(program));
	struct subject subject = {.pid = (uint32_t)who.pid, .program = program};
	pthread_mutex_lock(&probes->lock);
	char octet = consider(probes, file, &subject) ? PROBES_SPOKEN : PROBES_NOTHING;
	pthread_mutex_unlock(&probes->lock);
	close(file);
	(void)!send(sock, &octet, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void answer_all(struct exec_uprobe *probes)
{
	int sock;
	while (probes->socket >= 0 && (sock = accept4(probes->socket, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		answer(probes, sock);
		close(sock);
	}
}

static void *run(void *arg)
{
	struct exec_uprobe *probes = arg;
	struct pollfd polled[] = {{.fd = probes->stop, .events = POLLIN},
		{.fd = probes->uprobe ? uprobe_fd(probes->uprobe) : -1, .events = POLLIN},
		{.fd = probes->socket, .events = POLLIN}};
	do {
		if (poll(polled, 3, -1) < 0 && errno != EINTR)
			break;
		/* Who asks, waits. */
		answer_all(probes);
		exec_uprobe_drain(probes);
	} while (polled[0].revents == 0);
	return NULL;
}

/* Without it, programs that are started by others are seen when they begin, or not at all. */
static int open_socket(const char *door)
{
	struct sockaddr_un place;
	socklen_t len = share_probes_address(door, &place);
	int sock = len > 0 ? socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
	if (sock >= 0 && bind(sock, (const struct sockaddr *)&place, len) == 0 && listen(sock, SOMAXCONN) == 0)
		return sock;
	if (sock >= 0)
		close(sock);
	return -1;
}

struct exec_uprobe *exec_uprobe_new(const struct exec_uprobe_options *options)
{
	struct exec_uprobe *probes = calloc(1, sizeof(*probes));
	if (!probes)
		return NULL;
	struct gather_options gather = {.key = take_key, .master = take_master, .arg = probes};
	probes->options = *options;
	probes->stop = eventfd(0, EFD_CLOEXEC);
	probes->socket = open_socket(options->door);
	probes->gather = gather_new(&gather);
	(void)pthread_mutex_init(&probes->lock, NULL);
	probes->uprobe = uprobe_new(&probes->why);
	probes->runs = probes->stop >= 0 && probes->gather && pthread_create(&probes->thread, NULL, run, probes) == 0;
	if (probes->runs)
		return probes;
	(void)exec_uprobe_free(probes);
	return NULL;
}

struct exec_uprobe_counts exec_uprobe_free(struct exec_uprobe *probes)
{
	uint64_t one = 1;
	if (!probes)
		return (struct exec_uprobe_counts){0};
	if (probes->runs && write(probes->stop, &one, sizeof(one)) == (ssize_t)sizeof(one))
		pthread_join(probes->thread, NULL);
	struct exec_uprobe_counts counts = probes->counts;
	if (probes->uprobe) {
		struct uprobe_counts seen = uprobe_count(probes->uprobe);
		counts.programs = uprobe_files(probes->uprobe);
		counts.lost = seen.dropped;
		counts.unreadable = seen.unreadable;
	}
	uprobe_free(probes->uprobe);
	gather_free(probes->gather);
	pthread_mutex_destroy(&probes->lock);
	if (probes->stop >= 0)
		close(probes->stop);
	if (probes->socket >= 0)
		close(probes->socket);
	free(probes);
	return counts;
}
