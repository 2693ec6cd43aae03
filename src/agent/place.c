#include "agent/place.h"

#include "agent/objects.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_OCTETS  4096
#define MAX_SEGMENTS 64
#define MAX_OFFSET   ((uint64_t)1 << 32)

bool place_find(char *out, size_t cap, struct error *err)
{
	static const char *const folders[] = {"", "src/agent/", "../" AGENT_FOLDER "/"};
	char self[PATH_OCTETS];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[len > 0 ? len : 0] = '\0';
	const char *slash = strrchr(self, '/');
	for (size_t i = 0; slash && i < sizeof(folders) / sizeof(folders[0]); i++) {
		int n = snprintf(out, cap, "%.*s%s%s", (int)(slash - self) + 1, self, folders[i], AGENT_PRELOAD_FILE);
		if (n > 0 && (size_t)n < cap && access(out, R_OK) == 0)
			return true;
	}
	return error_set(
		err, "%s is not there: it belongs beside overt, or into %s", AGENT_PRELOAD_FILE, "../" AGENT_FOLDER);
}

int place_open(const char *command)
{
	const char *path = getenv("PATH");
	char file[PATH_OCTETS];
	if (strchr(command, '/'))
		return open(command, O_RDONLY | O_CLOEXEC);
	for (const char *at = path ? path : "/usr/bin:/bin"; *at;) {
		size_t len = strcspn(at, ":");
		int n = snprintf(file, sizeof(file), "%.*s/%s", (int)len, at, command);
		if (n > 0 && (size_t)n < sizeof(file) && access(file, X_OK) == 0)
			return open(file, O_RDONLY | O_CLOEXEC);
		at += len + (at[len] == ':');
	}
	return -1;
}

/* Whether the program asks for a dynamic loader. */
static bool has_loader(int fd, const Elf64_Ehdr *head)
{
	Elf64_Phdr segment;
	for (unsigned i = 0; i < head->e_phnum && i < MAX_SEGMENTS && head->e_phoff < MAX_OFFSET; i++) {
		off_t at = (off_t)head->e_phoff + (off_t)i * (off_t)sizeof(segment);
		if (pread(fd, &segment, sizeof(segment), at) == (ssize_t)sizeof(segment) && segment.p_type == PT_INTERP)
			return true;
	}
	return false;
}

static const char *barrier_of(int fd)
{
	Elf64_Ehdr head;
	struct stat about;
	if (fstat(fd, &about) == 0 && (about.st_mode & (S_ISUID | S_ISGID)) != 0)
		return "it runs with somebody else's rights";
	if (pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
		return NULL; /* a script: its interpreter speaks for itself */
	if (head.e_ident[EI_CLASS] != ELFCLASS64)
		return "it is not of 64 bits";
	return has_loader(fd, &head) ? NULL : "it is linked statically, as Go programs are";
}

const char *place_barrier(const char *command)
{
	int fd = place_open(command);
	const char *barrier = fd >= 0 ? barrier_of(fd) : NULL;
	if (fd >= 0)
		close(fd);
	return barrier;
}
