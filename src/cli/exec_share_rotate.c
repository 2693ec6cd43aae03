#include "cli/exec_share_rotate.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

bool exec_rotate_mode(struct share_settings *settings, const char *value, struct error *err)
{
	settings->after_rotation = strcmp(value, "after-rotation") == 0;
	return settings->after_rotation || strcmp(value, "live") == 0 ||
	       error_set(err, "expected live or after-rotation");
}

bool exec_rotate_bytes(struct share_settings *settings, const char *value, struct error *err)
{
	return (text_size(bytes_str(value), &settings->rotate_bytes) &&
		       settings->rotate_bytes <= SHARE_ROTATE_BYTES_MAX) ||
	       error_set(err, "expected a size as 64k or 16m; 0: whatever was sent and received");
}

bool exec_rotate_seconds(struct share_settings *settings, const char *value, struct error *err)
{
	uint64_t number;
	if (!text_number(bytes_str(value), SHARE_ROTATE_SECONDS_MAX, &number))
		return error_set(err, "expected a number of seconds, at most %d; 0: however long it lasts",
			SHARE_ROTATE_SECONDS_MAX);
	settings->rotate_seconds = (uint32_t)number;
	return true;
}

bool exec_rotate_when(struct share_settings *settings, const char *value, struct error *err)
{
	settings->rotate_calls = strcmp(value, "calls") == 0;
	return settings->rotate_calls || strcmp(value, "writes") == 0 || error_set(err, "expected writes or calls");
}

void exec_rotate_tell(const struct share_settings *settings, const struct shipper_counts *counts, bool quiet)
{
	unsigned long long rotations = counts->rotations, overruns = counts->overruns, lost = counts->lost;
	unsigned long long unheld = counts->unheld, full = counts->full;
	if (!settings->after_rotation)
		return;
	if (!quiet)
		fprintf(stderr, "overt exec: %llu rotations\n", rotations);
	if (overruns > 0)
		fprintf(stderr, "overt exec: %llu overruns: a key was used for twice as long as it should be\n",
			overruns);
	if (lost + full > 0)
		fprintf(stderr,
			"overt exec: %llu keys lost: their program ended, or divided, before it had left their epoch, "
			"or there was no room\n",
			lost + full);
	if (unheld > 0)
		fprintf(stderr, "overt exec: %llu connections too many at a time: nothing of them was released\n",
			unheld);
}
