#include "agent/share_probes.h"

#include "base/local_socket.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SEGMENTS_MAX 64
#define US_PER_S     1000000
#define NS_PER_US    1000

static struct sockaddr_un place;
static socklen_t place_len; /* 0: nobody to ask */
static uid_t shipper;       /* whose it is */

/* The functions that ours stand before. */
static struct {
	int (*execve)(const char *, char *const *, char *const *);
	int (*execvpe)(const char *, char *const *, char *const *);
	int (*fexecve)(int, char *const *, char *const *);
	int (*posix_spawn)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
		char *const *, char *const *);
	int (*posix_spawnp)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
		char *const *, char *const *);
} real;

static void find(void)
{
	*(void **)&real.execve = dlsym(RTLD_NEXT, "execve");
	*(void **)&real.execvpe = dlsym(RTLD_NEXT, "execvpe");
	*(void **)&real.fexecve = dlsym(RTLD_NEXT, "fexecve");
	*(void **)&real.posix_spawn = dlsym(RTLD_NEXT, "posix_spawn");
	*(void **)&real.posix_spawnp = dlsym(RTLD_NEXT, "posix_spawnp");
}

void share_probes_begin(const struct share_settings *settings)
{
	find();
	shipper = settings->uid;
	place_len = settings->on ? share_probes_address(settings->address, &place) : 0;
}

/* Asking. */

static int64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * US_PER_S + now.tv_nsec / NS_PER_US;
}

/* Of all that is waited for together, signals in between included. False: nothing is left of it. */
static bool wait_until(int sock, int64_t end_us)
{
	int64_t rest = end_us - now_us();
	/* None at all would be for ever. */
	struct timeval patience = {.tv_sec = rest / US_PER_S, .tv_usec = rest % US_PER_S};
	return rest > 0 && setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0 &&
	       setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0;
}

/* Whoever has the name when the run is gone is not the run: nobody else is shown a file, or believed. */
static bool meet(int sock, int64_t end_us)
{
	struct ucred who;
	socklen_t len = sizeof(who);
	int result = -1;
	while (wait_until(sock, end_us)) {
		result = connect(sock, (const struct sockaddr *)&place, place_len);
		if (result == 0 || errno != EINTR)
			break;
	}
	return result == 0 && getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && who.uid == shipper;
}

static bool send_file(int sock, int file, int64_t end_us)
{
	const uint8_t octet = PROBES_ASK;
	bool sent = false;
	while (wait_until(sock, end_us)) {
		sent = local_socket_send(sock, bytes_of(&octet, 1), file, 0);
		if (sent || errno != EINTR)
			break;
	}
	return sent;
}

/* True when somebody has spoken of the program. */
static bool ask(int file)
{
	int64_t end_us = now_us() + (int64_t)PROBES_SECONDS * US_PER_S;
	char answer = PROBES_NOTHING;
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return false;
	bool asked = meet(sock, end_us) && send_file(sock, file, end_us);
	while (asked && wait_until(sock, end_us)) {
		if (recv(sock, &answer, 1, 0) >= 0 || errno != EINTR)
			break;
	}
	close(sock);
	return answer == PROBES_SPOKEN;
}

bool share_probes_self(void)
{
	int kept = errno;
	int file = place_len > 0 ? open("/proc/self/exe", O_RDONLY | O_CLOEXEC) : -1;
	bool spoken = file >= 0 && ask(file);
	if (file >= 0)
		close(file);
	errno = kept;
	return spoken;
}

/* A program without a dynamic loader: nothing is preloaded into it. */
static bool is_static(int file)
{
	Elf64_Ehdr head;
	Elf64_Phdr segments[SEGMENTS_MAX];
	if (pread(file, &head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
		memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != ELFCLASS64 ||
		head.e_phentsize != sizeof(Elf64_Phdr) || head.e_phnum > SEGMENTS_MAX || head.e_phoff > INT_MAX)
		return false;
	ssize_t len = (ssize_t)(head.e_phnum * sizeof(Elf64_Phdr));
	if (pread(file, segments, (size_t)len, (off_t)head.e_phoff) != len)
		return false;
	for (unsigned i = 0; i < head.e_phnum; i++) {
		if (segments[i].p_type == PT_INTERP)
			return false;
	}
	return true;
}

static void look_at(int file)
{
	if (file >= 0 && is_static(file))
		(void)ask(file);
}

static void look_for(const char *path)
{
	int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	look_at(file);
	if (file >= 0)
		close(file);
}

/* As execvp looks for it. */
static void look_along_path(const char *name)
{
	char path[PATH_MAX];
	const char *folders = getenv("PATH");
	if (strchr(name, '/')) {
		look_for(name);
		return;
	}
	size_t rest = strlen(name);
	for (const char *at = folders ? folders : "/bin:/usr/bin"; *at;) {
		size_t len = strcspn(at, ":");
		if (len > 0 && len + rest + 2 <= sizeof(path)) {
			memcpy(path, at, len);
			path[len] = '/';
			memcpy(path + len + 1, name, rest + 1);
			if (access(path, X_OK) == 0) {
				look_for(path);
				return;
			}
		}
		at += len + (at[len] == ':');
	}
}

/* What is changed by looking is not the program's. */
static void before(void (*look)(const char *), const char *what)
{
	int kept = errno;
	if (!real.execve)
		find();
	if (place_len > 0 && what)
		look(what);
	errno = kept;
}

/* In the program's stead. */

int execve(const char *path, char *const argv[], char *const env[])
{
	before(look_for, path);
	return real.execve(path, argv, env);
}

int execv(const char *path, char *const argv[])
{
	before(look_for, path);
	return real.execve(path, argv, environ);
}

int execvpe(const char *file, char *const argv[], char *const env[])
{
	before(look_along_path, file);
	return real.execvpe(file, argv, env);
}

int execvp(const char *file, char *const argv[])
{
	before(look_along_path, file);
	return real.execvpe(file, argv, environ);
}

int fexecve(int fd, char *const argv[], char *const env[])
{
	int kept = errno;
	before(NULL, NULL);
	if (place_len > 0)
		look_at(fd);
	errno = kept;
	return real.fexecve(fd, argv, env);
}

int posix_spawn(pid_t *restrict pid, const char *restrict path, const posix_spawn_file_actions_t *restrict actions,
	const posix_spawnattr_t *restrict attributes, char *const argv[restrict], char *const env[restrict])
{
	before(look_for, path);
	return real.posix_spawn(pid, path, actions, attributes, argv, env);
}

int posix_spawnp(pid_t *restrict pid, const char *restrict file, const posix_spawn_file_actions_t *restrict actions,
	const posix_spawnattr_t *restrict attributes, char *const argv[restrict], char *const env[restrict])
{
	before(look_along_path, file);
	return real.posix_spawnp(pid, file, actions, attributes, argv, env);
}
