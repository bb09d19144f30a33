/* Small macros that every file may use. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(f, a) __attribute__((format(printf, f, a)))
#define _mustcheck_ __attribute__((warn_unused_result))
#define _noreturn_ __attribute__((noreturn))
#define _likely_(x) __builtin_expect(!!(x), 1)
#define _unlikely_(x) __builtin_expect(!!(x), 0)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
/* Each argument is evaluated once. */
#define MIN(a, b) MIN_(a, b, __COUNTER__)
#define MAX(a, b) MAX_(a, b, __COUNTER__)
#define MIN_(a, b, id) PICK_(a, <, b, id)
#define MAX_(a, b, id) PICK_(a, >, b, id)
#define PICK_(a, op, b, id)                         \
	({                                          \
		__typeof__(a) x_##id = (a);         \
		__typeof__(b) y_##id = (b);         \
		x_##id op y_##id ? x_##id : y_##id; \
	})

#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Hands an owned pointer over: the source is NULL afterwards. */
#define TAKE(p)                         \
	({                              \
		__typeof__(p) t_ = (p); \
		(p) = NULL;             \
		t_;                     \
	})

/* Defines x_freep() for _cleanup_, from struct x *x_free(struct x *). */
#define DEFINE_FREEP(x)                            \
	static inline void x##_freep(struct x **p) \
	{                                          \
		*p = x##_free(*p);                 \
	}

static inline void freep(void *p)
{
	free(*(void **)p);
}
