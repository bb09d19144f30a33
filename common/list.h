/*
 * An intrusive doubly linked list.  The head is a struct list_link of its own; an
 * element that is on no list points to itself, so that removing it twice is harmless.
 */
#pragma once

#include "common/base.h"

struct list_link {
	struct list_link *prev, *next;
};

static inline void list_init(struct list_link *l)
{
	l->prev = l->next = l;
}

/* True for an empty head, and for an element that is on no list. */
static inline bool list_empty(const struct list_link *l)
{
	return l->next == l;
}

static inline void list_insert_before(struct list_link *at, struct list_link *l)
{
	l->prev = at->prev;
	l->next = at;
	at->prev->next = l;
	at->prev = l;
}

static inline void list_append(struct list_link *head, struct list_link *l)
{
	list_insert_before(head, l);
}

static inline void list_prepend(struct list_link *head, struct list_link *l)
{
	list_insert_before(head->next, l);
}

static inline void list_remove(struct list_link *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	list_init(l);
}

/* The first element's link, or NULL. */
static inline struct list_link *list_first(const struct list_link *head)
{
	return list_empty(head) ? NULL : head->next;
}

#define list_for_each(it, head) \
	for (struct list_link *it = (head)->next; it != (head); it = it->next)

/* The element at hand may be removed or freed. */
#define list_for_each_safe(it, head)                                      \
	for (struct list_link *it = (head)->next, *it##_next_ = it->next; \
	     it != (head); it = it##_next_, it##_next_ = it->next)
