/* Files of authorities that a setting names. */
#pragma once

#include "common/err.h"

/* 0 when path holds certificates, else -errno with a sentence that begins with the
 * setting's name: found out when the setting is read rather than at the first request. */
int cafile_check(const char *setting, const char *path, struct err *err) _mustcheck_;
