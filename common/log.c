/* Logging: see log.h. */
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "common/str.h"

/* Set once by log_open() before threads start; what follows are hints that may race. */
static bool to_journal;
static char ident[32] = "okd";
static int max_level = LOG_INFO;
static bool last_words;

static bool stderr_is_journal(void)
{
	const char *js = getenv("JOURNAL_STREAM");
	unsigned long dev, ino;
	struct stat st;

	return js && sscanf(js, "%lu:%lu", &dev, &ino) == 2 &&
	    fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void log_open(const char *name)
{
	snprintf(ident, sizeof(ident), "%s", name);
	to_journal = stderr_is_journal();
}

bool log_is_journal(void)
{
	return to_journal;
}

void log_last_words(void)
{
	__atomic_store_n(&last_words, true, __ATOMIC_RELAXED);
}

void log_set_level(int level)
{
	__atomic_store_n(&max_level, level, __ATOMIC_RELAXED);
}

int log_level(void)
{
	return __atomic_load_n(&max_level, __ATOMIC_RELAXED);
}

/* Whether a line goes to the journal by its socket. */
static bool by_socket(void)
{
	return to_journal && !__atomic_load_n(&last_words, __ATOMIC_RELAXED);
}

static const char *level_word(int level)
{
	if (level <= LOG_ERR)
		return "error: ";
	if (level == LOG_WARNING)
		return "warning: ";
	return level >= LOG_DEBUG ? "debug: " : "";
}

/* A line break inside a message would look like a line of its own. */
static void one_line(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ')
			*s = ' ';
}

static void write_stderr(int level, const char *const *fields, const char *text)
{
	_cleanup_(str_deinit) struct str line = STR_INIT;
	ssize_t n;

	if (to_journal)
		str_addf(&line, "<%d>%s", level, text); /* sd-daemon(3) */
	else
		str_addf(&line, "%s: %s%s", ident, level_word(level), text);
	/* Fields that the sentence does not show help who debugs without a journal. */
	for (; level >= LOG_DEBUG && fields && fields[0]; fields += 2)
		if (fields[1] && !str_eq(fields[0], "MESSAGE_ID"))
			str_addf(&line, " %s=%s", fields[0], fields[1]);
	one_line(line.s ? line.s : (char[]){ "" });
	str_addc(&line, '\n');
	if (str_err(&line))
		return;
	n = write(STDERR_FILENO, line.s, line.len);
	(void)n;
}

static void write_journal(int level, const char *const *fields, const char *text)
{
	enum { MOST = 24 };
	_cleanup_(str_deinit) struct str all = STR_INIT;
	size_t at[MOST + 1], n = 0;
	struct iovec iov[MOST];

	at[n++] = all.len;
	str_addf(&all, "MESSAGE=%s", text);
	at[n++] = all.len;
	str_addf(&all, "PRIORITY=%d", level);
	at[n++] = all.len;
	str_addf(&all, "SYSLOG_IDENTIFIER=%s", ident);
	for (; fields && fields[0] && n < MOST; fields += 2) {
		if (!fields[1])
			continue;
		at[n++] = all.len;
		str_addf(&all, "%s=%s", fields[0], fields[1]);
	}
	at[n] = all.len;
	if (str_err(&all))
		return;
	for (size_t i = 0; i < n; i++)
		iov[i] = (struct iovec){ all.s + at[i], at[i + 1] - at[i] };
	if (sd_journal_sendv(iov, (int)n) < 0)
		write_stderr(level, NULL, text);
}

_printf_(3, 0) static void log_v(
    int level, const char *const *fields, const char *fmt, va_list ap)
{
	char buf[512];
	_cleanup_(str_deinit) struct str big = STR_INIT;
	const char *text = buf;
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(buf, sizeof(buf), fmt, ap);
	if (n >= (int)sizeof(buf)) {
		str_vaddf(&big, fmt, again);
		if (!str_err(&big))
			text = big.s;
	}
	va_end(again);
	if (by_socket())
		write_journal(level, fields, text);
	else
		write_stderr(level, fields, text);
}

void log_at(int level, const char *fmt, ...)
{
	va_list ap;

	if (level > log_level())
		return;
	va_start(ap, fmt);
	log_v(level, NULL, fmt, ap);
	va_end(ap);
}

void log_with(int level, const char *const *fields, const char *fmt, ...)
{
	va_list ap;

	if (level > log_level())
		return;
	va_start(ap, fmt);
	log_v(level, fields, fmt, ap);
	va_end(ap);
}

void fatal(int status, const char *fmt, ...)
{
	va_list ap;

	log_last_words();
	va_start(ap, fmt);
	log_v(LOG_ERR, NULL, fmt, ap);
	va_end(ap);
	exit(status);
}
