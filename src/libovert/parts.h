/* libovert/parts.h — shared by the files of libovert; nobody else includes this. */
#ifndef LIBOVERT_PARTS_H
#define LIBOVERT_PARTS_H

#include "base/error.h"
#include "overt/accord.h"

/* Hands an error on. Returns false. */
static inline bool hand_on(struct overt_error *out, const struct error *err)
{
	_Static_assert(sizeof(out->text) == sizeof(err->text), "one is copied to the other");
	if (out)
		memcpy(out->text, err->text, sizeof(out->text));
	return false;
}

#endif
