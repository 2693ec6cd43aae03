#include "agent/share_probes.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

socklen_t share_probes_address(const char *door, struct sockaddr_un *out)
{
	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	/* Abstract: the first octet is NUL. */
	int n = snprintf(out->sun_path + 1, sizeof(out->sun_path) - 1, "%s-probes", door[0] == '@' ? door + 1 : "");
	if (door[0] != '@' || n < 0 || (size_t)n >= sizeof(out->sun_path) - 1)
		return 0;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}
