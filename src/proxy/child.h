/* proxy/child.h — the entry of the family's processes: the program started by its supervisor as "overt child:ROLE". */
#ifndef PROXY_CHILD_H
#define PROXY_CHILD_H

#include "base/attr.h"

#include <stdbool.h>

must_check bool child_wanted(int argc, char **argv);
/* Returns the exit code. */
must_check int child_main(int argc, char **argv);

#endif
