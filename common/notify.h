/*
 * What we tell systemd.  Every call is a no-op without NOTIFY_SOCKET.  RELOADING
 * carries MONOTONIC_USEC, which later systemd demands and 252 ignores.
 */
#pragma once

#include <sys/types.h>

#include "common/base.h"

void notify_ready(void);
void notify_reloading(void);
void notify_stopping(void);
void notify_status(const char *fmt, ...) _printf_(1, 2);
void notify_watchdog(void);
/* The main process of the unit is pid from here on (upgrade in place). */
void notify_mainpid(pid_t pid);
/* How often notify_watchdog() is due, in milliseconds: half of WatchdogSec, 0 for
 * never. */
uint64_t notify_watchdog_ms(void);
/*
 * Keeps fd in the service manager's store under name, so that a restart finds the
 * listener and its queue again; and takes it out of there.  Name: no colon, at most 255
 * bytes.
 */
void notify_store_fd(const char *name, int fd);
void notify_unstore_fd(const char *name);
