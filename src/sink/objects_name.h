/*
 * sink/objects_name.h — a file name out of the host, path and media type of a message, fit for any directory. No I/O.
 * Only ASCII letters, digits, ".", "_", "-" and "~" are in it; it does not begin with "." or "-", holds no "/" and is at
 * most OBJECTS_NAME_MAX octets. Queries are left out: they hold credentials, and have no end.
 */
#ifndef SINK_OBJECTS_NAME_H
#define SINK_OBJECTS_NAME_H

#include "base/bytes.h"

#define OBJECTS_NAME_MAX 200 /* octets without the NUL: leaves room for ".incomplete" below NAME_MAX */

struct objects_named {
	struct bytes host, path; /* as sent, path with its query or without; may be empty */
	struct bytes type;       /* media type, perhaps with parameters; may be empty */
	bool request;            /* the body of a request: "-request" is added */
	uint64_t number;         /* above 1: "~NUMBER" is added, to tell apart what has the same name */
};

/*
 * "www.example.org_images_logo.png", "www.example.org_index.html", "api.example.org_login-request~2.json". Writes a NUL
 * behind it. What is too long loses the middle of its path.
 */
void objects_name(const struct objects_named *of, char out[static OBJECTS_NAME_MAX + 1]);

#endif
