#include "proxy/log_place.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

static int open_file(const struct config *config, struct error *err)
{
	/* Lines of several processes go into it, each by one write at its end. Names of sites stand in it: not for all. */
	int fd = open(config->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
	if (fd < 0)
		error_set_errno(err, "--log file:%s cannot be opened", config->log_path);
	return fd;
}

static int open_journal(struct error *err)
{
	int fd = sd_journal_stream_fd("overt", 6, 1); /* 6: informational, for lines that do not begin with <N> */
	log_priorities(fd >= 0);
	if (fd >= 0)
		return fd;
	errno = -fd;
	error_set_errno(err, "--log journal: no journal can be reached (use stderr or file:PATH)");
	return -1;
}

int log_place_fd(const struct config *config, struct error *err)
{
	return config->log_target == CONFIG_LOG_FILE ? open_file(config, err) : open_journal(err);
}

bool log_place_open(const struct config *config, struct error *err)
{
	if (config->log_target == CONFIG_LOG_STDERR)
		return true;
	int fd = log_place_fd(config, err);
	if (fd < 0)
		return false;
	bool ok = dup2(fd, STDERR_FILENO) >= 0;
	if (!ok)
		error_set_errno(err, "the log cannot be put in place");
	close(fd);
	return ok;
}
