#include "agent/post.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define KEPT_AT 700 /* where it is in nobody's way, if as many descriptors are allowed */

static const char *where;
static const uint8_t *password;
static atomic_uint lost;
static char program[256]; /* kept: servers write titles over the place where their name stands */
static int kept = -1;     /* set once, before there is anything to report */
static struct stat kept_is;

void post_open(const char *path, const uint8_t *token)
{
	where = path;
	snprintf(program, sizeof(program), "%s", program_invocation_short_name);
	password = token;
}

/* -1 when it cannot be reached. */
static int reach(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	const struct timeval patience = {.tv_sec = 1};
	if (strlen(where) >= sizeof(at.sun_path))
		return -1;
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", where);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
		return fd;
	close(fd);
	return -1;
}

void post_keep(void)
{
	int fd = where && kept < 0 ? reach() : -1;
	if (fd < 0)
		return;
	int high = fcntl(fd, F_DUPFD_CLOEXEC, KEPT_AT);
	if (high >= 0)
		close(fd);
	kept = high >= 0 ? high : fd;
	if (fstat(kept, &kept_is) != 0) {
		close(kept);
		kept = -1;
	}
}

/* Programs that become daemons close what they do not know, and its number then means something else. */
static bool still_kept(void)
{
	struct stat now;
	return kept >= 0 && fstat(kept, &now) == 0 && now.st_dev == kept_is.st_dev && now.st_ino == kept_is.st_ino;
}

static bool send_one(struct bytes message)
{
	int fd = still_kept() ? kept : reach();
	bool sent = fd >= 0 && send(fd, message.data, message.len, MSG_NOSIGNAL) == (ssize_t)message.len;
	if (fd >= 0 && fd != kept)
		close(fd);
	return sent;
}

void post_report(struct report *report)
{
	uint8_t room[REPORT_MAX];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes message;
	int theirs = errno; /* the program's */
	if (!where)
		return;
	if (password)
		memcpy(report->token, password, REPORT_TOKEN);
	report->pid = (uint32_t)getpid();
	report->program = bytes_str(program);
	report->lost = atomic_exchange(&lost, 0);
	report_write(&w, report);
	if (!writer_done(&w, &message) || !send_one(message))
		atomic_fetch_add(&lost, report->lost + 1);
	errno = theirs;
}

void post_text(enum report_kind kind, const char *text)
{
	struct report report = {.kind = (uint8_t)kind, .text = bytes_str(text)};
	post_report(&report);
}
