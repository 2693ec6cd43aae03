#include "cli/exec_share.h"

#include "agent/place.h"
#include "agent/share_settings.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/arguments.h"
#include "cli/exec_child.h"
#include "cli/exec_share_consent.h"
#include "cli/exec_share_fifo.h"
#include "cli/exec_share_rotate.h"
#include "cli/exec_share_send.h"
#include "cli/exec_share_uprobe.h"
#include "cli/exec_share_view.h"
#include "cli/options.h"
#include "cli/verbs.h"
#include "keys/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_OCTETS 4096
#define TEXT_ROOM   1100
#define ANCESTORS   64 /* between a program and us, at most */
#define NAME_OCTETS 16

struct run {
	struct share_settings settings;
	struct view_options view_options;
	bool quiet, verbose;
	char agent[PATH_OCTETS], folder[80];
	struct exec_send send;
	const char *readers;      /* where the list of readers is to stand */
	const char *door;         /* a path at which other programs share, too */
	struct view *view;        /* NULL: keys go to a collector, and nothing is shown */
	struct exec_lines *lines; /* of what is in no view */
	struct fifo *fifo;
	struct exec_uprobe *probes;
	struct shipper *shipper;
	pid_t child;
	int code;
	struct rlimit descriptors; /* open ones, as the program is to have them */
	atomic_uint libraries;     /* processes in which the agent is */
	atomic_uint files;         /* that write to the FIFO */
};

/* Options. */

static bool read_share(void *ctx, const char *value, struct error *err)
{
	(void)ctx, (void)value, (void)err;
	return true;
}

#define READ_TEXT(name, field)                                                                                         \
	static bool name(void *ctx, const char *value, struct error *err)                                              \
	{                                                                                                              \
		(void)err;                                                                                             \
		((struct run *)ctx)->field = value;                                                                    \
		return *value != '\0';                                                                                 \
	}
#define READ_FLAG(name, field)                                                                                         \
	static bool name(void *ctx, const char *value, struct error *err)                                              \
	{                                                                                                              \
		(void)err, (void)value;                                                                                \
		((struct run *)ctx)->field = true;                                                                     \
		return true;                                                                                           \
	}

READ_TEXT(read_interface, view_options.interface)
READ_TEXT(read_jsonl, view_options.outputs.jsonl)
READ_TEXT(read_pcapng, view_options.outputs.pcapng)
READ_TEXT(read_plaintext, view_options.outputs.plaintext)
READ_TEXT(read_objects, view_options.outputs.objects)
READ_TEXT(read_collector, send.collector)
READ_TEXT(read_certificate, send.files.certificate)
READ_TEXT(read_key, send.files.key)
READ_TEXT(read_ca, send.files.ca)
READ_TEXT(read_grants, send.grants)
READ_TEXT(read_audit, send.audit)
READ_TEXT(read_door, door)
READ_TEXT(read_readers, readers)
READ_FLAG(read_show_secrets, view_options.outputs.unmasked)
READ_FLAG(read_quiet, quiet)
READ_FLAG(read_verbose, verbose)

static bool read_late(void *ctx, const char *value, struct error *err)
{
	bool *closed = &((struct run *)ctx)->settings.closed;
	*closed = strcmp(value, "closed") == 0;
	return *closed || strcmp(value, "open") == 0 || error_set(err, "expected open or closed");
}

static bool read_ack(void *ctx, const char *value, struct error *err)
{
	bool *collector = &((struct run *)ctx)->send.ack_collector;
	*collector = strcmp(value, "collector") == 0;
	return *collector || strcmp(value, "host") == 0 || error_set(err, "expected host or collector");
}

static bool read_mode(void *ctx, const char *value, struct error *err)
{
	return exec_rotate_mode(&((struct run *)ctx)->settings, value, err);
}

static bool read_rotate_bytes(void *ctx, const char *value, struct error *err)
{
	return exec_rotate_bytes(&((struct run *)ctx)->settings, value, err);
}

static bool read_rotate_seconds(void *ctx, const char *value, struct error *err)
{
	return exec_rotate_seconds(&((struct run *)ctx)->settings, value, err);
}

static bool read_rotate_when(void *ctx, const char *value, struct error *err)
{
	return exec_rotate_when(&((struct run *)ctx)->settings, value, err);
}

static bool read_signer(void *ctx, const char *value, struct error *err)
{
	struct exec_send *send = &((struct run *)ctx)->send;
	return collect_read_signers(value, send->signers, SEND_SIGNERS_MAX, &send->signer_count, err);
}

static bool read_deadline(void *ctx, const char *value, struct error *err)
{
	uint64_t number;
	if (!text_number(bytes_str(value), SHARE_DEADLINE_MAX, &number) || number == 0)
		return error_set(err, "expected a number of milliseconds from 1 to %d", SHARE_DEADLINE_MAX);
	((struct run *)ctx)->settings.deadline_ms = (uint32_t)number;
	return true;
}

static const struct argument table[] = {
	{"share", 0, NULL, read_share, "read the program's connections off the wire, with keys it gives away itself"},
	{"interface", 0, "NAME", read_interface, "where they are; \"any\" is all interfaces [any]"},
	{"jsonl", 0, "FILE", read_jsonl, "JSON lines to a file; - is standard output"},
	{"pcapng", 0, "FILE", read_pcapng, "the plaintext, as TCP streams"},
	{"plaintext", 0, "DIR", read_plaintext, "a file per connection and direction with its plaintext alone"},
	{"export-objects", 0, "DIR", read_objects,
		"a file per body of HTTP, unpacked, and index.jsonl that lists them"},
	{"show-secrets", 0, NULL, read_show_secrets, "credentials in the table and in JSON lines as they are"},
	{"late", 0, "RULE", read_late,
		"when a key is not taken in time: open, the connection goes on, or closed, it does not [open]"},
	{"deadline", 0, "MS", read_deadline, "how long a handshake waits for its key to be taken [200]"},
	{"mode", 0, "MODE", read_mode,
		"live, or after-rotation: what a side receives, once its keys have been changed [live]"},
	{"rotate-bytes", 0, "SIZE", read_rotate_bytes, "change them after so much data, 0: not by that [2MiB]"},
	{"rotate-seconds", 0, "N", read_rotate_seconds, "and after so many seconds, 0: not by that [30]"},
	{"rotate-when", 0, "WHEN", read_rotate_when,
		"with what the program writes, or behind all its calls: writes or calls [writes]"},
	{"collector", 0, "HOST:PORT", read_collector,
		"show nothing; send the keys there, under grants; several with commas between, one at a time"},
	{"certificate", 0, "FILE", read_certificate, "with --collector: the certificate that says who sends"},
	{"key", 0, "FILE", read_key, "its key [beside it, with .key for .pem]"},
	{"ca", 0, "FILE", read_ca, "who vouches for the collector [ca.pem beside the certificate]"},
	{"grants", 0, "DIR", read_grants, "the folder of the grants; changes are seen"},
	{"signer", 0, "FILE", read_signer, "verifier keys of those whose grants count; several times"},
	{"audit", 0, "FILE", read_audit, "the audit log of what is released"},
	{"ack", 0, "WHERE", read_ack, "a handshake waits until its key is there: host, or collector [host]"},
	{"door", 0, "PATH", read_door, "a socket at which services share too: who may write to it may share"},
	{"readers", 0, "FILE", read_readers,
		"with --door: where the list of readers for whom services ask the other side stands"},
	{"quiet", 'q', NULL, read_quiet, "no table"},
	{"verbose", 'v', NULL, read_verbose, "say of each process which TLS library its keys come from"},
};

static const struct arguments arguments = {
	.verb = "exec", .table = table, .count = sizeof(table) / sizeof(table[0]), .command = true};

bool exec_share_wanted(int argc, char **argv)
{
	return exec_child_given(argc, argv, "share");
}

void exec_share_help(void)
{
	puts("\nWith --share there is no proxy and no CA either: the program gives the keys of\n"
	     "its records away itself, and its connections, which nobody touches, are read off\n"
	     "the wire. So programs that pin a certificate can be looked at. Needs the right\n"
	     "to capture (CAP_NET_RAW). Then only these options are known:\n");
	arguments_help(&arguments);
}

/* What comes from programs. */

/* The process is the program, or was started by it, in however many steps. */
static bool is_ours(void *arg, pid_t process)
{
	long pid = process;
	(void)arg;
	for (unsigned i = 0; i < ANCESTORS && pid > 1; i++) {
		char path[64], text[512];
		snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
		FILE *file = fopen(path, "re");
		size_t len = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
		if (file)
			fclose(file);
		text[len] = '\0';
		/* "PID (NAME) STATE PARENT ...", where the name may hold anything. */
		const char *behind = strrchr(text, ')');
		pid = behind && strlen(behind) > 4 ? strtol(behind + 4, NULL, 10) : 0;
		if (pid == getpid())
			return true;
	}
	return false;
}

static bool admit(void *arg, const struct shipper_from *from)
{
	const struct run *run = arg;
	return run->door || is_ours(arg, (pid_t)from->pid);
}

/* Of a program whose keys come past the agent: the rules are for those that can be made to wait. */
static const char *breaks_rules(const struct run *run)
{
	return run->settings.closed || run->send.ack_collector ? ", whatever --late and --ack say" : "";
}

static void say_more(const struct run *run, const struct shipper_from *from, const char *before, const char *text,
	const char *more, const char *most)
{
	char program[TEXT_ROOM], clean[TEXT_ROOM];
	if (run->quiet)
		return;
	text_clean(program, sizeof(program), bytes_str(from->program));
	text_clean(clean, sizeof(clean), bytes_str(text));
	fprintf(stderr, "overt exec: %s[%u]%s %s%s%s\n", program, from->pid, before, clean, more, most);
}

static void say(const struct run *run, const struct shipper_from *from, const char *before, const char *text)
{
	say_more(run, from, before, text, "", "");
}

static bool take(
	void *arg, const struct shipper_from *from, const struct share_item *item, struct shipper_ticket ticket)
{
	struct run *run = arg;
	bool taken = true;
	switch (item->kind) {
	case SHARE_KEY:
		if (run->view)
			view_key(run->view, &item->key);
		else
			taken = exec_send_key(&run->send, from, item, ticket);
		break;
	case SHARE_LIBRARY:
		atomic_fetch_add(&run->libraries, 1);
		if (run->verbose)
			say(run, from, " shares its keys:", item->text);
		break;
	case SHARE_FILE:
		atomic_fetch_add(&run->files, 1);
		if (run->lines)
			exec_lines_watch(run->lines);
		say_more(run, from, " is not reached by the agent:", item->text,
			", asynchronously: it does not wait for them", breaks_rules(run));
		break;
	case SHARE_REFUSED:
		if (exec_consent_refused(run->send.consent, from, item))
			exec_send_disagreed(&run->send, item);
		break;
	case SHARE_SAYS:
		say(run, from, "", item->text);
		break;
	default:
		say(run, from, " is out of reach:", item->text);
		break;
	}
	return taken;
}

/* Of a program in which probes stand, or cannot. */
static void say_probes(void *arg, uint32_t pid, const char *program, bool reached, const char *what)
{
	const struct run *run = arg;
	const char *how = reached ? " is not reached by the agent:" : " is out of reach:";
	const char *more = reached ? breaks_rules(run) : "";
	char clean[TEXT_ROOM];
	text_clean(clean, sizeof(clean), bytes_str(program));
	if (pid == 0)
		fprintf(stderr, "overt exec: %s%s %s%s\n", program, how, what, more);
	else if (!run->quiet)
		fprintf(stderr, "overt exec: %s[%u]%s %s%s\n", clean, pid, how, what, more);
}

/* The run. */

static bool make_address(struct run *run, struct error *err)
{
	uint8_t name[NAME_OCTETS];
	char *address = run->settings.address;
	size_t cap = sizeof(run->settings.address);
	if (run->door)
		return (run->door[0] == '/' && (size_t)snprintf(address, cap, "%s", run->door) < cap) ||
		       error_set(err, "--door: expected the whole path of a socket, at most %zu octets", cap - 1);
	if (RAND_bytes(name, sizeof(name)) != 1)
		return error_set(err, "no random octets");
	size_t len = (size_t)snprintf(address, cap, "@overt-share-");
	for (size_t i = 0; i < sizeof(name); i++, len += 2)
		snprintf(address + len, cap - len, "%02x", name[i]);
	return true;
}

/* A FIFO gives all at once: not after rotation. */
static bool make_places(struct run *run, struct error *err)
{
	const char *base = getenv("XDG_RUNTIME_DIR");
	run->settings.uid = (uint32_t)geteuid();
	if (!make_address(run, err))
		return false;
	if (run->settings.after_rotation)
		return true;
	if (!base || strlen(base) > 40 || access(base, W_OK) != 0)
		base = "/tmp";
	snprintf(run->folder, sizeof(run->folder), "%s/overt-share-XXXXXX", base);
	if (!mkdtemp(run->folder)) {
		run->folder[0] = '\0';
		return error_set_errno(err, "no folder for this run under %s", base);
	}
	snprintf(run->settings.fifo, sizeof(run->settings.fifo), "%s/keys", run->folder);
	return true;
}

static bool change_environment(const void *arg)
{
	const struct run *run = arg;
	return share_settings_export(&run->settings) && exec_child_preload(run->agent);
}

static no_return void become(const struct run *run, char *const *argv, char **environment)
{
	/* Handlers of ours must not run in the child before it is the program. */
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	if (run->descriptors.rlim_max > 0)
		(void)setrlimit(RLIMIT_NOFILE, &run->descriptors);
	if (environment)
		environ = environment;
	exec_child_become(argv, environment != NULL);
}

static int stop_fd = -1;
static volatile sig_atomic_t child_pid;

/* Ctrl-C reaches the program by itself: it stands in the same foreground group. */
static void caught(int number)
{
	int kept = errno;
	uint64_t one = 1;
	if (number == SIGCHLD)
		(void)!write(stop_fd, &one, sizeof(one));
	else if (number != SIGINT && child_pid > 0)
		kill((pid_t)child_pid, number);
	errno = kept;
}

static bool catch_signals(struct run *run, struct error *err)
{
	static const int numbers[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = caught, .sa_flags = SA_RESTART};
	stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (stop_fd < 0)
		return error_set_errno(err, "no descriptor for signals");
	run->view_options.stop_fd = stop_fd;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaction(numbers[i], &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	return true;
}

/* Processes that lost their parent are ours as well. True when the program itself has ended. */
static bool reap(struct run *run)
{
	uint64_t count;
	int status;
	pid_t pid;
	bool ended = false;
	(void)!read(stop_fd, &count, sizeof(count));
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != run->child)
			continue;
		ended = true;
		run->code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
	return ended;
}

static bool await_signal(void)
{
	struct pollfd polled = {.fd = stop_fd, .events = POLLIN};
	return poll(&polled, 1, -1) >= 0 || errno == EINTR;
}

static bool run_child(struct run *run, char *const *argv, struct error *err)
{
	/* A child of a process with threads may not allocate. */
	char **environment = exec_child_environment(change_environment, run);
	run->child = fork();
	if (run->child == 0)
		become(run, argv, environment);
	if (run->child < 0)
		return error_set_errno(err, "%s cannot be started", argv[0]);
	child_pid = run->child;
	bool ok = true, ended = false;
	while (ok && !ended) {
		ok = run->view ? view_read(run->view, err) : await_signal();
		ended = reap(run);
	}
	/* Whatever became of capturing, the program is not left alone. */
	while (!ended) {
		int status;
		if (waitpid(run->child, &status, 0) == run->child || errno != EINTR)
			ended = true;
	}
	child_pid = 0;
	return ok;
}

static bool ask_for_consent(struct run *run, struct error *err)
{
	struct exec_send *send = &run->send;
	struct exec_consent_options options = {.grants = send->grants,
		.signers = send->signers,
		.signer_count = send->signer_count,
		.sender = send->self.name,
		.sender_key = send->self.key_hash,
		.file = run->readers,
		.quiet = run->quiet};
	send->consent = exec_consent_new(&options, &run->settings, err);
	return send->consent != NULL;
}

static bool make_lines(struct run *run, struct error *err)
{
	run->lines = exec_lines_new(&run->send);
	return run->lines || error_set(err, "no memory for lines of key logs");
}

/* The shipper holds a descriptor for each program. */
static void raise_files(struct run *run)
{
	if (getrlimit(RLIMIT_NOFILE, &run->descriptors) != 0)
		return;
	struct rlimit most = {.rlim_cur = run->descriptors.rlim_max, .rlim_max = run->descriptors.rlim_max};
	(void)setrlimit(RLIMIT_NOFILE, &most);
}

/* The door last: whoever comes to it finds that capturing has begun, or that keys have somewhere to go. */
static bool begin(struct run *run, struct error *err)
{
	struct shipper_options options = {.address = run->settings.address,
		.mode = 0600,
		.admit = admit,
		.take = take,
		.arg = run,
		/* What is shown here is told from others' by its key: that is wanted before the data. */
		.vouches = run->send.collector && !run->send.ack_collector,
		.data_only = run->send.collector != NULL};
	bool ok = true;
	if (run->send.collector) {
		ok = exec_send_begin(&run->send, err) && ask_for_consent(run, err) && make_lines(run, err);
	} else {
		run->view_options.late_keys = run->settings.after_rotation;
		run->view = view_new(&run->view_options, err);
		ok = run->view != NULL;
	}
	if (ok && run->settings.fifo[0])
		run->fifo = fifo_new(run->settings.fifo, run->view, run->lines, err);
	ok = ok && (run->fifo || !run->settings.fifo[0]);
	struct exec_uprobe_options probes = {.view = run->view,
		.send = &run->send,
		.lines = run->lines,
		.door = run->settings.address,
		.ours = is_ours,
		.say = say_probes,
		.arg = run};
	/* Probes see a key when it is made, and no earlier one go. */
	run->probes = ok && !run->settings.after_rotation ? exec_uprobe_new(&probes) : NULL;
	run->shipper = ok ? shipper_new(&options, err) : NULL;
	exec_send_tell(&run->send, run->shipper);
	return run->shipper != NULL;
}

static void tell_losses(const struct run *run, const struct shipper_counts *shipper)
{
	unsigned long long missed = shipper->missed, broken = shipper->broken, malformed = shipper->malformed;
	if (missed > 0)
		fprintf(stderr, "overt exec: %llu times a key was not taken in time: %s\n", missed,
			run->settings.closed ? "these connections were refused" : "these connections went on");
	if (broken > 0 || malformed > 0)
		fprintf(stderr, "overt exec: %llu programs and %llu messages broke the form of what is shared\n",
			broken, malformed);
}

static void tell_waits(const struct shipper_counts *shipper)
{
	char text[SHARE_WAITS_TEXT];
	share_waits_text(&shipper->waits, text, sizeof(text));
	fprintf(stderr, "overt exec: %s\n", text);
}

static void tell_view(struct run *run)
{
	static struct watch_report report; /* large */
	char summary[WATCH_SUMMARY_ROOM];
	struct sieve_counts sieve;
	view_report(run->view, &report, &sieve);
	watch_summary(&report, summary);
	if (!run->quiet)
		fprintf(stderr, "overt exec: %s\n", summary);
	unsigned long long lost = sieve.lost + sieve.no_memory;
	if (lost > 0)
		fprintf(stderr, "overt exec: of %llu connections the beginning was let go before their key came\n",
			lost);
}

static void sum_up(struct run *run, const char *command)
{
	struct shipper_counts shipper = shipper_count(run->shipper);
	bool started = run->code != 127 && run->code != 126;
	if (run->view)
		tell_view(run);
	tell_losses(run, &shipper);
	exec_rotate_tell(&run->settings, &shipper, run->quiet);
	if (run->verbose)
		tell_waits(&shipper);
	unsigned reached = atomic_load(&run->libraries) + atomic_load(&run->files);
	if (run->probes)
		reached += exec_uprobe_programs(run->probes);
	if (started && !run->door && reached == 0)
		fprintf(stderr, "overt exec: nothing in %s made TLS that the agent could see: nothing of it is %s\n",
			command, run->view ? "shown" : "shared");
}

static void look_at_command(const struct run *run, const char *command)
{
	const char *barrier = place_barrier(command);
	bool spoken = run->probes && exec_uprobe_command(run->probes, command);
	if (barrier && !spoken)
		fprintf(stderr, "overt exec: %s is out of reach: %s\n", command, barrier);
}

static void end_probes(struct run *run)
{
	struct exec_uprobe_counts counts = exec_uprobe_free(run->probes);
	unsigned long long lost = counts.lost, unreadable = counts.unreadable;
	run->probes = NULL;
	if (lost + unreadable > 0)
		fprintf(stderr, "overt exec: of what probes saw, %llu were lost and %llu could not be read\n", lost,
			unreadable);
}

/* What was written to the FIFO, and then what waits for its hellos. */
static void end_lines(struct run *run)
{
	(void)fifo_free(run->fifo);
	exec_lines_free(run->lines);
	run->fifo = NULL;
	run->lines = NULL;
}

static bool run_all(struct run *run, char *const *argv, struct error *err)
{
	if (!place_find(run->agent, sizeof(run->agent), err) || !make_places(run, err) || !catch_signals(run, err))
		return false;
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	raise_files(run);
	bool ok = begin(run, err);
	if (ok)
		look_at_command(run, argv[0]);
	ok = ok && run_child(run, argv, err);
	if (ok) {
		shipper_drain(run->shipper);
		if (run->probes)
			exec_uprobe_drain(run->probes);
		if (run->view)
			view_finish(run->view);
		sum_up(run, argv[0]);
	}
	/* What the shipper still takes goes to the sender, which is to tell it of nothing any more. */
	exec_send_tell(&run->send, NULL);
	shipper_free(run->shipper);
	end_probes(run);
	end_lines(run);
	(void)exec_send_end(&run->send);
	exec_consent_free(run->send.consent);
	view_free(run->view);
	if (run->folder[0])
		rmdir(run->folder);
	return ok;
}

int exec_share(int argc, char **argv)
{
	static struct run run; /* large */
	struct error err;
	int rest;
	run = (struct run){.code = 1,
		.send = {.lock = PTHREAD_MUTEX_INITIALIZER},
		.settings = {.on = true,
			.deadline_ms = SHARE_DEADLINE_DEFAULT,
			.rotate_bytes = SHARE_ROTATE_BYTES_DEFAULT,
			.rotate_seconds = SHARE_ROTATE_SECONDS_DEFAULT},
		.view_options = {.interface = "any", .outputs.terminal_fd = -1, .stop_fd = -1}};
	bool ok = arguments_read(&arguments, argc, argv, &run, &rest, &err);
	if (ok && rest >= argc)
		ok = error_set(&err, "no command: overt exec --share [OPTIONS] -- COMMAND%s",
			run.door ? "; for other programs alone: -- sleep infinity" : "");
	if (!run.quiet)
		run.view_options.outputs.terminal_fd = STDERR_FILENO;
	log_setup("exec", STDERR_FILENO, run.verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN);
	secret_process();
	if (!ok || !run_all(&run, argv + rest, &err))
		return complain("exec", &err, EXIT_MISUSE);
	return run.code;
}
