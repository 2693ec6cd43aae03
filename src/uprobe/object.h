/* uprobe/object.h — probe.bpf.c as clang made it (an ELF object for libbpf), inside the program. Made by embed.py. */
#ifndef UPROBE_OBJECT_H
#define UPROBE_OBJECT_H

#include <stddef.h>

extern const unsigned char uprobe_object[];
extern const size_t uprobe_object_len;

#endif
