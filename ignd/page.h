/*
 * The page for people at /: a bar per node, the certificate clocks, what is wrong with
 * files.  It works without scripts; with them it follows /events, a stream of
 * server-sent events with the same JSON that /progress.json gives at once.  No secret is
 * on it: names, addresses, stages and numbers alone.
 */
#pragma once

#include <jansson.h>

#include "common/base.h"

struct http_req;
struct loop;
struct page;

/* model gives what is shown, as a new reference:
 * {"cluster":..., "now":..., "nodes":[...], "configs":[...], "images":[...]} */
int page_new(struct page **ret, struct loop *l, json_t *(*model)(void *arg),
    void *arg) _mustcheck_;
/* No stream may be open any more. */
struct page *page_free(struct page *p);
DEFINE_FREEP(page)

/* Handlers: the page, its script, the model once, the model as a stream. */
int page_html(struct http_req *r, struct page *p);
int page_script(struct http_req *r, struct page *p);
int page_json(struct http_req *r, struct page *p);
int page_events(struct http_req *r, struct page *p);

/* Something has changed; the streams are told at the next tick. */
void page_changed(struct page *p);
/* Every half second while somebody watches. */
void page_tick(struct page *p);
bool page_is_watched(const struct page *p);
/* Ends the streams, which would never end by themselves. */
void page_drain(struct page *p);
