/* base/local_socket.h — local sockets: their addresses, and messages with which a descriptor goes. libc only. */
#ifndef BASE_LOCAL_SOCKET_H
#define BASE_LOCAL_SOCKET_H

#include "base/bytes.h"

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

/* Of a path, or of a name in no file system, which begins with "@". The address's length; 0: none, or too long. */
must_check socklen_t local_socket_address(const char *text, struct sockaddr_un *out);

/*
 * One message with `fd`, which stays the caller's. `flags` as sendmsg has them; there is never a SIGPIPE. False with errno
 * set, also when less than all was taken.
 */
must_check bool local_socket_send(int sock, struct bytes octets, int fd, int flags);

/*
 * One message, of which at most `cap` octets are kept, and the one descriptor that came with it, closed on exec; *fd is -1
 * where none did. Further descriptors are refused by the kernel. Octets, 0 at the end, -1 with errno set.
 */
must_check ssize_t local_socket_receive(int sock, void *out, size_t cap, int *fd);

#endif
