/* Any octets as a configuration file, and as a command line of words between newlines. */
#include "policy/config.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WORDS 16

static void as_arguments(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	static char name[] = "proxy";
	char *argv[WORDS + 1] = {name};
	int argc = 1, rest;
	if (!text)
		abort();
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	for (char *save, *word = strtok_r(text, "\n", &save); word && argc < WORDS; word = strtok_r(NULL, "\n", &save))
		argv[argc++] = word;
	struct error err = {{0}};
	struct config *config = config_new(&err);
	if (!config)
		abort();
	if (config_read_args(config, CONFIG_PROXY, argc, argv, &rest, &err) && (rest < 1 || rest > argc))
		abort();
	config_free(config);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = {{0}};
	struct config *config = config_new(&err);
	if (!config)
		abort();
	bool good = config_read_file(config, bytes_of(data, size), "fuzz.yaml", &err);
	if (good != (err.text[0] == '\0'))
		abort();
	if (good)
		(void)config_check(config, CONFIG_PROXY, &err);
	config_free(config);
	as_arguments(data, size);
	return 0;
}
