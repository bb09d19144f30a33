/*
 * One line per event: to the journal with fields when stderr is the journal, else as a
 * human line to stderr.  Levels are syslog's, and mean: err = act, warning = look,
 * info = life cycle, debug = request.  Every call is thread-safe and writes once.
 */
#pragma once

#include <syslog.h>

#include "common/base.h"

/* Decides between journal and stderr, and names the program (SYSLOG_IDENTIFIER). */
void log_open(const char *ident);
/* Whether stderr is the journal. */
bool log_is_journal(void);
/* What is said from here on is said by a process about to end.  The journal looks up a
 * line's unit by the sender's PID, which is too late once that has ended; of a stream it
 * knows the unit from the beginning, so these lines go there, without fields. */
void log_last_words(void);
/* Lines above this level are dropped; LOG_INFO at first. */
void log_set_level(int level);
int log_level(void);

void log_at(int level, const char *fmt, ...) _printf_(2, 3);

/*
 * With journal fields: fields is a NULL-terminated list of names and values in turns
 * ({ "OKD_NODE", name, NULL }); a NULL value leaves its field out.  A MESSAGE_ID among
 * them makes the line an event that the catalog explains.
 */
void log_with(int level, const char *const *fields, const char *fmt, ...)
    _printf_(3, 4);
#define LOG_FIELDS(...) ((const char *const[]){ __VA_ARGS__, NULL, NULL })

#define log_err(...) log_at(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_WARNING, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                    \
	do {                                              \
		if (_unlikely_(log_level() >= LOG_DEBUG)) \
			log_at(LOG_DEBUG, __VA_ARGS__);   \
	} while (0)

/* Only before READY=1: logs and exits with status. */
_noreturn_ void fatal(int status, const char *fmt, ...) _printf_(2, 3);
