/* The stream of a watch: see watch.h. */
#include "csrd/watch.h"

#include <errno.h>
#include <string.h>

#include "common/conf_doc.h"
#include "csrd/answer.h"

#define KEEP_MAX ((size_t)64 << 10) /* a buffer beyond that is not kept */

void watch_init(struct watch *w)
{
	*w = (struct watch){ .line = STR_INIT };
}

void watch_deinit(struct watch *w)
{
	str_deinit(&w->line);
}

static int type_from(const char *word)
{
	static const char *const words[] = { "ADDED", "MODIFIED", "DELETED", "BOOKMARK",
		"ERROR" };

	for (size_t i = 0; word && i < ARRAY_SIZE(words); i++) {
		if (str_eq(word, words[i]))
			return (int)i;
	}
	return -1;
}

static int deliver(json_t *doc, int (*fn)(const struct watch_event *ev, void *arg),
    void *arg, struct err *e)
{
	int type = type_from(json_string_value(json_object_get(doc, "type")));
	struct watch_event ev = { .object = json_object_get(doc, "object") };
	const char *message;

	if (type < 0 || !json_is_object(ev.object))
		return err_set(e, -EBADMSG, "the watch sent a line that is no event");
	ev.type = (enum watch_type)type;
	ev.version = json_string_value(
	    json_object_get(json_object_get(ev.object, "metadata"), "resourceVersion"));
	if (ev.version && !*ev.version)
		ev.version = NULL;
	ev.code = (int)json_integer_value(json_object_get(ev.object, "code"));
	message = json_string_value(json_object_get(ev.object, "message"));
	ev.message = message ? message : "";
	return fn(&ev, arg);
}

static int take_line(struct str *line,
    int (*fn)(const struct watch_event *ev, void *arg), void *arg, struct err *e)
{
	json_t *doc;
	int r;

	if (strspn(str_get(line), " \t\r") >= line->len)
		return 0;
	doc = answer_parse(line);
	if (!doc)
		return err_set(e, -EBADMSG, "the watch sent a line that is no JSON");
	r = deliver(doc, fn, arg, e);
	json_decref(doc);
	return r;
}

static int end_line(struct watch *w, int (*fn)(const struct watch_event *ev, void *arg),
    void *arg, struct err *e)
{
	const struct watch_event oversize = { .type = WATCH_OVERSIZE, .message = "" };
	int r;

	if (w->skipping)
		r = fn(&oversize, arg);
	else if (str_err(&w->line) < 0)
		r = err_set(e, -ENOMEM, "out of memory");
	else
		r = take_line(&w->line, fn, arg, e);
	w->skipping = false;
	if (w->line.cap > KEEP_MAX)
		str_deinit(&w->line);
	str_reset(&w->line);
	return r;
}

int watch_feed(struct watch *w, const void *p, size_t n,
    int (*fn)(const struct watch_event *ev, void *arg), void *arg, struct err *e)
{
	const char *at = p, *end = at + n;

	while (at < end) {
		const char *nl = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((nl ? nl : end) - at);
		int r;

		if (w->line.len + len > WATCH_LINE_MAX) {
			w->skipping = true;
			str_deinit(&w->line);
		}
		if (!w->skipping)
			str_add(&w->line, at, len);
		at += len;
		if (!nl)
			break;
		at++;
		r = end_line(w, fn, arg, e);
		if (r != 0)
			return r;
	}
	return 0;
}
