/*
 * agent/share_hex.h — sprintf, for the one format that libssl up to 3.4 writes lines of a key log with: "%02x", for each
 * octet of random and secret, which are hundreds for a handshake. Going through all that printf can do for each costs
 * more than all else that is done for sharing. Every other format goes on to the C library, which both are replaced in.
 */
#ifndef AGENT_SHARE_HEX_H
#define AGENT_SHARE_HEX_H

#include <stddef.h>

int share_sprintf(char *out, const char *format, ...) __asm__("sprintf");
int share_sprintf_chk(char *out, int flag, size_t cap, const char *format, ...) __asm__("__sprintf_chk");

#endif
