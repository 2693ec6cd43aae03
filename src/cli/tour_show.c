/* cli/tour_show.c — the steps that show the program at work on a request: in split, in share, over Accord; and its log. */
#include "base/text.h"
#include "cli/tour_parts.h"

#include <netinet/in.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATH_OCTETS  6 /* random ones, so that the path stands nowhere but in the request */
#define COMMAND_ROOM 512
#define LINE_ROOM    256

/* Looks a program up as execvp does. */
static bool have(const char *name)
{
	const char *path = getenv("PATH");
	char copy[FILE_PATH_MAX], full[FILE_PATH_MAX + 64], *rest = NULL;
	snprintf(copy, sizeof(copy), "%s", path ? path : "/usr/local/bin:/usr/bin:/bin");
	for (const char *dir = strtok_r(copy, ":", &rest); dir; dir = strtok_r(NULL, ":", &rest)) {
		snprintf(full, sizeof(full), "%s/%s", dir, name);
		if (access(full, X_OK) == 0)
			return true;
	}
	return false;
}

static bool make_path(char out[32])
{
	uint8_t random[PATH_OCTETS];
	char hex[PATH_OCTETS * 2 + 1];
	if (RAND_bytes(random, sizeof(random)) != 1)
		return false;
	(void)text_hex(hex, sizeof(hex), bytes_of(random, sizeof(random)));
	snprintf(out, 32, "/account/%s", hex);
	return true;
}

static const char *text_of(const struct buffer *said, char *room, size_t cap)
{
	snprintf(room, cap, "%.*s", (int)said->len, said->len ? (const char *)said->data : "");
	return room;
}

/*
 * The line of Overt's table that names the path, without time and client's port: verdict, server, method, path, status,
 * type, octets. False when there is none.
 */
static bool line_of(const struct buffer *said, const char *path, char out[LINE_ROOM])
{
	char text[8192], *rest = NULL;
	(void)text_of(said, text, sizeof(text));
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (!strstr(line, path))
			continue;
		char *from = strchr(line, ' ');
		from = from ? strchr(from + 1, ' ') : NULL;
		if (!from)
			continue;
		char *end = from + 1;
		for (unsigned field = 0; field < 7 && end; field++)
			end = strchr(end + (field > 0), ' ');
		snprintf(out, LINE_ROOM, "%.*s", (int)(end ? end - from - 1 : (long)strlen(from + 1)), from + 1);
		return true;
	}
	return false;
}

/* What the program got, and what Overt wrote of it. */
static void tell_seen(struct tour *tour, const struct tour_said *said, const char *name, const char *title,
	const char *path, const char *why)
{
	char line[LINE_ROOM] = "nothing", body[LINE_ROOM];
	bool seen = line_of(&said->err, path, line);
	(void)text_of(&said->out, body, sizeof(body));
	body[strcspn(body, "\n")] = '\0';
	bool got = said->code == 0 && strstr(body, "balance");
	story_row(tour->story, name, title);
	story_words(tour->story, "path", "the path asked for", path);
	story_words(tour->story, "body", "the program got", body[0] ? body : "nothing");
	story_words(tour->story, "line", "Overt read", line);
	story_flag(tour->story, "decrypted", "the path was read", seen);
	if (!seen || !got)
		story_words(tour->story, "said", "what was said", text_of(&said->err, line, sizeof(line)));
	story_held(tour->story, seen && got, "%s", why);
}

static bool client_of(struct tour *tour, const char *path, char out[COMMAND_ROOM], const char *option)
{
	if (have("curl"))
		snprintf(out, COMMAND_ROOM, "curl -sS %shttps://localhost:%u%s", option, tour->port, path);
	else if (have("wget"))
		snprintf(out, COMMAND_ROOM, "wget -qO- %shttps://localhost:%u%s",
			option[0] ? "--ca-certificate=ca.pem " : "", tour->port, path);
	else
		return false;
	return true;
}

bool tour_split_step(struct tour *tour, struct error *err)
{
	char path[32], client[COMMAND_ROOM], command[COMMAND_ROOM * 2];
	struct tour_said said;
	if (!make_path(path))
		return error_set_openssl(err, "no random octets");
	if (!client_of(tour, path, client, ""))
		return error_set(err, "neither curl nor wget is here: there is no program to look at");
	story_say(tour->story,
		"One program, run by Overt. A proxy for it alone holds one TLS connection with the program and another "
		"with the server. The CA that the program is given for that lives in memory and ends with it.");
	snprintf(command, sizeof(command), "overt exec --trust ca.pem -- %s", client);
	if (!tour_run(tour, command, &said, err)) {
		tour_said_clear(&said);
		return false;
	}
	tell_seen(tour, &said, "split", "A request read in split", path,
		"Nothing was changed on this machine, and no other program was read. The program accepted the proxy "
		"because it was told of that CA; one that pins its server's certificate would have refused.");
	tour_said_clear(&said);
	return true;
}

static void tell_not_permitted(struct tour *tour)
{
	story_row(tour->story, "share", "A request read in share: not permitted here");
	story_flag(tour->story, "permitted", "packets may be captured", false);
	story_flag(tour->story, "decrypted", "the path was read", false);
	story_held(tour->story, true,
		"Share reads packets off the wire, which needs the right CAP_NET_RAW: as root, the command above shows "
		"it. Everything else goes on without.");
}

bool tour_share_step(struct tour *tour, struct error *err)
{
	char path[32], client[COMMAND_ROOM], command[COMMAND_ROOM * 2];
	struct tour_said said;
	if (!make_path(path))
		return error_set_openssl(err, "no random octets");
	if (!client_of(tour, path, client, "--cacert ca.pem "))
		return error_set(err, "neither curl nor wget is here: there is no program to look at");
	story_say(tour->story,
		"The same program, and no proxy: its own connection, end to end with the server. An agent in it gives "
		"away the keys of its records, and Overt reads the packets off the loopback interface with them.");
	snprintf(command, sizeof(command), "overt exec --share --interface lo -- %s", client);
	bool ok = tour_run(tour, command, &said, err);
	if (ok && said.code != 0 && said.err.len > 0 && memmem(said.err.data, said.err.len, "CAP_NET_RAW", 11))
		tell_not_permitted(tour);
	else if (ok)
		tell_seen(tour, &said, "share", "A request read in share", path,
			"The program verified the server's own certificate, and the server saw what it would see "
			"without Overt. What was given away opens records of one direction and epoch; no other key "
			"follows from it.");
	tour_said_clear(&said);
	return ok;
}

/* Accord. */

/* One that is free now, so that the commands that are shown can be repeated as they stand. 0 with err set. */
static unsigned free_port(struct error *err)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
	          getsockname(fd, (struct sockaddr *)&at, &len) == 0;
	if (!ok)
		error_set_errno(err, "no port is free at 127.0.0.1");
	if (fd >= 0)
		close(fd);
	return ok ? ntohs(at.sin_port) : 0;
}

static void tell_proof(struct tour *tour, const struct tour_said *got, const struct tour_said *checked)
{
	bool whole = got->code == 0 && got->out.len > 0 && memmem(got->out.data, got->out.len, "balance", 7);
	bool passed = checked->code == 0 && memmem(checked->out.data, checked->out.len, "all passed", 10);
	bool named = memmem(checked->out.data, checked->out.len, "signed", 6) != NULL;
	if (checked->out.len > 0)
		story_quote(tour->story, buffer_bytes(&checked->out));
	story_row(tour->story, "accord", "A proof that the server itself signed");
	story_flag(tour->story, "fetched", "the page came through the proxy", whole);
	story_flag(tour->story, "passed", "all checks of the saved proof passed", passed);
	story_held(tour->story, whole && passed && named,
		"The server is plain OpenSSL. In the ordinary course of TLS 1.3 it signed a handshake that holds the "
		"client's nonce and the proxy's identity and role; the proxy hands that signature on. Nobody had to "
		"trust a CA that may pose as every site.");
}

static bool fetch(struct tour *tour, unsigned port, struct error *err)
{
	char command[COMMAND_ROOM];
	struct tour_said got, checked = {0};
	snprintf(command, sizeof(command),
		"overt get -q --accord proxy/accord-anchor.pem --trust ca.pem --proxy 127.0.0.1:%u --save-proof proof "
		"https://localhost:%u/account",
		port, tour->port);
	bool ok = tour_run(tour, command, &got, err) &&
	          tour_run(tour, "overt accord verify --accord proxy/accord-anchor.pem --trust ca.pem proof", &checked,
			  err);
	if (ok)
		tell_proof(tour, &got, &checked);
	tour_said_clear(&got);
	tour_said_clear(&checked);
	return ok;
}

bool tour_accord(struct tour *tour, struct error *err)
{
	static const char rules[] = "allow: [loopback]\n";
	struct tour_said made = {0};
	struct tour_program proxy = {.err_fd = -1};
	char command[COMMAND_ROOM];
	unsigned port = free_port(err);
	story_say(tour->story,
		"An inspecting proxy that the client agreed to, by name and role, and that has to prove to the client "
		"that the server took part and was told who stands in between. First its anchor, then the proxy, then "
		"a client.");
	bool ok = port > 0 && tour_write(tour, "rules.yaml", bytes_str(rules), err) &&
	          tour_run(tour, "overt accord init --state proxy --name proxy.example", &made, err) &&
	          (made.code == 0 || error_set(err, "no anchor could be made"));
	tour_said_clear(&made);
	snprintf(command, sizeof(command),
		"overt proxy --single -q --accord require --state proxy --trust ca.pem --rules rules.yaml --listen "
		"127.0.0.1:%u",
		port);
	ok = ok && tour_begin(tour, command, "listening address=", &proxy, err) && fetch(tour, port, err);
	tour_end(tour, &proxy);
	return ok;
}

/* The audit log. */

static bool copy_file(const struct tour *tour, const char *name, struct file_bytes *out, struct error *err)
{
	char from[FILE_PATH_MAX], to[64], at[64];
	snprintf(at, sizeof(at), "proxy/%s", name);
	snprintf(to, sizeof(to), "altered/%s", name);
	return tour_path(tour, at, from, err) && file_read(from, TOUR_SAID_MAX, out, NULL, err) &&
	       tour_write(tour, to, bytes_of(out->data, out->len), err);
}

/* The level of the proof that was made a moment ago: from 1 to 2. *line is where it stands, from 1. */
static bool alter(const struct tour *tour, unsigned *line, struct error *err)
{
	static const char *const others[] = {"audit.log.head", "audit.log.pub", "audit.log.tree"};
	static const char mark[] = "\"level\":\"1\"";
	char dir[FILE_PATH_MAX];
	struct file_bytes log = {0}, other = {0};
	bool ok = tour_path(tour, "altered", dir, err) && file_make_directory(dir, err);
	for (size_t i = 0; ok && i < sizeof(others) / sizeof(others[0]); i++) {
		ok = copy_file(tour, others[i], &other, err);
		file_bytes_free(&other);
	}
	ok = ok && copy_file(tour, "audit.log", &log, err);
	char *at = ok ? memmem(log.data, log.len, mark, sizeof(mark) - 1) : NULL;
	if (at) {
		at[sizeof(mark) - 3] = '2';
		*line = 1;
		for (const uint8_t *c = log.data; c < (const uint8_t *)at; c++)
			*line += *c == '\n';
		ok = tour_write(tour, "altered/audit.log", bytes_of(log.data, log.len), err);
	}
	file_bytes_free(&log);
	return ok && (at || error_set(err, "the audit log holds no proof: the step before did not come so far"));
}

bool tour_log(struct tour *tour, struct error *err)
{
	struct tour_said whole = {0}, bad = {0};
	unsigned line = 0;
	char said[LINE_ROOM], wanted[32];
	story_say(tour->story,
		"The proxy wrote what it did into its audit log, before it took effect: a line per inspected "
		"connection, each a leaf of a Merkle tree whose root is signed. In a copy of that log, one byte is now "
		"another: the proof's level, 1, becomes 2.");
	bool ok = alter(tour, &line, err) && tour_run(tour, "overt log verify --state proxy", &whole, err) &&
	          tour_run(tour, "overt log verify --state altered", &bad, err);
	if (ok) {
		snprintf(wanted, sizeof(wanted), "line %u ", line);
		text_of(bad.err.len > 0 ? &bad.err : &bad.out, said, sizeof(said));
		said[strcspn(said, "\n")] = '\0';
		bool caught = bad.code == 1 && strstr(said, "altered") && strstr(said, wanted);
		story_row(tour->story, "audit-log", "One byte of the audit log altered, and caught");
		story_flag(tour->story, "whole_passes", "the log as it is passes", whole.code == 0);
		story_number(tour->story, "line", "line with the altered byte", line);
		story_words(tour->story, "said", "of the altered log, Overt says", said);
		story_flag(tour->story, "caught", "the alteration was caught", caught);
		story_held(tour->story, whole.code == 0 && caught,
			"The hash of the line is not the one in the tree, and the tree's root is signed. Whoever keeps "
			"a checkpoint elsewhere, or has a witness cosign them, also catches a log replaced as a "
			"whole.");
	}
	tour_said_clear(&whole);
	tour_said_clear(&bad);
	return ok;
}
