/* The certificate approver's life: see csrd.c. */
#pragma once

#include "common/daemon.h"

extern const struct daemon_class csrd_class;
