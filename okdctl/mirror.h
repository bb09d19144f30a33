/*
 * okdctl mirror: "oc adm release mirror", watched, repeated, verified.
 *
 * oc plans first and says how much it will copy ("info: Mirroring 172 images to ...", and
 * a line of each phase with manifests=172), then prints "sha256:... REGISTRY/NAME:TAG" for
 * each image that has arrived.  A failed upload is an "error: ..." line; the others go on,
 * and the command ends with 1.
 */
#pragma once

#include "common/base.h"

struct mirror_progress {
	uint64_t done, total; /* images; total 0: not said yet */
	bool planned;         /* total is of the phases */
};

enum mirror_line {
	MIRROR_NOISE,    /* the plan, a layer that begins */
	MIRROR_PROGRESS, /* done or total changed */
	MIRROR_MESSAGE,  /* for a person */
};

/* What a line of oc's output says.  Pure. */
enum mirror_line mirror_take(struct mirror_progress *p, const char *line);
