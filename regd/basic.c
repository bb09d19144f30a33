/* Basic credentials: see basic.h. */
#include "regd/basic.h"

#include <string.h>
#include <strings.h>

#include "common/digest.h"
#include "common/str.h"

static bool has_control(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return true;
	return false;
}

/* What stands behind "Basic ", or NULL. */
static const char *after_scheme(const char *header)
{
	if (strncasecmp(header, "Basic ", 6) != 0)
		return NULL;
	header += 6;
	return header + strspn(header, " ");
}

bool basic_is_nobody(const char *header)
{
	const char *text = after_scheme(header);

	return text && str_eq(text, "Og=="); /* ":" */
}

char *basic_decode(const char *header, char buf[BASIC_MAX], size_t *n)
{
	_cleanup_(str_deinit) struct str plain = STR_INIT;
	char *colon = NULL;

	header = after_scheme(header);
	if (!header)
		return NULL;
	if (strlen(header) > BASIC_MAX * 4 / 3 ||
	    base64_decode(&plain, header, strlen(header), BASE64_STD) < 0)
		return NULL;
	if (plain.len > 0 && plain.len < BASIC_MAX &&
	    !has_control(plain.s, plain.len)) {
		memcpy(buf, plain.s, plain.len);
		buf[plain.len] = '\0';
		*n = plain.len;
		colon = memchr(buf, ':', plain.len);
	}
	if (plain.s)
		explicit_bzero(plain.s, plain.len);
	if (!colon || colon == buf)
		return NULL;
	*colon = '\0';
	return colon + 1;
}
