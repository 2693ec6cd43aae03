#include "options.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const char *const mode_names[] = {"handshakes", "first", "bulk", "requests", "idle"};

static bool read_mode(struct options *options, const char *word, struct error *err)
{
	for (size_t i = 0; i < sizeof(mode_names) / sizeof(mode_names[0]); i++) {
		if (strcmp(word, mode_names[i]) == 0) {
			options->mode = (enum load_mode)i;
			options->mode_name = mode_names[i];
			return true;
		}
	}
	return error_set(err, "no mode named %s", word);
}

/* 127.0.0.1:PORT: the benchmark never leaves loopback. */
static bool read_address(struct options *options, const char *value)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct bytes port = bytes_str(value);
	uint64_t number;
	const char *host = "127.0.0.1:";
	if (!bytes_starts(port, bytes_str(host)) || !bytes_skip(&port, strlen(host)) ||
		!text_number(port, UINT16_MAX, &number))
		return false;
	to.sin_port = htons((uint16_t)number);
	memcpy(&options->to, &to, sizeof(to));
	options->to_len = sizeof(to);
	options->port = strchr(value, ':');
	return true;
}

static bool read_flag(struct options *options, const char *name)
{
	if (strcmp(name, "--no-verify") == 0)
		options->verify = false;
	else if (strcmp(name, "--resume") == 0)
		options->resume = true;
	else if (strcmp(name, "--gate") == 0)
		options->gate = true;
	else
		return false;
	return true;
}

static bool read_leaf(struct options *options, const char *value)
{
	options->leaf_p256 = strcmp(value, "p256") == 0;
	return options->leaf_p256 || strcmp(value, "any") == 0;
}

/* The number behind an option of that kind; NULL when there is no such option. */
static uint64_t *number_of(struct options *options, const char *name)
{
	const struct {
		const char *name;
		uint64_t *value;
	} numbers[] = {
		{"--sni-from", &options->sni_from},
		{"--count", &options->count},
		{"--concurrency", &options->concurrency},
		{"--bytes", &options->bytes},
	};
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (strcmp(name, numbers[i].name) == 0)
			return numbers[i].value;
	}
	return NULL;
}

static const char **text_of(struct options *options, const char *name)
{
	const struct {
		const char *name;
		const char **value;
	} texts[] = {
		{"--connect", &options->connect},
		{"--ca", &options->ca},
		{"--sni", &options->sni},
		{"--group", &options->side.group},
		{"--suite", &options->side.suite},
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (strcmp(name, texts[i].name) == 0)
			return texts[i].value;
	}
	return NULL;
}

static bool read_value(struct options *options, const char *name, const char *value, struct error *err)
{
	const char **text = text_of(options, name);
	if (text) {
		*text = value;
		return true;
	}
	uint64_t *number = number_of(options, name);
	bool ok;
	if (number)
		ok = text_number(bytes_str(value), 1ULL << 40, number);
	else if (strcmp(name, "--to") == 0)
		ok = read_address(options, value);
	else if (strcmp(name, "--leaf") == 0)
		ok = read_leaf(options, value);
	else if (strcmp(name, "--deadline") == 0)
		ok = text_duration(bytes_str(value), &options->deadline_ns);
	else
		return error_set(err, "no option named %s", name);
	return ok || error_set(err, "%s: %s is not a value for it", name, value);
}

static bool check(const struct options *options, struct error *err)
{
	if (!options->to_len)
		return error_set(err, "--to 127.0.0.1:PORT is missing");
	if (!options->port)
		return error_set(err, "--connect: %s names no port", options->connect);
	if (options->verify && !options->ca)
		return error_set(err, "--ca FILE is missing; --no-verify does without");
	if (options->concurrency == 0 || options->count == 0)
		return error_set(err, "--count and --concurrency begin at 1");
	if (options->resume && strstr(options->sni, "%d"))
		return error_set(err, "--resume needs one name: --sni may hold no %%d");
	return true;
}

bool options_read(struct options *options, int argc, char **argv, struct error *err)
{
	*options = (struct options){.verify = true,
		.sni = "www.bench.test",
		.count = 100,
		.concurrency = 8,
		.bytes = 1 << 20,
		.deadline_ns = 120ULL * 1000000000,
		.side = {.group = "X25519", .suite = "TLS_AES_128_GCM_SHA256"}};
	if (argc < 2)
		return error_set(err, "a mode is missing");
	if (!read_mode(options, argv[1], err))
		return false;
	for (int i = 2; i < argc; i++) {
		if (read_flag(options, argv[i]))
			continue;
		if (i + 1 == argc)
			return error_set(err, "%s: no such option, or its value is missing", argv[i]);
		if (!read_value(options, argv[i], argv[i + 1], err))
			return false;
		i++;
	}
	if (options->mode == LOAD_FIRST)
		options->concurrency = 1;
	if (options->connect)
		options->port = strchr(options->connect, ':');
	return check(options, err);
}

void options_usage(void)
{
	fputs("usage: load handshakes|first|bulk|requests|idle --to 127.0.0.1:PORT --ca FILE [--no-verify]\n"
	      "            [--connect HOST:PORT] [--sni NAME, %d in it counts up] [--sni-from N] [--count N]\n"
	      "            [--concurrency N] [--bytes N] [--resume] [--gate] [--group X25519]\n"
	      "            [--suite TLS_AES_128_GCM_SHA256] [--leaf p256|any] [--deadline 120s]\n",
		stderr);
}

void options_name(const struct options *options, uint64_t number, char *out, size_t cap)
{
	const char *mark = strstr(options->sni, "%d");
	if (mark)
		snprintf(out, cap, "%.*s%" PRIu64 "%s", (int)(mark - options->sni), options->sni, number, mark + 2);
	else
		snprintf(out, cap, "%s", options->sni);
}
