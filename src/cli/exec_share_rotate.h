/* cli/exec_share_rotate.h — overt exec --share --mode after-rotation: its options, and what became of it. */
#ifndef CLI_EXEC_SHARE_ROTATE_H
#define CLI_EXEC_SHARE_ROTATE_H

#include "agent/share_settings.h"
#include "base/error.h"
#include "share/shipper.h"

/* Values of --mode, --rotate-bytes and --rotate-seconds. False with `err` set. */
must_check bool exec_rotate_mode(struct share_settings *settings, const char *value, struct error *err);
must_check bool exec_rotate_bytes(struct share_settings *settings, const char *value, struct error *err);
must_check bool exec_rotate_seconds(struct share_settings *settings, const char *value, struct error *err);
must_check bool exec_rotate_when(struct share_settings *settings, const char *value, struct error *err);
/* On standard error; `quiet`: only what did not go well. */
void exec_rotate_tell(const struct share_settings *settings, const struct shipper_counts *counts, bool quiet);

#endif
