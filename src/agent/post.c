#include "agent/post.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static const char *where;
static atomic_uint lost;

void post_open(const char *path)
{
	where = path;
}

static bool send_to(const char *path, struct bytes message)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	const struct timeval patience = {.tv_sec = 1};
	if (strlen(path) >= sizeof(at.sun_path))
		return false;
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	bool sent = sendto(fd, message.data, message.len, MSG_NOSIGNAL, (struct sockaddr *)&at, sizeof(at)) ==
	            (ssize_t)message.len;
	close(fd);
	return sent;
}

void post_report(struct report *report)
{
	uint8_t room[REPORT_MAX];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes message;
	int kept = errno; /* the program's */
	if (!where)
		return;
	report->pid = (uint32_t)getpid();
	report->program = bytes_str(program_invocation_short_name);
	report->lost = atomic_exchange(&lost, 0);
	report_write(&w, report);
	if (!writer_done(&w, &message) || !send_to(where, message))
		atomic_fetch_add(&lost, report->lost + 1);
	errno = kept;
}

void post_text(enum report_kind kind, const char *text)
{
	struct report report = {.kind = (uint8_t)kind, .text = bytes_str(text)};
	post_report(&report);
}
