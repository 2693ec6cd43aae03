#include "proxy/users.h"

#include <stdlib.h>

static struct bytes trim(struct bytes line)
{
	while (line.len > 0 && (line.data[line.len - 1] == '\r' || line.data[line.len - 1] == ' '))
		line.len--;
	return line;
}

static bool take_line(struct bytes *text, struct bytes *line)
{
	if (text->len == 0)
		return false;
	size_t end = bytes_find(*text, '\n', 0);
	bool ok = bytes_take(text, end, line);
	if (text->len > 0)
		ok = ok && bytes_skip(text, 1);
	return ok;
}

static bool read_user(struct bytes line, struct intake_user *out)
{
	const struct bytes bearer = bytes_str("bearer ");
	if (bytes_starts(line, bearer)) {
		*out = (struct intake_user){.scheme = INTAKE_USER_BEARER, .secret = line};
		return bytes_skip(&out->secret, bearer.len) && out->secret.len > 0;
	}
	size_t colon = bytes_find(line, ':', 0);
	*out = (struct intake_user){.scheme = INTAKE_USER_BASIC, .secret = line};
	return colon > 0 && colon < line.len;
}

bool users_read(struct intake_users *out, struct bytes text, const char *name, struct error *err)
{
	struct intake_user *list = NULL;
	size_t count = 0;
	struct bytes line;
	for (unsigned number = 1; take_line(&text, &line); number++) {
		line = trim(line);
		if (line.len == 0 || line.data[0] == '#')
			continue;
		struct intake_user *longer = count < USERS_MAX ? realloc(list, (count + 1) * sizeof(*list)) : NULL;
		if (!longer) {
			free(list);
			return error_set(
				err, "%s:%u: more than %d users, or no memory for them", name, number, USERS_MAX);
		}
		list = longer;
		/* What stands on the line is a secret: the message names its place only. */
		if (!read_user(line, &list[count++])) {
			free(list);
			return error_set(err, "%s:%u: neither USER:PASSWORD nor bearer TOKEN", name, number);
		}
	}
	if (count == 0)
		return error_set(err, "%s: names nobody who may use the proxy", name);
	*out = (struct intake_users){.list = list, .count = count};
	return true;
}

void users_free(struct intake_users *users)
{
	free((void *)(uintptr_t)users->list);
	*users = (struct intake_users){0};
}
