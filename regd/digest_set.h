/* A set of digests: filled, sorted, then asked. */
#pragma once

#include "common/base.h"
#include "regd/name.h"

struct digest_set {
	struct oci_digest *items;
	size_t n, cap;
};

#define DIGEST_SET_INIT \
	{               \
		0       \
	}

void digest_set_deinit(struct digest_set *s);
int digest_set_add(struct digest_set *s, const struct oci_digest *d) _mustcheck_;
/* Sorts, and removes what is there twice; call it before digest_set_has(). */
void digest_set_sort(struct digest_set *s);
bool digest_set_has(const struct digest_set *s, const char *digest);
