/* overt collect fetch — a reader that writes what it gets to a key log, a FIFO, or blocks of a pcapng file. */
#include "base/log.h"
#include "base/text.h"
#include "cli/arguments.h"
#include "cli/collect_parts.h"
#include "cli/collect_reader.h"
#include "cli/options.h"
#include "cli/verbs.h"
#include "keys/secret.h"
#include "sink/pcapng_block.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define LOOK_MS 200 /* between looks at whether the fetch has ended by itself */

struct fetching {
	struct collect_reader reader;
	const char *keylog, *dsb;
	bool follow, verbose, has_enough;
	uint8_t enough[RELEASE_GRANT];
	int keylog_fd;
	struct sink sink; /* of `blocks`: its counts */
	struct output blocks;
	uint64_t lines, records, lost;
};

ARGUMENT_TEXT(read_collector, fetching, reader.collector)
ARGUMENT_TEXT(read_bus, fetching, reader.bus)
ARGUMENT_TEXT(read_consumer, fetching, reader.consumer)
ARGUMENT_TEXT(read_log, fetching, reader.audit)
ARGUMENT_TEXT(read_reader_key, fetching, reader.reader_key)
ARGUMENT_TEXT(read_certificate, fetching, reader.certificate)
ARGUMENT_TEXT(read_key, fetching, reader.key)
ARGUMENT_TEXT(read_ca, fetching, reader.ca)
ARGUMENT_TEXT(read_keylog, fetching, keylog)
ARGUMENT_TEXT(read_dsb, fetching, dsb)
ARGUMENT_FLAG(read_follow, fetching, follow)
ARGUMENT_FLAG(read_verbose, fetching, verbose)

static bool read_enough(void *ctx, const char *value, struct error *err)
{
	struct fetching *fetching = ctx;
	size_t len;
	(void)err;
	fetching->has_enough = true;
	return text_unhex(fetching->enough, RELEASE_GRANT, &len, bytes_str(value)) && len == RELEASE_GRANT;
}

static const struct argument table[] = {
	{"collector", 'c', "HOST:PORT", read_collector, "where the collector is"},
	{"bus", 'b', "SERVERS", read_bus, "or the bus: nats://HOST:PORT, several with commas between"},
	{"consumer", 0, "NAME", read_consumer, "with --bus: what the bus knows this reader by [" CONSUMER_DEFAULT "]"},
	{"log", 0, "FILE", read_log, "with --bus: the audit log that every read is entered in first"},
	{"reader-key", 'k', "FILE", read_reader_key, "the reader's private key (overt grant key)"},
	{"certificate", 0, "FILE", read_certificate, "the reader's certificate, which says who asks"},
	{"certificate-key", 0, "FILE", read_key, "its key [the certificate's name with .key]"},
	{"ca", 0, "FILE", read_ca, "who vouches for the other side [ca.pem beside the certificate]"},
	{"keylog", 'o', "FILE", read_keylog, "append lines of a key log there; a FIFO too; - is standard output"},
	{"dsb", 'w', "FILE", read_dsb, "a pcapng file with nothing but the keys, to be merged with a capture"},
	{"follow", 'F', NULL, read_follow, "go on as keys come"},
	{"enough", 0, "GRANT", read_enough, "say of this grant that it is enough, once what is held was fetched"},
	{"verbose", 'v', NULL, read_verbose, "log more"},
};

static const struct arguments arguments = {
	.verb = "collect fetch", .table = table, .count = sizeof(table) / sizeof(table[0])};

void collect_fetch_help(void)
{
	arguments_help(&arguments);
}

static bool write_all(int fd, struct bytes octets)
{
	while (octets.len > 0) {
		ssize_t written = write(fd, octets.data, octets.len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0 || !bytes_skip(&octets, (size_t)written))
			return false;
	}
	return true;
}

static void put_block(struct fetching *fetching, struct bytes line)
{
	struct writer w = pcapng_open(&fetching->blocks, PCAPNG_SECRETS, line.len + 64);
	pcapng_u32(&w, PCAPNG_TLS_KEYS);
	pcapng_u32(&w, (uint32_t)line.len);
	writer_bytes(&w, line);
	pcapng_pad(&w);
	pcapng_close(&fetching->blocks, &w);
}

static void took(const struct release *release, const char *sender, void *ctx)
{
	struct fetching *fetching = ctx;
	uint8_t line[RELEASE_LINE_MAX + 1];
	(void)sender;
	if (release->grade != RELEASE_GRADE_RAW) {
		fetching->records++;
		return;
	}
	memcpy(line, release->line, release->line_len);
	line[release->line_len] = '\n';
	struct bytes text = bytes_of(line, release->line_len + 1);
	bool ok = fetching->keylog_fd < 0 || write_all(fetching->keylog_fd, text);
	if (fetching->dsb)
		put_block(fetching, text);
	fetching->lines += ok;
	fetching->lost += !ok;
	OPENSSL_cleanse(line, sizeof(line));
}

static bool open_outputs(struct fetching *fetching, struct error *err)
{
	fetching->keylog_fd = -1;
	if (fetching->keylog && strcmp(fetching->keylog, "-") == 0)
		fetching->keylog_fd = dup(STDOUT_FILENO);
	else if (fetching->keylog) /* a FIFO: waits for who reads it */
		fetching->keylog_fd = open(fetching->keylog, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fetching->keylog && fetching->keylog_fd < 0)
		return error_set_errno(err, "%s", fetching->keylog);
	if (!fetching->dsb)
		return true;
	if (!output_open(&fetching->blocks, &fetching->sink, fetching->dsb, OUTPUT_REPLACE, err))
		return false;
	fetching->blocks.secret = true;
	pcapng_put_section(&fetching->blocks);
	return true;
}

/* Until a signal, or until it ends by itself. */
static void wait_for_end(struct fetching *fetching, const struct collect_source *source)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	int fd = signalfd(-1, &set, SFD_CLOEXEC);
	struct pollfd at = {.fd = fd, .events = POLLIN};
	while (!collect_source_over(source) && poll(&at, 1, LOOK_MS) == 0)
		continue;
	(void)fetching;
	if (fd >= 0)
		close(fd);
}

static int report(const struct fetching *fetching, const struct fetch_counts *counts)
{
	fprintf(stderr, "overt collect fetch: %llu keys: %llu lines written, %llu lost, %llu not opened\n",
		(unsigned long long)counts->keys, (unsigned long long)fetching->lines,
		(unsigned long long)fetching->lost, (unsigned long long)counts->unopened);
	if (fetching->records > 0 && (fetching->keylog || fetching->dsb))
		fprintf(stderr,
			"overt collect fetch: %llu record keys cannot be written: a key log has secrets, of which "
			"record "
			"keys are made, and not the reverse. overt watch --collector reads with them; lines come of "
			"grants with grade raw only.\n",
			(unsigned long long)fetching->records);
	bool lost = fetching->lost + fetching->sink.counts.lost_records + counts->unopened > 0;
	bool nothing = (fetching->keylog || fetching->dsb) && fetching->records > 0 && fetching->lines == 0;
	return lost || nothing ? EXIT_FAILURE : EXIT_SUCCESS;
}

static bool ready(struct fetching *fetching, int argc, char **argv, struct error *err)
{
	int rest;
	secret_process();
	if (!arguments_read(&arguments, argc, argv, fetching, &rest, err))
		return false;
	if (!fetching->reader.collector && !fetching->reader.bus)
		return error_set(err, "where is the collector? Say --collector HOST:PORT, or --bus SERVERS");
	if (fetching->has_enough && fetching->reader.bus)
		return error_set(err, "--enough is said to a collector, which ends the grant: with --collector");
	if (!fetching->keylog && !fetching->dsb && !fetching->has_enough)
		return error_set(err, "where to? Say --keylog FILE or --dsb FILE");
	if (fetching->has_enough && fetching->follow)
		return error_set(err, "--enough ends a grant, and --follow waits for more: one of them");
	return collect_reader_complete(&fetching->reader, err);
}

int collect_fetch(int argc, char **argv)
{
	static struct fetching fetching;
	struct fetch_counts counts;
	struct collect_source source;
	struct error err;
	sigset_t set;
	if (wants_help(argc, argv)) {
		collect_fetch_help();
		return EXIT_SUCCESS;
	}
	if (!ready(&fetching, argc, argv, &err))
		return complain("collect fetch", &err, EXIT_MISUSE);
	log_setup("fetch", STDERR_FILENO, fetching.verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fetching.sink.name = "dsb";
	if (!open_outputs(&fetching, &err) ||
		!collect_source_begin(&source, &fetching.reader, fetching.follow,
			fetching.has_enough ? fetching.enough : NULL, took, &fetching, &err))
		return complain("collect fetch", &err, EXIT_FAILURE);
	if (fetching.follow)
		wait_for_end(&fetching, &source);
	counts = collect_source_end(&source);
	output_close(&fetching.blocks);
	if (fetching.keylog_fd >= 0)
		close(fetching.keylog_fd);
	return report(&fetching, &counts);
}
