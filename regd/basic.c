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

char *basic_decode(const char *header, char buf[BASIC_MAX], size_t *n)
{
	_cleanup_(str_deinit) struct str plain = STR_INIT;
	char *colon = NULL;

	if (strncasecmp(header, "Basic ", 6) != 0)
		return NULL;
	header += 6;
	header += strspn(header, " ");
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
