/* Timers: see wheel.h. */
#include "lbd/wheel.h"

void wheel_init(struct wheel *w, uint64_t now_ms)
{
	*w = (struct wheel){ .now = now_ms / WHEEL_SLOT_MS };
	for (size_t i = 0; i < WHEEL_SLOTS; i++)
		list_init(&w->slots[i]);
}

/* The slot after the one in which it is due, so that it never runs too early, but none
 * before first. */
static void insert(struct wheel *w, struct timer *t, uint64_t first)
{
	uint64_t at = t->due / WHEEL_SLOT_MS + 1;
	size_t slot;

	at = MIN(MAX(at, first), w->now + WHEEL_SLOTS - 1);
	slot = at % WHEEL_SLOTS;
	list_append(&w->slots[slot], &t->link);
	w->used[slot / 64] |= 1ULL << slot % 64;
}

void wheel_set(struct wheel *w, struct timer *t, uint64_t due_ms)
{
	wheel_clear(w, t);
	t->due = due_ms ? due_ms : 1;
	w->n++;
	insert(w, t, w->now);
}

void wheel_clear(struct wheel *w, struct timer *t)
{
	if (!t->due)
		return;
	t->due = 0;
	w->n--;
	list_remove(&t->link);
}

struct timer *wheel_expire(struct wheel *w, uint64_t now_ms)
{
	for (uint64_t end = now_ms / WHEEL_SLOT_MS; w->now <= end; w->now++) {
		size_t slot = w->now % WHEEL_SLOTS;
		struct list_link *l;

		while ((l = list_first(&w->slots[slot]))) {
			struct timer *t = CONTAINER_OF(l, struct timer, link);

			if (t->due <= now_ms) {
				wheel_clear(w, t);
				return t;
			}
			/* It is due later than the wheel reached when it was set. */
			list_remove(l);
			insert(w, t, w->now + 1);
		}
		w->used[slot / 64] &= ~(1ULL << slot % 64);
		if (!w->n) {
			w->now = end + 1;
			break;
		}
	}
	return NULL;
}

int wheel_wait(const struct wheel *w, uint64_t now_ms)
{
	uint64_t at = w->now;

	if (!w->n)
		return -1;
	for (uint64_t end = at + WHEEL_SLOTS; at < end; at++) {
		size_t slot = at % WHEEL_SLOTS;
		uint64_t rest = w->used[slot / 64] >> slot % 64;

		if (rest & 1)
			break;
		if (!rest)
			at |= 63;
	}
	at *= WHEEL_SLOT_MS;
	return at <= now_ms ? 0 : (int)(at - now_ms);
}
