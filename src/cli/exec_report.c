#include "cli/exec_report.h"

#include "accord/body.h"
#include "accord/purpose.h"
#include "agent/report.h"
#include "base/clock.h"
#include "base/text.h"
#include "sink/jsonout.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_ROOM 4096
#define TEXT_ROOM 1100 /* 255 octets, cleaned */

static const char *const paths[] = {[REPORT_PROVEN] = "proven",
	[REPORT_DIRECT] = "direct",
	[REPORT_LOCAL] = "local-ca",
	[REPORT_REFUSED] = "refused"};

/* A line for people, put together piece by piece; cut when it is too long. */
struct line {
	char text[LINE_ROOM];
	size_t len;
};

static void add(struct line *line, const char *text)
{
	int n = snprintf(line->text + line->len, sizeof(line->text) - line->len, "%s", text);
	line->len =
		n < 0 || (size_t)n >= sizeof(line->text) - line->len ? sizeof(line->text) - 1 : line->len + (size_t)n;
}

static void add_clean(struct line *line, struct bytes text)
{
	char clean[TEXT_ROOM];
	text_clean(clean, sizeof(clean), text);
	add(line, clean);
}

static void add_quoted(struct line *line, const char *before, struct bytes text)
{
	if (text.len == 0)
		return;
	add(line, before);
	add(line, "\"");
	add_clean(line, text);
	add(line, "\"");
}

static const char *role_of(const struct report_hop *hop)
{
	const char *name = accord_role_name(hop->role);
	return name ? name : "?";
}

static void add_proven(struct line *line, const struct report *report)
{
	add(line, "proven");
	for (size_t i = 0; i < report->hops; i++) {
		const struct report_hop *hop = &report->hop[i];
		add(line, i == 0 ? "; proxy " : ", then ");
		add_clean(line, hop->name.len > 0 ? hop->name : bytes_str("(no name)"));
		add(line, " is ");
		add(line, role_of(hop));
		add_quoted(line, ", for ", hop->purpose);
	}
	if (report->told & REPORT_TOLD_VERDICT)
		add(line, "; the server accepts");
	else
		add(line, report->told & REPORT_TOLD_SEALED ? "; the server was not told" : "; the server was told");
	add_quoted(line, ": ", report->statement);
}

static void add_refused(struct line *line, const struct report *report)
{
	char number[48];
	add(line, "refused");
	if (report->check > 0) {
		snprintf(number, sizeof(number), ", check %u failed on leg %u (", report->check, report->leg);
		add(line, number);
		add_clean(line, report->fault);
		add(line, ")");
	}
	add(line, ": ");
	add_clean(line, report->text);
}

static void add_connection(struct line *line, const struct report *report)
{
	add_clean(line, report->host.len > 0 ? report->host : bytes_str("(no name)"));
	add(line, ": ");
	if (report->path == REPORT_PROVEN)
		add_proven(line, report);
	else if (report->path == REPORT_REFUSED)
		add_refused(line, report);
	else if (report->path == REPORT_DIRECT)
		add(line, "direct; no proxy reads this");
	else
		add(line, "warning: nothing was proven: a CA added on this machine, or the program alone, vouches for "
			  "it");
}

/* "the proxy proxy.test, a reader, for malware". */
static void add_introduced(struct line *line, const struct report *report)
{
	char code[ACCORD_PURPOSE_TEXT];
	if (report->told & REPORT_TOLD_SEALED) {
		add(line, "a proxy that does not say who it is");
		return;
	}
	for (size_t i = 0; i < report->hops; i++) {
		const struct report_hop *hop = &report->hop[i];
		add(line, i == 0 ? "the proxy " : ", then ");
		add_clean(line, hop->name.len > 0 ? hop->name : bytes_str("(name not asked for)"));
		add(line, ", a ");
		add(line, role_of(hop));
	}
	add(line, ", for ");
	add(line, accord_purpose_text(report->purpose, code));
}

static void add_served(struct line *line, const struct report *report)
{
	static const char *const words[] = {[REPORT_ACCEPTED] = "accepted ",
		[REPORT_DECLINED] = "refused ",
		[REPORT_UNMET] = "did not get what was demanded of ",
		[REPORT_LEFT] = "was left by ",
		[REPORT_IGNORED] = "ignored "};
	add_clean(line, report->host.len > 0 ? report->host : bytes_str("(no name)"));
	add(line, ": ");
	add(line, words[report->served]);
	add_introduced(line, report);
	if (report->client.len > 0)
		add(line, ", approved by ");
	add_clean(line, report->client);
	add(line, " (");
	add_clean(line, report->rule);
	add(line, ")");
	add_quoted(line, ": ", report->statement);
	if (report->text.len > 0)
		add(line, ": ");
	add_clean(line, report->text);
	if (report->peer.len > 0)
		add(line, "; from ");
	add_clean(line, report->peer);
}

static void print_line(const struct exec_report *report, const struct line *line)
{
	if (!report->quiet)
		fprintf(stderr, "overt exec: %s\n", line->text);
}

/* What concerns a program and not a connection is told once. */
static void print_once(struct exec_report *report, const struct line *line)
{
	for (unsigned i = 0; i < report->told; i++) {
		if (strncmp(report->seen[i], line->text, sizeof(report->seen[i]) - 1) == 0)
			return;
	}
	if (report->told < EXEC_REPORT_SEEN) {
		char *kept = report->seen[report->told++];
		memcpy(kept, line->text, sizeof(report->seen[0]) - 1); /* the rest is zero */
	}
	print_line(report, line);
}

static void show(struct exec_report *report, const struct report *said)
{
	struct line line = {.len = 0};
	char number[64];
	add_clean(&line, said->program);
	if (said->kind == REPORT_OTHER) {
		report->unreached++;
		add(&line, " has ");
		add_clean(&line, said->text);
		add(&line, ", which the agent does not reach: what it does is not checked");
		print_once(report, &line);
	} else if (said->kind == REPORT_BARRED) {
		report->unreached++;
		add(&line, " cannot speak Accord");
		add(&line, report->require ? ", and gets no TLS: " : ": ");
		add_clean(&line, said->text);
		print_once(report, &line);
	} else if (said->kind == REPORT_CONNECTION) {
		report->connections++;
		report->refused += said->path == REPORT_REFUSED;
		snprintf(number, sizeof(number), "[%u] ", said->pid);
		add(&line, number);
		add_connection(&line, said);
		print_line(report, &line);
	} else if (said->kind == REPORT_SERVED) {
		report->served++;
		snprintf(number, sizeof(number), "[%u] ", said->pid);
		add(&line, number);
		add_served(&line, said);
		print_line(report, &line);
	} else if (said->kind == REPORT_RULES) {
		add(&line, ": ");
		add_clean(&line, said->text);
		print_line(report, &line);
	} else {
		report->attached++;
	}
	if (said->lost > 0) {
		snprintf(line.text, sizeof(line.text), "%u reports of process %u were lost", said->lost, said->pid);
		print_line(report, &line);
	}
}

static void json_text(struct jsonout *json, const char *key, struct bytes text)
{
	if (text.len > 0)
		jsonout_text(json, key, text);
}

static void json_hops(struct jsonout *json, const struct report *said)
{
	jsonout_array(json, "proxies");
	for (size_t i = 0; i < said->hops; i++) {
		jsonout_object(json, NULL);
		json_text(json, "name", said->hop[i].name);
		jsonout_word(json, "role", role_of(&said->hop[i]));
		json_text(json, "purpose", said->hop[i].purpose);
		jsonout_object_end(json);
	}
	jsonout_array_end(json);
	jsonout_bool(json, "sealed", (said->told & REPORT_TOLD_SEALED) != 0);
}

static void json_served(struct jsonout *json, const struct report *said)
{
	static const char *const words[] = {[REPORT_ACCEPTED] = "accepted",
		[REPORT_DECLINED] = "refused",
		[REPORT_UNMET] = "unmet",
		[REPORT_LEFT] = "left",
		[REPORT_IGNORED] = "ignored"};
	char code[ACCORD_PURPOSE_TEXT];
	json_text(json, "host", said->host);
	json_text(json, "from", said->peer);
	jsonout_word(json, "verdict", words[said->served]);
	jsonout_text(json, "rule", said->rule);
	jsonout_word(json, "purpose", accord_purpose_text(said->purpose, code));
	json_hops(json, said);
	json_text(json, "approved_by", said->client);
	json_text(json, "statement", said->statement);
	json_text(json, "reason", said->text);
}

static void json_connection(struct jsonout *json, const struct report *said)
{
	json_text(json, "host", said->host);
	jsonout_word(json, "path", paths[said->path]);
	if (said->path == REPORT_REFUSED) {
		jsonout_object(json, "failed");
		jsonout_number(json, "check", said->check);
		jsonout_number(json, "leg", said->leg);
		json_text(json, "name", said->fault);
		json_text(json, "reason", said->text);
		jsonout_object_end(json);
	}
	if (said->path != REPORT_PROVEN)
		return;
	json_hops(json, said);
	if (said->told & REPORT_TOLD_VERDICT)
		jsonout_word(json, "verdict", "accept");
	json_text(json, "statement", said->statement);
}

static void write_json(struct exec_report *report, const struct report *said)
{
	static const char *const states[] = {
		[REPORT_ATTACHED] = "attached",
		[REPORT_BARRED] = "barred",
		[REPORT_OTHER] = "unreached",
		[REPORT_RULES] = "rules",
	};
	static const char *const types[] = {[REPORT_CONNECTION] = "accord", [REPORT_SERVED] = "accord-server"};
	char room[4 * REPORT_MAX];
	struct jsonout json = jsonout_over(room, sizeof(room));
	size_t len;
	jsonout_object(&json, NULL);
	jsonout_number(&json, "v", 1);
	bool connection = said->kind == REPORT_CONNECTION || said->kind == REPORT_SERVED;
	jsonout_word(&json, "type", connection ? types[said->kind] : "agent");
	jsonout_time(&json, "time", clock_wall_ns());
	jsonout_number(&json, "pid", said->pid);
	json_text(&json, "program", said->program);
	if (said->kind == REPORT_CONNECTION) {
		json_connection(&json, said);
	} else if (said->kind == REPORT_SERVED) {
		json_served(&json, said);
	} else {
		jsonout_word(&json, "state", states[said->kind]);
		json_text(&json, "what", said->text);
	}
	if (said->lost > 0)
		jsonout_number(&json, "lost", said->lost);
	jsonout_object_end(&json);
	if (jsonout_done(&json, &len)) {
		fwrite(room, 1, len, report->jsonl);
		fflush(report->jsonl);
	}
}

void exec_report_drain(struct exec_report *report)
{
	uint8_t room[REPORT_MAX];
	struct report said;
	ssize_t n;
	while ((n = recv(report->io.fd, room, sizeof(room), MSG_DONTWAIT | MSG_TRUNC)) >= 0 || errno == EINTR) {
		if (n < 0)
			continue;
		if ((size_t)n > sizeof(room) || report_read(bytes_of(room, (size_t)n), &said) != REPORT_OK ||
			!bytes_equal_secret(
				bytes_of(said.token, REPORT_TOKEN), bytes_of(report->token, REPORT_TOKEN))) {
			report->malformed++;
			continue;
		}
		show(report, &said);
		if (report->jsonl)
			write_json(report, &said);
	}
	report->io.readable = false;
}

static void on_ready(struct loop_io *io)
{
	exec_report_drain((struct exec_report *)(void *)((char *)io - offsetof(struct exec_report, io)));
}

static bool make_folder(struct exec_report *report, struct error *err)
{
	const char *base = getenv("XDG_RUNTIME_DIR");
	/* A socket's path has 107 octets at most. */
	if (!base || strlen(base) > 40 || access(base, W_OK) != 0)
		base = "/tmp";
	snprintf(report->folder, sizeof(report->folder), "%s/overt-accord-XXXXXX", base);
	if (!mkdtemp(report->folder)) {
		report->folder[0] = '\0';
		return error_set_errno(err, "no folder for this run under %s", base);
	}
	/* Workers that have become other users, and were started too late to inherit a descriptor, come by the path. */
	if (report->server && chmod(report->folder, 0711) != 0)
		return error_set_errno(err, "%s", report->folder);
	snprintf(report->path, sizeof(report->path), "%s/reports", report->folder);
	return true;
}

static bool open_socket(struct exec_report *report, struct error *err)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", report->path);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
		chmod(report->path, report->server ? 0622 : 0600) != 0 ||
		RAND_bytes(report->token, REPORT_TOKEN) != 1 || !loop_add(report->loop, &report->io, fd, on_ready)) {
		(void)error_set_errno(err, "%s", report->path);
		if (fd >= 0)
			close(fd);
		report->io.fd = -1;
		return false;
	}
	return true;
}

static bool open_jsonl(struct exec_report *report, const char *path, struct error *err)
{
	if (!path)
		return true;
	int fd = strcmp(path, "-") == 0 ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
	                                : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	report->jsonl = fd >= 0 ? fdopen(fd, "a") : NULL;
	if (fd >= 0 && !report->jsonl)
		close(fd);
	return report->jsonl || error_set_errno(err, "%s cannot be written", path);
}

bool exec_report_open(struct exec_report *report, struct loop *loop, const char *jsonl, struct error *err)
{
	report->loop = loop;
	report->io.fd = -1;
	if (open_jsonl(report, jsonl, err) && make_folder(report, err) && open_socket(report, err))
		return true;
	exec_report_close(report);
	return false;
}

void exec_report_close(struct exec_report *report)
{
	if (report->io.fd >= 0) {
		loop_remove(report->loop, &report->io);
		close(report->io.fd);
	}
	report->io.fd = -1;
	if (report->path[0])
		unlink(report->path);
	if (report->folder[0])
		rmdir(report->folder);
	if (report->jsonl)
		fclose(report->jsonl);
	report->jsonl = NULL;
}
