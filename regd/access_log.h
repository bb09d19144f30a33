/* One line per request on stderr; where that is the journal, an entry with fields. */
#pragma once

struct http_log;
struct regd;

/* user and repository are "" for none. */
void access_log(
    struct regd *g, const struct http_log *l, const char *user, const char *repository);
